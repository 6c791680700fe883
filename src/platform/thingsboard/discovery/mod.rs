//! Registration in ZooKeeper (`platform-wire.md` 5.2, `measured.md` 3).
//!
//! The core broadcasts changes of profiles, devices, tenants, queues and object models to the services that have a node
//! there; nothing else of this folder depends on it. One thread keeps the node: `<dir>/nodes/<number>`, ephemeral, made
//! again whenever it or its session is lost, written anew every minute. Invariants: nobody waits for ZooKeeper but
//! [`Discovery::stop`], which is bounded; every write names `LWM2M` among the transports, without which no object model
//! is broadcast to a service.

mod host;
mod settings;

pub use settings::ZooKeeperSettings;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use prost::Message as _;
use tokio::{sync::watch, time};
use tracing::{debug, info, warn};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionState};

use self::host::Host;
use super::{proto::ServiceInfo, spawn};

/// The registration of this instance.
pub struct Discovery {
    registered: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Discovery {
    /// Begins to register `service_id` and to keep it registered; returns at once. The node is written anew every
    /// `refresh`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        settings: &ZooKeeperSettings,
        service_id: &str,
        refresh: Duration,
    ) -> io::Result<Self> {
        let registered = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = watch::channel(false);
        let registrar = Registrar {
            settings: settings.clone(),
            service_id: service_id.to_owned(),
            refresh,
            host: Host::default(),
            registered: Arc::clone(&registered),
            stopped,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let thread = spawn("zookeeper", move || runtime.block_on(registrar.run()))?;
        Ok(Self {
            registered,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Whether the node is there and the server can be reached.
    pub fn is_registered(&self) -> bool {
        self.registered.load(Relaxed)
    }

    /// Deletes the node and ends; waits for that, at most 2 s.
    pub fn stop(&self) {
        self.stop.send_replace(true);
        super::join(&self.thread);
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lives on the thread.
struct Registrar {
    settings: ZooKeeperSettings,
    service_id: String,
    refresh: Duration,
    host: Host,
    registered: Arc<AtomicBool>,
    stopped: watch::Receiver<bool>,
}

/// Why a registration ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Refused(#[from] Error),
    #[error("the session ended: {0}")]
    Session(SessionState),
}

impl Registrar {
    /// Registers until the stop.
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let too_long = async move {
            until(&mut stopped).await;
            time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            () = self.keep_registered() => {}
            () = too_long => debug!("ZooKeeper does not answer; the node ends with its session"),
        }
    }

    async fn keep_registered(&mut self) {
        let pause = Duration::from_millis(self.settings.retry_ms.into());
        let mut attempts = 0_u64;
        loop {
            let Err(error) = self.register(&mut attempts).await else {
                return;
            };
            self.registered.store(false, Relaxed);
            attempts += 1;
            if attempts == 1 {
                let url = &self.settings.url;
                warn!(%error, url, "not registered in ZooKeeper: broadcasts of the core do not arrive; trying on");
            } else {
                debug!(%error, attempts, "still not registered in ZooKeeper");
            }
            tokio::select! {
                () = until(&mut self.stopped) => return,
                () = time::sleep(pause) => {}
            }
        }
    }

    /// Opens a session, makes the node and looks after both. Ends well by the stop, with the node deleted; every error
    /// ends the session, and its node with it.
    async fn register(&mut self, attempts: &mut u64) -> Result<(), Lost> {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        let connecting = Client::connector()
            .with_session_timeout(millis(self.settings.session_timeout_ms))
            .with_connection_timeout(millis(self.settings.connect_timeout_ms))
            .connect(&self.settings.url);
        let client = tokio::select! {
            () = until(&mut self.stopped) => return Ok(()),
            client = connecting => client?,
        };
        let mut states = client.state_watcher();
        let folder = format!("{}/nodes", self.settings.dir.trim_end_matches('/'));
        client.mkdir(&folder, &FOLDER).await?;
        let mut node = self.create(&client, &folder).await?;
        *attempts = 0;
        self.registered.store(true, Relaxed);
        let mut refresh = time::interval(self.refresh);
        refresh.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        refresh.tick().await;
        loop {
            let (found, watcher) = client.check_and_watch_stat(&node).await?;
            if found.is_none() {
                warn!(node, "the node in ZooKeeper was deleted by somebody else");
                node = self.create(&client, &folder).await?;
                continue;
            }
            tokio::select! {
                () = until(&mut self.stopped) => {
                    match client.delete(&node, None).await {
                        Ok(()) => info!(node, "no longer registered in ZooKeeper"),
                        Err(error) => debug!(%error, "the node ends with its session"),
                    }
                    return Ok(());
                }
                state = states.changed() => self.note(state)?,
                _ = watcher.changed() => {}
                _ = refresh.tick() => match client.set_data(&node, &self.data(), None).await {
                    // Without a node the next look makes one.
                    Ok(_) | Err(Error::NoNode) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }

    /// A session outlives its connection for a while; an ended one is an error.
    fn note(&self, state: SessionState) -> Result<(), Lost> {
        if state.is_terminated() {
            return Err(Lost::Session(state));
        }
        let connected = state == SessionState::SyncConnected;
        if connected {
            info!("ZooKeeper is back");
        } else {
            warn!("ZooKeeper is away");
        }
        self.registered.store(connected, Relaxed);
        Ok(())
    }

    async fn create(&mut self, client: &Client, folder: &str) -> Result<String, Error> {
        let (_, sequence) = client
            .create(&format!("{folder}/"), &self.data(), &NODE)
            .await?;
        let node = format!("{folder}/{sequence}");
        info!(node, "registered in ZooKeeper");
        Ok(node)
    }

    fn data(&mut self) -> Vec<u8> {
        service_info(&self.service_id, &mut self.host).encode_to_vec()
    }
}

fn service_info(service_id: &str, host: &mut Host) -> ServiceInfo {
    ServiceInfo {
        service_id: service_id.to_owned(),
        service_types: vec!["TB_TRANSPORT".to_owned()],
        transports: vec!["LWM2M".to_owned()],
        system_info: Some(host.load()),
        ready: true,
    }
}

/// Waits until the flag is set or its owner is gone.
async fn until(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stopped| *stopped).await);
}

const FOLDER: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());
const NODE: CreateOptions<'static> = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
/// How long the deletion of the node may take.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `platform-wire.md` 5.2 with the load of the captured node of a Java transport.
    #[test]
    fn the_node_says_what_the_java_transport_says_of_itself() {
        let captured = "0a0a74622d6c776d326d2d30120c54425f5452414e53504f525432054c574d324d521508521002180c208080e4945e28473080a0e7f1ef076801";
        let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap();
        let bytes: Vec<u8> = captured
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::try_from(16 * digit(&pair[0]) + digit(&pair[1])).unwrap())
            .collect();
        let java = ServiceInfo::decode(bytes.as_slice()).unwrap();
        let ours = ServiceInfo {
            system_info: java.system_info,
            ..service_info("tb-lwm2m-0", &mut Host::default())
        };
        assert_eq!(ours.encode_to_vec(), bytes);
    }

    #[test]
    fn an_absent_server_delays_neither_start_nor_stop() {
        let settings = ZooKeeperSettings {
            enabled: true,
            // The discard port: nobody listens.
            url: "127.0.0.1:9".to_owned(),
            ..ZooKeeperSettings::default()
        };
        let start = super::super::clock::now().mono;
        let discovery = Discovery::start(&settings, "ls-0", Duration::from_secs(60)).unwrap();
        assert!(!discovery.is_registered());
        discovery.stop();
        let took = super::super::clock::now().mono.duration_since(start);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
