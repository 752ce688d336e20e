//! Moments and their texts: timestamps of events (RFC 3339, epoch numbers) read and written. Nothing here reads a clock.

use std::ops::Range;

use crate::engine::input::number::{Number, POWERS, decode_number};
use crate::engine::input::words::{digits_in, join_digits, word_at};

/// ns of a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// ns of a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Integer nanoseconds since the Unix epoch, UTC. Decoded moments lie in 1970..2255, those of events in 2000..2101, so that
/// sums with any setting's length stay far from overflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixNanos(pub i64);

/// `Z"`
const ZULU: u16 = u16::from_le_bytes(*b"Z\"");

/// The moments of records: up to 2255-03-22. Texts and numbers outside are unreadable.
const RECORD_MOMENTS: Range<i64> = 0..9_000_000_000 * NANOS_PER_SECOND;
/// The moments of events: from 2000-01-01 to the end of 2100. What lies outside is no time but a zero, another unit or a
/// number of something else.
const EVENT_MOMENTS: Range<i64> = 946_684_800 * NANOS_PER_SECOND..4_133_980_800 * NANOS_PER_SECOND;

impl UnixNanos {
    /// `nanos` later.
    #[inline]
    pub fn plus(self, nanos: i64) -> UnixNanos {
        UnixNanos(self.0 + nanos)
    }

    /// `nanos` earlier.
    #[inline]
    pub fn minus(self, nanos: i64) -> UnixNanos {
        UnixNanos(self.0 - nanos)
    }

    /// Nanoseconds from `earlier` to `self`; negative when it is in fact later.
    #[inline]
    pub fn since(self, earlier: UnixNanos) -> i64 {
        self.0 - earlier.0
    }
}

/// Decodes moments, remembering the last minute it saw: the calendar is computed once a minute, not once an event.
#[derive(Clone, Debug)]
pub struct TimeDecoder {
    /// `2024-07-18T23:57`, and its moment.
    minute: [u8; 16],
    minute_seconds: i64,
}

impl Default for TimeDecoder {
    fn default() -> Self {
        TimeDecoder { minute: *b"1970-01-01T00:00", minute_seconds: 0 }
    }
}

/// A record's moment as text, as [`TimeDecoder::decode_text`] reads it, or as a number in quotes. `None` when it is
/// neither, or lies outside 1970..2255.
pub fn decode_time_text(text: &[u8]) -> Option<UnixNanos> {
    within(RECORD_MOMENTS, TimeDecoder::default().nanos_of_text(text))
}

/// A record's moment as a number: seconds (< 1e11), milliseconds (< 1e14), microseconds (< 1e17), else nanoseconds.
pub fn decode_time_number(number: &Number<'_>) -> Option<UnixNanos> {
    within(RECORD_MOMENTS, nanos_of_number(number))
}

#[inline]
fn within(range: Range<i64>, nanos: Option<i64>) -> Option<UnixNanos> {
    nanos.filter(|nanos| range.contains(nanos)).map(UnixNanos)
}

/// The digits are compared and scaled as integers, so nothing is rounded; below a nanosecond it is cut off.
fn nanos_of_number(number: &Number<'_>) -> Option<i64> {
    let is_below = |limit_10: i32| match limit_10 - number.exponent_10 {
        // The digits are fewer than twenty.
        19.. => true,
        shift @ 0..19 => number.digits < POWERS[shift as usize],
        _ => number.digits == 0,
    };
    let scale_10 = match () {
        () if is_below(11) => 9,
        () if is_below(14) => 6,
        () if is_below(17) => 3,
        () => 0,
    };
    if number.negative {
        return None;
    }
    let nanos = match number.exponent_10.saturating_add(scale_10) {
        exponent @ 0..19 => number.digits.checked_mul(POWERS[exponent as usize])?,
        exponent @ -19..0 => number.digits / POWERS[-exponent as usize],
        exponent if exponent < 0 || number.digits == 0 => 0,
        _ => return None,
    };
    i64::try_from(nanos).ok()
}

impl TimeDecoder {
    /// A string that is a moment of the same minute as the last text, with a fraction and in UTC, as most producers write
    /// it: the moment, and where the string that starts at `at` ends. `None` says that it is something else, not that it
    /// is wrong.
    ///
    /// ```text
    ///   "2024-07-18T23:57:02.605624Z"       Z, +00:00 or nothing
    ///    └─ remembered ─┘
    /// ```
    #[inline(always)]
    pub fn decode_same_minute(&self, text: &[u8], at: usize) -> Option<(UnixNanos, usize)> {
        const FRACTION_AT: usize = 21;
        let start = text.get(at..at.wrapping_add(FRACTION_AT))?.first_chunk::<FRACTION_AT>()?;
        let &[b'"', .., b':', tens, ones, b'.'] = start else { return None };
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        if start[1..17] != self.minute || tens > 5 || ones > 9 {
            return None;
        }
        let fraction = word_at(text, at + FRACTION_AT);
        let fraction_len = digits_in(fraction);
        if fraction_len == 0 {
            return None;
        }
        let mut nanos = join_digits(fraction, fraction_len) * POWERS[9 - fraction_len];
        let mut end = at + FRACTION_AT + fraction_len;
        if fraction_len <= 6 && (fraction >> (8 * fraction_len)) as u16 == ZULU {
            end += 2;
        } else {
            // Eight digits at once; the ninth is on its own.
            if fraction_len == 8
                && let Some(digit @ b'0'..=b'9') = text.get(end)
            {
                nanos += (digit - b'0') as u64;
                end += 1;
            }
            let zone = word_at(text, end);
            end += match zone as u16 {
                ZULU => 2,
                _ if zone as u8 == b'"' => 1,
                _ if zone << 8 == u64::from_le_bytes(*b"\0+00:00\"") => 7,
                _ => return None,
            };
        }
        let seconds = self.minute_seconds + (tens * 10 + ones) as i64;
        let nanos = seconds * NANOS_PER_SECOND + nanos as i64;
        EVENT_MOMENTS.contains(&nanos).then_some((UnixNanos(nanos), end))
    }

    /// An event's moment as text: RFC 3339 (`T` or a space; `Z`, ` UTC`, an offset or none = UTC; any number of fraction
    /// digits, cut to ns; blanks around it), or a number in quotes. `None` when it is neither, or lies outside 2000..2101.
    ///
    /// ```text
    ///   2024-07-18T23:57:02.605624Z
    ///   0    5  8  11 14 17 20       fraction and zone follow, both optional
    ///   └─── minute ───┘
    /// ```
    #[inline]
    pub fn decode_text(&mut self, text: &[u8]) -> Option<UnixNanos> {
        within(EVENT_MOMENTS, self.nanos_of_text(text))
    }

    /// An event's moment as a number: seconds (< 1e11), milliseconds (< 1e14), microseconds (< 1e17), else nanoseconds.
    #[inline]
    pub fn decode_number(&self, number: &Number<'_>) -> Option<UnixNanos> {
        within(EVENT_MOMENTS, nanos_of_number(number))
    }

    #[inline]
    fn nanos_of_text(&mut self, text: &[u8]) -> Option<i64> {
        let text = text.trim_ascii();
        let (minute, rest) = match text.split_first_chunk::<16>() {
            Some((minute, rest)) if minute[4] == b'-' => (minute, rest),
            _ => return nanos_of_quoted_number(text),
        };
        if *minute != self.minute {
            // Minutes that no moment lies in are not remembered. One of the day before the epoch may be readable by its
            // offset.
            let readable = -SECONDS_PER_DAY..RECORD_MOMENTS.end / NANOS_PER_SECOND;
            self.minute_seconds = decode_minute(minute).filter(|seconds| readable.contains(seconds))?;
            self.minute = *minute;
        }
        let &[b':', tens, ones, ref rest @ ..] = rest else { return None };
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        // Second 60 is a leap second; Unix time has none, so it is the next minute's first.
        if tens > 6 || ones > 9 || tens == 6 && ones > 0 {
            return None;
        }
        let seconds = self.minute_seconds + (tens * 10 + ones) as i64;
        let (nanos, zone) = decode_fraction(rest)?;
        let offset_seconds = match zone {
            [b'Z' | b'z'] | [] => 0,
            zone => decode_offset(zone)?,
        };
        (seconds - offset_seconds).checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
    }
}

#[cold]
fn nanos_of_quoted_number(text: &[u8]) -> Option<i64> {
    match decode_number(text) {
        Some((number, len)) if len == text.len() => nanos_of_number(&number),
        _ => None,
    }
}

/// `2024-07-18T23:57` in seconds since the epoch.
#[cold]
fn decode_minute(text: &[u8; 16]) -> Option<i64> {
    if text[4] != b'-' || text[7] != b'-' || text[13] != b':' || !matches!(text[10], b'T' | b' ' | b't') {
        return None;
    }
    let year = two_digits(text, 0)? * 100 + two_digits(text, 2)?;
    let (month, day) = (two_digits(text, 5)?, two_digits(text, 8)?);
    let (hour, minute) = (two_digits(text, 11)?, two_digits(text, 14)?);
    if day == 0 || day > days_in_month(year, month)? || hour > 23 || minute > 59 {
        return None;
    }
    let days = days_from_civil(year as i64, month as i64, day as i64);
    Some(days * SECONDS_PER_DAY + (hour * 3600 + minute * 60) as i64)
}

/// `.605624` in ns, and what follows; 0 ns without a point. Digits behind the ninth are cut off.
#[inline]
fn decode_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', fraction @ ..] = text else { return Some((0, text)) };
    let mut nanos = 0;
    let mut count = 0;
    while let Some(digit) = fraction.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        if count < 9 {
            nanos = nanos * 10 + digit as i64;
        }
        count += 1;
    }
    if count == 0 {
        return None;
    }
    Some((nanos * POWERS[9_usize.saturating_sub(count)] as i64, &fraction[count..]))
}

/// `+05:30`, `+0530`, `+05` or ` UTC` in seconds.
fn decode_offset(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b" UTC" => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2] => (sign, [*h1, *h2], *b"00"),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] | [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            (sign, [*h1, *h2], [*m1, *m2])
        }
        _ => return None,
    };
    let (hours, minutes) = (two_digits(&hours, 0)?, two_digits(&minutes, 0)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i64;
    Some(if *sign == b'-' { -seconds } else { seconds })
}

#[inline]
fn two_digits(text: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(tens as u32 * 10 + ones as u32)
}

#[inline]
fn days_in_month(year: u32, month: u32) -> Option<u32> {
    const DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = *DAYS.get(month.wrapping_sub(1) as usize)? as u32;
    Some(days + (month == 2 && leap) as u32)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", days_from_civil).
#[inline]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - (month <= 2) as i64;
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse, civil_from_days of the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as i64, month, day)
}

/// Length of [`encode_time`]'s text.
pub const TIME_TEXT_BYTES: usize = 27;

/// `2024-07-18T23:57:02.605624Z`: RFC 3339 with microseconds, what lies below them cut off.
#[inline]
pub fn encode_time(moment: UnixNanos) -> [u8; TIME_TEXT_BYTES] {
    let micros = moment.0.div_euclid(NANOS_PER_MICRO);
    let (seconds, micros) = (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    let (days, second_of_day) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil_from_days(days);
    let (year, second_of_day, micros) = (year as u32, second_of_day as u32, micros as u32);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |at: usize, value: u32| {
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    };
    put(0, year / 100);
    put(2, year % 100);
    put(5, month as u32);
    put(8, day as u32);
    put(11, second_of_day / 3600);
    put(14, second_of_day / 60 % 60);
    put(17, second_of_day % 60);
    put(20, micros / 10_000);
    put(22, micros / 100 % 100);
    put(24, micros % 100);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, nanos: i64) {
        assert_eq!(decode_time_text(text.as_bytes()), Some(UnixNanos(nanos)), "{text}");
    }

    #[test]
    fn texts() {
        check("1970-01-01T00:00:00Z", 0);
        check("2024-07-18T23:57:02.605624Z", 1_721_347_022_605_624_000);
        check("2024-07-18 23:57:02.605624", 1_721_347_022_605_624_000);
        check("2024-07-18T23:57:02", 1_721_347_022_000_000_000);
        check("2024-07-19T01:57:02.1+02:00", 1_721_347_022_100_000_000);
        check("2024-07-18T18:27:02.000000001-05:30", 1_721_347_022_000_000_001);
        check("2024-02-29T00:00:00z", 1_709_164_800_000_000_000);
        check("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000);
        for zone in ["+0200", "+02", "+02:00", "-2200", " UTC"] {
            let hours = match zone {
                " UTC" => 0,
                "-2200" => -22,
                _ => 2,
            };
            let t = 1_721_347_022_000_000_000 - hours * 3600 * NANOS_PER_SECOND;
            check(&format!("2024-07-18T23:57:02{zone}"), t);
            check(&format!(" 2024-07-18 23:57:02.123456789999{zone}\t"), t + 123_456_789);
            check(&format!("2024-07-18t23:57:02,5{zone}"), t + 500_000_000);
        }
        check("1721347022", 1_721_347_022_000_000_000);
        check("1721347022.605624", 1_721_347_022_605_624_000);
        check(" 1721347022605 ", 1_721_347_022_605_000_000);
        check("1721347022605624", 1_721_347_022_605_624_000);
        check("1721347022605624123", 1_721_347_022_605_624_123);
        check("1.721347022605e12", 1_721_347_022_605_000_000);
        check("0.000000000000000000000000000000000000000000001", 0);
        // The sizes at which the unit changes, to the last digit.
        check("100000000000", 100_000_000_000_000_000);
        check("100000000000000", 100_000_000_000_000_000);
        check("100000000000000000", 100_000_000_000_000_000);
    }

    #[test]
    fn moments_of_events_lie_in_2000_to_2100() {
        for (text, seconds) in [
            ("1999-12-31T23:59:59.999999999Z", None),
            ("2000-01-01T00:00:00.0Z", Some(946_684_800)),
            ("2100-12-31T23:59:59.0Z", Some(4_133_980_799)),
            ("2101-01-01T00:00:00.0Z", None),
            ("0", None),
            ("946684799.999999999", None),
            ("946684800", Some(946_684_800)),
            ("4133980799", Some(4_133_980_799)),
            ("4133980800", None),
        ] {
            let expected = seconds.map(|seconds: i64| UnixNanos(seconds * NANOS_PER_SECOND));
            let mut decoder = TimeDecoder::default();
            let quoted = format!("\"{text}\"");
            for _ in 0..2 {
                assert_eq!(decoder.decode_text(text.as_bytes()), expected, "{text}");
                let again = decoder.decode_same_minute(quoted.as_bytes(), 0).map(|(moment, _)| moment);
                assert!(again.is_none() || again == expected, "{text}");
            }
            if let Some((number, len)) = decode_number(text.as_bytes())
                && len == text.len()
            {
                assert_eq!(decoder.decode_number(&number), expected, "{text}");
            }
        }
    }

    #[test]
    fn the_same_minute_gives_the_same_moment() {
        let minute = "2024-07-18T23:57";
        let mut decoder = TimeDecoder::default();
        let zones = ["Z", "", "+00:00"];
        let texts: Vec<String> = (1..=9)
            .flat_map(|len| zones.map(|zone| format!("\"{minute}:02.{}{zone}\"", &"605624123"[..len])))
            .collect();
        assert_eq!(decoder.decode_same_minute(texts[0].as_bytes(), 0), None);
        decoder.decode_text(format!("{minute}:59Z").as_bytes());
        for text in &texts {
            let moment = decode_time_text(text.trim_matches('"').as_bytes()).unwrap();
            for around in ["", "x", ",\"price\":1}"] {
                let text = format!("{around}{text}{around}");
                let expected = Some((moment, text.len() - around.len()));
                assert_eq!(decoder.decode_same_minute(text.as_bytes(), around.len()), expected, "{text}");
            }
            // Every byte changed to every value, and every cut: the same moment as by the long way, or none.
            for at in 0..text.len() {
                assert_eq!(decoder.decode_same_minute(&text.as_bytes()[..at], 0), None, "{text} cut at {at}");
                for byte in 0..=255 {
                    let mut text = text.clone().into_bytes();
                    text[at] = byte;
                    if let Some((moment, end)) = decoder.decode_same_minute(&text, 0) {
                        assert_eq!(Some(moment), decode_time_text(&text[1..end - 1]), "{}", text.escape_ascii());
                        assert_eq!((text[0], text[end - 1]), (b'"', b'"'));
                    }
                }
            }
        }
        for other in ["", ".Z", ".1234567890Z", ".1+01:00", ".1-00:00", ".1z"] {
            let text = format!("\"{minute}:02{other}\"");
            assert_eq!(decoder.decode_same_minute(text.as_bytes(), 0), None, "{other}");
        }
    }

    #[test]
    fn a_far_minute_is_not_remembered() {
        for text in
            ["\"0001-01-01T00:00:00.000000Z\"", "\"1500-07-18T23:57:02.605624Z\"", "\"2999-07-18T23:57:02.605624Z\""]
        {
            let text = text.as_bytes();
            let mut decoder = TimeDecoder::default();
            assert_eq!(decoder.decode_text(&text[1..28]), None);
            assert_eq!(decoder.decode_same_minute(text, 0), None);
        }
        check("1969-12-31T23:30:00-01:00", 1_800_000_000_000);
    }

    #[test]
    fn unreadable_texts() {
        let cases = "2024-13-01T00:00:00Z 2023-02-29T00:00:00Z 2024-07-18T24:00:00Z 2024-07-18T23:57:02.Z \
                     2024-07-18T23:57:02,Z 2024-07-18T23:57:02+25:00 2024-07-18T23:57:02Zx 2024-07-18 \
                     0001-01-01T00:00:00Z 2300-01-01T00:00:00Z -5 1e30 99999999999 99999999999999 \
                     99999999999999999 1e400 abc 12a 2024-07-18T23:57:0xZ";
        for text in cases.split_whitespace() {
            assert_eq!(decode_time_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode_time_text(b""), None);
        let whole = b"2024-07-18T23:57:02.605624+02:00";
        for cut in 0..whole.len() {
            decode_time_text(&whole[..cut]);
        }
    }

    #[test]
    fn every_day_survives_the_round_trip() {
        for day in 0..104_000 {
            let moment = UnixNanos(day * SECONDS_PER_DAY * NANOS_PER_SECOND + 86_399_999_999_000);
            assert_eq!(decode_time_text(&encode_time(moment)), Some(moment));
        }
    }
}
