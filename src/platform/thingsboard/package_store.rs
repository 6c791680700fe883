//! The bytes of update packages: they never cross Kafka, the core leaves them in Redis or Valkey (`platform-wire.md` 4.9).
//!
//! One thread reads them, in pages, and keeps those that are in use for all who ask. A server that cannot be reached is
//! left alone for a moment, so that a fleet that asks at once is answered at once.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use redis::{Client, Commands, Connection, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use tracing::warn;

use super::{
    super::{
        downlink::{Answer, Reply, ReplyTo},
        package::{NoRoom, Package, PackageCache, PackageId},
        uplink::{QuestionError, RequestId, SubmitError},
    },
    clock,
    seldom::Seldom,
    settings::RedisSettings,
    sync::lock,
};

/// The way to the thread; it ends when this is closed.
#[derive(Debug)]
pub(super) struct PackageStore {
    questions: Mutex<Option<SyncSender<Asked>>>,
}

#[derive(Debug)]
struct Asked {
    package: PackageId,
    id: RequestId,
    reply_to: ReplyTo,
}

/// What the thread works with.
pub(super) struct PackageReader {
    settings: RedisSettings,
    questions: Receiver<Asked>,
    cache: PackageCache,
    connection: Option<Connection>,
    /// When the server may be tried again.
    resting: Option<Instant>,
    warnings: Seldom,
}

impl PackageStore {
    /// A store of at most `cache_bytes` bytes in memory, and what its thread is to run.
    pub(super) fn new(settings: RedisSettings, cache_bytes: usize) -> (Self, PackageReader) {
        let (sender, questions) = sync_channel(QUESTIONS);
        let store = Self {
            questions: Mutex::new(Some(sender)),
        };
        let reader = PackageReader {
            settings,
            questions,
            cache: PackageCache::new(cache_bytes),
            connection: None,
            resting: None,
            warnings: Seldom::default(),
        };
        (store, reader)
    }

    /// Asks for the bytes of a package; they, or why there are none, go to `reply_to`.
    ///
    /// # Errors
    /// [`SubmitError`] when too many ask, or no more questions are taken.
    pub(super) fn ask(
        &self,
        package: PackageId,
        id: RequestId,
        reply_to: &ReplyTo,
    ) -> Result<(), SubmitError> {
        let reply_to = Arc::clone(reply_to);
        let asked = Asked {
            package,
            id,
            reply_to,
        };
        let questions = lock(&self.questions);
        let sender = questions.as_ref().ok_or(SubmitError::Stopped)?;
        sender.try_send(asked).map_err(|_| SubmitError::Busy)
    }

    /// Takes no more questions.
    pub(super) fn close(&self) {
        lock(&self.questions).take();
    }
}

impl PackageReader {
    /// Answers questions until the store is closed.
    pub(super) fn run(mut self) {
        while let Ok(asked) = self.questions.recv() {
            let result = self.package(asked.package).map(Answer::PackageBytes);
            let id = asked.id;
            asked.reply_to.reply(Reply::Answer { id, result });
        }
    }

    fn package(&mut self, id: PackageId) -> Result<Arc<Package>, QuestionError> {
        if let Some(package) = self.cache.get(id) {
            return Ok(package);
        }
        let now = clock::now().mono;
        if self.settings.cache_type != REDIS {
            if let Some(left_out) = self.warnings.due(now) {
                warn!(
                    package = %id,
                    left_out,
                    "the platform's packages cannot be read: `redis.cache_type` is not `redis`"
                );
            }
            return Err(QuestionError::Invalid);
        }
        if self.resting.is_some_and(|until| now < until) {
            return Err(QuestionError::Unavailable);
        }
        let read = self.read(id).and_then(|bytes| {
            let package = bytes.map(Package::new);
            let insert = |package| self.cache.insert(id, package).map_err(ReadError::NoRoom);
            package.map(insert).transpose()
        });
        match read {
            Ok(package) => package.ok_or(QuestionError::NotFound),
            Err(ReadError::NoRoom(error)) => {
                if let Some(left_out) = self.warnings.due(now) {
                    warn!(package = %id, %error, left_out, "a package is not given to devices");
                }
                Err(match error {
                    NoRoom::Ever => QuestionError::Invalid,
                    NoRoom::Now => QuestionError::Unavailable,
                })
            }
            Err(ReadError::Redis(error)) => {
                self.connection = None;
                self.resting = clock::now().mono.checked_add(REST);
                if let Some(left_out) = self.warnings.due(now) {
                    let RedisSettings { host, port, .. } = &self.settings;
                    warn!(%error, package = %id, left_out, "no packages from Redis at {host}:{port} (`redis.host`)");
                }
                Err(QuestionError::Unavailable)
            }
        }
    }

    /// The bytes of a package, `None` when the server has none.
    fn read(&mut self, id: PackageId) -> Result<Option<Bytes>, ReadError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.settings)?),
        };
        let key = format!("otaPackagesData::{id}");
        let length: usize = connection.strlen(&key)?;
        if length == 0 {
            return Ok(None);
        }
        self.cache.make_room(length).map_err(ReadError::NoRoom)?;
        let mut bytes = BytesMut::with_capacity(length);
        while bytes.len() < length {
            let start = bytes.len();
            let end = start.saturating_add(PAGE).min(length);
            let index = |at: usize| isize::try_from(at).unwrap_or(isize::MAX);
            let page: Vec<u8> = connection.getrange(&key, index(start), index(end) - 1)?;
            if page.len() != end - start {
                // It was replaced or removed in the middle.
                return Ok(None);
            }
            bytes.extend_from_slice(&page);
        }
        Ok(Some(bytes.freeze()))
    }
}

/// Why a package was not read.
#[derive(Debug)]
enum ReadError {
    NoRoom(NoRoom),
    Redis(redis::RedisError),
}

impl From<redis::RedisError> for ReadError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error)
    }
}

fn connect(settings: &RedisSettings) -> Result<Connection, redis::RedisError> {
    let client = Client::open(connection_info(settings)?)?;
    let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(connection)
}

fn connection_info(settings: &RedisSettings) -> Result<ConnectionInfo, redis::RedisError> {
    let address = ConnectionAddr::Tcp(settings.host.clone(), settings.port);
    let mut login = redis::RedisConnectionInfo::default()
        .set_db(settings.db.into())
        // Servers before 7.2 do not know the command.
        .set_skip_set_lib_name();
    if !settings.username.is_empty() {
        login = login.set_username(&settings.username);
    }
    if !settings.password.is_empty() {
        login = login.set_password(settings.password.expose());
    }
    Ok(address.into_connection_info()?.set_redis_settings(login))
}

/// The value of `redis.cache_type` with which there is anything to read.
const REDIS: &str = "redis";
/// Questions that may wait.
const QUESTIONS: usize = 10_000;
/// What is read at a time, bytes.
const PAGE: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that failed is left alone.
const REST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{BufRead, BufReader, Write},
        net::{TcpListener, TcpStream},
        sync::PoisonError,
        thread,
    };

    use uuid::Uuid;

    use super::*;
    use crate::platform::downlink::ReplySink;

    const ID: PackageId = PackageId(Uuid::from_u128(0x954c_7640_e67e_11f1_992b_8361_f3aa_c1fb));

    #[derive(Debug, Default)]
    struct Replies(Mutex<Vec<Reply>>);

    impl ReplySink for Replies {
        fn reply(&self, reply: Reply) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reply);
        }
    }

    /// A server that knows `STRLEN`, `GETRANGE`, `AUTH` and `SELECT`; the commands it got.
    fn serve(values: BTreeMap<String, Vec<u8>>) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &values, &log);
            }
        });
        (port, seen)
    }

    fn answer(stream: TcpStream, values: &BTreeMap<String, Vec<u8>>, log: &Mutex<Vec<String>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        while let Some(words) = command(&mut reader) {
            log.lock().unwrap().push(words.join(" "));
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let value = |key: &str| values.get(key).map_or(&[][..], Vec::as_slice);
            let reply = match words.as_slice() {
                ["STRLEN", key] => format!(":{}\r\n", value(key).len()).into_bytes(),
                ["GETRANGE", key, start, end] => {
                    let (start, end): (usize, usize) =
                        (start.parse().unwrap(), end.parse().unwrap());
                    let page = &value(key)[start..=end];
                    let head = format!("${}\r\n", page.len()).into_bytes();
                    [&head, page, b"\r\n"].concat()
                }
                _ => b"+OK\r\n".to_vec(),
            };
            stream.write_all(&reply).unwrap();
        }
    }

    /// The words of one RESP command.
    fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
        let mut line = || {
            let mut line = String::new();
            (reader.read_line(&mut line).ok()? > 0).then(|| line.trim().to_owned())
        };
        let count: usize = line()?.strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut head = String::new();
            reader.read_line(&mut head).ok()?;
            let length: usize = head.trim().strip_prefix('$')?.parse().ok()?;
            let mut word = vec![0; length + 2];
            reader.read_exact(&mut word).ok()?;
            word.truncate(length);
            words.push(String::from_utf8(word).ok()?);
        }
        Some(words)
    }

    fn ask(settings: RedisSettings, cache_bytes: usize) -> Vec<Reply> {
        let (store, reader) = PackageStore::new(settings, cache_bytes);
        let replies = Arc::new(Replies::default());
        let reply_to: ReplyTo = Arc::<Replies>::clone(&replies);
        store.ask(ID, RequestId(3), &reply_to).unwrap();
        store.close();
        assert_eq!(
            store.ask(ID, RequestId(4), &reply_to),
            Err(SubmitError::Stopped)
        );
        reader.run();
        std::mem::take(&mut replies.0.lock().unwrap())
    }

    fn failed(error: QuestionError) -> Vec<Reply> {
        vec![Reply::Answer {
            id: RequestId(3),
            result: Err(error),
        }]
    }

    fn settings(port: u16) -> RedisSettings {
        RedisSettings {
            host: "127.0.0.1".to_owned(),
            port,
            db: 2,
            password: crate::platform::secret::Secret::new("pw"),
            ..RedisSettings::default()
        }
    }

    #[test]
    fn bytes_are_read_in_pages_under_the_key_of_the_platform() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|index| index as u8).collect();
        let key = "otaPackagesData::954c7640-e67e-11f1-992b-8361f3aac1fb".to_owned();
        let (port, seen) = serve(BTreeMap::from([(key.clone(), bytes.clone())]));
        let replies = ask(settings(port), 1 << 20);
        let [
            Reply::Answer {
                result: Ok(Answer::PackageBytes(package)),
                ..
            },
        ] = replies.as_slice()
        else {
            panic!("no package");
        };
        assert_eq!(package.bytes(), &bytes);
        let seen = seen.lock().unwrap();
        let at = |word: &str| seen.iter().position(|own| own.starts_with(word)).unwrap();
        assert!(at("AUTH pw") < at("SELECT 2") && at("SELECT 2") < at("STRLEN"));
        let pages: Vec<_> = seen
            .iter()
            .filter_map(|own| own.strip_prefix(&format!("GETRANGE {key} ")))
            .collect();
        assert_eq!(
            pages,
            ["0 65535", "65536 131071", "131072 196607", "196608 199999"]
        );
    }

    #[test]
    fn a_key_that_is_missing_is_not_found() {
        let (port, _) = serve(BTreeMap::new());
        assert_eq!(ask(settings(port), 100), failed(QuestionError::NotFound));
    }

    #[test]
    fn what_cannot_be_had_says_so() {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        assert_eq!(ask(settings(port), 100), failed(QuestionError::Unavailable));
        let elsewhere = RedisSettings {
            cache_type: "caffeine".to_owned(),
            ..settings(port)
        };
        assert_eq!(ask(elsewhere, 100), failed(QuestionError::Invalid));
        let key = format!("otaPackagesData::{ID}");
        let (port, _) = serve(BTreeMap::from([(key, vec![0; 101])]));
        assert_eq!(ask(settings(port), 100), failed(QuestionError::Invalid));
    }
}
