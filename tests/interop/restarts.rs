//! A core that restarts, forgets, times out and repeats itself, with the built binary and simulated devices on a broker
//! inside the test process: every device can be reached again within a heartbeat, and no command reaches one twice
//! (`measured.md` 5).

use std::{
    process::Command,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    peers::process::Process,
    scene::{Lightship, PATIENCE, core_with},
    support::{
        mock_broker::MockBroker,
        strict_core::{Cache, Close, CoreOptions, RpcOptions, StrictCore},
    },
};

/// What the core waits for the activity of a device, and our service therefore bases its heartbeat on.
const INACTIVITY: Duration = Duration::from_secs(5);
/// Two fifths of it, and what a busy machine adds.
const HEARTBEAT: Duration = Duration::from_secs(4);
const EXECUTED: &str = "the server executes /3/0/4";
/// Commands for one device in one burst.
const FLOOD: usize = 3_000;
const FULL: &str = r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#;
const CHANGED: &str = r#"{"result":"CHANGED"}"#;

/// Registered devices, our service, a core.
struct Fleet {
    devices: Vec<Device>,
    lightship: Lightship,
    core: StrictCore,
    _broker: MockBroker,
}

struct Device {
    id: Uuid,
    process: Process,
    /// How many Executes the core sent.
    executes: usize,
}

impl Fleet {
    fn start(name: &str) -> Self {
        let broker = MockBroker::empty();
        let options = CoreOptions {
            instances: 2,
            inactivity: INACTIVITY,
            ..CoreOptions::default()
        };
        let (core, profile) = core_with(&broker, name, options);
        let inactivity = INACTIVITY.as_millis().to_string();
        let lightship = Lightship::start_with(
            &broker.bootstrap_servers(),
            name,
            &[
                ("TB_TRANSPORT_SESSIONS_INACTIVITY_TIMEOUT", &inactivity),
                ("TB_TRANSPORT_SESSIONS_REPORT_TIMEOUT", "1000"),
            ],
        );
        let mut fleet = Self {
            devices: Vec::new(),
            lightship,
            core,
            _broker: broker,
        };
        // As many as it takes until each instance has one.
        while fleet.devices.len() < 3 || (0..2).any(|instance| fleet.of(instance).is_none()) {
            let endpoint = format!("urn:{name}:{}", fleet.devices.len());
            let id = fleet.core.add_nosec_device(&endpoint, profile);
            let process = fleet.device(&endpoint);
            fleet.devices.push(Device {
                id,
                process,
                executes: 0,
            });
            fleet.core.await_session(id, PATIENCE);
        }
        fleet
    }

    fn device(&self, endpoint: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
        command
            .env_clear()
            .args(["device", "--server", &self.lightship.uri()])
            .args(["--endpoint", endpoint, "--lifetime", "3600"]);
        Process::spawn("device", &mut command)
    }

    /// The place of a device that an instance serves.
    fn of(&self, instance: usize) -> Option<usize> {
        self.devices
            .iter()
            .position(|device| self.core.instance_of(device.id) == instance)
    }

    fn execute(&mut self, index: usize, persisted: bool) -> Uuid {
        let device = &mut self.devices[index];
        device.executes += 1;
        let options = RpcOptions {
            persisted,
            ..RpcOptions::default()
        };
        self.core
            .rpc_with(device.id, "Execute", r#"{"id":"/3_1.2/0/4"}"#, options)
    }

    /// Every device has a session within a heartbeat from `since`, and executes what it is told.
    fn is_reached(&mut self, since: Instant) {
        for device in &self.devices {
            let left = (since + HEARTBEAT).saturating_duration_since(Instant::now());
            self.core
                .await_session(device.id, left.max(Duration::from_millis(1)));
        }
        for index in 0..self.devices.len() {
            let rpc = self.execute(index, false);
            self.is_changed(rpc);
        }
    }

    fn is_changed(&self, rpc: Uuid) {
        let progress = self.core.await_rpc(rpc, PATIENCE);
        assert_eq!(progress.statuses, ["SENT", "DELIVERED"]);
        assert_eq!(progress.reply, Some(Ok(CHANGED.to_owned())));
    }

    /// Every device has executed what was sent to it, once, and registered once.
    fn end(mut self) {
        for device in &mut self.devices {
            let deadline = Instant::now() + PATIENCE;
            let count = |device: &Device, words: &str| {
                let lines = device.process.lines();
                lines.iter().filter(|line| line.contains(words)).count()
            };
            while count(device, EXECUTED) < device.executes && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(count(device, EXECUTED), device.executes);
            assert_eq!(count(device, "registered;"), 1);
        }
        assert_eq!(self.core.violations(), [] as [String; 0]);
        assert!(self.lightship.stop().success());
    }
}

#[test]
fn a_core_that_restarts_reaches_every_device_within_a_heartbeat_and_none_twice() {
    let mut fleet = Fleet::start("restart");
    fleet.is_reached(Instant::now());
    // On their way when the core dies: carried out once, whoever hears of it.
    for index in 0..fleet.devices.len() {
        fleet.execute(index, false);
    }
    let since = Instant::now();
    fleet.core.restart(Cache::Kept);
    fleet.is_reached(since);
    fleet.end();
}

#[test]
fn a_persistent_command_that_was_never_sent_outlives_a_restart_of_its_instance() {
    let mut fleet = Fleet::start("persistent");
    let (here, there) = (fleet.of(0).unwrap(), fleet.of(1).unwrap());
    for _ in 0..3 {
        let rpc = fleet.execute(here, false);
        fleet.is_changed(rpc);
    }
    fleet.core.stop_instance(0);
    let kept = fleet.execute(here, true);
    // The other one knows nothing of that.
    let rpc = fleet.execute(there, false);
    fleet.is_changed(rpc);
    let since = Instant::now();
    fleet.core.start_instance(0, Cache::Kept);
    // Its numbers begin anew, which tells our service to ask for what is kept.
    fleet.is_reached(since);
    fleet.is_changed(kept);
    fleet.end();
}

#[test]
fn a_core_that_forgets_its_sessions_reaches_every_device_within_a_heartbeat_and_none_twice() {
    let mut fleet = Fleet::start("forgotten");
    fleet.is_reached(Instant::now());
    for index in 0..fleet.devices.len() {
        fleet.execute(index, false);
    }
    let since = Instant::now();
    fleet.core.restart(Cache::Lost);
    fleet.is_reached(since);
    fleet.end();
}

#[test]
fn a_session_that_times_out_is_open_again_within_a_heartbeat_and_heartbeats_keep_the_others() {
    let mut fleet = Fleet::start("timeout");
    let first = fleet.devices[0].id;
    let since = Instant::now();
    fleet.core.close_session(first, Close::SessionTimeout);
    fleet.is_reached(since);
    // Longer than the core's patience: nobody says anything but the heartbeat.
    let before = fleet.core.heartbeats(first);
    std::thread::sleep(INACTIVITY + Duration::from_secs(2));
    assert!(fleet.core.heartbeats(first) >= before + 2);
    for device in &fleet.devices {
        assert!(fleet.core.has_session(device.id));
    }
    fleet.is_reached(Instant::now());
    fleet.end();
}

#[test]
fn a_core_that_is_slow_and_says_everything_three_times_has_everything_done_once() {
    let mut fleet = Fleet::start("thrice");
    fleet.core.repeat_notifications(3);
    fleet.core.repeat_answers(3);
    fleet.core.delay(Duration::from_millis(700));
    fleet.is_reached(Instant::now());
    let late = fleet.execute(0, true);
    fleet.is_changed(late);
    fleet.end();
}

/// `hardening.md` A61, in one burst.
#[test]
fn a61_a_flood_of_commands_to_one_device_is_answered_at_once_and_delays_no_other() {
    let mut fleet = Fleet::start("flood");
    fleet.is_reached(Instant::now());
    let read = r#"{"id":"/3_1.2/0/9"}"#;
    let flood = fleet
        .core
        .rpc_flood(fleet.devices[0].id, "Read", read, FLOOD);
    let start = Instant::now();
    for index in 1..fleet.devices.len() {
        let rpc = fleet.execute(index, false);
        fleet.is_changed(rpc);
    }
    let others = start.elapsed();
    let mut full = 0;
    for rpc in flood {
        match fleet.core.await_rpc(rpc, PATIENCE).reply {
            Some(Ok(_)) => {}
            Some(Err(text)) if text == FULL => full += 1,
            reply => panic!("{reply:?}"),
        }
    }
    println!(
        "{FLOOD} commands answered in {:?}, {full} of them refused; other devices waited {others:?}",
        start.elapsed()
    );
    assert!(full < FLOOD);
    assert!(others < HEARTBEAT, "{others:?}");
    fleet.is_reached(Instant::now());
    fleet.end();
}

#[test]
fn a75_a_device_that_is_deleted_while_it_notifies_loses_its_session_and_is_refused() {
    let mut fleet = Fleet::start("deleted");
    fleet.is_reached(Instant::now());
    let mut deleted = fleet.devices.remove(0);
    for value in 0..20 {
        deleted.process.send_line(&format!("set /3/0/9 {value}"));
    }
    fleet.core.delete_device(deleted.id, "ls-0");
    fleet.core.await_no_session(deleted.id, PATIENCE);
    deleted.process.send_line("update");
    let refused = |line: &str| line == "refused by the server: 4.03";
    deleted.process.expect(PATIENCE, refused);
    fleet.is_reached(Instant::now());
    fleet.end();
}

#[test]
fn a60_a_core_whose_answers_are_garbage_puts_a_newcomer_off_and_costs_no_session() {
    let mut fleet = Fleet::start("garbage");
    fleet.core.garble_answers(true);
    let profile = fleet.core.add_profile("other", crate::scene::PROFILE, None);
    let newcomer = fleet.core.add_nosec_device("urn:garbage:new", profile);
    let mut process = fleet.device("urn:garbage:new");
    process.expect(PATIENCE, |line| line.contains("5.03"));
    assert!(!fleet.core.has_session(newcomer));
    fleet.is_reached(Instant::now());
    fleet.core.garble_answers(false);
    fleet.core.await_session(newcomer, 2 * PATIENCE);
    fleet.end();
}
