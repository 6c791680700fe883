//! Reading and writing the vectors and numbers of TLS (RFC 5246 section 4). Reading borrows, never panics, and allocates
//! nothing.

/// What was read is not what the standard prescribes: alert decode_error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(front)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (front, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*front)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u24(&mut self) -> Result<usize, Malformed> {
        let [high, middle, low] = self.array()?;
        Ok(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    pub(super) fn u48(&mut self) -> Result<u64, Malformed> {
        let mut number = [0; 8];
        let (_, low) = number.split_at_mut(2);
        low.copy_from_slice(self.bytes(6)?);
        Ok(u64::from_be_bytes(number))
    }

    /// A vector with a length of one byte.
    pub(super) fn vector8(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u8()?;
        self.bytes(length.into())
    }

    /// A vector with a length of two bytes.
    pub(super) fn vector16(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// A vector with a length of three bytes.
    pub(super) fn vector24(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u24()?;
        self.bytes(length)
    }

    /// Nothing may follow.
    pub(super) const fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// The numbers of two bytes of which a vector consists; an odd byte at its end is left out.
pub(super) fn numbers(vector: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let (pairs, _) = vector.as_chunks();
    pairs.iter().map(|&pair| u16::from_be_bytes(pair))
}

/// Writes at the end of a buffer. Lengths are those of our own messages and fit.
pub(super) trait Put {
    fn u8(&mut self, number: u8);
    fn u16(&mut self, number: u16);
    fn u24(&mut self, number: usize);
    fn u48(&mut self, number: u64);
    fn bytes(&mut self, bytes: &[u8]);
    /// A vector, with its length in front in `width` bytes; `body` writes it.
    fn vector(&mut self, width: usize, body: impl FnOnce(&mut Self));
    fn vector8(&mut self, bytes: &[u8]) {
        self.vector(1, |out| out.bytes(bytes));
    }
    fn vector16(&mut self, bytes: &[u8]) {
        self.vector(2, |out| out.bytes(bytes));
    }
    fn vector24(&mut self, bytes: &[u8]) {
        self.vector(3, |out| out.bytes(bytes));
    }
}

impl Put for Vec<u8> {
    fn u8(&mut self, number: u8) {
        self.push(number);
    }

    fn u16(&mut self, number: u16) {
        self.extend(number.to_be_bytes());
    }

    fn u24(&mut self, number: usize) {
        self.extend(
            number
                .to_be_bytes()
                .last_chunk::<3>()
                .copied()
                .unwrap_or_default(),
        );
    }

    fn u48(&mut self, number: u64) {
        self.extend(
            number
                .to_be_bytes()
                .last_chunk::<6>()
                .copied()
                .unwrap_or_default(),
        );
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn vector(&mut self, width: usize, body: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.extend([0; 4].iter().take(width));
        let front = self.len();
        body(self);
        let length = self.len().saturating_sub(front).to_be_bytes();
        let (_, low) = length.split_at(length.len().saturating_sub(width));
        if let Some(place) = self.get_mut(start..front) {
            place.copy_from_slice(low);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        out.u8(1);
        out.u16(0x0203);
        out.u24(0x04_0506);
        out.u48(0x0708_090a_0b0c);
        out.vector8(b"ab");
        out.vector16(b"cde");
        out.vector(3, |out| out.vector8(b"f"));
        let expected =
            b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x02ab\x00\x03cde\x00\x00\x02\x01f";
        assert_eq!(out, expected);

        let mut reader = Reader::new(&out);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u24(), Ok(0x04_0506));
        assert_eq!(reader.u48(), Ok(0x0708_090a_0b0c));
        assert_eq!(reader.vector8(), Ok(&b"ab"[..]));
        assert_eq!(reader.vector16(), Ok(&b"cde"[..]));
        assert_eq!(reader.vector24(), Ok(&b"\x01f"[..]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn a_length_beyond_the_end_is_malformed() {
        assert_eq!(Reader::new(b"\x03ab").vector8(), Err(Malformed));
        assert_eq!(Reader::new(b"\x00").vector16(), Err(Malformed));
        assert_eq!(Reader::new(b"\xff\xff\xff").vector24(), Err(Malformed));
        assert_eq!(Reader::new(b"12345").u48(), Err(Malformed));
        assert_eq!(Reader::new(b"1").end(), Err(Malformed));
    }
}
