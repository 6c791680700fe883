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
        let jars = RECIPE
            .prepare(|folder| cache::fetch_jars(folder, &JARS))?
            .join("lib");
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
        let topics: Vec<_> = topics
            .iter()
            .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1)))
            .collect();
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("the settings are valid");
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let results = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime can be made")
            .block_on(admin.create_topics(&topics, &options))
            .expect("the broker answers");
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
        self.wait_until_served(|| false)
            .expect("the leader of a new topic is elected");
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
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap_servers());
        // A broker that is just starting refuses connections: try again soon.
        config.set("reconnect.backoff.max.ms", "200");
        config
    }

    fn consumer(&self) -> BaseConsumer {
        self.client()
            .set("group.id", "lightship-peers")
            .create()
            .expect("the settings are valid")
    }

    fn format(&self) {
        let formatted = cache::run(
            self.java(&["-Xmx64m", "-XX:TieredStopAtLevel=1"])
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(self.properties())
                .args(self.secured.map(|_| "--add-scram"))
                .args(self.secured.map(|_| {
                    let (name, password) = USER;
                    format!("SCRAM-SHA-512=[name={name},password=\"{password}\"]")
                })),
        );
        formatted.expect("an empty folder can be formatted");
    }

    /// Starts the process and waits until it serves; `Err` is what it printed before it ended.
    fn launch(&mut self) -> Result<(), String> {
        let mut command = self.java(&["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.arg("kafka.Kafka").arg(self.properties());
        let mut process = Process::spawn("Apache Kafka", &mut command);
        self.wait_until_served(|| !process.is_running())
            .map_err(|reason| {
                let lines = process.lines();
                let last = lines
                    .get(lines.len().saturating_sub(40)..)
                    .unwrap_or_default();
                format!("{}\n{reason}", last.join("\n"))
            })?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until a metadata request names this broker and a leader for every partition.
    fn wait_until_served(&self, mut ended: impl FnMut() -> bool) -> Result<(), String> {
        let consumer = self.consumer();
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let reason = match consumer.fetch_metadata(None, Duration::from_millis(500)) {
                Err(error) => error.to_string(),
                Ok(metadata) if metadata.brokers().is_empty() => {
                    "no broker in the metadata".to_owned()
                }
                Ok(metadata) => {
                    let mut partitions = metadata
                        .topics()
                        .iter()
                        .flat_map(|topic| topic.partitions());
                    match partitions.all(|partition| partition.leader() >= 0) {
                        true => return Ok(()),
                        false => "a partition has no leader".to_owned(),
                    }
                }
            };
            if ended() || Instant::now() >= deadline {
                return Err(reason);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn java(&self, options: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(options).arg("-cp").arg(self.jars.join("*"));
        command
    }

    fn properties(&self) -> PathBuf {
        self.data.path().join(PROPERTIES)
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
const PROPERTIES: &str = "server.properties";
const START_ATTEMPTS: usize = 3;
const START_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
