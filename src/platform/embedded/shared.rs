//! Shared attributes of devices: what files and callers have set, kept for devices that ask for them.
//!
//! Invariant: two values of one attribute never have the same time, so that the later one is known by it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};

use crate::platform::{time::UnixMillis, uplink::KeyValue};

use super::event::json_value;

/// Attributes by endpoint client name and key.
#[derive(Debug, Default)]
pub(super) struct SharedAttributes(HashMap<String, BTreeMap<String, (KeyValue, UnixMillis)>>);

/// An attribute as endpoints are told of it: key, value, and when it was set.
pub(super) type Attribute = (String, KeyValue, UnixMillis);

/// What a change came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changed {
    /// The attributes that were set.
    pub set: Vec<Attribute>,
    /// The keys of those that were there and are no more.
    pub removed: Vec<String>,
}

/// An endpoint would have more than [`MAX_ATTRIBUTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl SharedAttributes {
    /// Sets attributes at `now` and takes those away that are `null`.
    ///
    /// # Errors
    /// [`TooMany`], and nothing is changed.
    pub(super) fn change(
        &mut self,
        endpoint: &str,
        changes: Map<String, Json>,
        now: UnixMillis,
    ) -> Result<Changed, TooMany> {
        let own = self.0.entry(endpoint.to_owned()).or_default();
        let added = changes
            .iter()
            .filter(|(key, value)| !value.is_null() && !own.contains_key(*key));
        if own.len().saturating_add(added.count()) > MAX_ATTRIBUTES {
            return Err(TooMany);
        }
        let mut changed = Changed::default();
        for (key, value) in changes {
            let before = own
                .remove(&key)
                .map(|(_, ts)| UnixMillis(ts.0.saturating_add(1)));
            match key_value(value) {
                Some(value) => {
                    let ts = before.max(Some(now)).unwrap_or(now);
                    own.insert(key.clone(), (value.clone(), ts));
                    changed.set.push((key, value, ts));
                }
                None => changed.removed.extend(before.map(|_| key)),
            }
        }
        Ok(changed)
    }

    /// All attributes of an endpoint.
    pub(super) fn all(&self, endpoint: &str) -> Map<String, Json> {
        let own = self.0.get(endpoint).into_iter().flatten();
        own.map(|(key, (value, _))| (key.clone(), json_value(value)))
            .collect()
    }

    /// Those of these attributes that an endpoint has.
    pub(super) fn some(&self, endpoint: &str, keys: &[String]) -> Vec<Attribute> {
        let Some(own) = self.0.get(endpoint) else {
            return Vec::new();
        };
        let found = keys.iter().filter_map(|key| own.get_key_value(key));
        found
            .map(|(key, (value, ts))| (key.clone(), value.clone(), *ts))
            .collect()
    }

    /// Forgets the attributes of an endpoint.
    pub(super) fn forget(&mut self, endpoint: &str) {
        self.0.remove(endpoint);
    }
}

/// `null` is no value.
fn key_value(json: Json) -> Option<KeyValue> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(flag) => KeyValue::Boolean(flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => KeyValue::Long(number),
            (None, number) => KeyValue::Double(number.unwrap_or_default()),
        },
        Json::String(text) => KeyValue::String(text),
        Json::Array(_) | Json::Object(_) => KeyValue::Json(json.to_string()),
    })
}

/// Attributes that one endpoint may have.
pub(super) const MAX_ATTRIBUTES: usize = 1000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn values_keep_their_types_and_are_given_back_as_they_came() {
        let values = json!({"b": true, "l": -7, "d": 2.5, "s": "x", "j": {"0": [1]}});
        let mut shared = SharedAttributes::default();
        let change = shared.change("ep", map(values.clone()), UnixMillis(5));
        let Changed { set, removed } = change.unwrap();
        assert_eq!(removed, [""; 0]);
        let at = |key: &str, value| (key.to_owned(), value, UnixMillis(5));
        assert_eq!(
            set,
            [
                at("b", KeyValue::Boolean(true)),
                at("l", KeyValue::Long(-7)),
                at("d", KeyValue::Double(2.5)),
                at("s", KeyValue::String("x".to_owned())),
                at("j", KeyValue::Json(r#"{"0":[1]}"#.to_owned())),
            ]
        );
        assert_eq!(Json::from(shared.all("ep")), values);
        let keys = ["s".to_owned(), "other".to_owned()];
        assert_eq!(shared.some("ep", &keys), [set[3].clone()]);
        assert_eq!(shared.some("other", &keys), []);
    }

    #[test]
    fn a_value_set_again_is_later_and_null_takes_it_away() {
        let mut shared = SharedAttributes::default();
        let mut time_of = |value: Json, now| {
            let changed = shared.change("ep", map(json!({ "k": value })), UnixMillis(now));
            changed.unwrap().set.first().map(|(_, _, ts)| ts.0)
        };
        assert_eq!(time_of(json!(1), 5), Some(5));
        assert_eq!(time_of(json!(2), 5), Some(6));
        assert_eq!(time_of(json!(3), 2), Some(7), "the clock was set back");
        assert_eq!(time_of(json!(4), 90), Some(90));
        assert_eq!(time_of(Json::Null, 91), None);
        assert!(shared.all("ep").is_empty());
    }

    #[test]
    fn only_what_was_there_is_removed() {
        let mut shared = SharedAttributes::default();
        let mut removed = |changes: Json| {
            let changed = shared.change("ep", map(changes), UnixMillis(5));
            changed.unwrap().removed
        };
        assert_eq!(removed(json!({"a": 1, "b": 2, "c": null})), [""; 0]);
        assert_eq!(removed(json!({"a": 1, "b": null, "c": null})), ["b"]);
        assert_eq!(removed(json!({"a": null, "b": null})), ["a"]);
    }

    #[test]
    fn an_endpoint_has_a_limited_number_of_attributes() {
        let many = |name: &str, count: usize| -> Map<String, Json> {
            (0..count)
                .map(|n| (format!("{name}{n}"), json!(n)))
                .collect()
        };
        let mut shared = SharedAttributes::default();
        let mut change = |changes| {
            shared
                .change("ep", changes, UnixMillis(0))
                .map(|changed| changed.set.len())
        };
        assert_eq!(change(many("a", MAX_ATTRIBUTES)), Ok(MAX_ATTRIBUTES));
        assert_eq!(change(many("a", 3)), Ok(3), "they are there already");
        assert_eq!(change(many("b", 1)), Err(TooMany));
    }
}
