//! RFC 3339, as JetStream's answers write it (Go's `time.RFC3339Nano`), and as requests want it.
//!
//! ```text
//!   2026-01-02T03:04:05.123456789Z      2026-01-02T03:04:05+01:00      0001-01-01T00:00:00Z ("there is none")
//! ```
//!
//! Unix ns are `u64`: 1970 to 2554. What lies outside of that, or is no time, reads as `None`.

const NANOS: u64 = crate::SECOND_NS;
const DAY_S: i64 = 86_400;

/// Unix ns of an RFC 3339 text; more than nine digits of a fraction are cut.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
    };
    let is = |at: usize, accepted: &[u8]| bytes.get(at).is_some_and(|byte| accepted.contains(byte));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // A leap second is the one before it.
    let in_range = day >= 1 && day <= days_in(year, month)? && hour <= 23 && minute <= 59 && second <= 60;
    if !separated || !in_range {
        return None;
    }
    let mut at = 19;
    let mut fraction_ns = 0;
    if is(at, b".,") {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let kept = digits.min(9);
        fraction_ns = number(at + 1, at + 1 + kept)? as u64 * 10_u64.pow(9 - kept as u32);
        at += 1 + digits;
    }
    let offset_s = match bytes.get(at..)? {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3_600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second.min(59) - offset_s;
    u64::try_from(seconds).ok()?.checked_mul(NANOS)?.checked_add(fraction_ns)
}

/// The text of Unix ns, with nine digits and `Z`.
pub fn format_rfc3339(unix_ns: u64) -> String {
    let (seconds, fraction_ns) = (unix_ns / NANOS, unix_ns % NANOS);
    let (days, of_day) = (seconds as i64 / DAY_S, seconds as i64 % DAY_S);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction_ns:09}Z")
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms"): years begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
            // Shorter texts are never another time of the same second.
            for cut in 0..text.len() {
                let cut_time = parse_rfc3339(&text[..cut]);
                assert!(cut_time.is_none(), "{text} cut at {cut}: {cut_time:?}");
            }
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T00:00:01.5Z", Some(1_500_000_000));
        check("2026-11-29T22:49:45.39837084Z", Some(1_795_992_585_398_370_840));
        check("2026-11-29t22:49:45,398370840999z", Some(1_795_992_585_398_370_840));
        check("2026-11-29T23:49:45.39837084+01:00", Some(1_795_992_585_398_370_840));
        check("2026-11-29T21:19:45.39837084-01:30", Some(1_795_992_585_398_370_840));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000));
        check("2016-12-31T23:59:60Z", Some(1_483_228_799_000_000_000));
        check("2554-07-21T23:34:33.709551615Z", Some(u64::MAX));
        check("2554-07-21T23:34:33.709551616Z", None);
        check("9999-12-31T23:59:59Z", None);
        check("0001-01-01T00:00:00Z", None);
        check("1969-12-31T23:59:59Z", None);
        for text in [
            "",
            "now",
            "2026-11-29",
            "2026-11-29T22:49:45",
            "2026-11-29T22:49:45.Z",
            "2026-11-29T22:49:45ZZ",
            "2026-11-29T22:49:45+0100",
            "2026-11-29T22:49:45+24:00",
            "2026-13-29T22:49:45Z",
            "2026-00-29T22:49:45Z",
            "2026-02-29T22:49:45Z",
            "2026-11-31T22:49:45Z",
            "2026-11-00T22:49:45Z",
            "2026-11-29T24:49:45Z",
            "2026-11-29T22:60:45Z",
            "2026-11-29T22:49:61Z",
            "2026/11/29T22:49:45Z",
            "+026-11-29T22:49:45Z",
            "2026-11-29T22:49:4éZ",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn written_times_read_as_the_same() {
        let mut random = crate::random::Random(1);
        for unix_ns in (0..10_000).map(|_| random.next()).chain([0, 1, u64::MAX]) {
            let text = format_rfc3339(unix_ns);
            assert_eq!(parse_rfc3339(&text), Some(unix_ns), "{text}");
        }
        assert_eq!(format_rfc3339(1_709_164_800_000_000_001), "2024-02-29T00:00:00.000000001Z");
    }
}
