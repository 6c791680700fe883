//! JSON values as the platform's Java code sees and prints them (`rpc.md` 8.1).

use serde_json::{Number, Value};

use super::java;

/// The text of a value (`toString`): strings without quotes, objects as `{k=v, k2=v2}`, arrays as `[a, b]`.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(text).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{name}={}", text(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// The text of a number: an integer in decimal, a fraction as [`java::double`].
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => java::double(float),
        _ => number.to_string(),
    }
}

/// The simple name of the class that holds a value.
pub(super) fn class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) => match number.as_i64() {
            Some(integer) if i32::try_from(integer).is_ok() => "Integer",
            Some(_) => "Long",
            None if number.is_u64() => "BigInteger",
            None => "Double",
        },
        Value::String(_) => "String",
        Value::Array(_) => "ArrayList",
        Value::Object(_) => "LinkedHashMap",
    }
}

/// The type of a resource that holds such values, as errors name it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "BOOLEAN",
        Value::Number(number) if number.is_f64() => "FLOAT",
        Value::Number(_) => "INTEGER",
        Value::String(_) => "STRING",
        Value::Null | Value::Array(_) | Value::Object(_) => "null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_text_and_class_of_java() {
        for (json, expected, name) in [
            ("5", "5", "Integer"),
            ("2147483648", "2147483648", "Long"),
            ("18446744073709551615", "18446744073709551615", "BigInteger"),
            ("1.5", "1.5", "Double"),
            ("1e10", "1.0E10", "Double"),
            ("true", "true", "Boolean"),
            ("null", "null", "null"),
            (r#""a b""#, "a b", "String"),
            (r#"{"a":1,"b":[1,"x"]}"#, "{a=1, b=[1, x]}", "LinkedHashMap"),
            ("[]", "[]", "ArrayList"),
        ] {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(text(&value), expected);
            assert_eq!(class(&value), name);
        }
    }
}
