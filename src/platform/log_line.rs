//! The `transportLog` time series, whoever writes it.

/// The time series that holds the log lines.
pub const LOG_KEY: &str = "transportLog";

/// A line in the length in which it is published: at most `max` UTF-16 units.
pub fn truncated(line: String, max: usize) -> String {
    // UTF-8 has at least as many bytes as UTF-16 has units.
    if line.len() <= max {
        return line;
    }
    let mut units = 0usize;
    line.chars()
        .take_while(|character| {
            units = units.saturating_add(character.len_utf16());
            units <= max
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_characters() {
        assert_eq!(truncated("abc".to_owned(), 3), "abc");
        assert_eq!(truncated("abc".to_owned(), 2), "ab");
        // Two UTF-16 units, of which one would fit.
        assert_eq!(truncated("a\u{1f600}b".to_owned(), 2), "a");
        assert_eq!(truncated("\u{e4}\u{f6}".to_owned(), 2), "\u{e4}\u{f6}");
    }
}
