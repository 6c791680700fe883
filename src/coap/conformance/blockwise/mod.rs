//! RFC 7959 and RFC 9175 as seen from the wire: requests of ours whose bodies or responses take several blocks, and
//! requests of the device that do.

mod block1;
mod block2;
mod notification;
mod serving;

use std::time::Duration;

use bytes::Bytes;

use crate::coap::{
    Block, Code, Event, Failure, Message, MessageId, MessageType, Request, Response, Token,
    TransmissionParameters, encode,
    test_support::{Scene, read},
};

/// Bytes that differ from their neighbours.
fn body(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn block(number: u32, more: bool, szx: u8) -> Option<Block> {
    Some(Block { number, more, szx })
}

fn write(length: usize) -> Request {
    Request {
        method: Code::PUT,
        payload: body(length),
        ..read("/5/0/0")
    }
}

impl Scene {
    /// Sends a request; its handle.
    fn request(&mut self, request: &Request) -> Token {
        self.exchanges
            .request(self.now, Self::DEVICE, request, Self::TIMEOUT)
    }

    /// Answers a message of ours in its acknowledgement.
    fn answer(&mut self, to: &Message, response: &Response) {
        let (id, token) = (to.message_id(), to.token());
        let datagram = encode::response(response, MessageType::Acknowledgement, id, token);
        self.exchanges
            .handle_datagram(self.now, Self::DEVICE, datagram);
    }

    /// Answers with a code and a Block1.
    fn answer_block1(&mut self, to: &Message, code: Code, block1: Option<Block>) {
        let response = Response {
            block1,
            ..Response::new(code)
        };
        self.answer(to, &response);
    }

    /// Answers as a device that serves `body` in blocks, in the size asked for or a smaller one.
    fn serve(&mut self, to: &Message, body: &Bytes, szx: u8, etag: &'static [u8]) {
        let asked = to.block2().unwrap_or_else(|| Block::with_szx(szx));
        let szx = szx.min(asked.szx);
        let number = (asked.offset() / Block::with_szx(szx).size()) as u32;
        let piece = Block {
            number,
            more: false,
            szx,
        };
        let end = body.len().min(piece.offset() + piece.size());
        let response = Response {
            block2: block(number, end < body.len(), szx),
            etag: Some(Bytes::from_static(etag)),
            payload: body.slice(piece.offset()..end),
            ..Response::new(Code::CONTENT)
        };
        self.answer(to, &response);
    }

    /// Lets a device take a body whole; the numbers, M and SZX of the blocks, and what arrived.
    fn take_all(&mut self, szx: u8) -> (Vec<(u32, bool, u8)>, Vec<u8>) {
        let (mut blocks, mut arrived) = (Vec::new(), Vec::new());
        loop {
            let message = self.sent_message();
            let sent = message.block1().expect("a block");
            blocks.push((sent.number, sent.more, sent.szx));
            assert_eq!(sent.offset(), arrived.len(), "in order, without gaps");
            arrived.extend_from_slice(&message.payload());
            let answer = Some(Block {
                szx: szx.min(sent.szx),
                ..sent
            });
            if !sent.more {
                self.answer_block1(&message, Code::CHANGED, answer);
                return (blocks, arrived);
            }
            self.answer_block1(&message, Code::CONTINUE, answer);
        }
    }

    fn response(&mut self) -> Message {
        let Event::Response { message, .. } = self.event() else {
            panic!("no response");
        };
        message
    }

    fn failure(&mut self) -> Failure {
        let Event::Failed { failure, .. } = self.event() else {
            panic!("no failure");
        };
        failure
    }
}

impl Scene {
    /// Receives a non-confirmable notification on an observation.
    fn notify(&mut self, id: u16, observation: Token, notification: &Response) {
        let message_type = MessageType::NonConfirmable;
        let datagram = encode::response(notification, message_type, MessageId(id), observation);
        self.exchanges
            .handle_datagram(self.now, Self::DEVICE, datagram);
    }

    /// Has a device acknowledge the first block of a body without its answer, and another request take the slot; the block,
    /// and the other request.
    fn slot_taken(&mut self, body: usize) -> (Message, (Token, MessageId)) {
        self.request(&write(body));
        let first = self.sent_message();
        self.receive(&format!("60 00 {:04x}", first.message_id().0));
        self.events();
        let other = self.get();
        (first, other)
    }
}

/// The first block of a notification of 1500 bytes.
fn first_of_notification(observe: u32) -> Response {
    Response {
        observe: Some(observe),
        block2: block(0, true, 6),
        etag: Some(Bytes::from_static(b"v1")),
        payload: body(1500).slice(..1024),
        ..Response::new(Code::CONTENT)
    }
}
