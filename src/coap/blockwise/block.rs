//! The value of the Block1 and Block2 options (RFC 7959 section 2.2).

/// A block option: which block, whether more follow, and how large blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// NUM, 0 to [`Block::MAX_NUMBER`].
    pub number: u32,
    /// M: more blocks follow.
    pub more: bool,
    /// SZX, 0 to 7: the block size is `2^(szx + 4)` bytes. 7 is reserved on UDP; who receives it answers 4.00.
    pub szx: u8,
}

impl Block {
    /// The SZX of the largest block on UDP, 1024 bytes.
    pub const MAX_SZX: u8 = 6;
    /// The largest block number, 20 bits.
    pub const MAX_NUMBER: u32 = (1 << 20) - 1;

    /// The first block, of `2^(szx + 4)` bytes, with nothing after it.
    pub const fn with_szx(szx: u8) -> Self {
        Self {
            number: 0,
            more: false,
            szx,
        }
    }

    /// Reads an option value of at most 24 bits; higher bits are ignored.
    pub const fn from_uint(value: u32) -> Self {
        Self {
            number: (value >> 4) & Self::MAX_NUMBER,
            more: value & 0b1000 != 0,
            szx: (value & 0b111) as u8,
        }
    }

    /// The option value; bits of `number` above 20 and of `szx` above 3 are cut off.
    pub const fn to_uint(self) -> u32 {
        ((self.number & Self::MAX_NUMBER) << 4)
            | ((self.more as u32) << 3)
            | (self.szx & 0b111) as u32
    }

    /// The block size in bytes: 16 to 2048.
    pub const fn size(self) -> usize {
        16 << (self.szx & 0b111)
    }

    /// Where the block begins in the body, in bytes: below 2^31.
    pub const fn offset(self) -> usize {
        (self.number as usize).saturating_mul(self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_specification_table_read_and_write() {
        for (number, more, szx, value) in [
            (0, false, 0, 0x00),
            (0, true, 6, 0x0e),
            (1, false, 6, 0x16),
            (15, true, 6, 0xfe),
            (16, true, 6, 0x010e),
            (4095, true, 6, 0xfffe),
            (4096, true, 6, 0x01_000e),
            (1_048_575, false, 6, 0xff_fff6),
        ] {
            let block = Block { number, more, szx };
            assert_eq!(block.to_uint(), value);
            assert_eq!(Block::from_uint(value), block);
        }
    }

    #[test]
    fn size_is_a_power_of_two_from_16() {
        let size = |szx| Block::from_uint(szx).size();
        assert_eq!((size(0), size(2), size(6)), (16, 64, 1024));
    }
}
