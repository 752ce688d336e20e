//! Timestamps: text and numbers in, nanoseconds since the epoch, text out.

use super::{SECOND, json};

/// RFC 3339 with `T` or a space, any number of fraction digits behind `.` or `,`, and `Z`, ` UTC`, an offset or nothing
/// (UTC).
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    //  0123456789012345678
    //  YYYY-MM-DDTHH:MM:SS[.f…][Z| UTC|±HH:MM|±HHMM|±HH]
    let bytes = text.as_bytes();
    let (head, mut rest) = (bytes.get(..19)?, bytes.get(19..)?);
    let number = |from: usize, to: usize| digits(&head[from..to]);
    let punctuation = [head[4], head[7], head[13], head[16]];
    if punctuation != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    // Second 60 is a leap second; it counts as the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }

    let mut fraction_ns = 0;
    if let [b'.' | b',', tail @ ..] = rest {
        let length = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let nine: Vec<u8> = tail[..length].iter().copied().chain(*b"000000000").take(9).collect();
        fraction_ns = digits(&nine)?;
        rest = &tail[length..];
    }

    let offset_minutes = match rest {
        [] | [b'Z' | b'z'] | b" UTC" => 0,
        [sign @ (b'+' | b'-'), offset @ ..] => {
            let (hours, minutes) = match offset {
                [h1, h2] => (digits(&[*h1, *h2])?, 0),
                [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };

    let minutes = (days_before(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    (minutes * 60 + second).checked_mul(SECOND)?.checked_add(fraction_ns)
}

/// Epoch seconds, milliseconds, microseconds or nanoseconds, told apart by size. Exact in decimals, cut to the nanosecond.
pub fn parse_epoch(text: &str) -> Option<i64> {
    // The number in billionths of whatever unit it has.
    let billionths = decimal_billionths(text)?;
    let below = |limit: i128| billionths < limit * 1_000_000_000;
    let ns = if below(100_000_000_000) {
        billionths
    } else if below(100_000_000_000_000) {
        billionths.div_euclid(1_000)
    } else if below(100_000_000_000_000_000) {
        billionths.div_euclid(1_000_000)
    } else {
        billionths.div_euclid(1_000_000_000)
    };
    i64::try_from(ns).ok()
}

/// A decimal number times 10^9, cut to a whole one. `None`: no number, negative, or 10^28 and more.
fn decimal_billionths(text: &str) -> Option<i128> {
    if !json::is_number(text) || text.starts_with('-') {
        return None;
    }
    let text = text.trim_start_matches('+');
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // An exponent that i32 cannot hold makes it too large or nothing.
    let is_small = exponent.starts_with('-');
    let exponent: i64 =
        exponent.parse::<i32>().map_or(if is_small { -i64::from(i32::MAX) } else { i64::from(i32::MAX) }, i64::from);
    // So many of the significant digits, and zeros behind them, are the whole number of billionths.
    let length = whole.len() as i64 - (all.len() - significant.len()) as i64 + exponent + 9;
    match length {
        ..=0 => Some(0),
        1..=37 => {
            significant.chars().chain("0".repeat(37).chars()).take(length as usize).collect::<String>().parse().ok()
        }
        _ => None,
    }
}

/// RFC 3339 with microseconds (cut, not rounded) and `Z`.
pub fn format(ns: i64) -> String {
    let micros = ns.div_euclid(1_000);
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (mut days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970;
    while days < 0 {
        year -= 1;
        days += days_in_year(year);
    }
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the date, counted one year and one month at a time.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 =
        if year >= 1970 { (1970..year).map(days_in_year).sum() } else { -(year..1970).map(days_in_year).sum::<i64>() };
    let months: i64 = (1..month).map(|month| days_in_month(year, month)).sum();
    years + months + day - 1
}
