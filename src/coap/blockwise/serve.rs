//! Serving responses block by block (RFC 7959 sections 2.4 and 2.9): any block of a representation may be asked for.
//!
//! Nothing is kept between the blocks: the owner gives the whole representation for every block of it, and the ETag tells
//! the client when it has changed in between.

use std::borrow::Cow;

use bytes::Bytes;

use super::Block;
use crate::coap::{Code, Message, Response};

/// The block options of a request, which its response has to heed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    block1: Option<Block>,
    block2: Option<Block>,
}

impl Asked {
    /// Reserved block sizes, which are refused, are not taken up.
    pub(crate) fn by(request: &Message) -> Self {
        let valid = |block: &Block| block.szx <= Block::MAX_SZX;
        Self {
            block1: request.block1().filter(valid),
            block2: request.block2().filter(valid),
        }
    }
}

/// Makes of the response to a request, or of a notification, what leaves: the block that was asked for, or the first one
/// when it does not fit into a message. `szx` is the largest block size.
///
/// A block beyond the end is answered 4.00. The last block of a request body is acknowledged by its number.
pub(crate) fn serve(response: &Response, asked: Asked, szx: u8) -> Cow<'_, Response> {
    let fits = response.payload.len() <= Block::with_szx(szx).size();
    if fits && asked == Asked::default() {
        return Cow::Borrowed(response);
    }
    let mut served = response.clone();
    if let (Some(block1), None) = (asked.block1, served.block1) {
        served.block1 = Some(Block {
            more: false,
            szx: block1.szx.min(szx),
            ..block1
        });
    }
    let wanted = asked.block2.unwrap_or(Block {
        number: 0,
        more: false,
        szx,
    });
    let length = response.payload.len();
    if !response.code.is_success()
        || response.block2.is_some()
        || (asked.block2.is_none() && length <= wanted.size())
    {
        return Cow::Owned(served);
    }
    let offset = wanted.offset();
    if wanted.number > 0 && offset >= length {
        return Cow::Owned(Response {
            block1: served.block1,
            ..Response::new(Code::BAD_REQUEST)
        });
    }
    let szx = wanted.szx.min(szx);
    let mut block = Block {
        number: 0,
        more: false,
        szx,
    };
    let end = offset.saturating_add(block.size()).min(length);
    block.number = u32::try_from(offset.checked_div(block.size()).unwrap_or(0)).unwrap_or(0);
    block.more = end < length;
    if block.more || wanted.number > 0 {
        served.etag.get_or_insert_with(|| etag(&response.payload));
    }
    if block.more && wanted.number == 0 {
        served.size2 = u32::try_from(length).ok();
    }
    served.payload = response.payload.slice(offset.min(end)..end);
    served.block2 = Some(block);
    Cow::Owned(served)
}

/// A name for a representation: equal ones have the same, different ones almost never (FNV-1a, 64 bits).
fn etag(representation: &[u8]) -> Bytes {
    let hash = representation
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    Bytes::copy_from_slice(&hash.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Response {
        Response {
            payload: (0..length).map(|index| index as u8).collect(),
            ..Response::new(Code::CONTENT)
        }
    }

    fn block2(number: u32, szx: u8) -> Asked {
        Asked {
            block1: None,
            block2: Some(Block {
                number,
                more: false,
                szx,
            }),
        }
    }

    /// Number, M and payload of what leaves.
    fn served(response: &Response, asked: Asked) -> (Option<(u32, bool, u8)>, Bytes) {
        let served = serve(response, asked, 6);
        let block = served
            .block2
            .map(|block| (block.number, block.more, block.szx));
        (block, served.payload.clone())
    }

    #[test]
    fn a_response_that_fits_leaves_as_it_is() {
        let response = content(1024);
        assert_eq!(*serve(&response, Asked::default(), 6), response);
    }

    #[test]
    fn b12_any_block_can_be_asked_for() {
        let response = content(300);
        let all = response.payload.clone();
        assert_eq!(
            served(&response, block2(0, 2)),
            (Some((0, true, 2)), all.slice(..64))
        );
        assert_eq!(
            served(&response, block2(3, 2)),
            (Some((3, true, 2)), all.slice(192..256))
        );
        assert_eq!(
            served(&response, block2(4, 2)),
            (Some((4, false, 2)), all.slice(256..))
        );
        let beyond = serve(&response, block2(5, 2), 6);
        assert_eq!(*beyond, Response::new(Code::BAD_REQUEST));
    }

    #[test]
    fn b02_a_larger_block_than_ours_is_served_in_ours() {
        let response = content(2048);
        let first = serve(&response, block2(0, 6), 5);
        assert_eq!(first.block2.unwrap().to_uint(), 0x0d, "0, more, 512 bytes");
        // Block 1 of 1024 bytes begins where block 2 of 512 bytes does.
        let second = serve(&response, block2(1, 6), 5);
        assert_eq!(second.block2.unwrap().to_uint(), 0x2d);
        assert_eq!(second.payload, response.payload.slice(1024..1536));
    }

    #[test]
    fn b13_the_first_block_states_the_size_and_b15_every_block_the_etag() {
        let response = content(3000);
        let first = serve(&response, Asked::default(), 6);
        let second = serve(&response, block2(1, 6), 6);
        assert_eq!((first.size2, second.size2), (Some(3000), None));
        assert!(first.etag.is_some());
        assert_eq!(first.etag, second.etag);
        let mut changed = content(3000);
        changed.payload = vec![0; 3000].into();
        assert_ne!(serve(&changed, block2(1, 6), 6).etag, first.etag);
    }

    #[test]
    fn an_error_is_never_cut() {
        let error = Response::with_diagnostic(Code::NOT_FOUND, vec![b'x'; 40]);
        assert_eq!(*serve(&error, block2(0, 0), 6), error);
    }
}
