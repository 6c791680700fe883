//! One request of ours: its body leaves in blocks, the rest of its response is fetched (RFC 7959 sections 2.3 to 2.5 and
//! 3.3), and a challenge for freshness is answered (RFC 9175 section 2.3).
//!
//! The blocks of a body go one at a time. What a peer answers can make a transfer end, never run for ever: a block is
//! asked for again [`MAX_REPEATS`] times, a transfer begins anew once, and the block size only shrinks.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Block,
    bodies::{Bodies, Body},
};
use crate::coap::{Code, Message, Request};

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The request with its whole body.
    request: Request,
    /// The block size in use.
    szx: u8,
    upload: Option<Upload>,
    download: Option<Download>,
    /// The response has begun.
    answered: bool,
    repeats: u8,
    restarted: bool,
}

/// What follows a response.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send [`Transfer::next`].
    Send,
    /// The transfer is over, with this response.
    Done(Message),
    /// The peer does not keep to the protocol, or the response is too long.
    Failed,
}

/// A body that leaves in blocks.
#[derive(Debug)]
struct Upload {
    /// Bytes that have arrived.
    arrived: usize,
}

/// A response that comes in blocks.
#[derive(Debug)]
struct Download {
    /// The response with the first block.
    first: Message,
    body: Body,
}

impl Transfer {
    /// A request that is to be sent in blocks of `1 << (szx + 4)` bytes if it does not fit into one.
    pub(crate) fn new(request: Request, szx: u8) -> Self {
        let mut transfer = Self {
            szx: szx.min(Block::MAX_SZX),
            upload: None,
            download: None,
            answered: false,
            repeats: 0,
            restarted: false,
            request,
        };
        if transfer.request.payload.len() > transfer.block(0).size() {
            transfer.upload = Some(Upload { arrived: 0 });
        }
        transfer
    }

    /// The notification of an observation that `request` made: its first block is here, the rest is to be fetched.
    pub(crate) fn of_notification(request: &Request, szx: u8) -> Self {
        Self::new(
            Request {
                observe: None,
                ..request.clone()
            },
            szx,
        )
    }

    /// The request with its whole body.
    pub(crate) const fn request(&self) -> &Request {
        &self.request
    }

    /// Whether both have a body that leaves in blocks for the same path.
    pub(crate) fn shares_target(&self, other: &Self) -> bool {
        self.upload.is_some() && other.upload.is_some() && self.request.path == other.request.path
    }

    /// Whether the response to [`Self::next`] may be the response to the whole request, or its first block.
    pub(crate) fn is_decisive(&self) -> bool {
        !self.answered && self.body_is_sent()
    }

    /// What is to be sent.
    pub(crate) fn next(&self) -> Request {
        let mut request = self.request.clone();
        if let Some(download) = &self.download {
            let at = download.body.len().unwrap_or(0);
            request.observe = None;
            request.block2 = Some(self.block(at));
            if self.upload.is_some() {
                // A body that took several messages is not sent again for every block of the response.
                request.block1 = Some(self.block(request.payload.len().saturating_sub(1)));
                request.payload = Bytes::new();
            }
            return request;
        }
        if self.szx < Block::MAX_SZX && matches!(request.method, Code::GET | Code::FETCH) {
            request.block2 = Some(self.block(0));
        }
        if let Some(upload) = &self.upload {
            let length = request.payload.len();
            let end = self.end_of_block(upload);
            request.block1 = Some(Block {
                more: end < length,
                ..self.block(upload.arrived)
            });
            if upload.arrived == 0 {
                request.size1 = u32::try_from(length).ok();
            }
            request.payload = request.payload.slice(upload.arrived.min(end)..end);
        }
        request
    }

    /// Takes a response to [`Self::next`]. `limit` bounds the whole response in bytes.
    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        message: Message,
        bodies: &Bodies,
        limit: usize,
    ) -> Step {
        if message.code() == Code::UNAUTHORIZED
            && self.request.echo.is_none()
            && let Some(echo) = message.echo()
        {
            self.request.echo = Some(Bytes::copy_from_slice(echo));
            return Step::Send;
        }
        if self.download.is_some() {
            return self.continue_download(now, message, limit);
        }
        if let Some(step) = self.continue_upload(&message) {
            return step;
        }
        self.begin_download(now, message, bodies, limit)
    }

    /// Goes on with smaller blocks because messages of this size seem to get lost; `false` when nothing here can shrink.
    ///
    /// A block that is short already stays as it is: repeated under its id, it is not taken twice.
    pub(crate) fn shrink(&mut self) -> bool {
        let Some(smaller) = self.szx.checked_sub(1) else {
            return false;
        };
        let shrinks = self.download.is_some()
            || self.upload.as_ref().is_some_and(|upload| {
                let sent = self.end_of_block(upload).saturating_sub(upload.arrived);
                sent > Block::with_szx(smaller).size()
            });
        if shrinks {
            self.szx = smaller;
        }
        shrinks
    }

    /// What the response to a block of the body means; `None`: it is the final response.
    fn continue_upload(&mut self, message: &Message) -> Option<Step> {
        let (code, answered) = (message.code(), message.block1());
        let hint = answered.map_or(self.szx, |block| block.szx);
        let Some(upload) = &self.upload else {
            if code == Code::CONTINUE {
                return Some(Step::Failed);
            }
            // Without blocks it was too large for the peer (section 2.9.3).
            let smaller = hint.min(self.szx);
            let worth = self.request.payload.len()
                > Block {
                    szx: smaller,
                    ..self.block(0)
                }
                .size();
            return (code == Code::REQUEST_ENTITY_TOO_LARGE && worth)
                .then(|| self.restart_upload(smaller));
        };
        match code {
            Code::REQUEST_ENTITY_TOO_LARGE if hint < self.szx => Some(self.restart_upload(hint)),
            Code::REQUEST_ENTITY_INCOMPLETE if !std::mem::replace(&mut self.restarted, true) => {
                Some(self.restart_upload(self.szx))
            }
            _ if code == Code::CONTINUE || (code.is_success() && !self.body_is_sent()) => {
                let sent = self.block(upload.arrived);
                let end = self.end_of_block(upload);
                match answered {
                    // A final answer that knows no blocks: the peer took a part for the whole.
                    None if code != Code::CONTINUE => return Some(Step::Failed),
                    Some(block) if block.number != sent.number => return Some(self.repeat()),
                    // It waits for more than there is.
                    _ if self.body_is_sent() => return Some(Step::Failed),
                    Some(_) | None => {}
                }
                self.upload = Some(Upload { arrived: end });
                self.szx = self.szx.min(hint);
                self.repeats = 0;
                Some(Step::Send)
            }
            _ => None,
        }
    }

    fn restart_upload(&mut self, szx: u8) -> Step {
        self.szx = szx;
        self.upload = Some(Upload { arrived: 0 });
        Step::Send
    }

    /// Takes the response to the whole request, or a notification: the rest of it is fetched if there is more.
    pub(crate) fn begin_download(
        &mut self,
        now: Instant,
        message: Message,
        bodies: &Bodies,
        limit: usize,
    ) -> Step {
        self.answered = true;
        let Some(block) = message.block2() else {
            return Step::Done(message);
        };
        let too_long = message
            .size2()
            .is_some_and(|size| usize::try_from(size).is_ok_and(|size| size > limit));
        if block.number == 0 && !block.more {
            return Step::Done(message);
        }
        if block.number != 0
            || block.szx > Block::MAX_SZX
            || too_long
            || message.payload().len() != block.size()
        {
            return Step::Failed;
        }
        let body = bodies.begin(now);
        if body.append(now, &message.payload()).is_err() {
            return Step::Failed;
        }
        self.szx = self.szx.min(block.szx);
        self.download = Some(Download {
            first: message,
            body,
        });
        Step::Send
    }

    fn continue_download(&mut self, now: Instant, message: Message, limit: usize) -> Step {
        let Some(Download { first, body }) = &self.download else {
            return Step::Failed;
        };
        if message.code().is_error() {
            return Step::Done(message);
        }
        let (Some(block), Some(have)) = (message.block2(), body.len()) else {
            return Step::Failed;
        };
        if message.etag() != first.etag() {
            return self.restart_download();
        }
        if block.offset() != have {
            return self.repeat();
        }
        let payload = message.payload();
        let fits = payload.len() == block.size() || (!block.more && payload.len() < block.size());
        if block.szx > Block::MAX_SZX
            || !fits
            || have.saturating_add(payload.len()) > limit
            || body.append(now, &payload).is_err()
        {
            return Step::Failed;
        }
        if block.more {
            self.szx = self.szx.min(block.szx);
            self.repeats = 0;
            return Step::Send;
        }
        match body.whole() {
            Some(whole) => Step::Done(first.clone().with_body(whole)),
            None => Step::Failed,
        }
    }

    /// The representation has changed between two blocks: once it is fetched from the start, unless the request does more
    /// than to read.
    fn restart_download(&mut self) -> Step {
        self.download = None;
        let reads = matches!(self.request.method, Code::GET | Code::FETCH);
        if std::mem::replace(&mut self.restarted, true) || !reads {
            return Step::Failed;
        }
        self.request.observe = None;
        if let Some(upload) = &mut self.upload {
            upload.arrived = 0;
        }
        Step::Send
    }

    /// The peer answered another block than the one asked for.
    fn repeat(&mut self) -> Step {
        self.repeats = self.repeats.saturating_add(1);
        if self.repeats > MAX_REPEATS {
            return Step::Failed;
        }
        Step::Send
    }

    /// The block in which a byte lies.
    fn block(&self, at: usize) -> Block {
        let size = 16_usize << self.szx;
        Block {
            number: u32::try_from(at.checked_div(size).unwrap_or(0)).unwrap_or(u32::MAX),
            more: false,
            szx: self.szx,
        }
    }

    /// Whether the block under way is the last one of the body.
    fn body_is_sent(&self) -> bool {
        self.upload
            .as_ref()
            .is_none_or(|upload| self.end_of_block(upload) == self.request.payload.len())
    }

    /// Where the block of the body ends that is under way.
    fn end_of_block(&self, upload: &Upload) -> usize {
        let end = upload.arrived.saturating_add(self.block(0).size());
        end.min(self.request.payload.len())
    }
}

/// How often a block is asked for again that the peer answers with another one.
const MAX_REPEATS: u8 = 3;
