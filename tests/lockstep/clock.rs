//! Clocks: what the wall clock may decide, and what it may not (`hardening.md` A57, `device-lifecycle.md` L16).

use std::time::Duration;

use lightship::{
    endpoint::CloseReason,
    platform::{Uplink, time::UnixMillis, uplink::KeyValue},
};

use crate::{PROFILE, seconds, world::World};

#[test]
fn a57_a_clock_that_is_set_moves_no_timer() {
    const HOUR_MS: i64 = 3_600_000;
    for jump in [HOUR_MS, -HOUR_MS] {
        let mut world = World::registered(PROFILE, 55);
        world.run(seconds(100));
        world.now.wall = UnixMillis(world.now.wall.0 + jump);
        world.network.cut = true;
        world.run(seconds(194));
        assert_eq!(world.closed, None, "{jump}: the lifetime is not over");
        world.run(seconds(2));
        assert_eq!(world.closed, Some(CloseReason::Expired), "{jump}");

        let mut world = World::in_queue_mode(PROFILE, 56);
        world.device.register(world.now.mono);
        world.run(seconds(80));
        world.now.wall = UnixMillis(world.now.wall.0 + jump);
        world.run(seconds(12));
        let asleep = |world: &World| {
            let line = KeyValue::String("Info : Client is sleeping!".to_owned());
            world.posted("transportLog").contains(&line)
        };
        assert!(!asleep(&world), "{jump}");
        world.run(seconds(3));
        assert!(asleep(&world), "{jump}");

        let mut world = World::registered(PROFILE, 57);
        world.network.cut = true;
        world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
        world.run(seconds(30));
        world.now.wall = UnixMillis(world.now.wall.0 + jump);
        // The retransmissions end after 62 to 93 s (RFC 7252 section 4.8.2).
        world.run(seconds(31));
        assert_eq!(world.rpc_history(1), ["SENT"], "{jump}");
        world.run(seconds(33));
        assert_eq!(world.rpc_history(1), ["SENT", "TIMEOUT"], "{jump}");
    }
}

/// When the lines of `transportLog` are said to be, in the order in which they were written.
fn log_times(world: &World) -> Vec<UnixMillis> {
    let uplinks = world.platform.uplinks.iter();
    let readings = uplinks.flat_map(|uplink| {
        let Uplink::Telemetry { readings, .. } = uplink else {
            return [].as_slice();
        };
        readings.as_slice()
    });
    let is_line = |key: &str| key == "transportLog";
    readings
        .filter(|own| own.values.iter().any(|(key, _)| is_line(key)))
        .map(|own| own.ts)
        .collect()
}

#[test]
fn l16_log_lines_of_one_millisecond_are_a_millisecond_apart() {
    let mut world = World::registered(PROFILE, 59);
    let before = log_times(&world).len();
    let now = world.now.wall;
    for number in 1..=4 {
        world.rpc(number, "Execute", r#"{"id":"/3_1.2/0/9"}"#);
    }
    world.run(Duration::ZERO);
    let lines = log_times(&world).split_off(before);
    let expected: Vec<_> = (0..4).map(|later| UnixMillis(now.0 + later)).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a57_log_lines_keep_their_order_when_the_clock_is_set_back() {
    let mut world = World::registered(PROFILE, 58);
    for _ in 0..3 {
        world.now.wall = UnixMillis(world.now.wall.0 - 3_600_000);
        world.device.update(world.now.mono);
        world.run(seconds(1));
    }
    let lines = log_times(&world);
    assert!(lines.len() > 8);
    assert!(lines.is_sorted_by(|earlier, later| earlier < later));
}
