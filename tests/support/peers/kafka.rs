//! Apache Kafka: one KRaft node that is broker and controller, its data in a folder of its own.
//!
//! Topics are not created by use (`auto.create.topics.enable=false`), as in the platform's deployments.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::cache::{self, JAVA, MAVEN, Recipe};
use super::process::Process;

/// A running (or stopped) broker on a free loopback port; dropping it ends it and removes its data.
#[derive(Debug)]
pub(crate) struct Broker {
    jars: PathBuf,
    data: TempDir,
    ports: Ports,
    /// Ports of the listeners that ask for a user.
    secured: Option<SecuredPorts>,
    process: Option<Process>,
}

/// A user that a secured broker knows, with its password.
pub(crate) const USER: (&str, &str) = ("lightship", "pass=word;1");

#[derive(Clone, Copy, Debug)]
struct SecuredPorts {
    sasl: u16,
    tls: u16,
}

impl Broker {
    /// Starts a broker and waits until it answers. `None`: it cannot be had here, as said on standard error.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// Starts a broker that has two more listeners: one for [`USER`] by PLAIN in plain text, and one by SCRAM-SHA-512 over
    /// TLS with the certificate of [`Self::certificate`].
    pub(crate) fn start_secured() -> Option<Self> {
        Self::start_with(true)
    }

    fn start_with(secured: bool) -> Option<Self> {
        let jars = jars()?;
        // Between choosing a port and binding it somebody else may take it: then a second pair is tried.
        (1..=START_ATTEMPTS).find_map(|attempt| {
            let data = tempfile::tempdir().expect("a scratch folder can be made");
            let ports = Ports::free();
            ports.write_properties(data.path());
            let secured = secured.then(|| SecuredPorts::add(ports, data.path()));
            let mut broker = Self {
                jars: jars.clone(),
                data,
                ports,
                secured,
                process: None,
            };
            broker.format();
            match broker.launch() {
                Ok(()) => Some(broker),
                Err(output)
                    if attempt < START_ATTEMPTS && output.contains("Address already in use") =>
                {
                    None
                }
                Err(output) => panic!("Apache Kafka does not start; it printed:\n{output}"),
            }
        })
    }

    /// Returns the broker that tests running at the same time share. It ends with the last of them.
    ///
    /// Tests that share it keep apart by topic names (a `kafka.prefix` of their own) and never stop it.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(broker) = shared.upgrade() {
            return Some(broker);
        }
        let broker = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&broker);
        Some(broker)
    }

    /// Returns the address clients are given (`127.0.0.1:port`); it stays the same through restarts.
    pub(crate) fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.clients)
    }

    /// The address of the listener by PLAIN in plain text.
    pub(crate) fn sasl_servers(&self) -> String {
        let ports = self.secured.expect("the broker is secured");
        format!("127.0.0.1:{}", ports.sasl)
    }

    /// The address of the listener by SCRAM-SHA-512 over TLS.
    pub(crate) fn tls_servers(&self) -> String {
        let ports = self.secured.expect("the broker is secured");
        format!("127.0.0.1:{}", ports.tls)
    }

    /// The certificate that the broker shows for 127.0.0.1, which it signed itself; PEM.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.data.path().join(CERTIFICATE)
    }

    /// Stops the broker in order (SIGTERM). Records stay.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_TIMEOUT);
        }
    }

    /// Kills the broker (SIGKILL), as a power cut would. What it had acknowledged stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts a stopped broker again, or stops it first; waits until every partition is served.
    pub(crate) fn restart(&mut self) {
        self.stop();
        if let Err(output) = self.launch() {
            panic!("Apache Kafka does not start again; it printed:\n{output}");
        }
    }

    /// Creates topics with one replica; one that exists already is as good.
    pub(crate) fn create_topics(&self, topics: &[(&str, i32)]) {
        create_topics(&self.client(), topics, 1);
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are valid");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let results =
            block_on(admin.delete_topics(&[topic], &options)).expect("the broker answers");
        for result in results {
            result.expect("the topic was there");
        }
        let is_there = || {
            let metadata = admin
                .inner()
                .fetch_metadata(None, REQUEST_TIMEOUT)
                .expect("the broker answers");
            metadata.topics().iter().any(|other| other.name() == topic)
        };
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        while is_there() {
            assert!(Instant::now() < deadline, "{topic} is still there");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Produces records (key, payload) to a topic and waits until the broker has acknowledged them all.
    pub(crate) fn produce(&self, topic: &str, records: &[(&str, &[u8])]) {
        let producer: BaseProducer = self.client().create().expect("the settings are valid");
        for (key, payload) in records {
            if let Err((error, _)) =
                producer.send(BaseRecord::to(topic).key(*key).payload(*payload))
            {
                panic!("{topic}: {error}");
            }
        }
        producer
            .flush(REQUEST_TIMEOUT)
            .unwrap_or_else(|error| panic!("{topic}: {error}"));
    }

    /// Reads everything that is in a topic now, partition by partition, oldest first.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let consumer = self.consumer();
        let metadata = consumer
            .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
            .expect("the broker answers");
        let mut partitions = TopicPartitionList::new();
        let mut missing = 0;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition.id(), REQUEST_TIMEOUT)
                .expect("the broker answers");
            missing += high - low;
            partitions
                .add_partition_offset(topic, partition.id(), Offset::Offset(low))
                .expect("a watermark is an offset");
        }
        consumer
            .assign(&partitions)
            .expect("partitions of the metadata can be read");
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let mut records = Vec::new();
        while missing > 0 {
            assert!(
                Instant::now() < deadline,
                "{topic}: {missing} records cannot be read"
            );
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                records.push(Record::from(&message.expect("a record can be read")));
                missing -= 1;
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Returns client settings that lead to this broker.
    pub(crate) fn client(&self) -> ClientConfig {
        client(&self.bootstrap_servers())
    }

    fn consumer(&self) -> BaseConsumer {
        self.client()
            .set("group.id", "lightship-peers")
            .create()
            .expect("the settings are valid")
    }

    fn format(&self) {
        let (name, password) = USER;
        let user = format!("SCRAM-SHA-512=[name={name},password=\"{password}\"]");
        let more: &[&str] = match self.secured {
            Some(_) => &["--add-scram", &user],
            None => &[],
        };
        format(&self.jars, self.data.path(), more);
    }

    /// Starts the process and waits until it serves; `Err` is what it printed before it ended.
    fn launch(&mut self) -> Result<(), String> {
        let mut process = launch(&self.jars, self.data.path());
        wait_until_served(&self.client(), 1, || !process.is_running()).map_err(|reason| {
            let lines = process.lines();
            let last = lines
                .get(lines.len().saturating_sub(40)..)
                .unwrap_or_default();
            format!("{}\n{reason}", last.join("\n"))
        })?;
        self.process = Some(process);
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Before the data goes, whose folder is a field.
        self.kill();
    }
}

/// One record as a consumer sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
}

impl<M: Message> From<&M> for Record {
    fn from(message: &M) -> Self {
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_vec(),
                    )
                })
                .collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// The two ports of a node.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    controller: u16,
}

impl Ports {
    fn free() -> Self {
        // Both are held until both are known, so that they differ.
        let listeners = [(); 2]
            .map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free TCP port"));
        let [clients, controller] = listeners.map(|listener| {
            listener
                .local_addr()
                .expect("a bound socket has an address")
                .port()
        });
        Self {
            clients,
            controller,
        }
    }

    /// Writes the node's properties: smallest internal topics, no rebalance delay, short broker session so that a
    /// restart after a kill does not wait for the old one.
    fn write_properties(self, folder: &Path) {
        let Self {
            clients,
            controller,
        } = self;
        let data = folder.join("data");
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=4194304\n\
             broker.session.timeout.ms=2000\n\
             broker.heartbeat.interval.ms=500\n",
            data.display()
        );
        fs::write(folder.join(PROPERTIES), properties).expect("the scratch folder can be written");
    }
}

/// Fetches Apache Kafka; the folder of its libraries.
pub(super) fn jars() -> Option<PathBuf> {
    let folder = RECIPE.prepare(|folder| cache::fetch_jars(folder, &JARS))?;
    Some(folder.join("lib"))
}

/// Makes the folder of a node, which holds its properties, ready for its first start; `more` are arguments to the tool.
pub(super) fn format(jars: &Path, folder: &Path, more: &[&str]) {
    let formatted = cache::run(
        java(jars, &["-Xmx64m", "-XX:TieredStopAtLevel=1"])
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(folder.join(PROPERTIES))
            .args(more),
    );
    formatted.expect("an empty folder can be formatted");
}

/// Starts the node of a folder.
pub(super) fn launch(jars: &Path, folder: &Path) -> Process {
    let mut command = java(
        jars,
        &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    );
    command.arg("kafka.Kafka").arg(folder.join(PROPERTIES));
    Process::spawn("Apache Kafka", &mut command)
}

fn java(jars: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(options).arg("-cp").arg(jars.join("*"));
    command
}

/// Client settings that lead to these brokers.
pub(super) fn client(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    // A broker that is just starting refuses connections: try again soon.
    config.set("reconnect.backoff.max.ms", "200");
    config
}

/// Creates topics; one that exists already is as good.
pub(super) fn create_topics(config: &ClientConfig, topics: &[(&str, i32)], replicas: i32) {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| {
            NewTopic::new(name, *partitions, TopicReplication::Fixed(replicas))
        })
        .collect();
    let admin: AdminClient<DefaultClientContext> = config.create().expect("the settings are valid");
    let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
    let results = block_on(admin.create_topics(&topics, &options)).expect("the broker answers");
    for result in results {
        assert!(
            matches!(
                result,
                Ok(_) | Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists))
            ),
            "topic not created: {result:?}"
        );
    }
    // A topic can be used once its leader is known, a little after its creation.
    wait_until_served(config, 1, || false).expect("the leader of a new topic is elected");
}

/// Waits until the metadata name so many brokers, a leader for every partition, and all replicas of it as in sync.
pub(super) fn wait_until_served(
    config: &ClientConfig,
    brokers: usize,
    mut ended: impl FnMut() -> bool,
) -> Result<(), String> {
    let consumer: BaseConsumer = config
        .clone()
        .set("group.id", "lightship-peers")
        .create()
        .map_err(|error| format!("settings of the client: {error}"))?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let reason = match consumer.fetch_metadata(None, Duration::from_millis(500)) {
            Err(error) => error.to_string(),
            Ok(metadata) if metadata.brokers().len() < brokers => {
                format!("{} brokers in the metadata", metadata.brokers().len())
            }
            Ok(metadata) => {
                let topics = metadata.topics().iter();
                let mut partitions = topics.flat_map(|topic| topic.partitions());
                let is_served = |partition: &MetadataPartition| {
                    partition.leader() >= 0 && partition.isr().len() == partition.replicas().len()
                };
                if partitions.all(is_served) {
                    return Ok(());
                }
                "a partition has no leader, or a replica that is behind".to_owned()
            }
        };
        if ended() || Instant::now() >= deadline {
            return Err(reason);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be made")
        .block_on(future)
}

impl SecuredPorts {
    /// Makes a certificate and adds the listeners to the properties in `folder`.
    fn add(ports: Ports, folder: &Path) -> Self {
        let listeners = [(); 2]
            .map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free TCP port"));
        let [sasl, tls] = listeners.map(|listener| {
            listener
                .local_addr()
                .expect("a bound socket has an address")
                .port()
        });
        let store = folder.join("server.p12");
        let keytool = |arguments: &[&str], more: &[&Path]| {
            let mut command = Command::new("keytool");
            command
                .args(arguments)
                .args([
                    "-alias",
                    "broker",
                    "-storepass",
                    STORE_PASSWORD,
                    "-keystore",
                ])
                .arg(&store)
                .args(more);
            cache::run(&mut command).expect("keytool comes with Java");
        };
        let san = ["-ext", "san=ip:127.0.0.1", "-dname", "CN=broker"];
        let key = ["-genkeypair", "-keyalg", "EC", "-storetype", "PKCS12"];
        keytool(&[&key[..], &san[..]].concat(), &[]);
        let certificate = folder.join(CERTIFICATE);
        keytool(
            &["-exportcert", "-rfc"],
            &[Path::new("-file"), &certificate],
        );
        let path = folder.join(PROPERTIES);
        let properties = fs::read_to_string(&path).expect("the properties are there");
        let plain = format!("listeners=PLAINTEXT://127.0.0.1:{}", ports.clients);
        assert!(properties.contains(&plain));
        let properties = properties.replace(
            &plain,
            &format!("{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"),
        );
        let (name, password) = USER;
        let security = format!(
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL\n\
             listener.name.sasl.sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_{name}=\"{password}\";\n\
             listener.name.tls.sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.tls.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.tls.ssl.keystore.location={}\n\
             listener.name.tls.ssl.keystore.type=PKCS12\n\
             listener.name.tls.ssl.keystore.password={STORE_PASSWORD}\n",
            store.display()
        );
        fs::write(&path, properties + &security).expect("the scratch folder can be written");
        Self { sasl, tls }
    }
}

const CERTIFICATE: &str = "broker.pem";
const STORE_PASSWORD: &str = "changeit";
const JARS: [&str; 2] = [
    "org.apache.kafka:kafka_2.13:4.4.0",
    "org.slf4j:slf4j-simple:1.7.36",
];
const RECIPE: Recipe<'static> = Recipe {
    peer: "Apache Kafka",
    folder: "kafka-4.4.0",
    to_run: &[JAVA],
    to_make: &[MAVEN],
    fetches: true,
};
/// 16 bytes in base64 without padding, as the storage tool wants them.
const CLUSTER_ID: &str = "bGlnaHRzaGlwLXRlc3RzMA";
pub(super) const PROPERTIES: &str = "server.properties";
const START_ATTEMPTS: usize = 3;
const START_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
