//! The MAC inside CBC, checked in time that depends on nothing but the length of the record (RFC 5246 section 6.2.3.2):
//! an attacker who could tell a wrong padding from a wrong MAC, or one padding from another, would read plaintext
//! (Vaudenay 2002, "Lucky Thirteen" 2013).
//!
//! Padding is checked under masks; the hash runs over all blocks that the longest content could have, and the state after
//! the right one is picked under a mask; the MAC is brought to its place by five masked rotations.

use sha2::block_api::compress256;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::record::Header;

/// The length of the content in front of its MAC and padding. `plaintext` is whole blocks. `None`: padding or MAC is wrong.
pub(super) fn content_length(
    mac_key: &[u8; 32],
    header: &Header<'_>,
    plaintext: &[u8],
) -> Option<usize> {
    let length = u32::try_from(plaintext.len()).ok()?;
    let longest = length.checked_sub(MAC + 1)?;
    let last = u32::from(*plaintext.last()?);

    let fits = !less(longest, last);
    let padding = u32::conditional_select(&0, &last, fits);
    let mut valid = fits;
    for (age, &byte) in plaintext.iter().rev().take(256).enumerate() {
        let age = u32::try_from(age).ok()?;
        let is_padding = !less(padding, age);
        valid &= !is_padding | equal(byte.into(), last);
    }
    let content = longest.wrapping_sub(padding);

    let expected = mac(mac_key, header, plaintext, content, longest);
    let found = find_mac(plaintext, content, longest);
    valid &= expected.ct_eq(&found);
    bool::from(valid).then_some(usize::try_from(content).ok()?)
}

/// HMAC-SHA256 over the header and the first `content` bytes, computed over as many blocks as `longest` bytes take.
fn mac(
    key: &[u8; 32],
    header: &Header<'_>,
    plaintext: &[u8],
    content: u32,
    longest: u32,
) -> [u8; 32] {
    let inner_key = Zeroizing::new(padded_key(key, 0x36));
    let mut state = H256;
    compress256(&mut state, &[*inner_key]);

    let content_usize = usize::try_from(content).unwrap_or_default();
    let head = header.authenticated(content_usize);
    let head = head.as_bytes();
    let head_length = u32::try_from(head.len()).unwrap_or_default();
    // Behind the key: the header, the content, one bit, zeros, the length in bits.
    let end = head_length.wrapping_add(content);
    let last_block = end.wrapping_add(8) >> 6;
    let blocks = (head_length.wrapping_add(longest).wrapping_add(8) >> 6).wrapping_add(1);
    let bits = end.wrapping_add(64).wrapping_mul(8).to_be_bytes();
    let mut message = head.iter().chain(plaintext);
    let mut inner = [0; 8];
    for block_index in 0..blocks {
        let is_last = equal(block_index, last_block);
        let mut block = [0; 64];
        for (position, place) in (block_index.wrapping_mul(64)..).zip(&mut block) {
            let byte = message.next().copied().unwrap_or_default();
            let behind = u8::conditional_select(&0, &0x80, equal(position, end));
            *place = u8::conditional_select(&behind, &byte, less(position, end));
        }
        // The upper half of the length is zero, as the padding before it.
        for (place, &bits) in block.iter_mut().skip(60).zip(&bits) {
            *place = u8::conditional_select(place, &bits, is_last);
        }
        compress256(&mut state, &[block]);
        for (picked, word) in inner.iter_mut().zip(&state) {
            picked.conditional_assign(word, is_last);
        }
    }

    let outer_key = Zeroizing::new(padded_key(key, 0x5c));
    let mut state = H256;
    compress256(&mut state, &[*outer_key]);
    let mut block = [0; 64];
    for (place, byte) in block
        .iter_mut()
        .zip(bytes_of(inner).into_iter().chain([0x80]))
    {
        *place = byte;
    }
    let bits = (64_u16 + 32) * 8;
    for (place, byte) in block.iter_mut().skip(62).zip(bits.to_be_bytes()) {
        *place = byte;
    }
    compress256(&mut state, &[block]);
    bytes_of(state)
}

/// The MAC that begins at `content`.
fn find_mac(plaintext: &[u8], content: u32, longest: u32) -> [u8; 32] {
    let first = longest.saturating_sub(255);
    let end = content.wrapping_add(MAC);
    let mut rotated = [0_u8; 32];
    let candidates = plaintext
        .iter()
        .skip(usize::try_from(first).unwrap_or_default());
    for ((position, &byte), index) in (first..).zip(candidates).zip((0..32).cycle()) {
        let is_mac = !less(position, content) & less(position, end);
        if let Some(place) = rotated.get_mut(index) {
            *place |= u8::conditional_select(&0, &byte, is_mac);
        }
    }
    // The MAC's first byte lies at (content - first) mod 32.
    let rotation = content.wrapping_sub(first);
    for bit in 0..5 {
        let mut turned = rotated;
        turned.rotate_left(1 << bit);
        let is_set = equal(rotation >> bit & 1, 1);
        for (place, byte) in rotated.iter_mut().zip(&turned) {
            place.conditional_assign(byte, is_set);
        }
    }
    rotated
}

/// Whether one number is less than another; both are below 2^31.
fn less(one: u32, other: u32) -> Choice {
    Choice::from((one.wrapping_sub(other) >> 31) as u8)
}

/// Whether two numbers below 2^31 are equal.
fn equal(one: u32, other: u32) -> Choice {
    less(one ^ other, 1)
}

fn padded_key(key: &[u8; 32], pad: u8) -> [u8; 64] {
    let mut block = [pad; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place ^= byte;
    }
    block
}

fn bytes_of(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (words, _) = bytes.as_chunks_mut();
    for (place, word) in words.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    bytes
}

const MAC: u32 = 32;

/// The initial state of SHA-256 (FIPS 180-4 section 5.3.3).
const H256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;

    use super::*;
    use crate::dtls::record::{APPLICATION_DATA, CID_RECORD};

    const KEY: [u8; 32] = [0x33; 32];

    /// Content, its MAC, and `padding` + 1 bytes of padding; `None` when these are no whole blocks.
    fn plaintext(header: &Header<'_>, content: usize, padding: usize) -> Option<Vec<u8>> {
        if !(content + 32 + padding + 1).is_multiple_of(16) {
            return None;
        }
        let mut plaintext: Vec<u8> = (0..content).map(|byte| (byte * 7) as u8).collect();
        let signed = [header.authenticated(content).as_bytes(), &plaintext].concat();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), &signed);
        plaintext.extend(mac.as_ref());
        plaintext.extend(vec![padding as u8; padding + 1]);
        Some(plaintext)
    }

    fn headers() -> [Header<'static>; 2] {
        let plain = Header::new(APPLICATION_DATA, 1, 9);
        [
            plain,
            Header {
                content_type: CID_RECORD,
                cid: b"longer than eight",
                ..plain
            },
        ]
    }

    #[test]
    fn every_padding_of_every_length_is_removed() {
        let mut tried = 0;
        for header in &headers() {
            for content in (0..340).chain([1200, 1201, 4000]) {
                for padding in 0..256 {
                    let Some(plaintext) = plaintext(header, content, padding) else {
                        continue;
                    };
                    assert_eq!(
                        content_length(&KEY, header, &plaintext),
                        Some(content),
                        "{content} {padding}"
                    );
                    tried += 1;
                }
            }
        }
        assert!(tried > 10_000);
    }

    #[test]
    fn every_wrong_byte_of_mac_and_padding_is_found() {
        for header in &headers() {
            for (content, padding) in [(0, 15), (15, 0), (16, 255), (300, 19), (3, 252)] {
                let good = plaintext(header, content, padding).expect("whole blocks");
                for index in 0..good.len() {
                    for bit in [1, 0x10, 0x80] {
                        let mut bad = good.clone();
                        bad[index] ^= bit;
                        assert_eq!(
                            content_length(&KEY, header, &bad),
                            None,
                            "{content} {padding} {index}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_padding_longer_than_the_record_is_found() {
        for length in [16, 32, 48, 64, 256] {
            for byte in 0..=255 {
                assert_eq!(
                    content_length(&KEY, &headers()[0], &vec![byte; length]),
                    None
                );
            }
        }
    }

    /// Two classes of forged records, told apart by time with Welch's t-test; `cargo test --release --lib -- --ignored
    /// --nocapture tells_nothing` on a machine that does nothing else.
    #[test]
    #[ignore = "a measurement"]
    #[expect(clippy::disallowed_methods, reason = "this is a measurement")]
    fn the_time_tells_nothing_of_padding_and_mac() {
        let forged = |content, padding| {
            let mut plaintext = plaintext(&headers()[0], content, padding).expect("whole blocks");
            plaintext[content] ^= 1;
            plaintext
        };
        // Of one length: much content and little padding, little content and much padding, no padding at all.
        let classes = [forged(255, 0), forged(15, 240), vec![0xaa; 288]];
        let mut times = [const { Vec::new() }; 3];
        for round in 0..600_000_u32 {
            let class = (round.wrapping_mul(0x9e37_79b9) >> 16) as usize % 3;
            let begin = std::time::Instant::now();
            let length = content_length(&KEY, &headers()[0], std::hint::black_box(&classes[class]));
            times[class].push(begin.elapsed().as_nanos() as f64);
            assert_eq!(length, None);
        }
        let moments = times.map(|mut times| {
            // Interrupts are not what is measured.
            times.sort_by(f64::total_cmp);
            times.truncate(times.len() * 9 / 10);
            let count = times.len() as f64;
            let mean = times.iter().sum::<f64>() / count;
            let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count;
            (mean, variance / count)
        });
        for (one, two) in [(0, 1), (0, 2), (1, 2)] {
            let ((mean_one, error_one), (mean_two, error_two)) = (moments[one], moments[two]);
            let t = (mean_one - mean_two) / (error_one + error_two).sqrt();
            println!("{one} {two}: {mean_one:.1} ns, {mean_two:.1} ns, t = {t:.2}");
        }
    }
}
