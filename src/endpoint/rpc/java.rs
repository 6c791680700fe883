//! Text and order as the Java runtime gives them, because platform users compare whole strings (`rpc.md` 9).
//!
//! Sources: the documentation of `Double.toString` (JDK 19 and later: the shortest decimal that reads back as the same
//! number), `Date.toString`, `String.hashCode`, and of the order in which `HashMap` iterates.

use crate::lwm2m::path::Path;

/// The text of a double (`Double.toString`, JDK 19 and later): `25.05`, `0.0`, `1.0E7`, `1.0E-4`, `NaN`, `Infinity`.
///
/// Of the decimals that read back as `number` the shortest one is printed, but always with a digit behind the point;
/// plain from 1e-3 to below 1e7, else with an exponent.
pub fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        return format!("{sign}Infinity");
    }
    if magnitude == 0.0 {
        return format!("{sign}0.0");
    }
    if (1e-3..1e7).contains(&magnitude) {
        return format!("{sign}{magnitude:?}");
    }
    let shortest = format!("{magnitude:e}");
    // One digit: Java takes the nearest decimal of two digits, which also reads back as the same number.
    let scientific = if shortest.contains('.') {
        shortest
    } else {
        format!("{magnitude:.1e}")
    };
    format!("{sign}{}", scientific.replace('e', "E"))
}

/// The text of a point in time (`Date.toString`) in UTC: `Thu Jul 01 16:39:49 UTC 2021`.
///
/// `millis` counts from 1970-01-01 UTC. Years before 1582 follow the Gregorian calendar too, unlike Java's.
pub fn date(millis: i64) -> String {
    let civil = Civil::from_millis(millis);
    format!(
        "{} {} {:02} {:02}:{:02}:{:02} UTC {}",
        civil.weekday(),
        civil.month_name(),
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        civil.year
    )
}

/// The text of a point in time in the pattern `MMM d, yyyy HH:mm a` and UTC: `Nov 14, 2023 22:13 PM`.
pub fn medium_date(millis: i64) -> String {
    let civil = Civil::from_millis(millis);
    format!(
        "{} {}, {:04} {:02}:{:02} {}",
        civil.month_name(),
        civil.day,
        civil.year,
        civil.hour,
        civil.minute,
        if civil.hour < 12 { "AM" } else { "PM" }
    )
}

/// Puts entries into the order in which a `HashMap` filled from them iterates.
///
/// The table is the smallest one that holds the entries, but has at least `minimum` slots; both are powers of two.
/// Entries of one slot keep their order.
pub fn hash_order<T>(entries: &mut [T], minimum: usize, hash: impl Fn(&T) -> u32) {
    let slots = table_slots(entries.len(), minimum);
    entries.sort_by_key(|entry| slot(hash(entry), slots));
}

/// How many slots the table has that holds so many entries: a power of two, at least `minimum`, a quarter kept free.
pub fn table_slots(entries: usize, minimum: usize) -> usize {
    let mut slots = minimum.max(1);
    while entries > slots - slots.div_ceil(4) {
        slots *= 2;
    }
    slots
}

/// The slot of a table in which a key stands.
pub const fn slot(hash: u32, slots: usize) -> usize {
    (hash ^ (hash >> 16)) as usize & (slots - 1)
}

/// `String.hashCode`
pub fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(u32::from(unit))
    })
}

/// `hashCode` of a path: its four segments, absent ones as 0.
pub fn path_hash(path: &Path) -> u32 {
    let segments = path.segments().iter().map(|segment| u32::from(*segment));
    segments
        .chain(std::iter::repeat(0))
        .take(4)
        .fold(1u32, |hash, segment| {
            hash.wrapping_mul(31).wrapping_add(segment)
        })
}

/// A moment in the Gregorian calendar, UTC.
struct Civil {
    /// Days since 1970-01-01.
    days: i64,
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    fn from_millis(millis: i64) -> Self {
        let seconds = millis.div_euclid(1000);
        let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years begin in March here, so that the leap day is the last one; 400 years have 146,097 days, and
        // 1970-01-01 is day 719,468 after 0000-03-01.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let in_next_year = month >= 10;
        Self {
            days,
            year: era * 400 + year_of_era + i64::from(in_next_year),
            month: usize::try_from(if in_next_year { month - 10 } else { month + 2 })
                .unwrap_or_default(),
            day: day_of_year - (153 * month + 2) / 5 + 1,
            hour: time / 3_600,
            minute: time / 60 % 60,
            second: time % 60,
        }
    }

    fn weekday(&self) -> &'static str {
        // 1970-01-01 was a Thursday.
        let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        name(
            &names,
            usize::try_from(self.days.rem_euclid(7)).unwrap_or_default(),
        )
    }

    fn month_name(&self) -> &'static str {
        let names = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        name(&names, self.month)
    }
}

fn name(names: &[&'static str], index: usize) -> &'static str {
    names.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn doubles_read_back_as_they_were(bits: u64) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = double(number);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
            prop_assert!(text.contains('.'), "{}", text);
        }

        #[test]
        fn dates_are_real(millis: i64) {
            let civil = Civil::from_millis(millis);
            prop_assert!((1..=31).contains(&civil.day) && civil.month < 12);
            prop_assert!(!civil.weekday().is_empty());
        }
    }

    #[test]
    fn doubles_are_printed_as_java_prints_them() {
        // The examples of the class documentation, and the borders between plain and exponent form.
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (25.05, "25.05"),
            (-3.25, "-3.25"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1e-4, "1.0E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (2e23, "2.0E23"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::from_bits(1), "4.9E-324"),
            (f64::from_bits(2), "9.9E-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn dates_are_printed_as_java_prints_them() {
        for (millis, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_700_000_000_000, "Tue Nov 14 22:13:20 UTC 2023"),
            (951_782_400_999, "Tue Feb 29 00:00:00 UTC 2000"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(date(millis), text);
        }
        assert_eq!(medium_date(1_700_000_000_000), "Nov 14, 2023 22:13 PM");
        assert_eq!(medium_date(86_400_000 * 3), "Jan 4, 1970 00:00 AM");
    }

    #[test]
    fn every_moment_has_a_date() {
        for millis in [i64::MIN, i64::MAX] {
            assert!(date(millis).contains(" UTC "));
        }
    }

    #[test]
    fn small_tables_iterate_by_the_low_bits_of_the_key() {
        // Object /1/0 of the seed document: five resources, eight slots.
        let mut ids = vec![0u32, 1, 6, 7, 22];
        hash_order(&mut ids, 1, |id| *id);
        assert_eq!(ids, [0, 1, 6, 22, 7]);
        // Six entries fill eight slots to three quarters; the seventh doubles the table.
        let mut ids = vec![5700u32, 5701, 5601, 5602, 5603, 5604];
        hash_order(&mut ids, 1, |id| *id);
        assert_eq!(ids, [5601, 5602, 5603, 5700, 5604, 5701]);
        let mut ids: Vec<u32> = (0..12).rev().collect();
        hash_order(&mut ids, 1, |id| *id);
        assert_eq!(ids, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn the_smallest_table_leaves_a_quarter_free() {
        // 1 entry in 2 slots, 2 and 3 in 4, 4 to 6 in 8: with fewer slots 8 would come before 1.
        let mut ids = vec![8u32, 1];
        hash_order(&mut ids, 1, |id| *id);
        assert_eq!(ids, [8, 1]);
        let mut ids = vec![5u32, 1, 2, 4];
        hash_order(&mut ids, 1, |id| *id);
        assert_eq!(ids, [1, 2, 4, 5]);
    }

    #[test]
    fn composite_results_iterate_by_the_hash_of_the_path() {
        let paths = |texts: &[&str]| -> Vec<Path> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mut results = paths(&["/3/0/9", "/5/0/3", "/5/0/5", "/5/0/7"]);
        hash_order(&mut results, 16, path_hash);
        assert_eq!(results, paths(&["/5/0/7", "/5/0/5", "/5/0/3", "/3/0/9"]));
    }

    #[test]
    fn composite_requests_iterate_by_the_hash_of_the_text() {
        let mut paths = ["/3/0/9", "/5/0/3", "/5/0/5", "/5/0/6", "/5/0/7", "/5/0/9"];
        hash_order(&mut paths, 16, |text| string_hash(text));
        assert_eq!(
            paths,
            ["/5/0/9", "/3/0/9", "/5/0/5", "/5/0/6", "/5/0/7", "/5/0/3"]
        );
        // Strings of one slot keep their order, here that of the profile's own set of versioned paths.
        let mut paths = ["/3_1.2/0/9", "/3_1.2/0/20", "/19_1.1/0/2"];
        hash_order(&mut paths, 16, |text| string_hash(text));
        let mut paths = paths.map(|text| text.replace("_1.2", "").replace("_1.1", ""));
        hash_order(&mut paths, 16, |text| string_hash(text));
        assert_eq!(paths, ["/19/0/2", "/3/0/20", "/3/0/9"]);
        // The hash of "hello" as the class documentation computes it.
        assert_eq!(string_hash("hello"), 99_162_322);
    }
}
