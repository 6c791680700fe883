//! Whole bootstraps of the simulated device, and the registration that follows: bootstrap server, LwM2M server, device and
//! a platform that answers as told, over a network that may lose datagrams.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    bootstrap::{self, Bootstrap, BootstrapSessionSettings},
    coap::{Code, Message, Random, TransmissionParameters},
    endpoint::{self, Endpoint, EndpointName, EndpointSettings},
    lwm2m::model::core,
    platform::{
        Answer, Downlink, Question, Reply, Uplink,
        credentials::Admission,
        log_line::LOG_KEY,
        peer::{Peer, PeerIdentity, ServerRole},
        time::{Now, UnixMillis},
        uplink::KeyValue,
    },
    sim::{SimDevice, SimEvent, SimSettings},
};

use crate::world::{admission, objects, peer, pop_due, rpc_request};

/// Which server a datagram comes from or goes to.
type Server = ServerRole;

struct World {
    now: Now,
    bootstrap: Bootstrap,
    endpoint: Endpoint,
    device: SimDevice<Server>,
    admission: Arc<Admission>,
    uplinks: Vec<Uplink>,
    events: Vec<SimEvent>,
    /// Method and path of what the bootstrap server sent, without repetitions.
    requests: Vec<String>,
    last_sent: Option<Bytes>,
    /// Percent.
    loss: u64,
    random: Random,
    in_flight: VecDeque<(Instant, (Server, bool, Bytes))>,
    replies: VecDeque<(Server, Reply)>,
}

impl World {
    fn new(profile: &str) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant will do as the base of virtual time"
        )]
        let start = Instant::now();
        let sim = SimSettings {
            endpoint: "dev1".to_owned(),
            lifetime: Duration::from_secs(300),
            confirmable: true,
            queue_mode: false,
            updates: false,
            coap: Arc::new(TransmissionParameters::default()),
        };
        let mut device = SimDevice::new(sim, objects(), Server::Lwm2m, [1; 32]);
        device.know_bootstrap_server(Server::Bootstrap, "coap://bs.example.org:5687");
        let name = EndpointName::new("dev1");
        // As the server has them: the platform has no model of object 1.
        let settings = EndpointSettings {
            core_models: Arc::new(core::catalog().iter().cloned().collect()),
            ..EndpointSettings::default()
        };
        Self {
            now: Now {
                mono: start,
                wall: UnixMillis(1_700_000_000_000),
            },
            bootstrap: Bootstrap::new(
                name.clone(),
                Arc::new(BootstrapSessionSettings::default()),
                [2; 32],
            ),
            endpoint: Endpoint::new(name, Arc::new(settings), [3; 32]),
            device,
            admission: Arc::new(admission("dev1", profile)),
            uplinks: Vec::new(),
            events: Vec::new(),
            requests: Vec::new(),
            last_sent: None,
            loss: 0,
            random: Random::from_seed([4; 32]),
            in_flight: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// A world whose device has been bootstrapped and registered.
    fn registered(profile: &str) -> Self {
        let mut world = Self::new(profile);
        world.device.start(world.now.mono);
        world.run(Duration::from_secs(5));
        assert!(world.device.is_registered(), "{:?}", world.events);
        world.requests.clear();
        world.events.clear();
        world
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        loop {
            self.drain();
            let due = [
                self.in_flight.front().map(|(at, ..)| *at),
                self.bootstrap.poll_timeout(),
                self.endpoint.poll_timeout(),
                self.device.poll_timeout(),
            ];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            self.advance_to(next.max(self.now.mono));
            self.step();
        }
        self.advance_to(end);
    }

    fn step(&mut self) {
        while let Some(arrived) = pop_due(&mut self.in_flight, self.now.mono) {
            let (server, to_device, datagram) = arrived;
            let sender = as_peer(server);
            match (to_device, server) {
                (true, _) => self.device.handle_datagram(self.now.mono, server, datagram),
                (false, Server::Bootstrap) => {
                    self.bootstrap.handle_datagram(self.now, &sender, datagram);
                }
                (false, Server::Lwm2m) => {
                    self.endpoint.handle_datagram(self.now, &sender, datagram);
                }
            }
            self.drain();
        }
        let now = self.now;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.mono);
        if is_due(self.bootstrap.poll_timeout()) {
            self.bootstrap.handle_timeout(now);
        }
        if is_due(self.endpoint.poll_timeout()) {
            self.endpoint.handle_timeout(now);
        }
        if is_due(self.device.poll_timeout()) {
            self.device.handle_timeout(now.mono);
        }
    }

    fn drain(&mut self) {
        loop {
            while let Some(output) = self.bootstrap.poll_output() {
                match output {
                    bootstrap::Output::Transmit { payload, .. } => {
                        self.note(&payload);
                        self.send(Server::Bootstrap, true, payload);
                    }
                    bootstrap::Output::Uplink(uplink) => self.take(Server::Bootstrap, uplink),
                    bootstrap::Output::Bind(_)
                    | bootstrap::Output::Unbind(_)
                    | bootstrap::Output::Misrouted { .. }
                    | bootstrap::Output::Closed => {}
                }
            }
            while let Some(output) = self.endpoint.poll_output() {
                match output {
                    endpoint::Output::Transmit { payload, .. } => {
                        self.send(Server::Lwm2m, true, payload);
                    }
                    endpoint::Output::Uplink(uplink) => self.take(Server::Lwm2m, uplink),
                    endpoint::Output::Bind(_)
                    | endpoint::Output::Unbind(_)
                    | endpoint::Output::Misrouted { .. }
                    | endpoint::Output::Delivered { .. }
                    | endpoint::Output::Save { .. }
                    | endpoint::Output::Forget
                    | endpoint::Output::Restored
                    | endpoint::Output::Disconnect { .. }
                    | endpoint::Output::Closed(_) => {}
                }
            }
            while let Some((server, payload)) = self.device.poll_transmit() {
                self.send(server, false, payload);
            }
            while let Some(event) = self.device.poll_event() {
                if matches!(event, SimEvent::Bootstrapped { .. }) {
                    self.device.register_at(self.now.mono, Server::Lwm2m);
                }
                self.events.push(event);
            }
            let Some((server, reply)) = self.replies.pop_front() else {
                return;
            };
            match server {
                Server::Bootstrap => self.bootstrap.handle_reply(self.now, reply),
                Server::Lwm2m => self.endpoint.handle_reply(self.now, reply),
            }
        }
    }

    fn note(&mut self, payload: &Bytes) {
        let Ok(message) = Message::parse(payload.clone()) else {
            return;
        };
        let method = match message.code() {
            Code::GET => "GET",
            Code::POST => "POST",
            Code::PUT => "PUT",
            Code::DELETE => "DELETE",
            _ => return,
        };
        if self.last_sent.as_ref() != Some(payload) {
            let path: Vec<_> = message.uri_path().collect();
            self.requests.push(format!("{method} /{}", path.join("/")));
        }
        self.last_sent = Some(payload.clone());
    }

    fn send(&mut self, server: Server, to_device: bool, payload: Bytes) {
        if self.random.uniform(0..=99) >= self.loss {
            let at = self.now.mono + Duration::from_millis(20);
            self.in_flight.push_back((at, (server, to_device, payload)));
        }
    }

    fn take(&mut self, asker: Server, uplink: Uplink) {
        if let Uplink::Question { id, question } = &uplink {
            let answer = match question {
                Question::Credentials { .. } => Answer::Credentials(Arc::clone(&self.admission)),
                Question::Models { .. } => Answer::Models(objects().models().cloned().collect()),
                Question::Package { .. } | Question::PackageBytes(_) => return,
            };
            let reply = Reply::Answer {
                id: *id,
                result: Ok(answer),
            };
            self.replies.push_back((asker, reply));
        }
        self.uplinks.push(uplink);
    }

    fn advance_to(&mut self, moment: Instant) {
        let passed = moment.saturating_duration_since(self.now.mono);
        self.now = self.now.after(passed);
    }

    fn log(&self) -> Vec<&str> {
        let telemetry = self.uplinks.iter().filter_map(|uplink| {
            if let Uplink::Telemetry { readings, .. } = uplink {
                Some(readings)
            } else {
                None
            }
        });
        let values = telemetry.flatten().flat_map(|readings| &readings.values);
        values
            .filter_map(|(key, value)| {
                if let (LOG_KEY, KeyValue::String(line)) = (key.as_str(), value) {
                    Some(line.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    /// What became of the device, without what the servers do to its objects.
    fn course(&self) -> Vec<&SimEvent> {
        let is_course = |event: &&SimEvent| {
            matches!(
                event,
                SimEvent::Bootstrapped { .. }
                    | SimEvent::Registered { .. }
                    | SimEvent::Deregistered
                    | SimEvent::Refused { .. }
                    | SimEvent::Unanswered
                    | SimEvent::Executed(..)
            )
        };
        self.events.iter().filter(is_course).collect()
    }
}

fn as_peer(role: Server) -> Peer {
    Peer {
        id: peer(5683),
        role,
        identity: PeerIdentity::Unsecured,
    }
}

/// A profile with these entries in `bootstrap`.
fn profile(update: bool, entries: &[(&str, Option<u16>)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(host, id)| {
            let id = id.map_or_else(
                || r#""bootstrapServerIs":true,"shortServerId":null"#.to_owned(),
                |id| format!(r#""bootstrapServerIs":false,"shortServerId":{id}"#),
            );
            format!(r#"{{"securityMode":"NO_SEC","host":"{host}","port":5685,{id}}}"#)
        })
        .collect();
    format!(
        r#"{{"type":"LWM2M","bootstrapServerUpdateEnable":{update},"bootstrap":[{}]}}"#,
        entries.join(",")
    )
}

const BOTH: [(&str, Option<u16>); 2] =
    [("lwm2m.example.org", Some(123)), ("new.example.org", None)];

#[test]
fn b1_a_fresh_device_is_bootstrapped_and_registers() {
    let mut world = World::new(&profile(true, &BOTH));
    world.device.start(world.now.mono);
    world.run(Duration::from_secs(5));
    assert_eq!(
        world.requests,
        ["GET /", "PUT /0/0", "PUT /0/1", "PUT /1/0", "POST /bs"]
    );
    let [
        SimEvent::Bootstrapped { server },
        SimEvent::Registered { .. },
    ] = world.course()[..]
    else {
        panic!("{:?}", world.events);
    };
    assert_eq!(server, "coap://lwm2m.example.org:5685");
    // One question each, one session opened: that of the registration.
    let count = |is_it: fn(&Uplink) -> bool| world.uplinks.iter().filter(|own| is_it(own)).count();
    assert_eq!(count(|own| matches!(own, Uplink::SessionOpened { .. })), 1);
    assert_eq!(
        count(|own| matches!(own, Uplink::BootstrapReport { .. })),
        1
    );
    assert_eq!(count(|own| matches!(own, Uplink::SessionClosed { .. })), 0);
    let log = world.log();
    let finished = log
        .iter()
        .position(|line| line.contains("session finished"));
    let registered = log
        .iter()
        .position(|line| line.contains("Client registered"));
    assert!(finished < registered && finished.is_some(), "{log:?}");
}

#[test]
fn b2_the_bootstrap_account_stays_unless_the_profile_updates_it() {
    let mut world = World::new(&profile(false, &BOTH));
    world.device.start(world.now.mono);
    world.run(Duration::from_secs(5));
    assert_eq!(
        world.requests,
        ["GET /", "PUT /0/1", "PUT /1/0", "POST /bs"]
    );
    assert!(world.device.is_registered());
}

#[test]
fn b3_b4_the_trigger_makes_a_registered_device_ask_again() {
    for update in [true, false] {
        let mut world = World::registered(&profile(update, &BOTH));
        let execute = rpc_request(1, "Execute", r#"{"id":"/1_1.1/0/9"}"#);
        world
            .endpoint
            .handle_downlink(world.now, Downlink::Rpc(execute));
        world.run(Duration::from_secs(10));
        let replies: Vec<_> = world
            .uplinks
            .iter()
            .filter_map(|uplink| {
                if let Uplink::RpcReply { body, .. } = uplink {
                    Some(body.text())
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(replies, [r#"{"result":"CHANGED"}"#]);
        assert!(
            matches!(
                world.course()[..],
                [
                    SimEvent::Executed(..),
                    SimEvent::Deregistered,
                    SimEvent::Bootstrapped { .. },
                    SimEvent::Registered { .. }
                ]
            ),
            "{:?}",
            world.events
        );
        // The accounts are there: those of the LwM2M server are deleted and written anew in their place.
        let written: &[&str] = if update {
            &[
                "GET /",
                "DELETE /0/1",
                "DELETE /1/0",
                "PUT /0/0",
                "PUT /0/1",
                "PUT /1/0",
                "POST /bs",
            ]
        } else {
            &[
                "GET /",
                "DELETE /0/1",
                "DELETE /1/0",
                "PUT /0/1",
                "PUT /1/0",
                "POST /bs",
            ]
        };
        assert_eq!(world.requests, written);
    }
}

#[test]
fn b5_b6_a_device_keeps_the_accounts_that_the_profile_does_not_name() {
    for entries in [&BOTH[1..], &[]] {
        let mut world = World::registered(&profile(true, &BOTH));
        world.admission = Arc::new(admission("dev1", &profile(true, entries)));
        world.device.deregister(world.now.mono);
        world.run(Duration::from_secs(1));
        world.device.ask_for_bootstrap(world.now.mono);
        world.run(Duration::from_secs(5));
        assert!(world.device.is_registered(), "{:?}", world.events);
        let expected: &[&str] = if entries.is_empty() {
            &["GET /", "POST /bs"]
        } else {
            &["GET /", "PUT /0/0", "POST /bs"]
        };
        assert_eq!(world.requests, expected);
    }
}

#[test]
fn b7_a_device_gets_three_servers() {
    let mut world = World::registered(&profile(true, &BOTH));
    let three = [
        ("lwm2m.example.org", Some(123)),
        ("0.0.0.2", Some(125)),
        ("0.0.0.3", Some(126)),
    ];
    world.admission = Arc::new(admission("dev1", &profile(false, &three)));
    world.device.ask_for_bootstrap(world.now.mono);
    world.run(Duration::from_secs(5));
    assert!(world.device.is_registered(), "{:?}", world.events);
    assert_eq!(
        world.requests,
        [
            "GET /",
            "DELETE /0/1",
            "DELETE /1/0",
            "PUT /0/1",
            "PUT /0/2",
            "PUT /0/3",
            "PUT /1/0",
            "PUT /1/1",
            "PUT /1/2",
            "POST /bs"
        ]
    );
}

#[test]
fn a56_a_bootstrap_over_a_network_that_loses_a_quarter_comes_to_its_end() {
    let mut world = World::new(&profile(true, &BOTH));
    world.loss = 25;
    world.device.start(world.now.mono);
    world.run(Duration::from_secs(900));
    assert!(
        world
            .events
            .iter()
            .any(|event| matches!(event, SimEvent::Registered { .. })),
        "{:?}",
        world.events
    );
}

#[test]
fn b22_a_device_without_a_server_to_register_at_refuses_the_finish_and_asks_again() {
    let mut world = World::new(&profile(true, &BOTH[1..]));
    world.device.start(world.now.mono);
    world.run(Duration::from_secs(4));
    assert!(!world.device.is_registered());
    assert!(
        world
            .log()
            .last()
            .is_some_and(|line| line.ends_with("FINISH_FAILED")),
        "{:?}",
        world.log()
    );
    world.admission = Arc::new(admission("dev1", &profile(true, &BOTH)));
    world.run(Duration::from_secs(10));
    assert!(world.device.is_registered(), "{:?}", world.events);
}
