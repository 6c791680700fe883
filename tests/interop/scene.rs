//! What the tests with a platform need: our service as a process, the double of the core, a client.

use std::{
    net::TcpListener,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use lightship::lwm2m::path::ObjectVersion;
use serde_json::json;
use uuid::Uuid;

use crate::{
    peers::{cluster::Cluster, free_udp_port, kafka::Broker, leshan, process::Process},
    support::{
        ddf,
        mock_broker::MockBroker,
        strict_core::{CoreOptions, Reading, RpcOptions, StrictCore},
    },
};

pub(crate) const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3303_1.0/0/5700", "/3_1.2/0/9"],
        "attribute": ["/3_1.2/0/0"],
        "telemetry": ["/3303_1.0/0/5700", "/3_1.2/0/9"],
        "keyName": {"/3303_1.0/0/5700": "temperature", "/3_1.2/0/9": "batteryLevel", "/3_1.2/0/0": "manufacturer"},
        "attributeLwm2m": {}
    },
    "clientLwM2mSettings": {"powerMode": "DRX"}
}"#;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Our service as a process, in Kafka mode, configured by the environment of the Java transport.
pub(crate) struct Lightship {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) bootstrap: u16,
    http: u16,
}

impl Lightship {
    pub(crate) fn start(bootstrap_servers: &str, prefix: &str) -> Self {
        Self::start_with(bootstrap_servers, prefix, &[])
    }

    /// Starts it with more environment variables.
    pub(crate) fn start_with(
        bootstrap_servers: &str,
        prefix: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::start_at(bootstrap_servers, prefix, free_udp_port(), environment)
    }

    /// The same, at a port of devices.
    pub(crate) fn start_at(
        bootstrap_servers: &str,
        prefix: &str,
        port: u16,
        environment: &[(&str, &str)],
    ) -> Self {
        let bootstrap = free_udp_port();
        let http = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
        command
            .arg("serve")
            .env_clear()
            .env("TB_QUEUE_TYPE", "kafka")
            .env("TB_KAFKA_SERVERS", bootstrap_servers)
            .env("TB_QUEUE_PREFIX", prefix)
            .env("TB_SERVICE_ID", "ls-0")
            .env("LWM2M_BIND_ADDRESS", "127.0.0.1")
            .env("LWM2M_BIND_PORT", port.to_string())
            .env("LWM2M_BS_BIND_ADDRESS", "127.0.0.1")
            .env("LWM2M_BS_BIND_PORT", bootstrap.to_string())
            .env("LWM2M_SECURITY_BIND_PORT", "0")
            .env("LWM2M_BS_SECURITY_BIND_PORT", "0")
            .env("HTTP_BIND_ADDRESS", "127.0.0.1")
            .env("HTTP_BIND_PORT", http.to_string())
            .env("LIGHTSHIP__SHUTDOWN__DRAIN_DELAY_S", "0")
            .env("LIGHTSHIP__LOG__FORMAT", "text")
            .envs(environment.iter().copied());
        let mut process = Process::spawn("lightship", &mut command);
        process.expect(PATIENCE, |line| line.contains("serving LwM2M over CoAP"));
        Self {
            process,
            port,
            bootstrap,
            http,
        }
    }

    pub(crate) fn uri(&self) -> String {
        format!("coap://127.0.0.1:{}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        ureq::get(&url)
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .expect("an answer")
    }

    pub(crate) fn stop(mut self) -> ExitStatus {
        self.process.terminate(PATIENCE)
    }
}

/// Where a scene plays: one broker, or several.
pub(crate) trait Stage {
    fn bootstrap_servers(&self) -> String;
    fn create_topics(&self, topics: &[(&str, i32)]);
}

impl Stage for Broker {
    fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers()
    }

    fn create_topics(&self, topics: &[(&str, i32)]) {
        self.create_topics(topics);
    }
}

impl Stage for Cluster {
    fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers()
    }

    fn create_topics(&self, topics: &[(&str, i32)]) {
        self.create_topics(topics);
    }
}

impl Stage for MockBroker {
    fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers()
    }

    fn create_topics(&self, topics: &[(&str, i32)]) {
        for (topic, partitions) in topics {
            self.create(topic, *partitions);
        }
    }
}

/// The core with its topics, and one profile with its models.
pub(crate) fn core(stage: &impl Stage, prefix: &str) -> (StrictCore, Uuid) {
    core_with(stage, prefix, CoreOptions::default())
}

/// The same with options.
pub(crate) fn core_with(
    stage: &impl Stage,
    prefix: &str,
    options: CoreOptions,
) -> (StrictCore, Uuid) {
    let topics = StrictCore::topics(prefix, "ls-0");
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| (name.as_str(), *partitions))
        .collect();
    stage.create_topics(&topics);
    let core = StrictCore::start_with(&stage.bootstrap_servers(), prefix, options);
    for (object, version) in [
        (3, ObjectVersion::new(1, 2)),
        (3303, ObjectVersion::new(1, 0)),
    ] {
        core.add_model(&ddf::built_in(object, version));
    }
    let profile = core.add_profile("profile", PROFILE, None);
    (core, profile)
}

/// The core, our service, and a Leshan client whose observations are established.
pub(crate) struct Scene {
    pub(crate) client: leshan::Client,
    pub(crate) lightship: Lightship,
    pub(crate) core: StrictCore,
    pub(crate) device: Uuid,
}

impl Scene {
    /// Sets the scene; `name` keeps it apart from others. `None`: the client cannot be had here.
    pub(crate) fn start(stage: &impl Stage, name: &str) -> Option<Self> {
        let (core, profile) = core(stage, name);
        let endpoint = format!("urn:{name}:1");
        let device = core.add_nosec_device(&endpoint, profile);
        let lightship = Lightship::start(&stage.bootstrap_servers(), name);
        let options = leshan::Options {
            lifetime: 3600,
            ..leshan::Options::default()
        };
        let mut client = leshan::Client::start(&lightship.uri(), &endpoint, options)?;
        client.expect_event("registered");
        core.await_values(device, 2, PATIENCE);
        Some(Self {
            client,
            lightship,
            core,
            device,
        })
    }

    /// The device has another temperature, of which it notifies.
    pub(crate) fn set(&mut self, temperature: f64) {
        self.client
            .command(&format!("set /3303/0/5700 {temperature}"));
    }

    /// Temperatures whose notification the device saw acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<f64> {
        let values = self.client.values("acked /3303/0/5700").into_iter();
        values
            .map(|value| value.parse().expect("a number"))
            .collect()
    }

    /// Changes the temperature, from `first` on by 1, until `count` more notifications were acknowledged; one change every
    /// `pause`. Returns the next temperature.
    pub(crate) fn notify(&mut self, first: f64, count: usize, pause: Duration) -> f64 {
        let wanted = self.acknowledged().len() + count;
        let deadline = Instant::now() + Duration::from_secs(150);
        let mut temperature = first;
        while self.acknowledged().len() < wanted {
            assert!(
                Instant::now() < deadline,
                "only {} of {wanted} notifications were acknowledged",
                self.acknowledged().len()
            );
            self.set(temperature);
            temperature += 1.0;
            std::thread::sleep(pause);
        }
        temperature
    }

    /// Sends `count` Executes, which the device has not carried out yet when this returns.
    pub(crate) fn execute(&self, count: usize) -> Vec<Uuid> {
        let options = RpcOptions {
            timeout: Duration::from_secs(120),
            ..RpcOptions::default()
        };
        let send = |_| {
            let params = r#"{"id":"/3_1.2/0/4"}"#;
            self.core.rpc_with(self.device, "Execute", params, options)
        };
        (0..count).map(send).collect()
    }

    /// Every Execute is answered, and none was carried out twice.
    pub(crate) fn await_executed(&mut self, rpcs: &[Uuid]) {
        let deadline = Instant::now() + 2 * PATIENCE;
        let changed = Some(Ok(r#"{"result":"CHANGED"}"#.to_owned()));
        for rpc in rpcs {
            while self.core.rpc_progress(*rpc).reply != changed {
                assert!(
                    Instant::now() < deadline,
                    "{:?} is what became of a command; the service printed:\n{}",
                    self.core.rpc_progress(*rpc),
                    self.lightship.process.lines().join("\n")
                );
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let lines = self.client.process().lines();
        let executed = lines.iter().filter(|line| line.starts_with("executed"));
        assert_eq!(
            executed.count(),
            rpcs.len(),
            "carried out otherwise than once"
        );
    }

    /// Every acknowledged value is with the core, the device registered once, and the core found no rule broken. Returns
    /// how many values were acknowledged.
    pub(crate) fn end(mut self) -> usize {
        let acknowledged = self.acknowledged();
        self.core
            .await_telemetry(self.device, PATIENCE, |readings| {
                acknowledged.iter().all(|value| {
                    let is_it =
                        |own: &Reading| own.values.get("temperature") == Some(&json!(value));
                    readings.iter().any(is_it)
                })
            });
        let lines = self.client.process().lines();
        let registered = lines.iter().filter(|line| line.starts_with("registered"));
        assert_eq!(registered.count(), 1, "the device registered again");
        assert_eq!(self.core.violations(), [] as [String; 0]);
        acknowledged.len()
    }
}
