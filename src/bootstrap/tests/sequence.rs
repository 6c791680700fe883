//! The requests of a bootstrap session, and what the device says to them.

use super::*;

#[test]
fn b1_m10_m11_a_fresh_device_gets_its_accounts_and_the_core_one_report() {
    let mut world = World::discovering(NOSEC, &peer(1));
    assert_eq!(
        world.complete(),
        ["GET /", "PUT /0/0", "PUT /0/1", "PUT /1/0", "POST /bs"]
    );
    assert_eq!(
        world.log(),
        [
            "info: Bootstrap session started... /198.51.100.1:5687",
            "info: receives success response for:  BootstrapDiscoverRequest  / DiscoverResponse [code=CONTENT(205), content=[</>;lwm2m=1.1, </0/0>]]",
            "info: receives success response for:  BootstrapWriteRequest  /0/0 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for:  BootstrapWriteRequest  /0/1 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for:  BootstrapWriteRequest  /1/0 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for bootstrap finish.",
            "info: Bootstrap session finished.",
        ]
    );
    assert_eq!(world.questions(), ["dev1"]);
    assert_eq!(world.reports(), 1);
    let others = world.uplinks.iter().filter(|uplink| {
        !matches!(
            uplink,
            Uplink::Question { .. } | Uplink::Telemetry { .. } | Uplink::BootstrapReport { .. }
        )
    });
    assert_eq!(others.count(), 0);
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn p32_1_the_2_04_leaves_before_the_first_request_and_the_peer_is_known_before_both() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    assert_eq!((world.sent.len(), world.bound.len()), (0, 0));
    let question = RequestId(0);
    let reply = Reply::Answer {
        id: question,
        result: Ok(Answer::Credentials(Arc::new(admission(NOSEC)))),
    };
    world.machine.handle_reply(world.now, reply);
    assert!(matches!(world.machine.poll_output(), Some(Output::Bind(_))));
    world.drain();
    let codes: Vec<_> = world
        .sent
        .iter()
        .map(|(_, message)| message.code())
        .collect();
    assert_eq!(codes, [Code::CHANGED, Code::GET]);
    assert_eq!(world.sent[0].1.message_type(), MessageType::Acknowledgement);
}

#[test]
fn p32_2_5_6_frames_of_discover_delete_and_finish() {
    let bare = |message: &Message| {
        let frame = message.datagram();
        let token = message.token().as_bytes().len();
        // Without message id and token.
        [&frame[..2], &frame[4 + token..]].concat()
    };
    let mut world = World::discovering(NOSEC, &peer(1));
    assert_eq!(bare(world.last()), b"\x48\x01\xd1\x04\x28");
    world.answer(Code::CONTENT, "</0/1>,</0/0>;ssid=123");
    assert_eq!(world.request(), "DELETE /0/0");
    assert_eq!(bare(world.last()), b"\x48\x04\xb1\x30\x010");
    world.answer(Code::DELETED, "");
    for path in ["PUT /0/0", "PUT /0/1", "PUT /1/0"] {
        assert_eq!(world.request(), path);
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(bare(world.last()), b"\x48\x02\xb2bs");
}

#[test]
fn p32_4_b19_instances_are_written_whole_in_the_format_of_the_device() {
    let models: Models = core::catalog().iter().cloned().collect();
    for (pct, expected) in [
        ("pct=112", ContentFormat::SENML_CBOR),
        ("pct=110", ContentFormat::SENML_JSON),
        ("pct=11543", ContentFormat::JSON),
        ("pct=11542", ContentFormat::TLV),
        ("x=1", ContentFormat::TLV),
    ] {
        let mut world = World::new();
        world.ask(&peer(1), &["ep=dev1", pct]);
        world.admit(Ok(admission(NOSEC)));
        world.complete();
        let writes: Vec<_> = world
            .sent
            .iter()
            .map(|(_, message)| message)
            .filter(|message| message.code() == Code::PUT)
            .collect();
        assert_eq!(writes.len(), 3);
        for message in writes {
            assert_eq!(message.content_format(), Some(expected));
            let path: Vec<_> = message.uri_path().collect();
            let path = path.join("/").parse().unwrap();
            let read = format::decode(expected, &path, &message.payload(), &models).unwrap();
            assert_eq!(read.rejected, []);
            let Node::ObjectInstance(instance) = read.node else {
                panic!("{:?}", read.node);
            };
            let ids: Vec<_> = instance.resources.iter().map(|own| own.id).collect();
            let expected: &[u16] = match path.to_string().as_str() {
                "/0/0" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12],
                "/0/1" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                _ => &[0, 1, 2, 6, 7],
            };
            assert_eq!(ids, expected);
        }
    }
}

#[test]
fn p32_4_a_server_instance_as_tlv() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.complete();
    let (_, write) = world
        .sent
        .iter()
        .rfind(|(_, sent)| sent.code() == Code::PUT)
        .unwrap();
    // Resources 0 (123), 1 (300), 2 (1), 6 (true), 7 ("U"); OMA LwM2M Core, "TLV".
    let expected = b"\xc1\x00\x7b\xc2\x01\x01\x2c\xc1\x02\x01\xc1\x06\x01\xc1\x07U";
    assert_eq!(&write.payload()[..], expected);
}

#[test]
fn p32_3_nothing_is_read() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let reads = world
        .complete()
        .into_iter()
        .filter(|own| own.starts_with("GET /") && own.len() > 5);
    assert_eq!(reads.count(), 0);
}

#[test]
fn b6_a_device_without_accounts_in_its_profile_gets_the_finish_alone() {
    let empty = Sample {
        profile: r#"{"type":"LWM2M","bootstrap":[]}"#,
        ..NOSEC
    };
    let mut world = World::discovering(empty, &peer(1));
    assert_eq!(world.complete(), ["GET /", "POST /bs"]);
}

#[test]
fn b15_a_device_that_knows_no_discover_is_written_to_beside_its_bootstrap_account() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::METHOD_NOT_ALLOWED, "");
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(world.request());
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(seen, ["PUT /0/1", "PUT /1/0"]);
    assert_eq!(world.request(), "POST /bs");
    assert_eq!(
        world.log()[1],
        "info: BootstrapDiscoverRequest / receives error response DiscoverResponse [code=METHOD_NOT_ALLOWED(405), errormessage=] "
    );
}

#[test]
fn b15_a_discover_that_cannot_be_read_counts_as_none() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "neither link nor list");
    assert_eq!(world.request(), "PUT /0/1");
}

#[test]
fn b16_a_write_that_is_refused_does_not_end_the_sequence() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    world.answer(Code::BAD_REQUEST, "no");
    assert_eq!(world.request(), "PUT /0/1");
    world.answer(Code::CHANGED, "");
    world.answer(Code::UNSUPPORTED_CONTENT_FORMAT, "");
    assert_eq!(world.request(), "POST /bs");
    world.answer(Code::CHANGED, "");
    assert_eq!(
        world.log()[2],
        "info: BootstrapWriteRequest /0/0 receives error response BootstrapWriteResponse [code=BAD_REQUEST(400), errormessage=no] "
    );
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn b17_a56_a_device_that_falls_silent_ends_the_session_without_a_finish() {
    let mut world = World::discovering(NOSEC, &peer(1));
    // Silent after the Discover, then in the middle of the Writes.
    for write in [false, true] {
        if write {
            world.ask(&peer(1), &["ep=dev1"]);
            world.admit(Ok(admission(NOSEC)));
            world.answer(Code::CONTENT, "</0/0>");
            world.answer(Code::CHANGED, "");
            assert_eq!(world.request(), "PUT /0/1");
        }
        let asked = world.sent.len();
        world.run(Duration::from_secs(60));
        assert!(world.machine.is_busy(), "retransmissions take longer");
        world.run(Duration::from_secs(60));
        assert!(!world.machine.is_busy());
        let repeated = &world.sent[asked - 1..];
        assert_eq!(
            repeated.len(),
            5,
            "MAX_RETRANSMIT repetitions and nothing else"
        );
        assert!(
            repeated
                .iter()
                .all(|(_, sent)| sent.datagram() == repeated[0].1.datagram())
        );
    }
    let log = world.log();
    assert_eq!(
        log[1..3],
        [
            "error: BootstrapDiscoverRequest / failed because of timeout",
            "error: Bootstrap session failed because of REQUEST_FAILED",
        ]
    );
    assert_eq!(
        log[log.len() - 2..],
        [
            "error: BootstrapWriteRequest /0/1 failed because of timeout",
            "error: Bootstrap session failed because of REQUEST_FAILED",
        ]
    );
    assert_eq!(world.reports(), 2);
    let stats = world.machine.stats();
    assert_eq!((stats.failed, stats.timed_out), (2, 2));
}

#[test]
fn b17_an_acknowledged_request_without_answer_ends_after_120_seconds() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let id = world.last().message_id();
    world.receive(&peer(1), encode::empty(MessageType::Acknowledgement, id));
    world.run(Duration::from_secs(119));
    assert!(world.machine.is_busy());
    world.run(Duration::from_secs(1));
    assert!(!world.machine.is_busy());
}

#[test]
fn a56_a_device_that_comes_back_after_a_failure_is_bootstrapped_from_the_beginning() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    world.run(Duration::from_secs(120));
    assert!(!world.machine.is_busy());
    // What was written before is found and written anew.
    world.ask(&peer(2), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.answer(Code::CONTENT, "</0/0>,</0/1>;ssid=123");
    assert_eq!(world.request(), "DELETE /0/1");
    world.answer(Code::DELETED, "");
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(world.request(), "POST /bs");
    world.answer(Code::CHANGED, "");
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn a56_a_lost_finish_is_repeated_and_taken_once() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(world.request(), "POST /bs");
    let finish = world.last().datagram().clone();
    world.run(Duration::from_secs(4));
    assert_eq!(*world.last().datagram(), finish, "with the same message id");
    world.answer(Code::CHANGED, "");
    // The answer to the first one arrives as well.
    world.answer(Code::CHANGED, "");
    let finished = world
        .log()
        .into_iter()
        .filter(|line| line.contains("finished"));
    assert_eq!((finished.count(), world.reports()), (1, 1));
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn b22_a_finish_that_is_refused_or_not_answered_is_finish_failed() {
    for refused in [true, false] {
        let mut world = World::discovering(NOSEC, &peer(1));
        world.answer(Code::CONTENT, "</0/0>");
        for _ in 0..3 {
            world.answer(Code::CHANGED, "");
        }
        if refused {
            world.answer(Code::NOT_ACCEPTABLE, "inconsistent");
        } else {
            world.run(Duration::from_secs(120));
        }
        let expected = if refused {
            "error: error response for request bootstrap finish. Stop the session: BootstrapSession [endpoint=dev1]"
        } else {
            "error: BootstrapFinishRequest /bs failed because of timeout"
        };
        let log = world.log();
        assert_eq!(
            log[log.len() - 2..],
            [
                expected,
                "error: Bootstrap session failed because of FINISH_FAILED"
            ]
        );
    }
}
