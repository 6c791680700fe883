//! Values at several times: in which order those of one message count, and what each of them becomes.
//!
//! The order is that of the platform: times ascending, then what states no time and is taken for what is the case at
//! receipt (`device-lifecycle.md` 4.5). All values of one time make one entry of the time series; an attribute gets the
//! last value.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    lwm2m::{
        format::Sample,
        node::{Node, Resource, ResourceContent, ResourceInstance},
        path::Path,
    },
    platform::{
        time::UnixMillis,
        uplink::{KeyValue, Readings},
    },
};

use super::{
    context::DeviceContext,
    telemetry::{self, TimeForm},
};

/// The values of one message by time.
#[derive(Debug, Default)]
pub(super) struct History {
    moments: Vec<Moment>,
    /// Times that cannot be; the values were taken at receipt then.
    pub(super) implausible: u64,
}

/// The values of one time; where one path was named twice, the last.
#[derive(Debug)]
struct Moment {
    stated: Stated,
    ts: UnixMillis,
    nodes: BTreeMap<Path, Node>,
}

/// What the values of one message come to.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The newest state of every resource of which something was told.
    pub(super) latest: BTreeMap<Path, (Resource, UnixMillis)>,
    /// Client attributes with their newest values.
    pub(super) attributes: Vec<(String, KeyValue)>,
    /// When the newest of those was read.
    pub(super) attributes_ts: UnixMillis,
    /// Time series, times ascending.
    pub(super) readings: Vec<Readings>,
}

impl History {
    /// Brings samples into order. `received` is the server's clock at receipt.
    pub(super) fn new(samples: Vec<Sample>, received: UnixMillis) -> Self {
        let mut implausible = 0;
        let mut by_time: BTreeMap<(Stated, UnixMillis), BTreeMap<Path, Node>> = BTreeMap::new();
        for Sample { time, nodes } in samples {
            let key = match time.map(|time| time.resolve(received.0)) {
                Some(ts) if (0..=received.0.saturating_add(MAX_AHEAD)).contains(&ts) => {
                    (Stated::Yes, UnixMillis(ts))
                }
                Some(_) => {
                    implausible += 1;
                    (Stated::No, received)
                }
                None => (Stated::No, received),
            };
            by_time.entry(key).or_default().extend(nodes);
        }
        let moments = by_time
            .into_iter()
            .map(|((stated, ts), nodes)| Moment { stated, ts, nodes });
        Self {
            moments: moments.collect(),
            implausible,
        }
    }

    /// Drops the values of which the device did not state when they were taken; whether there were none.
    pub(super) fn keep_stated(&mut self) -> bool {
        let before = self.moments.len();
        self.moments.retain(|moment| moment.stated == Stated::Yes);
        self.moments.len() == before
    }

    /// Whether there are no values.
    pub(super) fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// Publishes the values moment by moment. `known` gives what is known of a resource, which instances that come alone
    /// are added to.
    ///
    /// # Errors
    /// [`TooLarge`] when instances that come alone, each at a time of its own, would make much of little.
    pub(super) fn publish(
        self,
        device: &DeviceContext<'_>,
        time_form: TimeForm,
        known: impl Fn(&Path) -> Option<Resource>,
    ) -> Result<Reported, TooLarge> {
        let mut reported = Reported::default();
        let mut readings: BTreeMap<UnixMillis, Vec<(String, KeyValue)>> = BTreeMap::new();
        let mut room = MAX_BYTES;
        for Moment { ts, nodes, .. } in self.moments {
            let mut touched = BTreeSet::new();
            for (path, node) in nodes {
                if let Node::ResourceInstance(instance) = node {
                    touched.extend(reported.add_instance(&path, instance, ts, &known));
                    continue;
                }
                for (path, resource) in telemetry::resources(&path, node) {
                    reported.latest.insert(path, (resource, ts));
                    touched.insert(path);
                }
            }
            let updated: Vec<_> = touched
                .iter()
                .filter_map(|path| Some((*path, &reported.latest.get(path)?.0)))
                .collect();
            let published = telemetry::publish(&updated, device, time_form);
            for value in published.attributes.iter().chain(&published.telemetry) {
                room = room.checked_sub(size(value)).ok_or(TooLarge)?;
            }
            if !published.attributes.is_empty() {
                reported.attributes_ts = ts;
                replace(&mut reported.attributes, published.attributes);
            }
            if !published.telemetry.is_empty() {
                replace(readings.entry(ts).or_default(), published.telemetry);
            }
        }
        let readings = readings.into_iter();
        reported.readings = readings
            .map(|(ts, values)| Readings { ts, values })
            .collect();
        Ok(reported)
    }
}

impl Reported {
    /// Adds one instance to what is known of its resource; the path of that.
    fn add_instance(
        &mut self,
        path: &Path,
        instance: ResourceInstance,
        ts: UnixMillis,
        known: impl Fn(&Path) -> Option<Resource>,
    ) -> Option<Path> {
        let (parent, id) = (path.parent()?, path.resource_id()?);
        let (resource, newest) = self
            .latest
            .entry(parent)
            .or_insert_with(|| (with_instances(id, known(&parent), &instance), ts));
        *newest = ts;
        let ResourceContent::Multiple { instances, .. } = &mut resource.content else {
            // The device showed the resource as a single one before.
            *resource = with_instances(id, None, &instance);
            return Some(parent);
        };
        match instances.binary_search_by_key(&instance.id, |own| own.id) {
            Ok(index) => instances[index] = instance,
            Err(index) => instances.insert(index, instance),
        }
        Some(parent)
    }
}

/// A multiple resource with the instances known of it, by id, or with `instance` alone.
fn with_instances(id: u16, known: Option<Resource>, instance: &ResourceInstance) -> Resource {
    match known {
        Some(
            mut known @ Resource {
                content: ResourceContent::Multiple { .. },
                ..
            },
        ) => {
            if let ResourceContent::Multiple { instances, .. } = &mut known.content {
                instances.sort_by_key(|own| own.id);
            }
            known
        }
        Some(_) | None => {
            Resource::multiple(id, instance.value.resource_type(), vec![instance.clone()])
        }
    }
}

/// Whether the device stated a time; what it did not state comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stated {
    Yes,
    No,
}

/// A message would come to more values than the platform takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Puts `new` values in the place of those of the same key.
fn replace(values: &mut Vec<(String, KeyValue)>, new: Vec<(String, KeyValue)>) {
    for (key, value) in new {
        match values.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => values.push((key, value)),
        }
    }
}

/// About how much a value takes on its way to the platform, bytes.
fn size((key, value): &(String, KeyValue)) -> usize {
    let value = match value {
        KeyValue::String(text) | KeyValue::Json(text) => text.len(),
        KeyValue::Boolean(_) | KeyValue::Long(_) | KeyValue::Double(_) => size_of::<KeyValue>(),
    };
    key.len() + value
}

/// How far ahead of the server's clock a time may be: a day, in milliseconds (`rulings` 7, A40).
const MAX_AHEAD: i64 = 24 * 3600 * 1000;
/// What the values of one message may come to, bytes: more than Kafka takes in one record by default.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::fixture::Fixture,
        lwm2m::{
            format::SampleTime,
            value::{ResourceType, Value},
        },
    };

    const RECEIVED: UnixMillis = UnixMillis(1_700_000_000_000);
    const PROFILE: &str = r#"{"attribute":["/3_1.2/0/0"],
        "telemetry":["/3_1.2/0/0","/3_1.2/0/9","/3_1.2/0/6","/3303_1.0/12/5700"],
        "keyName":{"/3_1.2/0/0":"manufacturer","/3_1.2/0/9":"batteryLevel","/3_1.2/0/6":"powerSources",
                   "/3303_1.0/12/5700":"sensorValue12"}}"#;

    fn sample(time: Option<SampleTime>, nodes: &[(&str, Value)]) -> Sample {
        let nodes = nodes.iter().map(|(path, value)| {
            let path: Path = path.parse().unwrap();
            let value = value.clone();
            let node = match path.resource_instance_id() {
                Some(id) => Node::ResourceInstance(ResourceInstance { id, value }),
                None => Node::Resource(Resource::single(path.resource_id().unwrap(), value)),
            };
            (path, node)
        });
        Sample {
            time,
            nodes: nodes.collect(),
        }
    }

    fn fixture() -> Fixture {
        let mut fixture = Fixture::f();
        fixture.profile.transport.observe_attr = serde_json::from_str(PROFILE).unwrap();
        fixture
    }

    fn publish(samples: Vec<Sample>, known: Option<Resource>) -> Result<Reported, TooLarge> {
        let fixture = fixture();
        let history = History::new(samples, RECEIVED);
        history.publish(&fixture.context(), TimeForm::default(), |_| known.clone())
    }

    /// `ts key=value key=value`
    fn lines(reported: &Reported) -> Vec<String> {
        let line = |own: &Readings| {
            let values = own.values.iter().map(|(key, value)| match value {
                KeyValue::Double(number) => format!(" {key}={number}"),
                KeyValue::Long(number) => format!(" {key}={number}"),
                KeyValue::String(text) | KeyValue::Json(text) => format!(" {key}={text}"),
                KeyValue::Boolean(flag) => format!(" {key}={flag}"),
            });
            format!("{}{}", own.ts, values.collect::<String>())
        };
        reported.readings.iter().map(line).collect()
    }

    #[test]
    fn l06_records_of_one_time_stand_together_and_times_ascend() {
        let at = |millis| Some(SampleTime::At(millis));
        let reported = publish(
            vec![
                sample(None, &[("/3/0/9", Value::Integer(3))]),
                sample(
                    at(1_699_999_999_000),
                    &[
                        ("/3303/12/5700", Value::Float(35.12)),
                        ("/3/0/9", Value::Integer(2)),
                    ],
                ),
                sample(
                    at(1_699_999_996_000),
                    &[("/3303/12/5700", Value::Float(25.05))],
                ),
                sample(
                    Some(SampleTime::Relative(-1000)),
                    &[("/3/0/0", Value::String("old".to_owned()))],
                ),
            ],
            None,
        )
        .unwrap();
        let mut found = lines(&reported);
        // Within one time the order is that of the platform's hash table.
        let second: Vec<_> = found.remove(1).split(' ').map(str::to_owned).collect();
        assert_eq!(second[0], "1699999999000");
        for value in ["sensorValue12=35.12", "batteryLevel=2", "manufacturer=old"] {
            assert!(second.iter().any(|own| own == value), "{second:?}");
        }
        assert_eq!(
            found,
            [
                "1699999996000 sensorValue12=25.05",
                "1700000000000 batteryLevel=3"
            ]
        );
    }

    #[test]
    fn attributes_get_the_newest_value() {
        let text = |text: &str| Value::String(text.to_owned());
        let at = |millis| Some(SampleTime::At(millis));
        let reported = publish(
            vec![
                sample(at(1_699_999_999_000), &[("/3/0/0", text("new"))]),
                sample(at(1_699_999_998_000), &[("/3/0/0", text("old"))]),
            ],
            None,
        )
        .unwrap();
        assert_eq!(
            reported.attributes,
            [(
                "manufacturer".to_owned(),
                KeyValue::String("new".to_owned())
            )]
        );
        assert_eq!(reported.attributes_ts, UnixMillis(1_699_999_999_000));
        let (latest, ts) = &reported.latest[&Path::resource(3, 0, 0)];
        assert_eq!(latest, &Resource::single(0, text("new")));
        assert_eq!(*ts, UnixMillis(1_699_999_999_000));
    }

    #[test]
    fn a40_a_time_before_1970_or_more_than_a_day_ahead_becomes_the_servers_clock() {
        let day = 24 * 3600 * 1000;
        let level = |number| [("/3/0/9", Value::Integer(number))];
        for (time, implausible) in [
            (SampleTime::At(-1), 1),
            (SampleTime::At(0), 0),
            (SampleTime::At(RECEIVED.0 + day), 0),
            (SampleTime::At(RECEIVED.0 + day + 1), 1),
            (SampleTime::At(i64::MAX), 1),
            (SampleTime::At(4_294_967_296_000), 1),
            (SampleTime::Relative(i64::MIN), 1),
            (SampleTime::Relative(i64::MAX), 1),
            (SampleTime::Relative(-3000), 0),
        ] {
            let samples = vec![sample(Some(time), &level(1))];
            let history = History::new(samples.clone(), RECEIVED);
            assert_eq!(history.implausible, implausible, "{time:?}");
            let ts = match implausible {
                0 => time.resolve(RECEIVED.0),
                _ => RECEIVED.0,
            };
            let reported = publish(samples, None).unwrap();
            assert_eq!(lines(&reported), [format!("{ts} batteryLevel=1")]);
        }
    }

    #[test]
    fn instances_that_come_alone_are_added_to_those_known_of_their_resource() {
        let instance = |id, number| ResourceInstance {
            id,
            value: Value::Integer(number),
        };
        let known = Resource::multiple(
            6,
            ResourceType::Integer,
            vec![instance(7, 70), instance(0, 10)],
        );
        let at = |millis| Some(SampleTime::At(millis));
        let reported = publish(
            vec![
                sample(
                    at(1000),
                    &[
                        ("/3/0/6/1", Value::Integer(20)),
                        ("/3/0/6/0", Value::Integer(11)),
                    ],
                ),
                sample(at(2000), &[("/3/0/6/9", Value::Integer(90))]),
            ],
            Some(known),
        )
        .unwrap();
        assert_eq!(
            lines(&reported),
            [
                r#"1000 powerSources={"0":11,"1":20,"7":70}"#,
                r#"2000 powerSources={"0":11,"1":20,"7":70,"9":90}"#
            ]
        );
    }

    #[test]
    fn a40_little_that_would_come_to_much_is_refused() {
        let known = Resource::multiple(
            6,
            ResourceType::Integer,
            (0..2000)
                .map(|id| ResourceInstance {
                    id,
                    value: Value::Integer(1),
                })
                .collect(),
        );
        let one = |time| {
            sample(
                Some(SampleTime::At(time)),
                &[("/3/0/6/1", Value::Integer(time))],
            )
        };
        let many = |times| publish((0..times).map(one).collect(), Some(known.clone()));
        // One state of 2,000 instances takes about 17 kB of JSON.
        assert!(many(10).is_ok());
        assert_eq!(many(13_000).unwrap_err(), TooLarge);
    }
}
