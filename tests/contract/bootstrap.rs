//! The bootstrap sessions of the capture, repeated: with the core's own answer about the device and the device's own answers,
//! the log lines are those of the reference.

use std::{sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use lightship::{
    bootstrap::{Bootstrap, BootstrapSessionSettings, Output},
    coap::{
        Code, ContentFormat, Message, MessageId, MessageType, Request, Response, Token, encode,
    },
    platform::{
        Reply, Uplink,
        credentials::Admission,
        name::EndpointName,
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        profile::PowerSettings,
        thingsboard::convert::{Answer, answer},
        time::{Now, UnixMillis},
        uplink::KeyValue,
    },
};
use prost::Message as _;

use crate::{
    golden::{Golden, records},
    wire::ToRuleEngineMsg,
};

/// The log lines that the reference wrote about the bootstrap of a device, `None` where there is no capture.
fn reference(device: &str) -> Option<Vec<String>> {
    let lines = records("30-bootstrap")?
        .iter()
        .filter(|record| record.message == "ToRuleEngineMsg")
        .filter_map(|record| {
            ToRuleEngineMsg::decode(record.value().as_slice())
                .ok()?
                .tb_msg_proto
        })
        .filter(|message| {
            let metadata = message.meta_data.as_ref().unwrap();
            metadata
                .data
                .get("deviceName")
                .is_some_and(|name| name == device)
        })
        .filter_map(|message| {
            let data: serde_json::Value = serde_json::from_str(&message.data).unwrap();
            data["transportLog"].as_str().map(str::to_owned)
        })
        .take_while(|line| !line.contains("Client registered"))
        .collect();
    Some(lines)
}

/// What the core said of a device when it was bootstrapped.
fn admission(records: &[Golden], device: &str) -> Arc<Admission> {
    let answers = records
        .iter()
        .filter(|record| record.message == "TransportApiResponseMsg");
    let mut found = answers.filter_map(|record| match answer(&record.value()) {
        Ok(Answer::Credentials {
            device: info,
            client,
            bootstrap,
            profile,
            ..
        }) if info.name == device => Some(Admission {
            device: Arc::new(info),
            client,
            bootstrap: bootstrap.map(|own| *own),
            profile: Arc::clone(&profile.profile),
            power: PowerSettings::default(),
        }),
        _ => None,
    });
    Arc::new(found.next_back().unwrap())
}

/// Bootstraps a device that answers a Discover with `links`: the log lines, and the answer to its request.
fn repeat(admission: Arc<Admission>, identity: PeerIdentity, links: &str) -> (Vec<String>, String) {
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the base of virtual time"
    )]
    let mut now = Now {
        mono: Instant::now(),
        wall: UnixMillis(1_795_356_915_517),
    };
    let name = EndpointName::new(admission.client.endpoint());
    let settings = Arc::new(BootstrapSessionSettings::default());
    let mut machine = Bootstrap::new(name.clone(), settings, [1; 32]);
    let peer = Peer {
        id: PeerId::Udp {
            remote: ([127, 0, 0, 1], 56760).into(),
            local: Some([127, 0, 0, 1].into()),
        },
        role: ServerRole::Bootstrap,
        identity,
    };
    let request = Request {
        method: Code::POST,
        path: vec!["bs".to_owned()],
        query: vec![format!("ep={name}")],
        ..Request::default()
    };
    let request = encode::request(
        &request,
        MessageType::Confirmable,
        MessageId(1),
        Token::default(),
    );
    machine.handle_datagram(now, &peer, request);
    let (mut lines, mut answered) = (Vec::new(), String::new());
    while let Some(output) = machine.poll_output() {
        now = now.after(Duration::from_millis(1));
        match output {
            Output::Uplink(Uplink::Question { id, .. }) => {
                let result = Ok(lightship::platform::Answer::Credentials(Arc::clone(
                    &admission,
                )));
                machine.handle_reply(now, Reply::Answer { id, result });
            }
            Output::Uplink(Uplink::Telemetry { readings, .. }) => {
                for (_, value) in &readings[0].values {
                    let KeyValue::String(line) = value else {
                        panic!("{value:?}");
                    };
                    lines.push(line.clone());
                }
            }
            Output::Transmit { payload, .. } => {
                let message = Message::parse(payload).unwrap();
                let code = match message.code() {
                    Code::GET => Code::CONTENT,
                    Code::DELETE => Code::DELETED,
                    Code::PUT | Code::POST => Code::CHANGED,
                    code => {
                        answered = format!("{code} {}", message.diagnostic().unwrap_or_default());
                        continue;
                    }
                };
                let is_discover = code == Code::CONTENT;
                let response = Response {
                    content_format: is_discover.then_some(ContentFormat::LINK),
                    payload: if is_discover {
                        Bytes::copy_from_slice(links.as_bytes())
                    } else {
                        Bytes::new()
                    },
                    ..Response::new(code)
                };
                let (id, token) = (message.message_id(), message.token());
                let acknowledgement = MessageType::Acknowledgement;
                let response = encode::response(&response, acknowledgement, id, token);
                machine.handle_datagram(now, &peer, response);
            }
            Output::Uplink(_)
            | Output::Bind(_)
            | Output::Unbind(_)
            | Output::Misrouted { .. }
            | Output::Closed => {}
        }
    }
    (lines, answered)
}

/// The links of the captured device, from the line of its Discover.
fn links(lines: &[String]) -> &str {
    let line = lines.iter().find(|line| line.contains("DiscoverResponse"));
    let (_, links) = line.unwrap().split_once("content=[").unwrap();
    links.trim_end_matches(']')
}

/// The reference of 4.2.1 does not name its address (`rulings.md` 5.4).
fn without_address(line: &str) -> String {
    line.replace("... /127.0.0.1:5687", "...")
}

#[test]
fn m10_log_lines_of_a_bootstrap_are_those_of_the_reference() {
    let Some(records) = records("30-bootstrap") else {
        return;
    };
    for (device, identity) in [
        ("ls-bs-nosec", PeerIdentity::Unsecured),
        (
            "ls-bs-psk",
            PeerIdentity::PreSharedKey("ls-bs-psk-id".into()),
        ),
    ] {
        let theirs = reference(device).unwrap();
        let (ours, answered) = repeat(admission(&records, device), identity, links(&theirs));
        assert_eq!(answered, "2.04 ");
        let ours: Vec<_> = ours.iter().map(|line| without_address(line)).collect();
        // 4.2.1 reads `/1` and deletes both objects first, and writes the server's account at instance 1 of object 1 too:
        // what both do is written alike.
        let common: Vec<_> = theirs.iter().filter(|line| ours.contains(line)).collect();
        assert_eq!(common.len(), ours.len(), "{theirs:#?}\n{ours:#?}");
        for ends in [ours.first(), ours.get(1), ours.last()] {
            assert!(ends.is_some());
        }
        assert_eq!((&theirs[..2], theirs.last()), (&ours[..2], ours.last()));
    }
}

#[test]
fn m9_a_short_id_of_the_bootstrap_server_is_refused_as_by_the_reference() {
    let Some(records) = records("30-bootstrap") else {
        return;
    };
    let theirs = reference("ls-nosec").unwrap();
    let (ours, answered) = repeat(admission(&records, "ls-nosec"), PeerIdentity::Unsecured, "");
    // As the client of the capture was told.
    assert_eq!(answered, "4.00 no bootstrap config");
    assert!(ours[1].contains("short ID must be 0"), "{ours:?}");
    assert_eq!([without_address(&ours[0]), ours[2].clone()], theirs[..]);
}
