//! Settings as flat lists of dotted keys.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

/// Puts every value of a tree under its dotted key; lists stay whole, empty sections vanish.
pub(super) fn flatten(value: Value, prefix: &str, into: &mut BTreeMap<String, Value>) {
    if let ValueKind::Table(table) = value.kind {
        for (key, value) in table {
            flatten(value, &join(prefix, &key), into);
        }
    } else {
        into.insert(prefix.to_owned(), value);
    }
}

/// The same for JSON, in document order.
pub(super) fn flatten_json(
    value: serde_json::Value,
    prefix: &str,
    into: &mut Vec<(String, serde_json::Value)>,
) {
    if let serde_json::Value::Object(members) = value {
        for (key, value) in members {
            flatten_json(value, &join(prefix, &key), into);
        }
    } else {
        into.push((prefix.to_owned(), value));
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() {
        key.to_owned()
    } else {
        format!("{prefix}.{key}")
    }
}
