//! Date and time texts (RFC 3339), which CBOR tag 0 carries.

use super::DecodeErrorKind;

/// Reads `2013-05-02T10:40:15.5+02:00` as milliseconds since 1970-01-01 UTC; digits below milliseconds are dropped.
pub(super) fn parse(text: &str) -> Result<i64, DecodeErrorKind> {
    parts(text.as_bytes()).ok_or(DecodeErrorKind::Syntax)
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "every field is at most four digits, so nothing overflows"
)]
fn parts(text: &[u8]) -> Option<i64> {
    let mut rest = text;
    let year = number(&mut rest, 4)?;
    separator(&mut rest, b"-")?;
    let month = number(&mut rest, 2).filter(|month| (1..=12).contains(month))?;
    separator(&mut rest, b"-")?;
    let day = number(&mut rest, 2).filter(|day| (1..=days_in_month(year, month)).contains(day))?;
    separator(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2).filter(|hour| *hour < 24)?;
    separator(&mut rest, b":")?;
    let minute = number(&mut rest, 2).filter(|minute| *minute < 60)?;
    separator(&mut rest, b":")?;
    // 60 is a leap second, which counts as the first second of the next minute.
    let second = number(&mut rest, 2).filter(|second| *second <= 60)?;
    let millis = if separator(&mut rest, b".").is_some() {
        fraction(&mut rest)?
    } else {
        0
    };
    let offset = match separator(&mut rest, b"Zz+-")? {
        b'Z' | b'z' => 0,
        sign => {
            let hours = number(&mut rest, 2).filter(|hours| *hours < 24)?;
            separator(&mut rest, b":")?;
            let minutes = number(&mut rest, 2).filter(|minutes| *minutes < 60)?;
            let east = hours * 60 + minutes;
            if sign == b'-' { -east } else { east }
        }
    };
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset;
    rest.is_empty()
        .then_some((minutes * 60 + second) * 1000 + millis)
}

/// Takes exactly `length` digits.
fn number(rest: &mut &[u8], length: usize) -> Option<i64> {
    let (digits, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    decimal(digits)
}

/// Takes all digits, and keeps the first three.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    let mut millis = *b"000";
    millis
        .iter_mut()
        .zip(digits)
        .for_each(|(to, from)| *to = *from);
    if digits.is_empty() {
        None
    } else {
        decimal(&millis)
    }
}

fn decimal(digits: &[u8]) -> Option<i64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Takes one byte if it is one of those given.
fn separator(rest: &mut &[u8], allowed: &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    allowed.contains(first).then(|| {
        *rest = tail;
        *first
    })
}

const fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the year has at most four digits, so nothing overflows"
)]
const fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last day of a year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 153 days are five months from March on; 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_examples_of_rfc_3339() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-05-02T10:40:15Z", 1_367_491_215_000),
            ("1985-04-12T23:20:50.52Z", 482_196_050_520),
            ("1996-12-19T16:39:57-08:00", 851_042_397_000),
            ("1990-12-31T23:59:60Z", 662_688_000_000),
            ("1990-12-31T15:59:60-08:00", 662_688_000_000),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
            ("2000-02-29t00:00:00.123456z", 951_782_400_123),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ] {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "2013-05-02",
            "2013-05-02T10:40:15",
            "2013-13-02T10:40:15Z",
            "2013-02-29T10:40:15Z",
            "1900-02-29T10:40:15Z",
            "2013-05-02T24:00:00Z",
            "2013-05-02T10:60:00Z",
            "2013-05-02T10:40:61Z",
            "2013-05-02T10:40:15.Z",
            "2013-05-02T10:40:15Zx",
            "2013-05-02T10:40:15+0200",
            "+013-05-02T10:40:15Z",
            "2013-05-02T10:40:15+02:0ü",
        ] {
            assert_eq!(parse(text), Err(DecodeErrorKind::Syntax), "{text}");
        }
    }
}
