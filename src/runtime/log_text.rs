//! Texts from peers and from the system, made fit for a log line.

use std::io;
use std::ops::Range;

use crate::engine::time::{NANOS_PER_SECOND, UnixNanos, encode_time};

/// Longer ones end in `…`.
const CHARS_MAX: usize = 120;
/// `2026-01-31T09:30:00`
const SECOND_TEXT_BYTES: usize = 19;
/// Those that [`UnixNanos`] holds with room to spare: 1970 to 2250.
const DATES_S: Range<i64> = 0..8_835_955_200;

/// What a peer has sent, on one line: line ends and escape sequences would forge log lines or steer a terminal.
pub fn printable(text: &str) -> String {
    let escaped = one_line(text);
    match escaped.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}

/// A text of bounded length with names of peers in it, on one line.
pub fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

/// The system's text without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// A second of UTC, as in `2026-01-31T09:30:00Z`, for dates that a peer or a file states: they may be any number.
pub fn date(unix_s: i64) -> String {
    if !DATES_S.contains(&unix_s) {
        return if unix_s < DATES_S.start { "before 1970".to_owned() } else { "after 2250".to_owned() };
    }
    let text = encode_time(UnixNanos(unix_s * NANOS_PER_SECOND));
    format!("{}Z", String::from_utf8_lossy(&text[..SECOND_TEXT_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_numbers() {
        assert_eq!(plain(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(plain(&io::Error::other("as it is")), "as it is");
    }

    #[test]
    fn dates() {
        let check = |unix_s: i64, expected: &str| assert_eq!(date(unix_s), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(1_769_851_800, "2026-01-31T09:30:00Z");
        check(-1, "before 1970");
        check(i64::MIN, "before 1970");
        check(253_402_300_799, "after 2250");
        check(i64::MAX, "after 2250");
    }

    #[test]
    fn nothing_leaves_its_line() {
        assert_eq!(printable("md.events.trade.BTC-USD"), "md.events.trade.BTC-USD");
        assert_eq!(printable("a\n2026 ERROR \u{1b}[2J\u{9b}b"), "a\\n2026 ERROR \\u{1b}[2J\\u{9b}b");
        assert_eq!(printable(&"x".repeat(1000)).chars().count(), CHARS_MAX + 1);
    }
}
