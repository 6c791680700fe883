//! What ends a bootstrap session, and what may not.

use super::*;

#[test]
fn b18_a_second_request_takes_the_place_of_the_first_session() {
    for port in [1, 2] {
        let mut world = World::discovering(NOSEC, &peer(1));
        world.answer(Code::CONTENT, "</0/0>");
        world.ask(&peer(port), &["ep=dev1"]);
        assert!(!world.log().iter().any(|line| line.contains("CANCELLED")));
        world.admit(Ok(admission(NOSEC)));
        assert_eq!(world.request(), "GET /");
        world.complete();
        let log = world.log();
        let lines = ["CANCELLED", "finished"]
            .map(|end| log.iter().filter(|line| line.contains(end)).count());
        assert_eq!((lines, world.reports()), ([1, 1], 2));
        // What the first session had open is not repeated.
        let sent = world.sent.len();
        world.run(Duration::from_secs(100));
        assert_eq!(world.sent.len(), sent);
    }
}

#[test]
fn a56_a_session_is_not_disturbed_by_who_is_not_the_device() {
    let mut world = World::discovering(PSK, &psk(1, "SOME_PSK_ID"));
    for port in 2..100 {
        world.ask(&peer(port), &["ep=dev1"]);
        if world.questions().len() > 1 && world.machine.candidate.is_some() {
            world.admit(Ok(admission(PSK)));
        }
    }
    // Six are asked for, the others are told to wait.
    assert_eq!(world.questions().len(), 7);
    assert_eq!(world.reply(), (Code::TOO_MANY_REQUESTS, ""));
    assert_eq!(world.last().max_age(), Some(30));
    // Those without security do not keep out those with it, nor the session that runs.
    let discover = world
        .sent
        .iter()
        .rposition(|(_, sent)| sent.code() == Code::GET)
        .unwrap();
    world.sent.truncate(discover + 1);
    world.answer(Code::CONTENT, "</0/0>");
    assert_eq!(world.request(), "PUT /0/0");
    world.ask(&psk(1, "SOME_PSK_ID"), &["ep=dev1"]);
    world.admit(Ok(admission(PSK)));
    assert_eq!(world.request(), "GET /");
    assert_eq!(world.machine.layers.len(), MAX_PEERS);
}

#[test]
fn a56_a_replayed_request_is_answered_as_the_first_time_and_starts_nothing() {
    let mut world = World::new();
    let datagram = world.ask(&peer(1), &["ep=dev1"]);
    world.receive(&peer(1), datagram.clone());
    world.admit(Ok(admission(NOSEC)));
    let answer = world.sent[0].1.datagram().clone();
    world.complete();
    let before = world.sent.len();
    for _ in 0..1000 {
        world.receive(&peer(1), datagram.clone());
    }
    assert_eq!(world.sent.len(), before + 1000);
    assert!(
        world.sent[before..]
            .iter()
            .all(|(_, sent)| *sent.datagram() == answer)
    );
    assert_eq!((world.questions().len(), world.log().len()), (1, 7));
}

#[test]
fn a56_new_requests_at_a_thousand_a_second_cost_the_core_six_questions_a_minute() {
    let mut world = World::new();
    for _ in 0..60_000 {
        world.ask(&peer(1), &["ep=dev1"]);
        if world.machine.candidate.is_some() {
            world.admit(Ok(admission(NOSEC)));
        }
        world.now = world.now.after(Duration::from_millis(1));
        world.sent.clear();
    }
    let asked = world.questions().len();
    assert!((6..=12).contains(&asked), "{asked}");
}

#[test]
fn what_exceeds_the_rate_of_a_device_is_dropped_unread() {
    let mut world = World::with(|settings| settings.rate = Some(RateLimit::new(1, 2)));
    for _ in 0..5 {
        world.ask(&peer(1), &["ep=dev1"]);
    }
    assert_eq!(world.machine.stats().limited, 3);
}

#[test]
fn a_request_repeated_anew_before_the_answer_is_answered_once() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.ask(&peer(1), &["ep=dev1", "pct=112"]);
    // Somebody else must wait.
    let other = world.ask(&peer(2), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    let answers = world
        .sent
        .iter()
        .filter(|(_, sent)| sent.code() == Code::CHANGED);
    assert_eq!(answers.count(), 1);
    assert_eq!(world.questions().len(), 1);
    assert_eq!(world.machine.stats().dropped_requests, 1);
    world.answer(Code::CONTENT, "</0/0>");
    assert_eq!(
        world.last().content_format(),
        Some(ContentFormat::SENML_CBOR)
    );
    // When it asks again, it is heard.
    world.receive(&peer(2), other);
    assert_eq!(world.questions().len(), 2);
}

#[test]
fn a_session_ends_after_ten_minutes_however_far_it_is() {
    let entry = |id: u16| {
        format!(r#"{{"securityMode":"NO_SEC","shortServerId":{id},"host":"h{id}","port":1}}"#)
    };
    let profile = format!(
        r#"{{"type":"LWM2M","bootstrap":[{},{},{}]}}"#,
        entry(1),
        entry(2),
        entry(3)
    );
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission_with(&profile, NOSEC.credentials)));
    // A device that takes almost two minutes for every answer.
    for step in 0..5 {
        let (id, token) = (world.last().message_id(), world.last().token());
        world.receive(&peer(1), encode::empty(MessageType::Acknowledgement, id));
        world.run(Duration::from_secs(119));
        let response = Response::new(Code::CHANGED);
        let response = encode::response(
            &response,
            MessageType::NonConfirmable,
            MessageId(5000 + step),
            token,
        );
        world.receive(&peer(1), response);
    }
    assert_eq!(world.request(), "PUT /1/1");
    world.run(Duration::from_secs(4));
    assert!(world.machine.is_busy());
    world.run(Duration::from_secs(1));
    assert!(!world.machine.is_busy());
    assert!(world.log().last().unwrap().ends_with("REQUEST_FAILED"));
}

#[test]
fn a_peer_whose_security_context_goes_ends_its_session() {
    let peer = psk(1, "SOME_PSK_ID");
    let mut world = World::discovering(PSK, &peer);
    world.machine.handle_disconnect(world.now, peer.id);
    world.drain();
    assert_eq!(
        world.log()[1],
        "error: Bootstrap session failed because of REQUEST_FAILED"
    );
    assert_eq!((world.bound.len(), world.reports()), (0, 1));
}

#[test]
fn a_finished_session_is_forgotten_after_exchange_lifetime() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.complete();
    assert_eq!(world.bound.len(), 1);
    world.run(Duration::from_secs(246));
    assert!(!world.closed);
    world.run(Duration::from_secs(2));
    assert!(world.closed);
    assert_eq!((world.bound.len(), world.machine.poll_timeout()), (0, None));
}

#[test]
fn a_server_that_stops_ends_the_session_in_silence() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let sent = world.sent.len();
    world.machine.stop(world.now);
    world.drain();
    assert!(world.closed);
    assert_eq!((world.sent.len(), world.reports()), (sent, 1));
    assert!(world.log()[1].ends_with("CANCELLED"));
}

#[test]
fn log_lines_are_written_only_if_wanted_and_never_too_long() {
    let mut world = World::with(|settings| settings.log_enabled = false);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.complete();
    assert_eq!((world.log().len(), world.reports()), (0, 1));
    let mut world = World::with(|settings| settings.log_max_length = 20);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.complete();
    assert!(world.log().iter().all(|line| line.len() <= 20));
}

proptest::proptest! {
    /// Whatever comes, in whatever order: no panic, no growth, and no key in a message but a Write to a device admitted.
    #[test]
    fn any_interleaving_keeps_the_machine_sound(inputs in proptest::collection::vec((0_u8..8, 0_u16..6, proptest::prelude::any::<Vec<u8>>()), 0..60)) {
        let mut world = World::new();
        for (kind, port, bytes) in inputs {
            if world.closed {
                break;
            }
            match kind {
                0 => drop(world.ask(&peer(port), &["ep=dev1"])),
                1 => drop(world.ask(&psk(port, "SOME_PSK_ID"), &["ep=dev1"])),
                2 => world.receive(&peer(port), Bytes::from(bytes)),
                3 if world.machine.candidate.is_some() => world.admit(Ok(admission(PSK))),
                4 if world.sent.iter().any(|(_, sent)| sent.code().is_request()) => world.answer(Code::CONTENT, "</0/0>"),
                5 => world.run(Duration::from_secs(u64::from(port) * 20)),
                6 => world.machine.handle_disconnect(world.now, peer(port).id),
                _ => world.machine.handle_timeout(world.now),
            }
            if !world.closed {
                world.drain();
            }
            assert!(world.machine.layers.len() <= MAX_PEERS);
        }
        let key = b"secretPSKsecretP";
        for (to, message) in &world.sent {
            let holds_key = message.datagram().windows(key.len()).any(|window| window == key);
            assert!(!holds_key || message.code() == Code::PUT, "{to}");
        }
    }
}
