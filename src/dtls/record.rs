//! The headers of records (RFC 6347 section 4.1, RFC 9146 section 4), and what authenticates them.

use super::{
    codec::{Malformed, Put, Reader},
    message::DTLS_1_2,
};

/// A record as it lies in a datagram.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) header: Header<'a>,
    /// What is protected, or plain in epoch 0.
    pub(super) fragment: &'a mut [u8],
}

/// The header of a record, but for the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    /// [`CID_RECORD`] when there is a connection id.
    pub(super) content_type: u8,
    pub(super) version: [u8; 2],
    pub(super) epoch: u16,
    /// 48 bits.
    pub(super) sequence: u64,
    /// Of the receiver; empty unless the type is [`CID_RECORD`].
    pub(super) cid: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off a datagram; `cid_length` is that of all our connection ids.
    pub(super) fn split_first(
        datagram: &'a mut [u8],
        cid_length: usize,
    ) -> Result<(Self, &'a mut [u8]), Malformed> {
        let is_cid = datagram.first() == Some(&CID_RECORD);
        let cid_length = if is_cid { cid_length } else { 0 };
        let (head, tail) = datagram
            .split_at_mut_checked(PLAIN_HEADER.saturating_add(cid_length))
            .ok_or(Malformed)?;
        let mut reader = Reader::new(head);
        let header = Header {
            content_type: reader.u8()?,
            version: reader.array()?,
            epoch: reader.u16()?,
            sequence: reader.u48()?,
            cid: reader.bytes(cid_length)?,
        };
        let length = reader.u16()?;
        let (fragment, rest) = tail.split_at_mut_checked(length.into()).ok_or(Malformed)?;
        if is_cid && cid_length == 0 || header.version.first() != DTLS_1_2.first() {
            return Err(Malformed);
        }
        Ok((Self { header, fragment }, rest))
    }
}

impl Header<'_> {
    /// A header to be written.
    pub(super) const fn new(content_type: u8, epoch: u16, sequence: u64) -> Self {
        Self {
            content_type,
            version: DTLS_1_2,
            epoch,
            sequence,
            cid: &[],
        }
    }

    /// Writes header and length.
    pub(super) fn write(&self, length: usize, out: &mut Vec<u8>) {
        out.u8(self.content_type);
        out.bytes(&self.version);
        out.u16(self.epoch);
        out.u48(self.sequence);
        out.bytes(self.cid);
        out.u16(u16::try_from(length).unwrap_or(u16::MAX));
    }

    /// The additional data of AEAD and the header under a MAC (RFC 5246 section 6.2.3.3, RFC 9146 section 5).
    pub(super) fn authenticated(&self, length: usize) -> Authenticated {
        let mut data = Authenticated {
            bytes: [0; Authenticated::MAX],
            length: 0,
        };
        let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let epoch = self.epoch.to_be_bytes();
        let sequence = self.sequence.to_be_bytes();
        let sequence = sequence
            .last_chunk::<6>()
            .map_or(&[][..], |low| low.as_slice());
        if self.cid.is_empty() {
            for part in [
                &epoch[..],
                sequence,
                &[self.content_type],
                &self.version,
                &length,
            ] {
                data.push(part);
            }
        } else {
            let cid_length = u8::try_from(self.cid.len()).unwrap_or(u8::MAX);
            data.push(&[0xff; 8]);
            data.push(&[CID_RECORD, cid_length, CID_RECORD]);
            for part in [&self.version[..], &epoch, sequence, self.cid, &length] {
                data.push(part);
            }
        }
        data
    }
}

/// Bytes of a header that are authenticated.
#[derive(Debug)]
pub(super) struct Authenticated {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl Authenticated {
    /// With the longest connection id, 32 bytes.
    const MAX: usize = 56;

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, part: &[u8]) {
        let end = self.length.saturating_add(part.len());
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(part);
            self.length = end;
        }
    }
}

/// Content types.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
/// tls12_cid
pub(super) const CID_RECORD: u8 = 25;

/// The length of a header without connection id.
pub(super) const PLAIN_HEADER: usize = 13;
/// The longest plaintext.
pub(super) const MAX_PLAINTEXT: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_off_one_by_one() {
        let mut datagram = Vec::new();
        Header::new(HANDSHAKE, 0, 5).write(2, &mut datagram);
        datagram.extend(b"ab");
        let with_cid = Header {
            cid: &[9, 8],
            ..Header::new(CID_RECORD, 1, 0x0102_0304_0506)
        };
        with_cid.write(1, &mut datagram);
        datagram.extend(b"c");
        assert_eq!(
            datagram,
            b"\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x05\x00\x02ab\x19\xfe\xfd\x00\x01\x01\x02\x03\x04\x05\x06\x09\x08\x00\x01c"
        );
        let (record, rest) = Record::split_first(&mut datagram, 2).expect("whole");
        assert_eq!(
            (record.header, &record.fragment[..]),
            (Header::new(HANDSHAKE, 0, 5), &b"ab"[..])
        );
        let (record, rest) = Record::split_first(rest, 2).expect("whole");
        assert_eq!((record.header, &record.fragment[..]), (with_cid, &b"c"[..]));
        assert!(rest.is_empty());
        for length in 0..datagram.len() {
            let mut cut = datagram[..length].to_vec();
            let whole = Record::split_first(&mut cut, 2)
                .map(|(_, rest)| Record::split_first(rest, 2).is_ok());
            assert_eq!(
                whole,
                if length < 15 {
                    Err(Malformed)
                } else {
                    Ok(false)
                }
            );
        }
    }

    #[test]
    fn authenticated_bytes_follow_the_standards() {
        let header = Header::new(APPLICATION_DATA, 1, 2);
        assert_eq!(
            header.authenticated(3).as_bytes(),
            b"\x00\x01\x00\x00\x00\x00\x00\x02\x17\xfe\xfd\x00\x03"
        );
        let header = Header {
            cid: b"cid",
            ..Header::new(CID_RECORD, 1, 2)
        };
        assert_eq!(
            header.authenticated(3).as_bytes(),
            b"\xff\xff\xff\xff\xff\xff\xff\xff\x19\x03\x19\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x02cid\x00\x03"
        );
        let header = Header {
            cid: &[7; 32],
            ..header
        };
        assert_eq!(header.authenticated(3).as_bytes().len(), 55);
    }
}
