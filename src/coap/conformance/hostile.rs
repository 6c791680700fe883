//! Hostile input, rows A.

use std::time::Duration;

use bytes::Bytes;

use crate::coap::{
    Code, Event, Message, MessageType, ParseErrorKind, Random, Response, TransmissionParameters,
    stranger::{Verdict, judge},
    test_support::{Scene, hex},
};

fn kind(datagram: &str) -> ParseErrorKind {
    Message::parse(hex(datagram).into()).unwrap_err().kind
}

/// Asserts that `options` make a CON worth a RST and a NON worth nothing.
fn assert_rejected(options: &str, expected: ParseErrorKind) {
    let mut scene = Scene::new();
    let confirmable = format!("41 02 00 01 a1 {options}");
    assert_eq!(kind(&confirmable), expected);
    scene.receive(&confirmable);
    assert_eq!(scene.sent(), ["70 00 00 01"]);
    scene.receive(&format!("51 02 00 01 a1 {options}"));
    scene.assert_silent();
}

#[test]
fn a17_a_million_random_datagrams_leave_nothing_behind() {
    let mut noise = vec![0; 1 << 17];
    Random::from_seed([17; 32]).fill(&mut noise);
    let noise = Bytes::from(noise);
    let register = hex(
        "41 02 00 01 a1 b2 72 64 11 28 37 65 70 3d 64 65 76 31 06 6c 74 3d 33 30 30 ff 3c 2f 3e",
    );
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    for round in 0..1_000_000_usize {
        let start = round * 7 % (1 << 16);
        let drawn = |index: usize| usize::from(noise[start + index]);
        let datagram = match round % 1000 {
            // As long as UDP allows.
            0 => noise.slice(start..start + 65_507),
            odd if odd % 2 == 1 => {
                let mut mutant = register.clone();
                mutant[drawn(0) % register.len()] = noise[start + 1];
                mutant[2] = noise[start + 2];
                mutant[3] = noise[start + 3];
                Bytes::from(mutant)
            }
            _ => noise.slice(start..start + drawn(0) % 41),
        };
        let parsed = Message::parse(datagram.clone());
        if let Verdict::Settled {
            answer: Some(answer),
            ..
        } = judge(parsed.as_ref())
        {
            assert!(answer.len() <= datagram.len());
        }
        scene
            .exchanges
            .handle_datagram(scene.now, Scene::DEVICE, datagram);
        while let Some((_, datagram)) = scene.exchanges.poll_transmit() {
            assert!(datagram.len() <= 12);
        }
        // Half of the events are answered, the other half never.
        while let Some(event) = scene.exchanges.poll_event() {
            if let Event::Request { id, message, .. } = event
                && message.message_id().0 % 2 == 0
            {
                scene
                    .exchanges
                    .respond(scene.now, id, &Response::new(Code::NOT_FOUND));
            }
        }
        assert!(scene.exchanges.remembered_messages() <= 32);
        if round % 100 == 0 {
            scene.wait(Duration::from_secs(1));
        }
    }
    assert_eq!(scene.exchanges.observations(), 1);
    assert_eq!(scene.exchanges.open_requests(), 0);
    scene.wait(Duration::from_secs(250));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    let stats = scene.exchanges.stats();
    let outcomes = [
        stats.sent,
        stats.format_errors,
        stats.bad_options,
        stats.duplicates,
        stats.unknown_tokens,
        stats.unmatched,
        stats.ring_full,
    ];
    assert!(outcomes.iter().all(|&outcome| outcome > 100), "{stats:?}");
    scene.sent();
    scene.receive(&format!("58 45 00 07 {token} 61 06 ff 31"));
    assert!(
        matches!(scene.event(), Event::Notification { .. }),
        "and it still works"
    );
}

#[test]
fn a18_reserved_and_truncated_option_headers_are_rejected() {
    for reserved in ["f0", "f1 00", "bf 00", "1f"] {
        assert_rejected(reserved, ParseErrorKind::OptionReserved);
    }
    for truncated in [
        "d0",
        "e0",
        "e0 00",
        "bd",
        "be",
        "be 00",
        "dd 00",
        "ee 00 00 00",
        "b1",
        "bd 00 61",
    ] {
        assert_rejected(truncated, ParseErrorKind::OptionTruncated);
    }
}

#[test]
fn a19_reserved_and_truncated_token_lengths_are_rejected() {
    for first in ["4d", "4e", "4f", "49"] {
        assert_eq!(
            kind(&format!("{first} 01 12 34")),
            ParseErrorKind::TokenLength
        );
    }
    assert_eq!(
        kind("48 01 12 34 00 01 02 03 04 05 06"),
        ParseErrorKind::TokenTruncated
    );
    let mut scene = Scene::new();
    scene.receive("4e 01 12 34");
    assert_eq!(scene.sent(), ["70 00 12 34"]);
    scene.receive("5e 01 12 34");
    scene.assert_silent();
}

#[test]
fn a20_option_numbers_above_65535_are_rejected() {
    // Extended delta 65535 + 269
    assert_rejected("e0 ff ff", ParseErrorKind::OptionNumber);
    // 65535, and one more
    assert_rejected("e0 fe f2 10", ParseErrorKind::OptionNumber);
    assert!(Message::parse(hex("41 02 00 01 a1 e0 fe f2").into()).is_ok());
}

#[test]
fn a20_the_number_and_the_length_of_options_are_bounded() {
    let uri_paths = |number: usize| format!("b1 61 {}", "01 61 ".repeat(number - 1));
    assert!(Message::parse(hex(&format!("41 02 00 01 a1 {}", uri_paths(64))).into()).is_ok());
    assert_rejected(&uri_paths(65), ParseErrorKind::TooManyOptions);
    assert_rejected(&uri_paths(500), ParseErrorKind::TooManyOptions);
    let etags = format!("41 61 {}", "01 61 ".repeat(499));
    assert_rejected(&etags, ParseErrorKind::TooManyOptions);
    // One option of 269 + 0x3fff bytes
    let long = format!("be 3f ff {}", "61 ".repeat(269 + 0x3fff));
    assert_rejected(&long, ParseErrorKind::TooManyOptions);
}

#[test]
fn a21_empty_payloads_versions_and_reserved_classes_are_rejected() {
    assert_rejected("ff", ParseErrorKind::EmptyPayload);
    assert_rejected("b2 72 64 ff", ParseErrorKind::EmptyPayload);
    assert_eq!(kind("00 02 00 01"), ParseErrorKind::Version);
    for code in ["20", "3f", "c0", "df", "e0", "ff"] {
        assert_eq!(kind(&format!("40 {code} 00 01")), ParseErrorKind::CodeClass);
    }
}

#[test]
fn a22_an_unknown_critical_option_gets_4_02_and_an_elective_one_is_ignored() {
    let mut scene = Scene::new();
    // Uri-Path "rd", then option 13 (critical) or 14 + 2 = 16 (Hop-Limit, elective)
    scene.receive("41 02 00 01 a1 b2 72 64 20");
    assert_eq!(scene.sent(), ["61 82 00 01 a1"]);
    scene.receive("41 02 00 02 a1 b2 72 64 51 10");
    assert!(matches!(scene.event(), Event::Request { .. }));
}

#[test]
fn a23_duplicate_con_handled_once() {
    let mut scene = Scene::new();
    let send = "41 02 70 02 b1 b2 64 70 11 70 ff 80";
    scene.receive(send);
    let id = scene.incoming();
    for _ in 0..10 {
        scene.receive(send);
    }
    scene.assert_silent();
    scene
        .exchanges
        .respond(scene.now, id, &Response::new(Code::CHANGED));
    assert_eq!(scene.sent(), ["61 44 70 02 b1"]);
    for _ in 0..80 {
        scene.receive(send);
        assert_eq!(scene.sent(), ["61 44 70 02 b1"]);
    }
    scene.exchanges.rebind(9);
    for _ in 0..10 {
        scene.receive_from(9, send);
        assert_eq!(
            scene.sent_to(),
            [(9, "61 44 70 02 b1".to_owned())],
            "where the duplicate came from"
        );
    }
    assert!(scene.events().is_empty());
    assert_eq!(scene.exchanges.stats().duplicates, 100);
}

#[test]
fn a23_a_message_id_that_comes_round_again_is_new() {
    let mut scene = Scene::new();
    for round in 0..=0x1_0000_u32 {
        scene.receive(&format!("40 02 {:04x} b2 64 70", (0x7002 + round) & 0xffff));
        let id = scene.incoming();
        scene
            .exchanges
            .respond(scene.now, id, &Response::new(Code::CHANGED));
        scene.exchanges.poll_transmit();
        scene.now += Duration::from_millis(4);
    }
    assert_eq!(scene.exchanges.stats().duplicates, 0);
}

#[test]
fn a23_a_ring_full_of_waiting_messages_drops_new_ones_until_one_is_settled() {
    let mut scene = Scene::with(TransmissionParameters {
        dedup_ring: 2,
        ..TransmissionParameters::default()
    });
    let token = scene.observe("61 05");
    let notification = |id: u16| format!("48 45 {id:04x} {token} 61 06 ff 31");
    let mut deferred = Vec::new();
    for id in 1..=2 {
        scene.receive(&notification(id));
        let Event::Notification {
            deferred: Some(id), ..
        } = scene.event()
        else {
            panic!("no confirmable notification");
        };
        deferred.push(id);
    }
    for datagram in [
        notification(3),
        "40 02 00 04 b2 64 70".into(),
        "50 02 00 05 b2 64 70".into(),
    ] {
        scene.receive(&datagram);
        scene.assert_silent();
    }
    assert_eq!(scene.exchanges.stats().ring_full, 3);
    scene.exchanges.acknowledge(scene.now, deferred[0]);
    assert_eq!(scene.sent(), ["60 00 00 01"]);
    scene.receive(&notification(3));
    assert!(matches!(scene.event(), Event::Notification { .. }));
    scene.exchanges.acknowledge(scene.now, deferred[1]);
    assert_eq!(
        scene.sent(),
        ["60 00 00 02"],
        "the other one was not evicted"
    );
}

#[test]
fn a23_separate_responses_that_are_never_acknowledged_do_not_pile_up() {
    let mut scene = Scene::new();
    for id in 0..1000 {
        scene.receive(&format!("40 02 {id:04x} b2 64 70"));
        let id = scene.incoming();
        scene.wait(Duration::from_millis(1_500));
        scene
            .exchanges
            .respond(scene.now, id, &Response::new(Code::CHANGED));
    }
    scene.sent();
    scene.wait(Duration::from_millis(3_000));
    assert!(scene.sent().len() <= 32);
    scene.wait(Duration::from_secs(93));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    assert_eq!(scene.exchanges.stats().timeouts, 1000);
}

#[test]
fn a25_an_acknowledgement_that_fits_in_part_is_ignored() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    let (other, _) = scene.get();
    for datagram in [
        format!("60 00 {:04x}", id.0 ^ 0x4000),
        format!("70 00 {:04x}", id.0 ^ 0x4000),
        format!("68 45 {:04x} {other} ff 31", id.0),
        format!("60 45 {:04x} ff 31", id.0),
    ] {
        scene.receive(&datagram);
        scene.assert_silent();
    }
    for forged in [
        format!("60 00 {:04x}", id.0),
        format!("70 00 {:04x}", id.0),
        format!("68 45 {:04x} {token} ff 31", id.0),
    ] {
        scene.receive_from(9, &forged);
        scene.assert_silent();
    }
    assert_eq!(scene.exchanges.stats().unmatched, 7);
    assert_eq!(scene.exchanges.open_requests(), 2);
}

#[test]
fn a25_a_device_cannot_confuse_its_tokens_with_ours() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("48 02 00 01 {token} b2 64 70"));
    let incoming = scene.incoming();
    scene.wait(Duration::from_millis(1_500));
    scene
        .exchanges
        .respond(scene.now, incoming, &Response::new(Code::CHANGED));
    let sent = scene.sent();
    let response = Message::parse(hex(&sent[1]).into()).unwrap();
    assert_eq!(
        (response.message_type(), response.token()),
        (MessageType::Confirmable, token)
    );
    scene.receive(&format!("60 00 {:04x}", response.message_id().0));
    assert!(scene.events().is_empty());
    assert_eq!(
        scene.exchanges.open_requests(),
        1,
        "the request is still open"
    );
    scene.receive(&format!("68 45 {:04x} {token}", id.0));
    assert!(matches!(scene.event(), Event::Response { .. }));
}

#[test]
fn a26_pings_beyond_the_limit_get_silence() {
    let mut scene = Scene::new();
    for second in 1..=2 {
        for id in 0..1000 {
            scene.receive(&format!("40 00 {id:04x}"));
        }
        assert_eq!(scene.sent().len(), 10);
        assert_eq!(scene.exchanges.stats().pings, second * 1000);
        scene.now += Duration::from_secs(1);
    }
    assert_eq!(scene.exchanges.poll_timeout(), None);
}
