//! The content formats, each beside the best published crate of the same grammar.
//!
//! No rival knows paths, models or types of LwM2M. `serde_json` into a plain struct is the least work that reads the
//! grammar at all; `ciborium` makes a tree of items.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use coap_lite::link_format::{LinkFormatParser, LinkFormatWrite};
use lightship::{
    coap::{
        ContentFormat,
        link_format::{self, Mode},
    },
    lwm2m::{
        format::{self, Sample, SampleTime},
        model::{Models, core},
        node::{Node, ObjectInstance, Resource, ResourceInstance},
        path::{ObjectVersion, Path},
        value::{ResourceType, Value},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Contest, Rival, run};

pub(crate) fn contests() -> Vec<Contest> {
    let mut contests = Vec::new();
    let temperature = Path::resource(3303, 0, 5700);
    let one = node(5700, Value::Float(21.5));
    for (name, format) in [
        ("text", ContentFormat::TEXT),
        ("CBOR", ContentFormat::CBOR),
        ("TLV", ContentFormat::TLV),
        ("LwM2M JSON", ContentFormat::JSON),
        ("SenML JSON", ContentFormat::SENML_JSON),
        ("SenML CBOR", ContentFormat::SENML_CBOR),
        ("LwM2M CBOR", ContentFormat::LWM2M_CBOR),
    ] {
        contests.extend(read_and_write(name, "one", format, temperature, &one, 1));
        if !matches!(format, ContentFormat::TEXT | ContentFormat::CBOR) {
            let (path, device) = (Path::instance(3, 0), device());
            contests.extend(read_and_write(name, "/3/0", format, path, &device, VALUES));
        }
        if matches!(
            format,
            ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR
        ) {
            contests.extend(send(name, format));
        }
    }
    let anything = Path::resource(1000, 0, 0);
    let opaque = node(0, Value::Opaque(Bytes::from_static(&[0xa5; 32])));
    let format = ContentFormat::OPAQUE;
    contests.extend(read_and_write(
        "opaque", "one", format, anything, &opaque, 1,
    ));
    let link = node(0, Value::CoreLink("</3/0>;ver=1.1,</3303/0>".to_owned()));
    let format = ContentFormat::LINK;
    contests.extend(read_and_write(
        "link format",
        "one",
        format,
        anything,
        &link,
        1,
    ));
    contests.extend(links());
    contests
}

/// Decoding and encoding of one node.
fn read_and_write(
    name: &str,
    kind: &str,
    format: ContentFormat,
    path: Path,
    node: &Node,
    values: u32,
) -> [Contest; 2] {
    let models = models();
    let payload = format::encode(format, &path, node).unwrap();
    let decoded = format::decode(format, &path, &payload, &models).unwrap();
    assert_eq!((&decoded.node, decoded.rejected.len()), (node, 0), "{name}");
    let subject = format!("{name}, {kind}");
    let (readers, writers) = rivals(format, &payload);
    let node = node.clone();
    [
        Contest::new(
            subject.as_str(),
            "decode",
            values,
            run(move || format::decode(format, &path, &payload, &models)),
            readers,
        ),
        Contest::new(
            subject.as_str(),
            "encode",
            values,
            run(move || format::encode(format, &path, &node)),
            writers,
        ),
    ]
}

/// A Send with values of twenty times.
fn send(name: &str, format: ContentFormat) -> [Contest; 2] {
    let models = models();
    let samples: Vec<Sample> = (0..20_i32)
        .map(|minute| Sample {
            time: Some(SampleTime::At(
                1_700_000_000_000 + i64::from(minute) * 60_000,
            )),
            nodes: vec![(
                Path::resource(3303, 0, 5700),
                node(5700, Value::Float(20.0 + f64::from(minute) / 10.0)),
            )],
        })
        .collect();
    let payload = format::encode_samples(format, &samples).unwrap();
    let decoded = format::decode_send(format, &payload, &models).unwrap();
    assert_eq!((&decoded.samples, decoded.rejected.len()), (&samples, 0));
    let subject = format!("{name}, Send");
    let (readers, writers) = rivals(format, &payload);
    [
        Contest::new(
            subject.as_str(),
            "decode",
            20,
            run(move || format::decode_send(format, &payload, &models)),
            readers,
        ),
        Contest::new(
            subject.as_str(),
            "encode",
            20,
            run(move || format::encode_samples(format, &samples)),
            writers,
        ),
    ]
}

/// What reads this payload, and what writes what was read.
fn rivals(format: ContentFormat, payload: &Bytes) -> (Vec<Rival>, Vec<Rival>) {
    let text = || String::from_utf8(payload.to_vec()).unwrap();
    match format {
        ContentFormat::TEXT => {
            let text = text();
            let number: f64 = text.parse().unwrap();
            (
                vec![("str::parse", run(move || text.parse::<f64>()))],
                vec![("to_string", run(move || number.to_string()))],
            )
        }
        ContentFormat::CBOR => as_cbor::<f64>("ciborium, f64", payload),
        ContentFormat::SENML_CBOR | ContentFormat::LWM2M_CBOR => {
            as_cbor::<ciborium::Value>("ciborium, items", payload)
        }
        ContentFormat::JSON => as_json::<JsonPack>(payload),
        ContentFormat::SENML_JSON => {
            let (mut readers, mut writers) = as_json::<Vec<SenmlRecord>>(payload);
            // A name that begins with a slash is none for this crate.
            let text = text().replace("\"/", "\"");
            let records = sindit_senml::parse_json(&text, None).unwrap();
            readers.push((
                "sindit-senml",
                run(move || sindit_senml::parse_json(&text, None)),
            ));
            writers.push(("sindit-senml", run(move || serde_json::to_vec(&records))));
            (readers, writers)
        }
        _ => (Vec::new(), Vec::new()),
    }
}

fn as_json<T: DeserializeOwned + Serialize + 'static>(payload: &Bytes) -> (Vec<Rival>, Vec<Rival>) {
    let name = "serde_json, struct";
    let payload = payload.clone();
    let read: T = serde_json::from_slice(&payload).unwrap();
    (
        vec![(
            name,
            run(move || serde_json::from_slice::<T>(&payload).unwrap()),
        )],
        vec![(name, run(move || serde_json::to_vec(&read).unwrap()))],
    )
}

fn as_cbor<T: DeserializeOwned + Serialize + 'static>(
    name: &'static str,
    payload: &Bytes,
) -> (Vec<Rival>, Vec<Rival>) {
    let payload = payload.clone();
    let read: T = ciborium::from_reader(&payload[..]).unwrap();
    let write = move || {
        let mut written = Vec::new();
        ciborium::into_writer(&read, &mut written).unwrap();
        written
    };
    (
        vec![(
            name,
            run(move || ciborium::from_reader::<T, _>(&payload[..]).unwrap()),
        )],
        vec![(name, run(write))],
    )
}

/// The object list of a Register. The rival borrows from it, we own what we read.
fn links() -> [Contest; 2] {
    let list = link_format::parse(LINKS.as_bytes(), Mode::Strict).unwrap();
    assert_eq!(link_format::write(&list.links), LINKS);
    let count = u32::try_from(list.links.len()).unwrap();
    let theirs = || {
        for link in LinkFormatParser::new(LINKS) {
            let (uri, attributes) = link.unwrap();
            black_box(uri);
            for (name, value) in attributes {
                black_box((name, value.to_cow()));
            }
        }
    };
    let read = list.links.clone();
    let their_write = move || {
        let mut text = String::new();
        let mut writer = LinkFormatWrite::new(&mut text);
        for link in &read {
            let mut written = writer.link(&link.uri);
            for attribute in &link.attributes {
                let value = attribute.value.as_ref().map_or("", |value| value.as_str());
                written = written.attr(&attribute.name, value);
            }
            written.finish().unwrap();
        }
        writer.finish().unwrap();
        text
    };
    [
        Contest::new(
            "link format, list",
            "decode",
            count,
            run(|| link_format::parse(LINKS.as_bytes(), Mode::Lenient)),
            vec![("coap-lite, borrowed", run(theirs))],
        ),
        Contest::new(
            "link format, list",
            "encode",
            count,
            run(move || link_format::write(&list.links)),
            vec![("coap-lite", run(their_write))],
        ),
    ]
}

/// LwM2M JSON as plain data.
#[derive(Deserialize, Serialize)]
struct JsonPack {
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<String>,
    e: Vec<JsonEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(default)]
#[derive(Default)]
struct JsonEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bv: Option<bool>,
}

/// A record of SenML JSON as plain data.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct SenmlRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    bn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vs: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vb: Option<bool>,
}

fn models() -> Models {
    let catalog = core::catalog();
    let exact = |object, version| Arc::clone(catalog.exact(object, version).unwrap());
    [
        exact(3, ObjectVersion::new(1, 2)),
        exact(3303, ObjectVersion::new(1, 1)),
    ]
    .into_iter()
    .collect()
}

/// A device object with fifteen resources, four of them multiple.
fn device() -> Node {
    let text = |id, text: &str| Resource::single(id, Value::String(text.to_owned()));
    let integers = |id, values: &[i64]| {
        let instances = (0..).zip(values).map(|(id, &value)| ResourceInstance {
            id,
            value: Value::Integer(value),
        });
        Resource::multiple(id, ResourceType::Integer, instances.collect())
    };
    Node::ObjectInstance(ObjectInstance {
        id: 0,
        resources: vec![
            text(0, "Open Mobile Alliance"),
            text(1, "Lightweight M2M Client"),
            text(2, "345000123"),
            text(3, "1.0"),
            integers(6, &[1, 5]),
            integers(7, &[3800, 5000]),
            integers(8, &[125, 900]),
            Resource::single(9, Value::Integer(100)),
            Resource::single(10, Value::Integer(15)),
            integers(11, &[0]),
            Resource::single(13, Value::Time(1_367_491_215_000)),
            text(14, "+02:00"),
            text(15, "Europe/Berlin"),
            text(16, "U"),
            text(17, "sensor"),
        ],
    })
}

/// The values in [`device`].
const VALUES: u32 = 18;

fn node(id: u16, value: Value) -> Node {
    Node::Resource(Resource::single(id, value))
}

const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543 11544\",</1>;ver=1.1,</1/0>,</2/0>,</3>;ver=1.2,\
                     </3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>";
