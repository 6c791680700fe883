//! What is kept of one endpoint: the messages of `proto/state.proto`, and their form in a row.
//!
//! A row is a checksum and the message, so that a damaged one is told from a sound one. Decoding is total: whatever a
//! row holds, the result is a record or [`BadRecord`], with memory bounded by the length of the row.

use prost::Message;

pub use generated::{
    Endpoint, Instance, LastValue, Observation, Peer, Registration, Session, StatedVersion, Value,
    WrittenAttribute, peer, value,
};

/// The generated messages; the documentation is in the proto file.
mod generated {
    include!(concat!(env!("OUT_DIR"), "/lightship.state.v1.rs"));
}

impl Endpoint {
    /// The record as a row: four bytes of checksum, then the message.
    pub fn to_row(&self) -> Vec<u8> {
        let mut row = vec![0; CHECKSUM];
        self.encode(&mut row)
            .expect("a vector has room for everything");
        let sum = checksum(row.get(CHECKSUM..).unwrap_or_default());
        row.splice(..CHECKSUM, sum);
        row
    }

    /// Reads a row.
    ///
    /// # Errors
    /// [`BadRecord`] when it is none.
    pub fn from_row(row: &[u8]) -> Result<Self, BadRecord> {
        let (sum, message) = row.split_at_checked(CHECKSUM).ok_or(BadRecord::Damaged)?;
        if sum != checksum(message) {
            return Err(BadRecord::Damaged);
        }
        Self::from_message(message)
    }

    /// Reads a row without its checksum.
    ///
    /// # Errors
    /// [`BadRecord::Malformed`] when it is none.
    pub fn from_message(message: &[u8]) -> Result<Self, BadRecord> {
        Self::decode(message).map_err(|_| BadRecord::Malformed)
    }
}

/// Why a row is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The checksum does not match: the row was damaged.
    #[error("the checksum does not match")]
    Damaged,
    /// The checksum matches, but the content is no record.
    #[error("the content is no record")]
    Malformed,
}

/// MurmurHash3, which finds damage; nobody who can write the file is kept from anything.
fn checksum(mut message: &[u8]) -> [u8; CHECKSUM] {
    murmur3::murmur3_32(&mut message, 0)
        .expect("reading from memory does not fail")
        .to_be_bytes()
}

const CHECKSUM: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_a_damaged_one_is_refused() {
        let record = Endpoint {
            settled: true,
            shard: 3,
            ..Endpoint::default()
        };
        let row = record.to_row();
        assert_eq!(Endpoint::from_row(&row), Ok(record));
        for index in 0..row.len() {
            let mut damaged = row.clone();
            damaged[index] ^= 0x10;
            assert_eq!(Endpoint::from_row(&damaged), Err(BadRecord::Damaged));
        }
        for length in 0..row.len() {
            assert_eq!(Endpoint::from_row(&row[..length]), Err(BadRecord::Damaged));
        }
    }

    #[test]
    fn a71_members_that_this_program_does_not_know_are_skipped() {
        let record = Endpoint {
            settled: true,
            ..Endpoint::default()
        };
        let mut message = record.encode_to_vec();
        // Field 99, length-delimited, three bytes.
        message.extend([0x9a, 0x06, 3, 1, 2, 3]);
        let row = [&checksum(&message)[..], &message].concat();
        assert_eq!(Endpoint::from_row(&row), Ok(record));
    }
}
