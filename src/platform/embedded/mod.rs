//! The platform core played from a folder of files.
//!
//! | in the folder | what |
//! |---|---|
//! | `devices/*.json` | one device, or a list: `deviceName`, `profile`, `credentials` as the platform stores them, optionally `tenantId`, `transportConfiguration` (power settings) and `shared` (attributes) |
//! | `profiles/<name>.json` | a device profile as the platform exports it, or its bare `transportConfiguration` |
//! | `packages/*.json` | an update package: `type`, `title`, `version`, its `file` or `url`, and `devices` and `profiles` to which it is assigned |
//! | `models/*.xml` | object models (DDF); they take precedence over the built-in ones |
//!
//! Invariants: one thread owns all state; it takes what [`Embedded`] accepts from a bounded queue, in order, so replies
//! come after `submit` has returned, and every accepted uplink is answered. A file that becomes invalid while running
//! changes nothing but the log.

mod accounts;
mod device;
mod event;
mod folder;
mod output;
mod package;
mod package_files;
mod queue;
mod registry;
mod sessions;
mod settings;
mod shared;
mod strangers;
#[cfg(test)]
mod test_support;
mod worker;

use std::{
    fmt,
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Map, Value as Json};
use tokio::sync::{broadcast, oneshot};

use super::{DownlinkSink, Platform, ReplyTo, SubmitError, Uplink, time::Clock, uplink::RpcBody};

use output::Output;
use queue::MessageSender;
use worker::{AttributesCall, Message, RpcCall, Worker};

pub use event::{Event, EventKind};
pub use folder::Problem;
pub use settings::{EmbeddedSettings, OutputTarget, OutputTargetError};

/// What is wrong with the registry, without starting anything.
pub fn check(settings: &EmbeddedSettings) -> Vec<Problem> {
    worker::read(settings).err().unwrap_or_default()
}

/// The running embedded platform; dropping it stops it.
#[derive(Debug)]
pub struct Embedded {
    messages: MessageSender,
    events: broadcast::Sender<Arc<Event>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The output is `none`: values matter only to who listens to events.
    mute: bool,
}

impl Embedded {
    /// Reads the registry, opens the output and starts the thread. A folder that does not exist is an empty registry.
    /// Packages take at most `package_cache_bytes` bytes of memory.
    ///
    /// # Errors
    /// [`StartError`], with everything that is wrong in the registry.
    pub fn start(
        settings: EmbeddedSettings,
        package_cache_bytes: usize,
        sink: Arc<dyn DownlinkSink>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let output = Output::open(&settings.output).map_err(|source| StartError::Output {
            output: settings.output.clone(),
            source,
        })?;
        let mute = settings.output == OutputTarget::None;
        let worker = Worker::new(settings, package_cache_bytes, output, sink, clock)
            .map_err(StartError::Registry)?;
        let events = worker.events().clone();
        let (messages, queue) = queue::queue();
        let thread = thread::Builder::new()
            .name("embedded".to_owned())
            .spawn(move || worker.run(&queue))
            .map_err(StartError::Thread)?;
        Ok(Self {
            messages,
            events,
            thread: Mutex::new(Some(thread)),
            mute,
        })
    }

    /// Sends a command to an endpoint and waits for the answer, at most for `timeout`. `params` is JSON text, `null`
    /// for none. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// [`RpcError`]; an error that the device or the endpoint answers is a body.
    pub fn rpc(
        &self,
        endpoint: &str,
        method: &str,
        params: &str,
        timeout: Duration,
    ) -> impl Future<Output = Result<RpcBody, RpcError>> + Send + use<> {
        let (done, ended) = oneshot::channel();
        let accepted = self.messages.send(Message::Rpc(RpcCall {
            endpoint: endpoint.to_owned(),
            method: method.to_owned(),
            params: params.to_owned(),
            timeout,
            done,
        }));
        async move {
            accepted?;
            match tokio::time::timeout(timeout, ended).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(RpcError::Stopped),
                Err(_) => Err(RpcError::Timeout),
            }
        }
    }

    /// Sets shared attributes of an endpoint that is registered or in a file, takes those away that are `null`, and returns
    /// all that are set then.
    ///
    /// # Errors
    /// [`RpcError`]
    pub fn attributes(
        &self,
        endpoint: &str,
        changes: Map<String, Json>,
    ) -> impl Future<Output = Result<Map<String, Json>, RpcError>> + Send + use<> {
        let (done, ended) = oneshot::channel();
        let accepted = self.messages.send(Message::Attributes(AttributesCall {
            endpoint: endpoint.to_owned(),
            changes,
            done,
        }));
        async move {
            accepted?;
            ended.await.unwrap_or(Err(RpcError::Stopped))
        }
    }

    /// What happens from here on; a receiver that lags far behind loses the oldest events.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Handles what was accepted, writes it, ends the thread. Later submits are refused.
    pub fn stop(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // Fails only when the thread has ended already.
            self.messages.send(Message::Stop).ok();
            if thread.join().is_err() {
                tracing::error!(
                    event = "embedded_panicked",
                    "the embedded platform had panicked"
                );
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Platform for Embedded {
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        if self.mute && self.events.receiver_count() == 0 && is_for_listeners(&uplink) {
            return Ok(());
        }
        self.messages
            .send(Message::Uplink(uplink, Arc::clone(reply_to)))
    }
}

/// Whether an uplink matters to nothing but the output and the events.
const fn is_for_listeners(uplink: &Uplink) -> bool {
    match uplink {
        Uplink::Telemetry { id, .. } | Uplink::Attributes { id, .. } => id.is_none(),
        Uplink::Activity { .. }
        | Uplink::BootstrapReport { .. }
        | Uplink::PendingRpcWanted { .. } => true,
        Uplink::AttributesWanted { .. }
        | Uplink::SessionOpened { .. }
        | Uplink::SessionClosed { .. }
        | Uplink::RpcStatus { .. }
        | Uplink::RpcReply { .. }
        | Uplink::Question { .. } => false,
    }
}

/// Why the embedded platform could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The output cannot be opened.
    #[error("embedded.output `{output}` cannot be opened")]
    Output {
        /// The output.
        output: OutputTarget,
        /// Why not.
        source: io::Error,
    },
    /// The registry is invalid.
    #[error("the registry is invalid:\n{}", Lines(.0))]
    Registry(Vec<Problem>),
    /// The thread cannot be started.
    #[error("the embedded platform's thread cannot be started")]
    Thread(#[source] io::Error),
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.0.iter().try_for_each(|problem| {
            write!(f, "{separator}{problem}")?;
            separator = "\n";
            Ok(())
        })
    }
}

/// Why a command or a question for attributes has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// Too many commands or uplinks wait.
    #[error("too much is waiting")]
    Busy,
    /// The embedded platform has stopped.
    #[error("the embedded platform has stopped")]
    Stopped,
    /// The device did not answer in time.
    #[error("the device did not answer in time")]
    Timeout,
    /// The endpoint would have too many attributes.
    #[error("the endpoint would have too many attributes")]
    TooManyAttributes,
    /// No such endpoint is registered.
    #[error("no such endpoint is registered")]
    UnknownEndpoint,
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy => Self::Busy,
            SubmitError::Stopped => Self::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::platform::{Question, QuestionError, Reply, RequestId};

    use super::{
        test_support::{Endpoints, PROFILE, RegistryFolder, Replies, clock, device},
        *,
    };

    fn start(folder: &RegistryFolder) -> Result<Embedded, StartError> {
        let settings = EmbeddedSettings {
            registry_dir: folder.path().to_owned(),
            output: OutputTarget::None,
            ..EmbeddedSettings::default()
        };
        Embedded::start(settings, 1 << 20, Arc::new(Endpoints::default()), clock)
    }

    #[test]
    fn answers_what_it_accepted_before_it_stops() {
        let folder = RegistryFolder::new();
        let embedded = start(&folder).unwrap();
        let replies = Replies::new();
        let question = || Uplink::Question {
            id: RequestId(1),
            question: Question::Credentials {
                id: "stranger".to_owned(),
            },
        };
        for _ in 0..100 {
            embedded.submit(question(), &replies.reply_to()).unwrap();
        }
        embedded.stop();
        let answer = Reply::Answer {
            id: RequestId(1),
            result: Err(QuestionError::NotFound),
        };
        assert_eq!(replies.take(), vec![answer; 100]);
        assert_eq!(
            embedded.submit(question(), &replies.reply_to()),
            Err(SubmitError::Stopped)
        );
        embedded.stop();
    }

    #[tokio::test]
    async fn commands_end_when_it_stops() {
        let folder = RegistryFolder::new();
        let embedded = start(&folder).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(
            embedded.rpc("ep", "Read", "null", second).await,
            Err(RpcError::UnknownEndpoint)
        );
        embedded.stop();
        assert_eq!(
            embedded.rpc("ep", "Read", "null", second).await,
            Err(RpcError::Stopped)
        );
    }

    #[test]
    fn an_invalid_registry_is_refused_with_all_problems() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        folder.write("devices/a.json", "{");
        folder.write("devices/b.json", &device("B", "q", "ep"));
        let Err(error) = start(&folder) else {
            panic!("started");
        };
        let text = error.to_string();
        assert!(
            text.contains("a.json:1:1:") && text.contains("b.json: /profile:"),
            "{text}"
        );
    }
}
