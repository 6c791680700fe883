//! Connection ids (RFC 9146).

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
};

use super::record::CID_RECORD;

/// A connection id, of at most [`MAX_CID`] bytes; up to 8 of them are kept without an allocation. Empty: none.
#[derive(Clone)]
pub(super) enum Cid {
    Short { length: u8, bytes: [u8; 8] },
    Long(Box<[u8]>),
}

impl Cid {
    pub(super) const EMPTY: Self = Self::Short {
        length: 0,
        bytes: [0; 8],
    };

    /// `None`: it is too long.
    pub(super) fn new(id: &[u8]) -> Option<Self> {
        if id.len() > MAX_CID {
            return None;
        }
        let mut bytes = [0; 8];
        let Some(place) = bytes.get_mut(..id.len()) else {
            return Some(Self::Long(id.into()));
        };
        place.copy_from_slice(id);
        Some(Self::Short {
            length: u8::try_from(id.len()).ok()?,
            bytes,
        })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl PartialEq for Cid {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Cid {}

impl Hash for Cid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Cid {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Node and shard in the connection id of the record that a datagram begins with, for ids of at least 5 bytes: where the
/// association is that it belongs to. `None`: the record has none.
pub fn owner(datagram: &[u8]) -> Option<(u8, u8)> {
    let (&CID_RECORD, rest) = datagram.split_first()? else {
        return None;
    };
    // Version, epoch and number come before it.
    match rest.get(10..)? {
        [node, shard, ..] => Some((*node, *shard)),
        [] | [_] => None,
    }
}

/// The longest connection id of a peer that is accepted.
pub(super) const MAX_CID: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::record::Header;

    #[test]
    fn the_owner_is_read_from_a_connection_id() {
        let mut datagram = Vec::new();
        let header = Header {
            cid: &[3, 4, 5, 6, 7],
            ..Header::new(CID_RECORD, 1, 9)
        };
        header.write(0, &mut datagram);
        assert_eq!(owner(&datagram), Some((3, 4)));
        assert_eq!(owner(&datagram[..12]), None);
        datagram[0] = 23;
        assert_eq!(owner(&datagram), None);
    }

    #[test]
    fn ids_keep_their_bytes() {
        for length in [0, 1, 8, 9, 32] {
            let bytes: Vec<u8> = (0..length).collect();
            let cid = Cid::new(&bytes).expect("short enough");
            assert_eq!(cid.as_bytes(), bytes);
            assert_eq!(matches!(cid, Cid::Long(_)), length > 8);
        }
        assert_eq!(Cid::new(&[0; 33]), None);
        assert!(Cid::EMPTY.is_empty());
    }
}
