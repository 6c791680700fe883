//! The order of requests to the device: NSTART, priorities, expiry, duplicates.
//!
//! Commands of the platform go before its shared attributes, then the end of observations, then the profile's own work
//! (`rulings` 2.9), then updates; within a class first come, first served. The caller takes the next command whenever the message
//! layer has a free NSTART slot (RFC 7252 section 4.7).

use std::collections::VecDeque;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    coap::Token,
    lwm2m::path::Path,
    platform::{RpcRequest, package::PackageKind, time::UnixMillis, uplink::RpcId},
};

use super::{
    core_memory::CoreMemory,
    operation::{Operation, Paths},
    ota::Step,
};

/// One request to the device and on whose behalf it is made.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operation: Operation,
    pub(super) origin: Origin,
}

/// Who wants a request made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The device profile.
    Profile,
    /// A shared attribute.
    Attribute {
        /// The resource or resource instance that it stands for.
        path: Path,
        /// When it was set.
        ts: UnixMillis,
    },
    /// The observation of this token was given up, and the device is told so; nobody waits for the answer.
    Cancel(Token),
    /// A step of an update.
    Ota {
        /// Of what.
        kind: PackageKind,
        /// Which one.
        step: Step,
    },
    /// An RPC.
    Rpc {
        /// Its identity.
        id: RpcId,
        /// When the core gives up.
        expires: UnixMillis,
        /// Whether the core keeps it.
        persisted: bool,
    },
}

impl Command {
    fn is_to_observe(&self, paths: &Paths) -> bool {
        self.operation.observes().is_some() && self.operation.paths().equal(paths)
    }
}

impl Origin {
    /// Whether the core has given up on it.
    fn is_over(&self, now: UnixMillis) -> bool {
        match self {
            Self::Profile | Self::Attribute { .. } | Self::Cancel(_) | Self::Ota { .. } => false,
            Self::Rpc { expires, .. } => is_over(*expires, now),
        }
    }

    /// When the shared attribute of `path` was set, if this is one.
    fn attribute(&self, path: &Path) -> Option<UnixMillis> {
        match self {
            Self::Attribute { path: own, ts } => (own == path).then_some(*ts),
            Self::Profile | Self::Cancel(_) | Self::Ota { .. } | Self::Rpc { .. } => None,
        }
    }
}

/// Whether a time has passed at which the core gives up; 0: it never does.
pub(super) fn is_over(expires: UnixMillis, now: UnixMillis) -> bool {
    expires != UnixMillis(0) && expires <= now
}

/// Requests that wait, and those under way.
#[derive(Debug, Default)]
pub(super) struct DownlinkQueue {
    rpc: VecDeque<Command>,
    /// One for each path, the newest.
    attributes: VecDeque<Command>,
    cancels: VecDeque<Command>,
    profile: VecDeque<Command>,
    ota: VecDeque<Command>,
    /// An RPC that is about to be sent.
    held: Option<Command>,
    under_way: Vec<(Token, Command)>,
    /// RPC that came before the object models did.
    unread: VecDeque<RpcRequest>,
    /// Ids of RPC that were sent, newest last.
    sent: VecDeque<Uuid>,
    core: CoreMemory,
}

impl DownlinkQueue {
    /// Whether an RPC is here already or was sent lately (`rpc.md` 11.4).
    pub(super) fn knows(&self, id: &Uuid) -> bool {
        let is_it = |command: &Command| matches!(&command.origin, Origin::Rpc { id: own, .. } if own.uuid == *id);
        self.sent.contains(id)
            || self.rpc.iter().any(is_it)
            || self.unread.iter().any(|request| request.id.uuid == *id)
    }

    /// Notes an RPC that the core sends. When it shows that the core has restarted, what came before is no longer wanted:
    /// what waits is dropped, and what is under way will not be answered. How many were dropped then: the core may send what
    /// it keeps again.
    pub(super) fn notes_restart(&mut self, id: RpcId) -> Option<usize> {
        if !self.core.restarted(id) {
            return None;
        }
        self.let_go();
        let dropped = self.rpc.len() + self.unread.len();
        self.rpc.clear();
        self.unread.clear();
        for (_, command) in &mut self.under_way {
            match &mut command.origin {
                Origin::Rpc { id: own, .. } if own.uuid == id.uuid => own.request = id.request,
                Origin::Rpc { id: own, .. } => self.core.forget(own.uuid),
                Origin::Profile
                | Origin::Attribute { .. }
                | Origin::Cancel(_)
                | Origin::Ota { .. } => {}
            }
        }
        Some(dropped)
    }

    /// Whether the core still waits for the answer to an RPC.
    pub(super) fn is_awaited(&self, id: &RpcId) -> bool {
        !self.core.has_forgotten(&id.uuid)
    }

    /// Whether there is room for another RPC.
    pub(super) fn has_room(&self) -> bool {
        self.held_rpc() < MAX_RPC
    }

    /// RPC that wait or are under way. Those under way count: a device that acknowledges requests and never answers them
    /// takes no NSTART slot.
    pub(super) fn held_rpc(&self) -> usize {
        let is_rpc =
            |(_, command): &&(Token, Command)| matches!(command.origin, Origin::Rpc { .. });
        let under_way = self.under_way.iter().filter(is_rpc).count();
        self.rpc.len() + self.unread.len() + usize::from(self.held.is_some()) + under_way
    }

    /// Drops the RPC that wait and whose time has passed: the core has given up on them. How many they were.
    pub(super) fn drop_expired(&mut self, now: UnixMillis) -> usize {
        let before = self.rpc.len() + self.unread.len();
        if before > 0 {
            self.rpc.retain(|command| !command.origin.is_over(now));
            self.unread.retain(|request| !is_over(request.expires, now));
        }
        before - self.rpc.len() - self.unread.len()
    }

    /// When the time of the next RPC passes that waits.
    pub(super) fn next_expiration(&self) -> Option<UnixMillis> {
        let read = self.rpc.iter().filter_map(|command| match command.origin {
            Origin::Rpc { expires, .. } => Some(expires),
            Origin::Profile | Origin::Attribute { .. } | Origin::Cancel(_) | Origin::Ota { .. } => {
                None
            }
        });
        let unread = self.unread.iter().map(|request| request.expires);
        let all = read.chain(unread);
        all.filter(|expires| *expires != UnixMillis(0)).min()
    }

    /// Keeps an RPC until the object models are known.
    pub(super) fn keep_unread(&mut self, request: RpcRequest) {
        self.unread.push_back(request);
    }

    /// The RPC kept unread, in order.
    pub(super) fn take_unread(&mut self) -> VecDeque<RpcRequest> {
        std::mem::take(&mut self.unread)
    }

    /// Lines a command up. A shared attribute takes the place of an older value that waits.
    pub(super) fn push(&mut self, command: Command) {
        match command.origin {
            Origin::Attribute { path, ts } => {
                let own = |other: &Command| other.origin.attribute(&path);
                if self
                    .attributes
                    .iter()
                    .filter_map(own)
                    .all(|other| other < ts)
                {
                    self.forget_attribute(&path);
                    self.attributes.push_back(command);
                }
            }
            Origin::Profile => {
                let mut waiting = self.profile.iter_mut();
                match waiting.find(|own| own.operation.is_like(&command.operation)) {
                    Some(own) => own.operation = own.operation.followed_by(command.operation),
                    None => self.profile.push_back(command),
                }
            }
            Origin::Cancel(_) => self.cancels.push_back(command),
            Origin::Ota { .. } => self.ota.push_back(command),
            Origin::Rpc { .. } => self.rpc.push_back(command),
        }
    }

    /// Puts a command that could not be carried out back in its place, before those that came after it.
    pub(super) fn put_back(&mut self, command: Command) {
        match command.origin {
            Origin::Profile => self.profile.push_front(command),
            Origin::Ota { .. } => self.ota.push_front(command),
            // Of one path there is one; the newest stays.
            Origin::Attribute { .. } | Origin::Cancel(_) | Origin::Rpc { .. } => self.push(command),
        }
    }

    /// The next command to send.
    pub(super) fn next(&mut self) -> Option<Command> {
        if let Some(cancel) = self.cancel_before_observe() {
            return Some(cancel);
        }
        if let Some(command) = self.rpc.pop_front() {
            if let Origin::Rpc { id, .. } = &command.origin {
                if self.sent.len() == MAX_REMEMBERED_RPC {
                    self.sent.pop_front();
                }
                self.sent.push_back(id.uuid);
            }
            return Some(command);
        }
        self.next_attribute()
            .or_else(|| self.cancels.pop_front())
            .or_else(|| self.profile.pop_front())
            .or_else(|| self.ota.pop_front())
    }

    /// Values of one path follow each other: the older of two under way might be the one that stays.
    fn next_attribute(&mut self) -> Option<Command> {
        let index = self.attributes.iter().position(|command| {
            matches!(&command.origin, Origin::Attribute { path, .. } if !self.writes_attribute(path))
        })?;
        self.attributes.remove(index)
    }

    /// Whether a shared attribute is under way to `path`.
    pub(super) fn writes_attribute(&self, path: &Path) -> bool {
        let mut under_way = self.under_way.iter();
        under_way.any(|(_, command)| command.origin.attribute(path).is_some())
    }

    /// When the newest shared attribute was set that waits for `path` or is under way there.
    pub(super) fn newest_attribute(&self, path: &Path) -> Option<UnixMillis> {
        let under_way = self.under_way.iter().map(|(_, command)| command);
        let all = under_way.chain(&self.attributes);
        all.filter_map(|command| command.origin.attribute(path))
            .max()
    }

    /// Takes out the shared attribute that waits for `path`.
    pub(super) fn forget_attribute(&mut self, path: &Path) {
        self.attributes
            .retain(|command| command.origin.attribute(path).is_none());
    }

    /// Whether something of the profile waits or is under way.
    pub(super) fn has_profile_work(&self) -> bool {
        let mut under_way = self.under_way.iter();
        !self.profile.is_empty() || under_way.any(|(_, command)| command.origin == Origin::Profile)
    }

    /// The end of the observation that the next command makes again: there are devices that go by the path alone, and the
    /// other way round it would end the new one.
    fn cancel_before_observe(&mut self) -> Option<Command> {
        let next = &self.rpc.front()?.operation;
        next.observes()?;
        let mut cancels = self.cancels.iter();
        let index = cancels.position(|own| own.operation.paths().equal(next.paths()))?;
        self.cancels.remove(index)
    }

    /// Notes that `command` is under way.
    pub(super) fn sent(&mut self, token: Token, command: Command) {
        self.under_way.push((token, command));
    }

    /// The command that was under way with `token`.
    pub(super) fn finished(&mut self, token: Token) -> Option<Command> {
        let index = self.under_way.iter().position(|(own, _)| *own == token)?;
        Some(self.under_way.swap_remove(index).1)
    }

    /// Forgets that an RPC was sent, so that the core may send it again.
    pub(super) fn forget(&mut self, id: &Uuid) {
        self.sent.retain(|own| own != id);
    }

    /// Keeps an RPC until it is on record that it is about to be sent.
    pub(super) fn hold(&mut self, command: Command) {
        self.held = Some(command);
    }

    /// Has the RPC that is kept so wait again as if it had not been its turn.
    fn let_go(&mut self) {
        if let Some(command) = self.held.take() {
            if let Origin::Rpc { id, .. } = &command.origin {
                self.forget(&id.uuid);
            }
            self.rpc.push_front(command);
        }
    }

    /// Whether a command is kept so.
    pub(super) const fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The command kept so.
    pub(super) fn take_held(&mut self) -> Option<Command> {
        self.held.take()
    }

    /// Ids of RPC that may not be carried out again: those that ended, and those under way that must not be repeated.
    pub(super) fn record(&self) -> Vec<Bytes> {
        let may_be_repeated = |id: &Uuid| {
            self.under_way.iter().any(|(_, command)| {
                matches!(&command.origin, Origin::Rpc { id: own, .. } if own.uuid == *id)
                    && command.operation.is_repeatable()
            })
        };
        let ended = self.sent.iter().filter(|id| !may_be_repeated(id));
        ended
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .collect()
    }

    /// A queue that knows the RPC on record.
    pub(super) fn restored(record: &[Bytes]) -> Self {
        let newest = record.len().saturating_sub(MAX_REMEMBERED_RPC);
        let ids = record.iter().skip(newest);
        Self {
            sent: ids.filter_map(|id| Uuid::from_slice(id).ok()).collect(),
            ..Self::default()
        }
    }

    /// Takes every waiting command out: RPC first.
    pub(super) fn drain(&mut self) -> Vec<Command> {
        self.let_go();
        let others = self.attributes.drain(..);
        let others = others.chain(self.cancels.drain(..));
        let others = others.chain(self.profile.drain(..));
        let others = others.chain(self.ota.drain(..));
        self.rpc.drain(..).chain(others).collect()
    }

    /// Whether a command of the profile that waits observes these paths.
    pub(super) fn is_to_observe(&self, paths: &Paths) -> bool {
        let mut waiting = self.profile.iter();
        waiting.any(|command| command.is_to_observe(paths))
    }

    /// What commands of the profile are to observe, or have asked the device to.
    pub(super) fn to_observe(&self) -> Vec<Paths> {
        let under_way = self.under_way.iter().map(|(_, command)| command);
        let all = self.profile.iter().chain(under_way);
        let of_profile = all.filter(|command| command.origin == Origin::Profile);
        let observes = of_profile.filter(|command| command.operation.observes().is_some());
        observes.map(|own| own.operation.paths().clone()).collect()
    }

    /// Forgets the profile's commands that observe these paths; the tokens of those under way.
    pub(super) fn clear_observe(&mut self, paths: &Paths) -> Vec<Token> {
        self.profile.retain(|command| !command.is_to_observe(paths));
        let is_it = |(_, command): &mut (Token, Command)| {
            command.origin == Origin::Profile && command.is_to_observe(paths)
        };
        let ended = self.under_way.extract_if(.., is_it);
        ended.map(|(token, _)| token).collect()
    }

    /// Of the profile's Reads that wait, keeps those of paths that are `wanted`.
    pub(super) fn keep_reads(&mut self, wanted: impl Fn(&Path) -> bool) {
        self.profile.retain(|command| {
            let operation = &command.operation;
            !operation.reads() || operation.paths().as_slice().iter().any(&wanted)
        });
    }

    /// Takes out the end of the observation of these paths, if the device has not been told of it yet; its token.
    pub(super) fn take_cancel(&mut self, paths: &Paths) -> Option<Token> {
        let mut cancels = self.cancels.iter();
        let index = cancels.position(|command| command.operation.paths().equal(paths))?;
        match self.cancels.remove(index)?.origin {
            Origin::Cancel(token) => Some(token),
            Origin::Profile
            | Origin::Attribute { .. }
            | Origin::Ota { .. }
            | Origin::Rpc { .. } => None,
        }
    }

    /// Forgets what waits for an update, but for the command to install; the tokens of its package that is under way.
    pub(super) fn abandon_ota(&mut self, kind: PackageKind) -> Vec<Token> {
        let is_over = |command: &Command, writes: bool| match &command.origin {
            Origin::Ota { kind: own, step } => {
                *own == kind
                    && *step != Step::Execute
                    && (!writes || matches!(step, Step::Write(_)))
            }
            Origin::Profile | Origin::Attribute { .. } | Origin::Cancel(_) | Origin::Rpc { .. } => {
                false
            }
        };
        self.ota.retain(|command| !is_over(command, false));
        let under_way = |(_, command): &mut (Token, Command)| is_over(command, true);
        let ended = self.under_way.extract_if(.., under_way);
        ended.map(|(token, _)| token).collect()
    }

    /// The queue of the next registration: what was sent stays known, what waited is gone.
    pub(super) fn successor(&mut self) -> Self {
        Self {
            sent: std::mem::take(&mut self.sent),
            core: std::mem::take(&mut self.core),
            ..Self::default()
        }
    }

    /// Requests that wait or are under way.
    pub(super) fn len(&self) -> usize {
        let commands = self.rpc.len() + self.attributes.len();
        let waiting = commands + self.cancels.len() + self.profile.len() + self.ota.len();
        waiting + usize::from(self.holds()) + self.under_way.len() + self.unread.len()
    }

    /// Requests that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

/// RPC one device may have waiting and under way.
const MAX_RPC: usize = 128;
/// RPC ids remembered after sending.
const MAX_REMEMBERED_RPC: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coap::ContentFormat, lwm2m::path::Path};

    fn read(origin: Origin) -> Command {
        let path = Path::resource(3, 0, 9);
        Command {
            operation: Operation::read("/3/0/9", path, ContentFormat::TEXT),
            origin,
        }
    }

    #[test]
    fn a61_rpc_that_a_device_acknowledges_and_never_answers_count_against_the_limit() {
        let mut queue = DownlinkQueue::default();
        let token = |number: u64| Token::new(&number.to_be_bytes()).unwrap();
        for number in 0..1000 {
            queue.sent(token(number), read(Origin::Profile));
        }
        for number in 0..MAX_RPC as u64 {
            assert!(queue.has_room());
            let origin = Origin::Rpc {
                id: RpcId {
                    request: 1,
                    uuid: Uuid::from_u128(u128::from(number)),
                },
                expires: UnixMillis(0),
                persisted: false,
            };
            queue.sent(token(1000 + number), read(origin));
        }
        assert!(!queue.has_room());
        queue.finished(token(1000));
        assert!(queue.has_room());
    }
}
