//! RFC 7252 sections 3 to 5, rows C.

use std::{collections::BTreeSet, time::Duration};

use crate::coap::{
    Code, Event, Failure, Message, MessageType, ParseErrorKind, Request, Response,
    TransmissionParameters,
    test_support::{Scene, hex, read},
};

fn parse(datagram: &str) -> Result<Message, ParseErrorKind> {
    Message::parse(hex(datagram).into()).map_err(|error| error.kind)
}

fn changed() -> Response {
    Response::new(Code::CHANGED)
}

#[test]
fn c01_header_fields_stand_where_the_rfc_puts_them() {
    // RFC 7252 appendix A, figure 16: CON GET with message id 0x7d34 and Uri-Path "temperature"
    let request = parse("40 01 7d 34 bb 74 65 6d 70 65 72 61 74 75 72 65").unwrap();
    assert_eq!(request.message_type(), MessageType::Confirmable);
    assert_eq!(request.code(), Code::GET);
    assert_eq!(request.message_id().0, 0x7d34);
    assert_eq!(request.token().as_bytes(), b"");
    assert_eq!(request.uri_path().collect::<Vec<_>>(), ["temperature"]);
    // Figure 16: its 2.05 "22.3 C"
    let response = parse("60 45 7d 34 ff 32 32 2e 33 20 43").unwrap();
    assert_eq!(response.message_type(), MessageType::Acknowledgement);
    assert_eq!(response.code(), Code::CONTENT);
    assert_eq!(&response.payload()[..], b"22.3 C");
    // Figure 17: the same with token 0x20
    let request = parse("41 01 7d 35 20 bb 74 65 6d 70 65 72 61 74 75 72 65").unwrap();
    assert_eq!(request.token().as_bytes(), [0x20]);
    assert_eq!(request.token().to_string(), "20");
}

#[test]
fn c02_another_version_is_dropped_without_rst() {
    let mut scene = Scene::new();
    for datagram in ["00 01 12 34", "80 01 12 34", "c0 00 12 34"] {
        assert_eq!(parse(datagram).unwrap_err(), ParseErrorKind::Version);
        scene.receive(datagram);
        scene.assert_silent();
    }
    assert_eq!(scene.exchanges.stats().format_errors, 3);
}

#[test]
fn c03_a_token_length_above_8_is_a_format_error() {
    let mut scene = Scene::new();
    for length in 9..=15 {
        let datagram = format!("4{length:x} 01 12 34 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e");
        assert_eq!(parse(&datagram).unwrap_err(), ParseErrorKind::TokenLength);
        scene.receive(&datagram);
        assert_eq!(scene.sent(), ["70 00 12 34"]);
    }
    assert!(parse("48 01 12 34 00 01 02 03 04 05 06 07").is_ok());
}

#[test]
fn c04_a_marker_without_payload_and_a_nibble_of_15_are_format_errors() {
    assert_eq!(
        parse("40 01 12 34 ff").unwrap_err(),
        ParseErrorKind::EmptyPayload
    );
    assert_eq!(
        parse("40 01 12 34 f0").unwrap_err(),
        ParseErrorKind::OptionReserved
    );
    assert_eq!(
        parse("40 01 12 34 bf").unwrap_err(),
        ParseErrorKind::OptionReserved
    );
    assert!(parse("40 01 12 34 ff ff").is_ok());
}

#[test]
fn c05_an_empty_message_is_a_header_alone() {
    assert!(parse("40 00 12 34").is_ok());
    for datagram in [
        "41 00 12 34 a1",
        "41 00 12 34",
        "40 00 12 34 b0",
        "40 00 12 34 ff 00",
    ] {
        assert_eq!(parse(datagram).unwrap_err(), ParseErrorKind::EmptyMessage);
    }
    assert_eq!(parse("40 00 12").unwrap_err(), ParseErrorKind::TooShort);
}

#[test]
fn c06_only_a_confirmable_message_is_rejected_with_rst() {
    let mut scene = Scene::new();
    scene.receive("40 01 12 34 ff");
    assert_eq!(scene.sent(), ["70 00 12 34"]);
    // Class 1, 6 and 7 are reserved (section 4.2).
    for code in ["20", "c0", "e1"] {
        scene.receive(&format!("40 {code} 12 34"));
        assert_eq!(scene.sent(), ["70 00 12 34"]);
    }
    for datagram in [
        "50 01 12 34 ff",
        "60 45 12 34 ff",
        "70 45 12 34 ff",
        "50 e1 12 34",
        "50 00 12 34",
    ] {
        scene.receive(datagram);
        scene.assert_silent();
    }
    // A request in an acknowledgement, content in a RST (section 4.2)
    for datagram in ["60 01 12 34", "70 01 12 34"] {
        scene.receive(datagram);
        scene.assert_silent();
    }
}

#[test]
fn c07_a_request_is_retransmitted_with_doubling_waits_and_then_fails() {
    let mut scene = Scene::new();
    let begin = scene.now;
    let token = scene.exchanges.request(
        begin,
        Scene::DEVICE,
        &read("/3/0"),
        Duration::from_secs(1000),
    );
    let first = scene.sent();
    let mut times = vec![begin];
    while let Some(due) = scene.exchanges.poll_timeout().filter(|_| times.len() < 6) {
        scene.wait(due - scene.now);
        times.push(due);
        if times.len() < 6 {
            assert_eq!(scene.sent(), first, "the same bytes each time");
        }
    }
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits.len(), 5, "four retransmissions and the last wait");
    assert!(waits[0] >= Duration::from_secs(2) && waits[0] <= Duration::from_secs(3));
    assert!(waits.windows(2).all(|pair| pair[1] == pair[0] * 2));
    assert!(scene.now - begin <= TransmissionParameters::default().max_transmit_wait());
    assert!(
        matches!(scene.event(), Event::Failed { token: failed, failure: Failure::Timeout } if failed == token)
    );
    assert_eq!(scene.exchanges.poll_timeout(), None);
    assert_eq!(scene.exchanges.stats().retransmissions, 4);
}

#[test]
fn c07_the_time_of_the_whole_exchange_ends_it_too() {
    let mut scene = Scene::new();
    scene.exchanges.request(
        scene.now,
        Scene::DEVICE,
        &read("/3/0"),
        Duration::from_secs(10),
    );
    scene.wait(Duration::from_millis(9_999));
    assert!(scene.events().is_empty());
    scene.wait(Duration::from_millis(1));
    assert!(matches!(
        scene.event(),
        Event::Failed {
            failure: Failure::Timeout,
            ..
        }
    ));
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c08_an_acknowledgement_stops_retransmission() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("60 00 {:04x}", id.0));
    assert!(
        matches!(scene.event(), Event::Acknowledged { token: acknowledged } if acknowledged == token)
    );
    scene.wait(Duration::from_secs(100));
    scene.assert_silent();
    scene.wait(Duration::from_secs(20));
    assert!(matches!(
        scene.event(),
        Event::Failed {
            failure: Failure::Timeout,
            ..
        }
    ));
}

#[test]
fn c08_a_reset_ends_the_request() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("70 00 {:04x}", id.0));
    assert!(
        matches!(scene.event(), Event::Failed { token: failed, failure: Failure::Reset } if failed == token)
    );
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c08_a_separate_response_that_overtakes_its_acknowledgement_counts_as_one() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("48 45 00 07 {token} ff 31"));
    assert_eq!(scene.sent(), ["60 00 00 07"]);
    assert!(matches!(
        scene.event(),
        Event::Response {
            observing: false,
            ..
        }
    ));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.receive(&format!("60 00 {:04x}", id.0));
    scene.assert_silent();
}

#[test]
fn c09_a_piggybacked_response_ends_the_request() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("68 45 {:04x} {token} ff 31", id.0));
    let Event::Response {
        token: answered,
        message,
        observing,
        ..
    } = scene.event()
    else {
        panic!("no response");
    };
    assert_eq!((answered, observing), (token, false));
    assert_eq!(&message.payload()[..], b"1");
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c09_a_separate_response_may_be_con_or_non() {
    for (first, acknowledgement) in [("48", vec!["60 00 00 07"]), ("58", vec![])] {
        let mut scene = Scene::new();
        let (token, id) = scene.get();
        scene.receive(&format!("60 00 {:04x}", id.0));
        scene.events();
        let response = format!("{first} 45 00 07 {token} ff 31");
        scene.receive(&response);
        assert!(matches!(scene.event(), Event::Response { .. }));
        assert_eq!(scene.sent(), acknowledgement);
        scene.receive(&response);
        assert!(
            scene.events().is_empty(),
            "its duplicate is no second response"
        );
        assert_eq!(scene.sent(), acknowledgement);
    }
}

#[test]
fn c09_an_answer_in_time_rides_on_the_acknowledgement() {
    let mut scene = Scene::new();
    scene.receive("42 02 00 09 a1 a2 b2 72 64");
    let id = scene.incoming();
    scene.wait(Duration::from_millis(1_499));
    scene.exchanges.respond(scene.now, id, &changed());
    assert_eq!(scene.sent(), ["62 44 00 09 a1 a2"]);
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c09_a_slow_answer_goes_separately_after_an_empty_acknowledgement() {
    let mut scene = Scene::new();
    let request = "42 02 00 09 a1 a2 b2 72 64";
    scene.receive(request);
    let id = scene.incoming();
    scene.wait(Duration::from_millis(1_500));
    assert_eq!(scene.sent(), ["60 00 00 09"]);
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.receive(request);
    assert_eq!(scene.sent(), ["60 00 00 09"], "so do duplicates");

    scene.exchanges.respond(scene.now, id, &changed());
    let response = scene.sent_message();
    assert_eq!(response.message_type(), MessageType::Confirmable);
    assert_eq!(response.code(), Code::CHANGED);
    assert_eq!(response.token().as_bytes(), [0xa1, 0xa2]);
    scene.wait(Duration::from_secs(3));
    assert_eq!(
        scene.sent_message().message_id(),
        response.message_id(),
        "it is retransmitted"
    );
    scene.receive(&format!("60 00 {:04x}", response.message_id().0));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    assert_eq!(
        scene.exchanges.open_requests(),
        0,
        "it takes no NSTART slot"
    );
}

#[test]
fn c09_a_non_request_gets_a_non_response() {
    let mut scene = Scene::new();
    scene.receive("51 02 00 09 a1 b2 64 70");
    let id = scene.incoming();
    assert_eq!(
        scene.exchanges.poll_timeout(),
        None,
        "there is nothing to acknowledge"
    );
    scene.exchanges.respond(scene.now, id, &changed());
    let response = scene.sent_message();
    assert_eq!(response.message_type(), MessageType::NonConfirmable);
    assert_eq!(response.token().as_bytes(), [0xa1]);
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c10_message_ids_start_at_random_and_count_up() {
    let mut scene = Scene::new();
    let first = scene.get().1.0;
    assert_eq!(scene.get().1.0, first.wrapping_add(1));
    assert_eq!(scene.get().1.0, first.wrapping_add(2));
    assert_ne!(first, 0);
}

#[test]
fn c11_a_duplicate_con_gets_the_same_bytes_and_is_handled_once() {
    let mut scene = Scene::new();
    let request = "41 02 00 01 a1 b2 72 64";
    scene.receive(request);
    let id = scene.incoming();
    scene.receive(request);
    scene.assert_silent();
    let created = Response {
        location_path: vec!["rd".into(), "5a3f".into()],
        ..Response::new(Code::CREATED)
    };
    scene.exchanges.respond(scene.now, id, &created);
    let answer = scene.sent();
    scene.wait(Duration::from_millis(246_999));
    scene.receive(request);
    assert_eq!(scene.sent(), answer);
    assert!(scene.events().is_empty());
    scene.wait(Duration::from_millis(1));
    scene.receive(request);
    assert!(
        matches!(scene.event(), Event::Request { .. }),
        "after EXCHANGE_LIFETIME it is new"
    );
    assert_eq!(scene.exchanges.stats().duplicates, 2);
}

#[test]
fn c11_a_duplicate_non_is_dropped_for_non_lifetime() {
    let mut scene = Scene::new();
    let request = "51 02 00 01 a1 b2 64 70";
    scene.receive(request);
    let id = scene.incoming();
    scene.exchanges.respond(scene.now, id, &changed());
    scene.sent();
    scene.wait(Duration::from_millis(144_999));
    scene.receive(request);
    scene.assert_silent();
    scene.wait(Duration::from_millis(1));
    scene.receive(request);
    assert!(matches!(scene.event(), Event::Request { .. }));
}

#[test]
fn c11_an_ignored_request_stays_unanswered() {
    let mut scene = Scene::new();
    let request = "41 02 00 01 a1 b2 64 70";
    scene.receive(request);
    let id = scene.incoming();
    scene.exchanges.ignore(id);
    scene.wait(Duration::from_secs(60));
    scene.receive(request);
    scene.exchanges.respond(scene.now, id, &changed());
    scene.assert_silent();
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn c12_an_ack_or_rst_that_answers_nothing_is_ignored() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    for datagram in [
        format!("60 00 {:04x}", id.0.wrapping_add(1)),
        format!("70 00 {:04x}", id.0.wrapping_add(1)),
        format!("68 45 {:04x} {token} ff 31", id.0.wrapping_add(1)),
    ] {
        scene.receive(&datagram);
        scene.assert_silent();
    }
    assert_eq!(scene.exchanges.stats().unmatched, 3);
    assert_eq!(scene.exchanges.open_requests(), 1);
}

#[test]
fn c13_a_request_occupies_its_slot_until_acknowledged_or_answered() {
    let mut scene = Scene::new();
    let (_, first) = scene.get();
    let (token, second) = scene.get();
    assert_eq!(scene.exchanges.open_requests(), 2);
    scene.receive(&format!("60 00 {:04x}", first.0));
    assert_eq!(scene.exchanges.open_requests(), 1);
    scene.receive(&format!("68 45 {:04x} {token}", second.0));
    assert_eq!(scene.exchanges.open_requests(), 0);
}

#[test]
fn c15_a_response_needs_the_token_and_the_address_of_the_request() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive_from(9, &format!("68 45 {:04x} {token} ff 31", id.0));
    scene.assert_silent();
    scene.receive_from(9, &format!("58 45 00 07 {token} ff 31"));
    assert_eq!(scene.sent_to(), [(9, "70 00 00 07".to_owned())]);
    scene.receive("58 45 00 08 a0 01 00 00 00 00 00 00 ff 31");
    assert_eq!(scene.sent(), ["70 00 00 08"]);
    assert!(scene.events().is_empty());
    scene.receive(&format!("68 45 {:04x} {token} ff 31", id.0));
    assert!(matches!(scene.event(), Event::Response { .. }));
}

#[test]
fn c15_the_token_of_a_request_is_echoed_verbatim() {
    for token in ["", "00", "00 01 02 03 04 05 06 07"] {
        let mut scene = Scene::new();
        let length = hex(token).len();
        scene.receive(&format!("4{length} 02 00 01 {token}"));
        let id = scene.incoming();
        scene.exchanges.respond(scene.now, id, &changed());
        assert_eq!(
            scene.sent(),
            [format!("6{length} 44 00 01 {token}").trim_end().to_owned()]
        );
    }
}

#[test]
fn c16_tokens_are_8_bytes_and_random_behind_their_prefix() {
    let mut scene = Scene::new();
    let tokens: BTreeSet<_> = (0..1000).map(|_| scene.get().0).collect();
    assert_eq!(tokens.len(), 1000);
    for token in &tokens {
        assert_eq!(token.as_bytes().len(), 8);
        assert_eq!(token.as_bytes()[..2], [0xa0, 0x01]);
    }
    for byte in 2..8 {
        let values: BTreeSet<u8> = tokens.iter().map(|token| token.as_bytes()[byte]).collect();
        assert!(values.len() > 200, "each byte takes about all values");
    }
}

#[test]
fn c17_a_request_with_an_unknown_critical_option_gets_4_02() {
    let mut scene = Scene::new();
    // Option 9 (OSCORE), option 65001
    for options in ["90", "e0 fc dc"] {
        scene.receive(&format!("41 01 00 01 a1 {options}"));
        assert_eq!(scene.sent(), ["61 82 00 01 a1"]);
        scene.receive(&format!("51 01 00 02 a1 {options}"));
        scene.assert_silent();
    }
    assert_eq!(scene.exchanges.stats().bad_options, 4);
    // Elective: option 2, option 65000
    scene.receive("41 01 00 03 a1 20 e0 fc d9");
    assert!(matches!(scene.event(), Event::Request { .. }));
}

#[test]
fn c17_a_response_with_an_unknown_critical_option_is_rejected() {
    let mut scene = Scene::new();
    let (token, id) = scene.get();
    scene.receive(&format!("68 45 {:04x} {token} 90", id.0));
    scene.assert_silent();
    scene.receive(&format!("58 45 00 07 {token} 90"));
    scene.assert_silent();
    scene.receive(&format!("48 45 00 08 {token} 90"));
    assert_eq!(scene.sent(), ["70 00 00 08"]);
    assert_eq!(scene.exchanges.open_requests(), 1);
}

#[test]
fn c17_a_request_to_a_proxy_gets_5_05() {
    let mut scene = Scene::new();
    // Proxy-Uri "coap://x"
    scene.receive("41 01 00 01 a1 d8 16 63 6f 61 70 3a 2f 2f 78");
    assert_eq!(scene.sent(), ["61 a5 00 01 a1"]);
}

#[test]
fn c18_a_critical_option_out_of_bounds_or_repeated_gets_4_02() {
    let mut scene = Scene::new();
    let long = "61 ".repeat(256);
    for (what, options) in [
        ("Accept twice", "d1 04 3c 01 3c".to_owned()),
        ("Accept of three bytes", "d3 04 00 00 3c".to_owned()),
        ("Uri-Path of 256 bytes", format!("bd f3 {long}")),
        ("Uri-Query that is no UTF-8", "d1 02 ff".to_owned()),
        ("Block1 of four bytes", "d4 0e 00 00 00 06".to_owned()),
    ] {
        scene.receive(&format!("41 01 00 01 a1 {options}"));
        assert_eq!(scene.sent(), ["61 82 00 01 a1"], "{what}");
    }
}

#[test]
fn c18_an_elective_option_out_of_bounds_or_repeated_is_ignored() {
    // Observe of four bytes, Observe 5, Content-Format 60 and 112
    let message = parse("41 45 00 01 a1 64 00 00 00 09 01 05 61 3c 01 70").unwrap();
    assert_eq!(message.refusal(), None);
    assert_eq!(message.observe(), Some(5));
    assert_eq!(message.content_format().map(|format| format.0), Some(60));
}

#[test]
fn c19_repeatable_options_may_be_repeated() {
    // ETag twice, Uri-Path "3", "0", Uri-Query "a", "b"
    let message = parse("40 01 00 01 41 01 01 02 71 33 01 30 41 61 01 62").unwrap();
    assert_eq!(message.refusal(), None);
    assert_eq!(message.uri_path().collect::<Vec<_>>(), ["3", "0"]);
    assert_eq!(message.uri_query().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(message.option_values(4).count(), 2);
}

#[test]
fn c20_integers_are_read_with_leading_zeros() {
    let message = parse("40 01 00 01 c2 00 3c 24 00 00 00 1e").unwrap();
    assert_eq!(message.content_format().map(|format| format.0), Some(60));
    assert_eq!(message.max_age(), Some(30));
    assert_eq!(parse("40 01 00 01 60").unwrap().observe(), Some(0));
}

#[test]
fn c21_uri_host_and_uri_port_are_accepted_and_ignored() {
    // Uri-Host "h", Uri-Port 5683, Uri-Path "rd"
    let mut scene = Scene::new();
    scene.receive("40 02 00 01 31 68 42 16 33 42 72 64");
    assert!(
        matches!(scene.event(), Event::Request { message, .. } if message.uri_path().eq(["rd"]))
    );
}

#[test]
fn c23_a_diagnostic_is_read_from_error_responses_alone() {
    assert_eq!(
        parse("60 84 00 01 ff 67 6f 6e 65").unwrap().diagnostic(),
        Some("gone")
    );
    assert_eq!(parse("60 84 00 01").unwrap().diagnostic(), None);
    assert_eq!(parse("60 84 00 01 ff 80").unwrap().diagnostic(), None);
    assert_eq!(
        parse("60 45 00 01 ff 67 6f 6e 65").unwrap().diagnostic(),
        None
    );
    let mut scene = Scene::new();
    scene.receive("41 02 00 01 a1");
    let id = scene.incoming();
    let response = Response::with_diagnostic(Code::BAD_REQUEST, "no ep");
    scene.exchanges.respond(scene.now, id, &response);
    assert_eq!(scene.sent(), ["61 80 00 01 a1 ff 6e 6f 20 65 70"]);
}

#[test]
fn c24_a_ping_gets_a_pong_at_any_time() {
    let mut scene = Scene::new();
    scene.receive("40 00 00 09");
    assert_eq!(scene.sent(), ["70 00 00 09"]);
    scene.get();
    scene.receive_from(9, "40 00 00 09");
    assert_eq!(scene.sent_to(), [(9, "70 00 00 09".to_owned())]);
    assert_eq!(scene.exchanges.stats().pings, 2);
}

#[test]
fn a_cancelled_request_fails_and_leaves_no_timer() {
    let mut scene = Scene::new();
    scene.get();
    scene.get();
    scene.exchanges.cancel_all();
    let events = scene.events();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| matches!(
        event,
        Event::Failed {
            failure: Failure::Cancelled,
            ..
        }
    )));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    let (token, _) = scene.get();
    assert!(scene.exchanges.cancel(scene.now, token));
    assert!(!scene.exchanges.cancel(scene.now, token));
    scene.assert_silent();
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn requests_of_equal_seeds_are_equal() {
    let sent = || {
        let mut scene = Scene::new();
        for _ in 0..3 {
            scene
                .exchanges
                .request(scene.now, 1, &Request::default(), Scene::TIMEOUT);
        }
        scene.sent()
    };
    assert_eq!(sent(), sent());
}
