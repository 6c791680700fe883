//! Brokers that stop, die and hand over while a device reports and is commanded: nothing acknowledged is lost, nothing is
//! carried out twice, and neither our service nor the device starts anew.

use std::{
    thread,
    time::{Duration, Instant},
};

use lightship::platform::thingsboard::{partition::partition, settings::HashFunction};

use crate::{
    peers::{cluster::Cluster, kafka::Broker},
    scene::{PATIENCE, Scene},
};

/// Between two values of a device that has much to say.
const SOON: Duration = Duration::from_millis(100);

/// `rulings` 2.8: after 93 s without acknowledgement a Californium device has given up its observations.
#[test]
fn a59_one_minute_and_two_and_a_half_without_a_broker_cost_no_acknowledged_value_and_no_observation()
 {
    // Each waits most of its time.
    thread::scope(|scope| {
        let outages = [("minute", 60), ("minutes", 150)].map(|(name, seconds)| {
            scope.spawn(move || (seconds, outlive(name, Duration::from_secs(seconds))))
        });
        for outage in outages {
            let (seconds, acknowledged) = outage.join().expect("nothing is lost");
            println!(
                "{acknowledged:?} values acknowledged, all of them in Kafka after {seconds} s without a broker"
            );
        }
    });
}

/// Returns how many values were acknowledged; nothing when a peer cannot be had.
fn outlive(name: &str, outage: Duration) -> Option<usize> {
    let mut broker = Broker::start()?;
    let mut scene = Scene::start(&broker, name)?;
    let mut next = scene.notify(100.5, 20, SOON);
    broker.stop();
    let end = Instant::now() + outage;
    while Instant::now() < end {
        scene.set(next);
        next += 1.0;
        thread::sleep(Duration::from_secs(10));
    }
    broker.restart();
    scene.notify(next, 20, Duration::from_secs(1));
    let rpcs = scene.execute(3);
    scene.await_executed(&rpcs);
    Some(scene.end())
}

#[test]
fn a59_a62_a_broker_that_is_killed_costs_no_acknowledged_value_and_no_command_twice() {
    let Some(mut broker) = Broker::start() else {
        return;
    };
    let Some(mut scene) = Scene::start(&broker, "killed") else {
        return;
    };
    let mut next = 100.5;
    let mut rpcs = Vec::new();
    for _ in 0..2 {
        next = scene.notify(next, 10, SOON);
        scene.set(next);
        next += 1.0;
        // Read or not, committed or not, answered or not.
        rpcs.extend(scene.execute(5));
        broker.kill();
        broker.restart();
        next = scene.notify(next, 10, SOON);
        scene.await_executed(&rpcs);
    }
    let acknowledged = scene.end();
    println!("{acknowledged} values acknowledged, all of them in Kafka after two kills");
}

#[test]
fn a59_a62_leaders_that_change_cost_no_acknowledged_value_and_no_command_twice() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let Some(mut scene) = Scene::start(&cluster, "leaders") else {
        return;
    };
    let number = partition(scene.device, 10, HashFunction::Murmur3_128);
    let topic = format!("leaders.tb_rule_engine.main.{number}");
    let mut next = scene.notify(100.5, 10, SOON);
    let mut rpcs = Vec::new();
    // Handed over in order, and taken over after a death.
    for kill in [false, true] {
        let leader = cluster.leader(&topic);
        rpcs.extend(scene.execute(5));
        scene.set(next);
        next += 1.0;
        if kill {
            cluster.kill(leader);
        } else {
            cluster.stop(leader);
        }
        next = scene.notify(next, 10, SOON);
        assert_ne!(cluster.leader(&topic), leader, "the leader has not changed");
        scene.await_executed(&rpcs);
        cluster.restart(leader);
        next = scene.notify(next, 5, SOON);
    }
    let acknowledged = scene.end();
    println!(
        "{acknowledged} values acknowledged, all of them in Kafka after two changes of their leader"
    );
}

#[test]
fn sigterm_under_load_stops_in_order_and_loses_nothing_acknowledged() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let Some(mut scene) = Scene::start(&*broker, "sigterm") else {
        return;
    };
    for step in 0..200 {
        scene.set(f64::from(step) + 0.25);
        if step == 100 {
            scene.lightship.process.signal("TERM");
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(scene.lightship.process.wait(PATIENCE).success());
    scene.core.await_no_session(scene.device, PATIENCE);
    let acknowledged = scene.end();
    assert!(acknowledged > 0);
    println!("{acknowledged} values acknowledged, all of them in Kafka");
}
