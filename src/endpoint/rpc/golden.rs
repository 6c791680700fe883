//! Replies, log lines and values against the records of a platform that ran with a real device.
//!
//! The records lie outside the project (`../shared/data/golden`); without them these tests pass and say so. Values of
//! the device follow its description and the commands, in order.

#![cfg(test)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Map, Value as Json};

use super::*;
use crate::{
    coap::Failure,
    endpoint::{
        fixture::Fixture,
        operation::{Outcome, format::for_reading},
        telemetry::{self, TimeForm},
    },
    lwm2m::{
        node::{Resource, ResourceContent},
        path::Path,
    },
    platform::uplink::KeyValue,
};

/// Reads a golden file; `None`, with a printed reason, where there is none.
fn golden(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/golden")
        .join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

/// The captured device, and what the server knows of its values.
struct Replay {
    fixture: Fixture,
    known: BTreeMap<Path, Resource>,
    /// What was sent to the platform: `log <line>`, `attributes <json>`, `telemetry <json>`.
    events: Vec<String>,
}

impl Replay {
    /// The device as it registered.
    fn start() -> Option<Self> {
        let texts = (
            golden("device.json")?,
            golden("profile-lw-main.response.json")?,
        );
        Some(Self::with(&texts.0, &texts.1))
    }

    fn with(description: &str, profile: &str) -> Self {
        let description: Json = serde_json::from_str(description).unwrap();
        let profile: Json = serde_json::from_str(profile).unwrap();
        let links = format!(
            "{},</1/0>,</3>;ver=1.2,</3/0>,</5>;ver=1.2,</5/0>,</6/0>,</19>;ver=1.1,</19/0>,</3303/0>,</3303/1>",
            description["root_link"].as_str().unwrap()
        );
        let observe_attr = &profile["profileData"]["transportConfiguration"]["observeAttr"];
        let mut fixture = Fixture::new("lwm2m=1.1&b=U&lt=300", &links, &observe_attr.to_string());
        for (object, instances) in description["objects"].as_object().unwrap() {
            for (instance, resources) in instances.as_object().unwrap() {
                let resources = resources.as_object().unwrap().iter();
                for (resource, value) in resources.filter(|(id, _)| id.parse::<u16>().is_ok()) {
                    fixture
                        .device
                        .set(&format!("/{object}/{instance}/{resource}"), value);
                }
            }
        }
        Self {
            fixture,
            known: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// What the device changed by itself in a step.
    fn apply_changes(&mut self, step: &str) {
        let description: Json = serde_json::from_str(&golden("device.json").unwrap()).unwrap();
        let changes = description["changes"].as_array().unwrap().iter();
        for change in changes.filter(|change| change["step"] == step) {
            for entry in change["set"].as_array().unwrap() {
                self.fixture
                    .device
                    .set(entry[0].as_str().unwrap(), &entry[1]);
            }
        }
    }

    /// The observations that the profile demands.
    fn observe_profile(&mut self) {
        for path in self.fixture.profile.transport.observe_attr.observe.clone() {
            let accept = for_reading(&path.path, &self.fixture.context()).unwrap();
            self.carry_out(&Operation::observe(path.to_string(), path.path, accept));
        }
    }

    /// The write of notification attributes that the profile demands.
    fn write_profile_attributes(&mut self) {
        let attributes = self
            .fixture
            .profile
            .transport
            .observe_attr
            .notification_attributes
            .clone();
        for (path, attributes) in attributes {
            let operation = Operation::write_attributes(path.to_string(), path.path, attributes);
            self.carry_out(&operation);
        }
    }

    fn log(&mut self, line: &str) {
        self.events
            .push(format!("log {}", text::device_line(line.to_owned(), 1024)));
    }

    fn command(&mut self, method: &str, params: &str) -> String {
        let reply = match self.fixture.task(method, params) {
            Ok(Task::Operation(operation)) => self.carry_out(&operation).reply,
            Ok(Task::Answer(answer)) => {
                for token in answer.ended {
                    self.fixture.observations.remove(token).unwrap();
                }
                if let Some(line) = answer.log {
                    self.log(&line);
                }
                answer.reply
            }
            Err(rejection) => {
                if let Some(line) = rejection.log {
                    self.log(&line);
                }
                rejection.reply
            }
        };
        reply.body().text().to_owned()
    }

    fn carry_out(&mut self, operation: &Operation) -> Outcome {
        self.log(&operation.sending(&self.fixture.context()));
        let outcome = self.fixture.run(operation);
        for line in &outcome.log {
            self.log(line);
        }
        let mut updated = BTreeMap::new();
        for (path, node) in outcome.nodes.clone() {
            let partial = path.depth() == 4;
            for (path, resource) in telemetry::resources(&path, node) {
                self.learn(path, resource, partial);
                updated.insert(path, self.known[&path].clone());
            }
        }
        let updated: Vec<_> = updated.iter().map(|(path, own)| (*path, own)).collect();
        let published = telemetry::publish(&updated, &self.fixture.context(), TimeForm::Text);
        self.publish("attributes", &published.attributes);
        self.publish("telemetry", &published.telemetry);
        outcome
    }

    fn learn(&mut self, path: Path, resource: Resource, partial: bool) {
        let known = self.known.get_mut(&path);
        if let (
            true,
            Some(Resource {
                content:
                    ResourceContent::Multiple {
                        instances: known, ..
                    },
                ..
            }),
            ResourceContent::Multiple { instances, .. },
        ) = (partial, known, &resource.content)
        {
            for instance in instances {
                known.retain(|known| known.id != instance.id);
                known.push(instance.clone());
            }
            return;
        }
        self.known.insert(path, resource);
    }

    fn publish(&mut self, kind: &str, values: &[(String, KeyValue)]) {
        let members: Map<String, Json> = values
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    KeyValue::Boolean(flag) => Json::from(*flag),
                    KeyValue::Long(number) => Json::from(*number),
                    KeyValue::Double(number) => Json::from(*number),
                    KeyValue::String(text) => Json::from(text.as_str()),
                    KeyValue::Json(text) => serde_json::from_str(text).unwrap(),
                };
                (key.clone(), value)
            })
            .collect();
        if !members.is_empty() {
            self.events
                .push(format!("{kind} {}", Json::Object(members)));
        }
    }
}

/// What the platform's transport published, by step.
fn recorded(records: &str) -> impl Iterator<Item = (String, String)> {
    lines(records)
        .filter(|record| record["producer"] == "transport")
        .filter_map(|record| {
            let message = &record["decoded"]["tbMsgProto"];
            let data: Json = serde_json::from_str(message["data"].as_str()?).unwrap();
            let event = match (&data["transportLog"], message["type"].as_str()?) {
                (Json::String(line), _) => format!("log {}", masked(line)),
                (_, "POST_ATTRIBUTES_REQUEST") => format!("attributes {data}"),
                (_, "POST_TELEMETRY_REQUEST") => format!("telemetry {data}"),
                _ => return None,
            };
            Some((record["step"].as_str()?.to_owned(), event))
        })
}

/// A log line without what differs between two runs: the identity of a request object, and the token of an observation.
fn masked(line: &str) -> String {
    let mut line = line.to_owned();
    if let Some((head, _)) = line.split_once("org.eclipse.leshan.core.response.WriteComposite") {
        line = format!("{head}WriteCompositeResponse [code=CHANGED(204)]");
    }
    for (before, after) in [
        ("Request [", "] validation failed."),
        ("id=Ox", ", contentFormat="),
        ("id=Ox", ", requestContentFormat="),
    ] {
        if let Some((head, (_, tail))) = line
            .split_once(before)
            .and_then(|(head, rest)| Some((head, rest.split_once(after)?)))
        {
            line = format!("{head}{before}*{after}{tail}");
        }
    }
    line
}

/// Whether the device caused a record by itself: it updates its registration when its instances change, and notifies.
fn is_by_itself(event: &str) -> bool {
    event.ends_with("Updated registration.") || event == r#"telemetry {"batteryLevel":76}"#
}

/// A reply whose value is a list, with the list in order.
fn as_set(reply: &str) -> Vec<String> {
    let reply: Json = serde_json::from_str(reply).unwrap();
    let mut list: Vec<_> = serde_json::from_str(reply["value"].as_str().unwrap()).unwrap();
    list.sort();
    list
}

/// A command that is answered otherwise by decision: its number among all, our reply where it differs, and what the
/// platform published where that differs.
struct Decided {
    number: usize,
    reply: Option<&'static str>,
    recorded: Option<&'static [&'static str]>,
}

const DECIDED: [Decided; 14] = [
    // A resource instance is part of its resource.
    Decided {
        number: 8,
        reply: None,
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: ReadRequest to /3/0/7/1",
            "log [info]: ReadRequest [/3_1.2/0/7/1] successful. Result: ReadResponse [code=CONTENT(205), \
             content=LwM2mResourceInstance [id=1, value=5000, type=INTEGER]]",
        ]),
    },
    // A path without version means the version of the device.
    Decided {
        number: 11,
        reply: Some(
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=88, type=INTEGER]"}"#,
        ),
        recorded: Some(&[]),
    },
    Decided {
        number: 16,
        reply: Some(r#"{"result":"BAD_REQUEST","error":"Invalid length for path 3/0/9/1/2/3"}"#),
        recorded: None,
    },
    // A path without slash is a path.
    Decided {
        number: 17,
        reply: Some(
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=88, type=INTEGER]"}"#,
        ),
        recorded: Some(&[]),
    },
    Decided {
        number: 18,
        reply: Some(r#"{"result":"BAD_REQUEST","error":"Invalid elements in path 3/0/x"}"#),
        recorded: None,
    },
    // The order of the paths makes no difference.
    Decided {
        number: 47,
        reply: Some(r#"{"result":"CONTENT","value":"1"}"#),
        recorded: Some(&[
            "log [error]: Request [*] validation failed. Reason: Could not find active Observe Composite component with \
             paths: [/3_1.2/0/21, /3_1.2/0/10, /19_1.1/0/2]",
        ]),
    },
    // A replaced resource has the written instances alone.
    Decided {
        number: 54,
        reply: None,
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: WriteRequest to /19/0/0",
            "log [info]: WriteRequest [/19_1.1/0/0] successful. Result: WriteResponse [code=CHANGED(204)]",
            r#"telemetry {"appData":{"0":"00ad45675600","1":"cafe","15":"25ad45675600cafe"}}"#,
        ]),
    },
    // A resource instance is written at its own path.
    Decided {
        number: 55,
        reply: None,
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: WriteRequest to /19/0/0",
            "log [info]: WriteRequest [/19_1.1/0/0/0] successful. Result: WriteResponse [code=CHANGED(204)]",
        ]),
    },
    // An updated resource keeps the instances that are not written.
    Decided {
        number: 58,
        reply: None,
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: WriteRequest to /19/0/0",
            "log [info]: WriteRequest [/19_1.1/0/0] successful. Result: WriteResponse [code=CHANGED(204)]",
            r#"telemetry {"appData":{"1":"0081"}}"#,
        ]),
    },
    Decided {
        number: 61,
        reply: None,
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: WriteRequest to /19/0",
            "log [info]: WriteRequest [/19_1.1/0] successful. Result: WriteResponse [code=CHANGED(204)]",
            r#"telemetry {"appData":{"0":"cafe"}}"#,
        ]),
    },
    // Arguments are checked and sent.
    Decided {
        number: 77,
        reply: Some(
            r#"{"result":"BAD_REQUEST","error":"Invalid Execute request : [Unable to parse Arguments [x y] : Invalid digit [x] (an integer between 0 and 9 is expected)]"}"#,
        ),
        recorded: Some(&[
            "log [NV9l4mMNAf][/127.0.0.1:35960] Sending request: ExecuteRequest to /3/0/12",
            "log [info]: ExecuteRequest [/3_1.2/0/12] successful. Result: ExecuteResponse [code=CHANGED(204)]",
        ]),
    },
    Decided {
        number: 78,
        reply: Some(
            r#"{"result":"BAD_REQUEST","error":"Invalid path /3/0 : Only resource can be executed."}"#,
        ),
        recorded: Some(&[]),
    },
    // The composite observation was cancelled.
    Decided {
        number: 93,
        reply: Some(OBSERVED),
        recorded: None,
    },
    Decided {
        number: 94,
        reply: Some(OBSERVED),
        recorded: None,
    },
];

const OBSERVED: &str = r#"{"result":"CONTENT","value":"[\"SingleObservation:/3/0/9\",\"SingleObservation:/3303/0/5700\",\"SingleObservation:/3303/1/5700\",\"SingleObservation:/5/0/3\",\"SingleObservation:/5/0/5\",\"SingleObservation:/5/0/6\",\"SingleObservation:/5/0/7\",\"SingleObservation:/5/0/9\"]"}"#;

#[test]
fn replies_and_records_equal_those_of_the_platform() {
    let (Some(mut replay), Some(calls), Some(records)) = (
        Replay::start(),
        golden("rest-calls.jsonl"),
        golden("records/14-rpc.decoded.jsonl"),
    ) else {
        return;
    };
    replay.write_profile_attributes();
    replay.observe_profile();
    let (mut same, mut decided, mut unanswered) = (0, 0, 0);
    let mut published: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let calls = lines(&calls).filter(|call| call["note"] == "rpc");
    for (number, call) in (1..).zip(calls) {
        let (step, request) = (call["step"].as_str().unwrap(), &call["request"]);
        let method = request["method"].as_str().unwrap();
        if number == 3 {
            replay.apply_changes("11-notify-single");
            replay.apply_changes("13c-send-timestamped-collected");
        }
        // Other devices, as they registered; what changed them is not described.
        if step == "20-psk-register" || number == 117 {
            replay = Replay::start().unwrap();
        }
        match number {
            // It was moved to a profile that observes this alone.
            111 => drop(replay.command("Observe", r#"{"id":"/3_1.2/0/9"}"#)),
            117 => {
                replay.observe_profile();
                replay.fixture.device.set("/3/0/9", &66.into());
            }
            _ => {}
        }
        replay.events.clear();
        let expected = call["response"].as_str().unwrap();
        let reply = replay.command(method, &request["params"].to_string());
        let decision = DECIDED.iter().find(|decided| decided.number == number);
        if !expected.starts_with(r#"{"result""#) {
            unanswered += 1;
        } else {
            let ours = decision.and_then(|decided| decided.reply);
            let expected = ours.unwrap_or(expected);
            if method == "ObserveReadAll" {
                assert_eq!(as_set(&reply), as_set(expected), "{number}: {request}");
            } else {
                assert_eq!(reply, expected, "{number}: {request}");
            }
            if ours.is_some() {
                decided += 1;
            } else {
                same += 1;
            }
        }
        if let Some(recorded) = decision.and_then(|decided| decided.recorded) {
            replay.events = recorded.iter().map(|event| (*event).to_owned()).collect();
        }
        let events = published.entry(step.to_owned()).or_default();
        events.extend(replay.events.drain(..).map(|event| masked(&event)));
    }
    println!(
        "replies: {same} equal, {decided} differ by decision, {unanswered} have none on record"
    );
    assert_eq!((same, decided), (89, 9));

    let mut equal = 0;
    for (step, events) in published
        .iter()
        .filter(|(step, _)| step.starts_with("14-rpc"))
    {
        let recorded: Vec<_> = recorded(&records)
            .filter(|(recorded_in, event)| recorded_in == step && !is_by_itself(event))
            .map(|(_, event)| event)
            .collect();
        assert_eq!(*events, recorded, "{step}");
        equal += recorded.len();
    }
    println!("records: {equal} equal");
}

#[test]
fn start_up_records_equal_those_of_the_platform() {
    let (Some(mut replay), Some(records)) = (
        Replay::start(),
        golden("records/10-nosec-lifecycle.decoded.jsonl"),
    ) else {
        return;
    };
    let mapping = replay.fixture.profile.transport.observe_attr.clone();
    let unread = mapping.attribute.iter().chain(&mapping.telemetry);
    let unread = unread.filter(|path| !mapping.observe.contains(path));
    for path in unread {
        let accept = for_reading(&path.path, &replay.fixture.context()).unwrap();
        replay.carry_out(&Operation::read(path.to_string(), path.path, accept));
    }
    replay.observe_profile();
    replay.write_profile_attributes();

    // The platform sends all at once; only the sets can be compared. Its registration line is of an older release.
    let mut ours: Vec<_> = replay.events.iter().map(|event| masked(event)).collect();
    let mut theirs: Vec<_> = recorded(&records)
        .filter(|(step, event)| step == "10-nosec-register" && !event.contains("Client registered"))
        .map(|(_, event)| event)
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    println!("records: {} equal", ours.len());
}

#[test]
fn failure_lines_equal_those_of_the_platform() {
    let (Some(mut replay), Some(records)) = (
        Replay::start(),
        golden("records/58-rpc-timeout.decoded.jsonl"),
    ) else {
        return;
    };
    let Some((_, line)) = recorded(&records).find(|(_, event)| event.contains("TimeoutException"))
    else {
        panic!("no timeout is on record");
    };
    let address = line
        .split_once("coap://")
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0;
    replay.fixture.peer.id = crate::platform::peer::PeerId::Udp {
        remote: address.parse().unwrap(),
        local: None,
    };
    let operation = replay
        .fixture
        .parse("Read", r#"{"id":"/3_1.2/0/9"}"#)
        .unwrap();
    let failed = operation.failed(Failure::Timeout, &replay.fixture.context());
    assert_eq!(format!("log {}", failed.log), line);
    assert_eq!(failed.reply, None);
}
