//! The `data` of a rule-engine message: a JSON object, written byte for byte as the reference does (`platform-wire.md`
//! 4.4): HTML-safe escapes inside strings, Java's notation of doubles.

use std::fmt::Write;

use super::super::uplink::KeyValue;

/// Writes `{"key":value,..}` in the given order. A double that is not finite has no JSON form and is left out.
pub(super) fn object(values: &[(String, KeyValue)]) -> String {
    let mut out = String::with_capacity(values.len().saturating_mul(32).saturating_add(2));
    out.push('{');
    let writable = values
        .iter()
        .filter(|(_, value)| !matches!(value, KeyValue::Double(number) if !number.is_finite()));
    for (index, (key, value)) in writable.enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(&mut out, key);
        out.push(':');
        match value {
            KeyValue::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            KeyValue::Long(number) => out.push_str(&number.to_string()),
            KeyValue::Double(number) => double(&mut out, *number),
            KeyValue::String(text) => string(&mut out, text),
            // In compact JSON text these characters stand inside strings only.
            KeyValue::Json(text) => text.chars().for_each(|c| html_safe(&mut out, c)),
        }
    }
    out.push('}');
    out
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\x1f' => escape(out, c),
            _ => html_safe(out, c),
        }
    }
    out.push('"');
}

fn html_safe(out: &mut String, c: char) {
    match c {
        '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' => escape(out, c),
        _ => out.push(c),
    }
}

fn escape(out: &mut String, c: char) {
    write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes whatever is written");
}

/// `Double.toString` of Java: at least one digit after the point, and an exponent outside 10^-3 to 10^7.
fn double(out: &mut String, number: f64) {
    let plain = number == 0.0 || (1e-3..1e7).contains(&number.abs());
    if plain {
        write!(out, "{number:?}").expect("a string takes whatever is written");
        return;
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("the format writes an exponent");
    out.push_str(mantissa);
    if !mantissa.contains('.') {
        out.push_str(".0");
    }
    out.push('E');
    out.push_str(exponent);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: KeyValue) -> String {
        object(&[("k".to_owned(), value)])
    }

    #[test]
    fn escapes_what_html_would_read() {
        assert_eq!(
            written(KeyValue::String(
                "a<b>&c=d'\"\\/\n\t\u{1}\u{2028}é😀".to_owned()
            )),
            r#"{"k":"a\u003cb\u003e\u0026c\u003dd\u0027\"\\/\n\t\u0001\u2028é😀"}"#
        );
        assert_eq!(
            object(&[("a=b".to_owned(), KeyValue::Boolean(true))]),
            r#"{"a\u003db":true}"#
        );
        assert_eq!(
            written(KeyValue::Json(r#"{"0":"x=y","1":1.50}"#.to_owned())),
            r#"{"k":{"0":"x\u003dy","1":1.50}}"#
        );
    }

    #[test]
    fn doubles_look_as_in_java() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (23.5, "23.5"),
            (-4.0, "-4.0"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (-1.5e10, "-1.5E10"),
            (1.0e-5, "1.0E-5"),
            (f64::MAX, "1.7976931348623157E308"),
        ] {
            assert_eq!(
                written(KeyValue::Double(number)),
                format!("{{\"k\":{text}}}")
            );
        }
    }

    #[test]
    fn keeps_order_and_leaves_out_what_json_cannot_say() {
        let values = [
            ("z".to_owned(), KeyValue::Long(-1)),
            ("n".to_owned(), KeyValue::Double(f64::NAN)),
            ("a".to_owned(), KeyValue::Boolean(false)),
        ];
        assert_eq!(object(&values), r#"{"z":-1,"a":false}"#);
        assert_eq!(object(&[]), "{}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_stays_itself(text: String) {
            let json = written(KeyValue::String(text.clone()));
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            proptest::prop_assert_eq!(&read["k"], &serde_json::Value::String(text));
        }

        #[test]
        fn any_finite_double_stays_itself(bits: u64) {
            let number = f64::from_bits(bits);
            proptest::prop_assume!(number.is_finite());
            let mut text = String::new();
            double(&mut text, number);
            proptest::prop_assert_eq!(text.parse(), Ok(number));
        }
    }
}
