//! Timestamps: text and numbers in, nanoseconds since the epoch, text out.

use super::SECOND;

/// RFC 3339 with `T` or a space, 0 to 9 fraction digits, and `Z`, an offset or nothing (UTC).
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    //  0123456789012345678
    //  YYYY-MM-DDTHH:MM:SS[.fffffffff][Z|±HH:MM]
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
    if let [b'.', tail @ ..] = rest {
        let length = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        fraction_ns = digits(&tail[..length])? * 10_i64.pow(9 - length as u32);
        rest = &tail[length..];
    }

    let offset_minutes = match rest {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
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

/// `[-]digits[.digits][e[±]digits]` times 10^9, rounded down.
fn decimal_billionths(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if whole.is_empty() || fraction.is_empty() || whole.len() + fraction.len() > 30 || exponent.abs() > 30 {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        value = value * 10 + i128::from(digits(&[byte])?);
    }
    if negative {
        value = -value;
    }
    let shift = 9 + exponent - fraction.len() as i32;
    match shift {
        0.. => value.checked_mul(10_i128.checked_pow(shift as u32)?),
        _ => Some(10_i128.checked_pow(shift.unsigned_abs()).map_or(0, |power| value.div_euclid(power))),
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
