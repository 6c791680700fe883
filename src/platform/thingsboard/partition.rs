//! Which numbered topic serves an entity (`HashPartitionService.java` of thingsboard).

use std::io::Cursor;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::settings::HashFunction;

/// The partition of an entity, 0 to `partitions` - 1 (0 when there are none).
///
/// The hash is taken over both halves of the UUID, each little-endian, and reduced by a truncated remainder.
pub fn partition(id: Uuid, partitions: u32, function: HashFunction) -> u32 {
    let hash = i64::from(hash(id, function));
    let remainder = hash.checked_rem(i64::from(partitions)).unwrap_or(0);
    u32::try_from(remainder.unsigned_abs()).unwrap_or(0)
}

/// The first four bytes of the hash, little-endian.
fn hash(id: Uuid, function: HashFunction) -> i32 {
    let (most, least) = id.as_u64_pair();
    let input = u128::from(most) | u128::from(least) << 64;
    let input = input.to_le_bytes();
    let low = match function {
        HashFunction::Murmur3_128 => murmur3::murmur3_x64_128(&mut Cursor::new(input), 0)
            .map(|hash| (hash & u128::from(u32::MAX)) as u32),
        HashFunction::Murmur3_32 => murmur3::murmur3_32(&mut Cursor::new(input), 0),
        HashFunction::Sha256 => Ok(Sha256::digest(input)
            .first_chunk()
            .map_or(0, |first| u32::from_le_bytes(*first))),
    };
    low.expect("a slice in memory can be read").cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Guava 31.1 for ten partitions (`platform-wire.md` 1.3).
    const CHECK_VALUES: [(&str, [(i32, u32); 3]); 8] = [
        (
            "13814000-1dd2-11b2-8080-808080808080",
            [(753439043, 3), (-1198738292, 2), (-1155030795, 5)],
        ),
        (
            "00000000-0000-0000-0000-000000000000",
            [(2108233942, 2), (-2127245832, 2), (-16234697, 7)],
        ),
        (
            "00000000-0000-0000-0000-000000000001",
            [(-809152526, 6), (223774489, 9), (-1626065763, 3)],
        ),
        (
            "784f394c-42b6-435a-983c-b7beff2784f9",
            [(-1365553268, 8), (1278706996, 6), (-946518300, 0)],
        ),
        (
            "a1b2c3d4-e5f6-4789-abcd-ef0123456789",
            [(1284486697, 7), (1388304715, 5), (1052013801, 1)],
        ),
        (
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            [(-1550170394, 4), (-451333010, 0), (-1801075110, 0)],
        ),
        (
            "1ec9b3a0-7c5b-11ee-8f3a-4f3f6a3b2c1d",
            [(544112016, 6), (348068787, 7), (-1940215663, 3)],
        ),
        (
            "d7a0c3f2-55aa-4c1e-9b7d-0e1f2a3b4c5d",
            [(-1907797086, 6), (1264825076, 6), (-326405765, 5)],
        ),
    ];

    #[test]
    fn agrees_with_guava() {
        for (text, expected) in CHECK_VALUES {
            let id: Uuid = text.parse().unwrap();
            for (function, (as_int, number)) in [
                HashFunction::Murmur3_128,
                HashFunction::Murmur3_32,
                HashFunction::Sha256,
            ]
            .into_iter()
            .zip(expected)
            {
                assert_eq!(hash(id, function), as_int, "{text} {function:?}");
                assert_eq!(partition(id, 10, function), number, "{text} {function:?}");
            }
        }
    }

    #[test]
    fn no_partitions_is_no_panic() {
        assert_eq!(partition(Uuid::nil(), 0, HashFunction::Murmur3_128), 0);
    }
}
