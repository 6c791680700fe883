//! Update packages that devices fetch: `GET /tbfw/<package id>` on the ports of devices, block by block (`ota.md` 7.3 and
//! 9.6).
//!
//! Nothing is kept of a transfer: any block may be asked for at any time, of any process, and the ETag tells a device
//! when the package is another one. Whoever registered or not is answered here, before endpoints come into it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    coap::{
        Block, Code, ContentFormat, Message, Response,
        blockwise::{Asked, serve},
    },
    endpoint::{Target, ota::OtaSettings},
    platform::{
        Answer, Platform, Question, QuestionError, Reply, ReplySink, ReplyTo, RequestId, Uplink,
        package::{Package, PackageId},
        peer::{Peer, PeerId, PeerIdentity},
        time::Clock,
    },
};

use super::{
    directory::Directory,
    metrics::{DownloadResult, Metrics},
};

/// See the module's description; shared by all shards.
pub(super) struct Downloads {
    directory: Arc<Directory>,
    platform: Arc<dyn Platform>,
    metrics: Arc<Metrics>,
    clock: Clock,
    settings: Arc<OtaSettings>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    packages: HashMap<PackageId, Entry>,
    /// When each peer gets its next block.
    peers: HashMap<PeerId, Instant>,
}

#[derive(Debug)]
enum Entry {
    /// The platform is asked.
    Loading(Vec<oneshot::Sender<Found>>),
    /// It is here.
    Ready(Arc<Package>, Instant),
    /// It cannot be had, and is not asked for until then.
    Absent(QuestionError, Instant),
}

type Found = Result<Arc<Package>, QuestionError>;

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// This is the answer.
    Answer(Box<Response>),
    /// The package is answered after a pause, which keeps the peer to its rate.
    Serve(Duration, Arc<Package>),
    /// The same, once the platform has given the package.
    Wait(Duration, oneshot::Receiver<Found>),
}

impl Downloads {
    pub(super) fn new(
        directory: Arc<Directory>,
        platform: Arc<dyn Platform>,
        metrics: Arc<Metrics>,
        clock: Clock,
        settings: Arc<OtaSettings>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            platform,
            metrics,
            clock,
            settings,
            state: Mutex::default(),
        })
    }

    /// Decides upon a request for a package.
    pub(super) fn decide(
        self: &Arc<Self>,
        now: Instant,
        peer: &Peer,
        message: &Message,
    ) -> Verdict {
        let refuse = |result, response| {
            self.metrics.downloads.of(result).inc();
            Verdict::Answer(Box::new(response))
        };
        let id = message.uri_path().last().map(Uuid::parse_str);
        let reserved = message
            .block2()
            .is_some_and(|block| block.szx > Block::MAX_SZX);
        let (Some(Ok(id)), false) = (id, reserved) else {
            return refuse(DownloadResult::Malformed, Response::new(Code::BAD_REQUEST));
        };
        if let Some(code) = message.refusal() {
            return refuse(DownloadResult::Malformed, Response::new(code));
        }
        let id = PackageId(id);
        let unsecured = peer.identity == PeerIdentity::Unsecured;
        let open = unsecured && self.settings.open_download == Some(true);
        if !open && !self.directory.may_fetch(id, &peer.id, unsecured) {
            let code = if unsecured {
                Code::NOT_FOUND
            } else {
                Code::FORBIDDEN
            };
            return refuse(DownloadResult::Denied, Response::new(code));
        }
        let mut state = self.lock();
        let Some(pause) = state.admit(now, peer.id, &self.settings) else {
            let busy = Response {
                max_age: Some(RETRY_AFTER_S),
                ..Response::new(Code::SERVICE_UNAVAILABLE)
            };
            return refuse(DownloadResult::Limited, busy);
        };
        match state.packages.get_mut(&id) {
            Some(Entry::Ready(package, last_use)) => {
                *last_use = now;
                return Verdict::Serve(pause, Arc::clone(package));
            }
            Some(Entry::Loading(waiting)) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                return Verdict::Wait(pause, receiver);
            }
            Some(Entry::Absent(error, until)) if now < *until => {
                return refuse(DownloadResult::Missing, missing(*error));
            }
            Some(Entry::Absent(..)) | None => {}
        }
        let (sender, receiver) = oneshot::channel();
        state.packages.insert(id, Entry::Loading(vec![sender]));
        drop(state);
        self.ask(id);
        Verdict::Wait(pause, receiver)
    }

    /// Lets go of what nobody has asked for lately: it takes memory that other packages need.
    pub(super) fn tidy(&self, now: Instant) {
        self.lock().packages.retain(|_, entry| match entry {
            Entry::Loading(_) => true,
            Entry::Ready(_, last_use) => now < *last_use + IDLE,
            Entry::Absent(_, until) => now < *until,
        });
    }

    /// The answer to a request, once it is known whether there is the package.
    pub(super) fn answer(&self, message: &Message, found: Found) -> Response {
        let package = match found {
            Ok(package) => package,
            Err(error) => {
                self.metrics.downloads.of(DownloadResult::Missing).inc();
                return missing(error);
            }
        };
        let length = package.bytes().len();
        let beyond = |block: Block| block.number > 0 && block.offset() >= length;
        if message.block2().is_some_and(beyond) {
            self.metrics.downloads.of(DownloadResult::Malformed).inc();
            return Response::new(Code::BAD_OPTION);
        }
        self.metrics.downloads.of(DownloadResult::Served).inc();
        let [a, b, c, d, e, f, g, h, ..] = *package.sha256();
        let whole = Response {
            content_format: Some(ContentFormat::OPAQUE),
            max_age: Some(0),
            etag: Some(Bytes::copy_from_slice(&[a, b, c, d, e, f, g, h])),
            size2: u32::try_from(length).ok(),
            payload: package.bytes().clone(),
            ..Response::new(Code::CONTENT)
        };
        serve(&whole, Asked::by(message), Block::MAX_SZX).into_owned()
    }

    fn ask(self: &Arc<Self>, id: PackageId) {
        let reply_to: ReplyTo = Arc::new(Asker {
            downloads: Arc::clone(self),
            package: id,
        });
        let uplink = Uplink::Question {
            id: RequestId(0),
            question: Question::PackageBytes(id),
        };
        if self.platform.submit(uplink, &reply_to).is_err() {
            self.found(id, &Err(QuestionError::Unavailable));
        }
    }

    fn found(&self, id: PackageId, found: &Found) {
        let now = (self.clock)().mono;
        let entry = match found {
            Ok(package) => Entry::Ready(Arc::clone(package), now),
            Err(error) => Entry::Absent(*error, now + ABSENT),
        };
        let before = self.lock().packages.insert(id, entry);
        if let Some(Entry::Loading(waiting)) = before {
            for sender in waiting {
                // Its request may have been given up.
                sender.send(found.clone()).ok();
            }
        }
    }

    /// What another thread left behind when it panicked is still consistent: each change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long a peer waits for a block; `None` when it asks for too many, or too many peers do.
    fn admit(&mut self, now: Instant, peer: PeerId, settings: &OtaSettings) -> Option<Duration> {
        if !self.peers.contains_key(&peer) && self.peers.len() >= settings.max_downloads {
            self.peers.retain(|_, next| now < *next + IDLE);
            if self.peers.len() >= settings.max_downloads {
                return None;
            }
        }
        let interval = Duration::from_secs(1) / settings.download_blocks_per_s.max(1);
        let next = self.peers.entry(peer).or_insert(now);
        let due = (*next).max(now);
        let pause = due.saturating_duration_since(now);
        if pause > PATIENCE {
            return None;
        }
        *next = due + interval;
        Some(pause)
    }
}

/// Whether a datagram may be a request for a package: GET, confirmable or not. Devices hardly send any other GET, so all
/// else need not be looked into.
pub(super) fn may_be_request(datagram: &[u8]) -> bool {
    matches!(datagram, [first, code, ..] if first & 0xe0 == 0x40 && *code == Code::GET.0)
}

/// Whether a message is a request for a package.
pub(super) fn is_request(message: &Message) -> bool {
    message.code() == Code::GET && Target::is_package(message)
}

fn missing(error: QuestionError) -> Response {
    match error {
        QuestionError::NotFound | QuestionError::Invalid => Response::new(Code::NOT_FOUND),
        QuestionError::Unavailable | QuestionError::Limited => Response {
            max_age: Some(RETRY_AFTER_S),
            ..Response::new(Code::SERVICE_UNAVAILABLE)
        },
    }
}

/// Takes the platform's answer.
struct Asker {
    downloads: Arc<Downloads>,
    package: PackageId,
}

impl ReplySink for Asker {
    fn reply(&self, reply: Reply) {
        let Reply::Answer { result, .. } = reply else {
            return;
        };
        let found = match result {
            Ok(Answer::PackageBytes(package)) => Ok(package),
            Ok(Answer::Credentials(_) | Answer::Models(_) | Answer::Package(_)) => {
                Err(QuestionError::Invalid)
            }
            Err(error) => Err(error),
        };
        self.downloads.found(self.package, &found);
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Asker").field(&self.package).finish()
    }
}

/// When a peer that asks for too much may try again.
const RETRY_AFTER_S: u32 = 30;
/// The longest that a block is held back to keep a peer to its rate: below ACK_TIMEOUT.
const PATIENCE: Duration = Duration::from_secs(1);
/// After how long without a request a download is over.
const IDLE: Duration = Duration::from_secs(60);
/// How long a package that cannot be had is not asked for again.
const ABSENT: Duration = Duration::from_secs(5);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need some clock")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{super::directory::EndpointAddr, *};
    use crate::{
        coap::{MessageId, MessageType, Request, Token, encode},
        endpoint::Key,
        platform::{
            SubmitError,
            peer::ServerRole,
            time::{Now, UnixMillis},
        },
    };

    /// Has one package of 3000 bytes.
    #[derive(Default)]
    struct Core {
        asked: AtomicUsize,
        waiting: Mutex<Vec<(ReplyTo, Reply)>>,
    }

    impl Platform for Core {
        fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
            let Uplink::Question {
                id,
                question: Question::PackageBytes(package),
            } = uplink
            else {
                return Err(SubmitError::Busy);
            };
            self.asked.fetch_add(1, Ordering::Relaxed);
            let result = if package == PACKAGE {
                Ok(Answer::PackageBytes(Arc::new(Package::new(body()))))
            } else {
                Err(QuestionError::NotFound)
            };
            let reply = Reply::Answer { id, result };
            let waiting = self.waiting.lock();
            let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
            waiting.push((Arc::clone(reply_to), reply));
            Ok(())
        }
    }

    const PACKAGE: PackageId = PackageId(Uuid::from_u128(7));

    fn body() -> Bytes {
        (0..3000_u32).map(|index| index as u8).collect()
    }

    fn clock() -> Now {
        Now {
            mono: Instant::now(),
            wall: UnixMillis(0),
        }
    }

    struct Scene {
        core: Arc<Core>,
        downloads: Arc<Downloads>,
        directory: Arc<Directory>,
        now: Instant,
    }

    fn scene(change: impl FnOnce(&mut OtaSettings)) -> Scene {
        let mut settings = OtaSettings {
            open_download: Some(true),
            ..OtaSettings::default()
        };
        change(&mut settings);
        let core = Arc::new(Core::default());
        let directory = Arc::new(Directory::new(Vec::new()));
        let platform: Arc<dyn Platform> = Arc::<Core>::clone(&core);
        let metrics = Arc::new(Metrics::new(UnixMillis(0)));
        let settings = Arc::new(settings);
        Scene {
            downloads: Downloads::new(Arc::clone(&directory), platform, metrics, clock, settings),
            directory,
            core,
            now: Instant::now(),
        }
    }

    fn peer(last: u8, identity: PeerIdentity) -> Peer {
        Peer {
            id: PeerId::Udp {
                remote: ([192, 0, 2, last], 5683).into(),
                local: None,
            },
            role: ServerRole::Lwm2m,
            identity,
        }
    }

    fn get(path: &str, block2: Option<Block>) -> Message {
        let request = Request {
            path: path.split('/').map(str::to_owned).collect(),
            block2,
            ..Request::default()
        };
        let datagram = encode::request(
            &request,
            MessageType::Confirmable,
            MessageId(1),
            Token::default(),
        );
        assert!(may_be_request(&datagram));
        Message::parse(datagram).unwrap()
    }

    fn block(number: u32, szx: u8) -> Option<Block> {
        Some(Block {
            number,
            more: false,
            szx,
        })
    }

    impl Scene {
        fn ask(&self, peer: &Peer, message: &Message) -> Response {
            match self.downloads.decide(self.now, peer, message) {
                Verdict::Answer(response) => *response,
                Verdict::Serve(_, package) => self.downloads.answer(message, Ok(package)),
                Verdict::Wait(_, mut receiver) => {
                    let waiting = std::mem::take(&mut *self.core.waiting.lock().unwrap());
                    for (reply_to, reply) in waiting {
                        reply_to.reply(reply);
                    }
                    self.downloads.answer(message, receiver.try_recv().unwrap())
                }
            }
        }

        fn fetch(&self, path: &str, block2: Option<Block>) -> Response {
            self.ask(&peer(1, PeerIdentity::Unsecured), &get(path, block2))
        }
    }

    fn path() -> String {
        format!("tbfw/{PACKAGE}")
    }

    #[test]
    fn o6_blocks_of_64_bytes_make_up_the_package() {
        let scene = scene(|settings| settings.download_blocks_per_s = u32::MAX);
        let mut fetched = Vec::new();
        for number in 0.. {
            let response = scene.fetch(&path(), block(number, 2));
            assert_eq!(response.code, Code::CONTENT);
            assert_eq!(response.content_format, Some(ContentFormat::OPAQUE));
            assert_eq!((response.size2, response.max_age), (Some(3000), Some(0)));
            fetched.extend_from_slice(&response.payload);
            if !response.block2.unwrap().more {
                break;
            }
        }
        assert_eq!(fetched, body());
        assert_eq!(scene.core.asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn o8_a_download_goes_on_where_it_was_at_a_process_that_knows_nothing_of_it() {
        let (first, second) = (scene(|_| {}), scene(|_| {}));
        let begun = first.fetch(&path(), None);
        assert_eq!(
            begun
                .block2
                .map(|block| (block.number, block.more, block.szx)),
            Some((0, true, 6))
        );
        let next = second.fetch(&format!("some/where/tbsw/{PACKAGE}"), block(2, 6));
        assert_eq!(next.payload, body().slice(2048..));
        assert_eq!(next.etag, begun.etag);
        assert!(begun.etag.is_some_and(|etag| etag.len() == 8));
    }

    #[test]
    fn o9_what_is_not_there_is_4_04_and_what_is_no_id_4_00() {
        let scene = scene(|_| {});
        let unknown = format!("tbfw/{}", Uuid::from_u128(8));
        assert_eq!(scene.fetch(&unknown, None).code, Code::NOT_FOUND);
        assert_eq!(scene.fetch(&unknown, None).code, Code::NOT_FOUND);
        assert_eq!(scene.core.asked.load(Ordering::Relaxed), 1, "asked once");
        assert_eq!(scene.fetch("tbfw/x", None).code, Code::BAD_REQUEST);
        assert_eq!(scene.fetch(&path(), block(0, 7)).code, Code::BAD_REQUEST);
        assert_eq!(scene.fetch(&path(), block(3, 6)).code, Code::BAD_OPTION);
    }

    #[test]
    fn only_devices_to_which_a_package_is_assigned_may_fetch_it_unless_it_is_open() {
        let scene = scene(|settings| settings.open_download = Some(false));
        let ask = |peer: &Peer| scene.ask(peer, &get(&path(), None)).code;
        let (device, stranger) = (
            peer(1, PeerIdentity::Unsecured),
            peer(2, PeerIdentity::Unsecured),
        );
        assert_eq!(ask(&device), Code::NOT_FOUND);
        let key = Key::Package(PACKAGE, device.id);
        let context = actix::Context::<crate::endpoint::actor::EndpointActor>::new();
        let addr = EndpointAddr {
            actor: actix::AsyncContext::address(&context),
            shard: 0,
        };
        scene.directory.bind(&key, &addr);
        assert_eq!(ask(&device), Code::CONTENT);
        assert_eq!(ask(&stranger), Code::NOT_FOUND);
        // A device may fetch on another port than it registered from.
        let (mut remote, local) = (device.id.remote(), device.id.local());
        remote.set_port(40_000);
        let mut other_port = device.clone();
        other_port.id = PeerId::Udp { remote, local };
        assert_eq!(ask(&other_port), Code::CONTENT);
        other_port.identity = PeerIdentity::PreSharedKey("x".into());
        assert_eq!(ask(&other_port), Code::FORBIDDEN);
        scene.directory.unbind(&key, &addr);
        assert_eq!(ask(&device), Code::NOT_FOUND);
    }

    #[test]
    fn a_peer_waits_for_its_blocks_and_is_refused_when_it_asks_for_too_many_at_once() {
        let scene = scene(|settings| settings.download_blocks_per_s = 64);
        scene.fetch(&path(), None);
        let device = peer(1, PeerIdentity::Unsecured);
        let message = get(&path(), None);
        let mut pauses = Vec::new();
        let refused = loop {
            match scene.downloads.decide(scene.now, &device, &message) {
                Verdict::Serve(pause, _) => pauses.push(pause),
                Verdict::Answer(response) => break response,
                Verdict::Wait(..) => panic!("it is here"),
            }
        };
        assert_eq!(pauses.len(), 64, "one more was served at once");
        assert!(pauses.is_sorted() && pauses.last() <= Some(&PATIENCE));
        assert_eq!(
            (refused.code, refused.max_age),
            (Code::SERVICE_UNAVAILABLE, Some(30))
        );
        let other = scene.ask(&peer(2, PeerIdentity::Unsecured), &message);
        assert_eq!(other.code, Code::CONTENT);
    }

    #[test]
    fn only_so_many_peers_fetch_at_a_time() {
        let mut scene = scene(|settings| settings.max_downloads = 2);
        let code = |scene: &Scene, last| {
            let peer = peer(last, PeerIdentity::Unsecured);
            scene.ask(&peer, &get(&path(), None)).code
        };
        assert_eq!(
            [1, 2, 3].map(|last| code(&scene, last)),
            [Code::CONTENT, Code::CONTENT, Code::SERVICE_UNAVAILABLE]
        );
        scene.now += IDLE + Duration::from_secs(1);
        assert_eq!(code(&scene, 3), Code::CONTENT);
    }

    #[test]
    fn a_package_that_nobody_fetches_any_more_is_let_go() {
        let scene = scene(|_| {});
        scene.fetch(&path(), None);
        scene.downloads.tidy(scene.now + IDLE / 2);
        scene.fetch(&path(), None);
        assert_eq!(scene.core.asked.load(Ordering::Relaxed), 1);
        scene.downloads.tidy(scene.now + IDLE * 2);
        scene.fetch(&path(), None);
        assert_eq!(scene.core.asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn other_requests_are_none_for_packages() {
        assert!(!is_request(&get("3/0/9", None)));
        assert!(!is_request(&get(&format!("{}/x", path()), None)));
        assert!(is_request(&get(&path(), None)));
        assert!(!may_be_request(b"\x44\x02"));
    }
}
