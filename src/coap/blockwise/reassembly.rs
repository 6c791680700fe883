//! Putting the bodies of requests together (RFC 7959 section 2.5): strictly in order, one body for each set of options.
//!
//! A transfer is known by its peer, method and options (RFC 9175 section 3.3: Request-Tag among them), never by its token.
//! A gap, an overlap with other bytes or a body that was given up is answered 4.08, so a body is never mixed.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Block,
    bodies::{Bodies, Body},
};
use crate::coap::{Code, Message, MessageId, Response, option};

/// The bodies under way of one or many peers; `P` tells them apart.
#[derive(Debug)]
pub(crate) struct Reassembly<P> {
    bodies: Bodies,
    transfers: BTreeMap<(P, Key), Transfer>,
    /// The transfers by the time of their last use.
    uses: BTreeMap<u64, (P, Key)>,
    capacity: usize,
    clock: u64,
}

/// What has become of a request.
#[derive(Debug)]
pub(crate) enum Reassembled {
    /// Its body is whole.
    Whole(Message),
    /// It was a block: this is its answer.
    Answer(Response),
}

#[derive(Debug)]
struct Transfer {
    body: Body,
    last_use: u64,
    /// The id of the message that brought the last block, once it has come.
    completed: Option<MessageId>,
}

/// The method and options that all blocks of a body share, as bytes.
type Key = Vec<u8>;

impl<P: Copy + Ord> Reassembly<P> {
    /// Nothing is under way. At most `capacity` transfers are known, the least recently used one making room.
    pub(crate) const fn new(bodies: Bodies, capacity: usize) -> Self {
        Self {
            bodies,
            transfers: BTreeMap::new(),
            uses: BTreeMap::new(),
            capacity,
            clock: 0,
        }
    }

    /// Takes a request of `peer`, whose body may have `limit` bytes. One without Block1 is whole as it is.
    ///
    /// The last block of a body is whole again when the message that brought it is repeated, until the body is forgotten.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        peer: P,
        message: Message,
        limit: usize,
    ) -> Reassembled {
        let payload = message.payload();
        let (block, size1) = match message.block1() {
            Some(block) => (block, message.size1()),
            None if payload.len() > limit => return Reassembled::Answer(too_large(limit, None)),
            None => return Reassembled::Whole(message),
        };
        let fits = if block.more {
            payload.len() == block.size()
        } else {
            payload.len() <= block.size()
        };
        if block.szx > Block::MAX_SZX || !fits {
            return Reassembled::Answer(Response::new(Code::BAD_REQUEST));
        }
        let end = block.offset().saturating_add(payload.len());
        let states = usize::try_from(size1.unwrap_or(0)).unwrap_or(usize::MAX);
        let key = (peer, key(&message));
        if end > limit || (block.number == 0 && states > limit) {
            self.forget(&key);
            return Reassembled::Answer(too_large(limit, Some(block)));
        }
        if block.number == 0 {
            self.forget(&key);
            if !block.more {
                return Reassembled::Whole(message);
            }
            self.begin(now, key.clone());
        }
        self.add(now, &key, message, block).unwrap_or_else(|| {
            self.forget(&key);
            Reassembled::Answer(Response {
                block1: Some(block),
                ..Response::new(Code::REQUEST_ENTITY_INCOMPLETE)
            })
        })
    }

    /// How many transfers are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.transfers.len()
    }

    /// Adds a block to its transfer; `None` when it does not continue it.
    fn add(
        &mut self,
        now: Instant,
        key: &(P, Key),
        message: Message,
        block: Block,
    ) -> Option<Reassembled> {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let transfer = self.transfers.get_mut(key)?;
        self.uses.remove(&transfer.last_use);
        transfer.last_use = clock;
        self.uses.insert(clock, key.clone());
        let (payload, have) = (message.payload(), transfer.body.len()?);
        let repeated = block.offset().saturating_add(payload.len()) == have
            && transfer.body.ends_with(&payload);
        match transfer.completed {
            Some(last) if last == message.message_id() && repeated => {
                return Some(Reassembled::Whole(
                    message.with_body(transfer.body.whole()?),
                ));
            }
            Some(_) => return None,
            None if block.offset() == have => transfer.body.append(now, &payload).ok()?,
            None if repeated && block.more => {}
            None => return None,
        }
        if block.more {
            return Some(Reassembled::Answer(Response {
                block1: Some(block),
                ..Response::new(Code::CONTINUE)
            }));
        }
        transfer.completed = Some(message.message_id());
        Some(Reassembled::Whole(
            message.with_body(transfer.body.whole()?),
        ))
    }

    fn begin(&mut self, now: Instant, key: (P, Key)) {
        while self.transfers.len() >= self.capacity
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            self.transfers.remove(&oldest);
        }
        self.clock = self.clock.wrapping_add(1);
        let transfer = Transfer {
            body: self.bodies.begin(now),
            last_use: self.clock,
            completed: None,
        };
        self.uses.insert(self.clock, key.clone());
        self.transfers.insert(key, transfer);
    }

    fn forget(&mut self, key: &(P, Key)) {
        if let Some(transfer) = self.transfers.remove(key) {
            self.uses.remove(&transfer.last_use);
        }
    }
}

/// 4.13, with the size that would do, and the block it answers (section 2.9.3).
fn too_large(limit: usize, block: Option<Block>) -> Response {
    Response {
        block1: block,
        size1: Some(u32::try_from(limit).unwrap_or(u32::MAX)),
        ..Response::new(Code::REQUEST_ENTITY_TOO_LARGE)
    }
}

/// Everything that tells one body from another. The sizes, the block numbers and Echo may differ from block to block.
fn key(message: &Message) -> Key {
    let mut key = vec![message.code().0];
    for (number, value) in message.options() {
        if !matches!(
            number,
            option::BLOCK1 | option::BLOCK2 | option::SIZE1 | option::SIZE2 | option::ECHO
        ) {
            key.extend_from_slice(&number.to_be_bytes());
            key.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
            key.extend_from_slice(value);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::coap::{MessageType, Request, Token, encode, test_support::start};

    struct Scene {
        reassembly: Reassembly<u8>,
        now: Instant,
        id: u16,
    }

    impl Scene {
        fn new() -> Self {
            let bodies = Bodies::new(1 << 20, Duration::from_secs(300));
            Self {
                reassembly: Reassembly::new(bodies, 4),
                now: start(),
                id: 0,
            }
        }

        /// Sends a block of 16 bytes, or what is left of `body`, to `/dp`; what it is answered, or the whole body.
        fn block(&mut self, peer: u8, body: &[u8], number: u32) -> Result<Bytes, Answer> {
            let at = number as usize * 16;
            let end = body.len().min(at + 16);
            self.raw(peer, "dp", number, end < body.len(), 0, &body[at..end])
        }

        fn raw(
            &mut self,
            peer: u8,
            path: &str,
            number: u32,
            more: bool,
            szx: u8,
            payload: &[u8],
        ) -> Result<Bytes, Answer> {
            self.id += 1;
            let request = Request {
                method: Code::POST,
                path: vec![path.to_owned()],
                block1: Some(Block { number, more, szx }),
                payload: Bytes::copy_from_slice(payload),
                ..Request::default()
            };
            self.send(peer, &request)
        }

        fn send(&mut self, peer: u8, request: &Request) -> Result<Bytes, Answer> {
            let id = MessageId(self.id);
            let datagram = encode::request(request, MessageType::Confirmable, id, Token::default());
            self.receive(peer, datagram)
        }

        /// Sends block `number` of 16 bytes of `body` with a Content-Format and a Request-Tag.
        fn tagged(
            &mut self,
            body: &[u8],
            number: u32,
            format: u8,
            tag: u8,
        ) -> Result<Bytes, Answer> {
            self.id += 1;
            let at = number as usize * 16;
            let end = body.len().min(at + 16);
            let [high, low] = self.id.to_be_bytes();
            let block = (number as u8) << 4 | u8::from(end < body.len()) << 3;
            let mut datagram = vec![0x40, 0x02, high, low];
            // Uri-Path "dp", Content-Format, Block1, Request-Tag (292 = 27 + 13 + 252)
            datagram.extend_from_slice(&[0xb2, b'd', b'p', 0x11, format]);
            datagram.extend_from_slice(&[0xd1, 2, block, 0xd1, 252, tag, 0xff]);
            datagram.extend_from_slice(&body[at..end]);
            self.receive(1, datagram.into())
        }

        fn receive(&mut self, peer: u8, datagram: Bytes) -> Result<Bytes, Answer> {
            let Ok(message) = Message::parse(datagram) else {
                panic!("it was encoded");
            };
            match self.reassembly.receive(self.now, peer, message, 1000) {
                Reassembled::Whole(message) => Ok(message.payload()),
                Reassembled::Answer(Response {
                    code,
                    block1,
                    size1,
                    ..
                }) => Err((code, block1, size1)),
            }
        }
    }

    /// Code, Block1 and Size1.
    type Answer = (Code, Option<Block>, Option<u32>);

    fn continued(number: u32) -> Result<Bytes, Answer> {
        let (more, szx) = (true, 0);
        Err((Code::CONTINUE, Some(Block { number, more, szx }), None))
    }

    fn code(result: Result<Bytes, Answer>) -> Code {
        result.unwrap_err().0
    }

    const BODY: &[u8] = b"0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn b08_blocks_in_order_give_the_body() {
        let mut scene = Scene::new();
        assert_eq!(scene.block(1, BODY, 0), continued(0));
        assert_eq!(scene.block(1, BODY, 1), continued(1));
        assert_eq!(scene.block(1, BODY, 2), Ok(Bytes::from_static(BODY)));
    }

    #[test]
    fn b08_a_gap_is_answered_4_08_and_ends_the_transfer() {
        let mut scene = Scene::new();
        assert_eq!(
            code(scene.block(1, BODY, 1)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
        scene.block(1, BODY, 0).unwrap_err();
        assert_eq!(
            code(scene.block(1, BODY, 2)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
        assert_eq!(
            code(scene.block(1, BODY, 1)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
    }

    #[test]
    fn b09_a_repeated_block_with_a_new_id_is_answered_alike() {
        let mut scene = Scene::new();
        scene.block(1, BODY, 0).unwrap_err();
        assert_eq!(scene.block(1, BODY, 1), continued(1));
        assert_eq!(scene.block(1, BODY, 1), continued(1));
        assert_eq!(scene.block(1, BODY, 2), Ok(Bytes::from_static(BODY)));
    }

    #[test]
    fn a31_other_bytes_in_the_same_place_never_mix() {
        let mut scene = Scene::new();
        scene.block(1, BODY, 0).unwrap_err();
        scene.block(1, BODY, 1).unwrap_err();
        let other = [b'x'; 40];
        assert_eq!(
            code(scene.block(1, &other, 1)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
        scene.block(1, BODY, 0).unwrap_err();
        assert_eq!(scene.block(1, &other, 0), continued(0), "a clean restart");
        scene.block(1, &other, 1).unwrap_err();
        assert_eq!(
            scene.block(1, &other, 2),
            Ok(Bytes::copy_from_slice(&other))
        );
    }

    #[test]
    fn a31_a_short_block_with_more_to_come_gets_4_00_and_a32_szx_7_too() {
        let mut scene = Scene::new();
        let short = scene.raw(1, "dp", 0, true, 0, b"short");
        assert_eq!(code(short), Code::BAD_REQUEST);
        let long = scene.raw(1, "dp", 0, false, 0, &[0; 17]);
        assert_eq!(code(long), Code::BAD_REQUEST);
        let reserved = scene.raw(1, "dp", 0, false, 7, b"x");
        assert_eq!(code(reserved), Code::BAD_REQUEST);
    }

    #[test]
    fn a31_a_smaller_block_size_may_follow_at_the_same_place() {
        let mut scene = Scene::new();
        let body = [7_u8; 64 + 16];
        scene.raw(1, "dp", 0, true, 2, &body[..64]).unwrap_err();
        let end = scene.raw(1, "dp", 4, false, 0, &body[64..]);
        assert_eq!(end, Ok(Bytes::copy_from_slice(&body)));
    }

    #[test]
    fn a24_a_body_above_the_limit_is_answered_4_13_with_the_size_that_would_do() {
        let mut scene = Scene::new();
        let block = Block {
            number: 0,
            more: true,
            szx: 0,
        };
        let request = Request {
            method: Code::POST,
            block1: Some(block),
            size1: Some(256 << 20),
            payload: Bytes::from_static(&[0; 16]),
            ..Request::default()
        };
        let refused = (Code::REQUEST_ENTITY_TOO_LARGE, Some(block), Some(1000));
        assert_eq!(scene.send(1, &request), Err(refused));
        let mut last = Ok(Bytes::new());
        for number in 0..63 {
            last = scene.block(1, &[0; 2000], number);
        }
        assert_eq!(
            code(last),
            Code::REQUEST_ENTITY_TOO_LARGE,
            "992 bytes fit, 1008 do not"
        );
        let whole = Request {
            method: Code::POST,
            payload: vec![0; 1001].into(),
            ..Request::default()
        };
        assert_eq!(code(scene.send(1, &whole)), Code::REQUEST_ENTITY_TOO_LARGE);
    }

    #[test]
    fn b07_peers_and_paths_keep_bodies_apart() {
        let mut scene = Scene::new();
        scene.block(1, BODY, 0).unwrap_err();
        assert_eq!(
            code(scene.block(2, BODY, 1)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
        let other_path = scene.raw(1, "rd", 1, true, 0, &BODY[16..32]);
        assert_eq!(code(other_path), Code::REQUEST_ENTITY_INCOMPLETE);
        assert_eq!(scene.block(1, BODY, 1), continued(1));
    }

    #[test]
    fn b07_p17_1_request_tags_and_formats_keep_bodies_apart() {
        let mut scene = Scene::new();
        let other = [b'x'; 40];
        scene.tagged(BODY, 0, 110, 1).unwrap_err();
        scene.tagged(&other, 0, 110, 2).unwrap_err();
        assert_eq!(scene.tagged(BODY, 1, 110, 1), continued(1));
        assert_eq!(scene.tagged(&other, 1, 110, 2), continued(1));
        let other_format = scene.tagged(BODY, 2, 112, 1);
        assert_eq!(code(other_format), Code::REQUEST_ENTITY_INCOMPLETE);
        assert_eq!(scene.tagged(BODY, 2, 110, 1), Ok(Bytes::from_static(BODY)));
        assert_eq!(
            scene.tagged(&other, 2, 110, 2),
            Ok(Bytes::copy_from_slice(&other))
        );
    }

    #[test]
    fn the_last_block_is_whole_again_when_its_message_is_repeated() {
        let mut scene = Scene::new();
        for number in 0..2 {
            scene.block(1, BODY, number).unwrap_err();
        }
        scene.block(1, BODY, 2).unwrap();
        scene.id -= 1;
        assert_eq!(scene.block(1, BODY, 2), Ok(Bytes::from_static(BODY)));
        assert_eq!(
            code(scene.block(1, BODY, 2)),
            Code::REQUEST_ENTITY_INCOMPLETE
        );
    }

    #[test]
    fn a24_ten_thousand_peers_that_begin_and_stop_cost_a_fixed_number_of_transfers() {
        let bodies = Bodies::new(1 << 20, Duration::from_secs(300));
        let mut reassembly = Reassembly::new(bodies.clone(), 100);
        let mut send = |peer: u32, number| {
            let request = Request {
                method: Code::POST,
                path: vec!["rd".to_owned()],
                block1: Some(Block {
                    number,
                    more: true,
                    szx: 6,
                }),
                payload: vec![0; 1024].into(),
                ..Request::default()
            };
            let id = MessageId(number as u16);
            let datagram =
                encode::request(&request, MessageType::Confirmable, id, Token::default());
            let message = Message::parse(datagram).unwrap();
            match reassembly.receive(start(), peer, message, 65_536) {
                Reassembled::Whole(_) => panic!("more is to come"),
                Reassembled::Answer(response) => response.code,
            }
        };
        for peer in 0..10_000 {
            assert_eq!(send(peer, 0), Code::CONTINUE);
        }
        assert_eq!(send(0, 1), Code::REQUEST_ENTITY_INCOMPLETE, "given up");
        assert_eq!(send(9999, 1), Code::CONTINUE);
        assert_eq!(
            (reassembly.transfers.len(), reassembly.uses.len()),
            (100, 100)
        );
        assert!(bodies.used() <= 1 << 20);
    }
}
