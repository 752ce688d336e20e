//! Moments and their texts. Nothing here reads a clock.

use super::number::{Number, decode_number};

pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MICRO: i64 = 1_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Integer nanoseconds since the Unix epoch, UTC. Decoded moments lie in 1970..2255, so that sums with any
/// setting's length stay far from overflow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixNanos(pub i64);

/// The first moment that is not believed to be one: 2255-03-22. Later texts and numbers are unreadable.
const READABLE_END: i64 = 9_000_000_000 * NANOS_PER_SECOND;

impl UnixNanos {
    #[inline]
    pub fn plus(self, nanos: i64) -> UnixNanos {
        UnixNanos(self.0 + nanos)
    }

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

/// As [`TimeDecoder::decode_text`], for a single text.
pub fn decode_time_text(text: &[u8]) -> Option<UnixNanos> {
    TimeDecoder::default().decode_text(text)
}

/// A moment as a number: seconds (< 1e11), milliseconds (< 1e14), microseconds (< 1e17), else nanoseconds.
/// The digits are scaled as integers, so nothing is rounded that the number did say; below a nanosecond it is cut off.
pub fn decode_time_number(number: &Number<'_>) -> Option<UnixNanos> {
    if number.negative {
        return None;
    }
    let value = number.to_f64();
    let scale_10 = match value {
        v if v < 1e11 => 9,
        v if v < 1e14 => 6,
        v if v < 1e17 => 3,
        v if v < 1e19 => 0,
        _ => return None,
    };
    let shift = number.exponent_10 + scale_10;
    let nanos = match shift {
        0..=38 => (number.digits as u128).checked_mul(10u128.pow(shift as u32))?,
        -38..0 => number.digits as u128 / 10u128.pow(-shift as u32),
        _ => 0,
    };
    let nanos = i64::try_from(nanos).ok()?;
    (nanos < READABLE_END).then_some(UnixNanos(nanos))
}

impl TimeDecoder {
    /// `2024-07-18T23:57:02.605624Z"` of the same minute as the last text, the form that most producers write; `None`
    /// says that it is something else, not that it is wrong.
    ///
    /// ```text
    ///   :02.6056 24Z"       the second half, as two words that overlap:   : S S . f f f f | f f f f f f Z "
    /// ```
    #[inline(always)]
    pub fn decode_same_minute(&self, text: &[u8; 28]) -> Option<UnixNanos> {
        let (minute, rest) = text.split_first_chunk::<16>()?;
        let head = u64::from_le_bytes(*rest.first_chunk()?);
        let tail = u64::from_le_bytes(*rest.last_chunk()?);
        let separators =
            head as u8 == b':' && (head >> 24) as u8 == b'.' && (tail >> 48) as u16 == u16::from_le_bytes(*b"Z\"");
        if *minute != self.minute || !separators {
            return None;
        }
        // SSffffff, the first digit lowest.
        let digits = (head >> 8 & 0xffff) | tail << 16;
        const ONE_BITS: u64 = u64::MAX / 255;
        let values = digits ^ (ONE_BITS * 0x30);
        if (((values & (ONE_BITS * 0x7f)) + ONE_BITS * 0x76) | values) & (ONE_BITS * 0x80) != 0 {
            return None;
        }
        let pairs = values.wrapping_mul(2561) >> 8;
        let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
        let micros = (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32;
        if micros >= 60_000_000 {
            return None;
        }
        let nanos = self.minute_seconds * NANOS_PER_SECOND + micros as i64 * NANOS_PER_MICRO;
        (0..READABLE_END).contains(&nanos).then_some(UnixNanos(nanos))
    }

    /// A moment as text: RFC 3339 (`T` or a space; `Z`, an offset or none = UTC; 0 to 9 fraction digits), or a number
    /// in quotes. `None` when it is neither, or lies outside 1970..2255.
    ///
    /// ```text
    ///   2024-07-18T23:57:02.605624Z
    ///   0    5  8  11 14 17 20       fraction and zone follow, both optional
    ///   └─── minute ───┘
    /// ```
    #[inline]
    pub fn decode_text(&mut self, text: &[u8]) -> Option<UnixNanos> {
        let (minute, rest) = match text.split_first_chunk::<16>() {
            Some((minute, rest)) if minute[4] == b'-' => (minute, rest),
            _ => return decode_time_in_quotes(text),
        };
        if *minute != self.minute {
            // Far ones are not remembered: neither they nor their moments fit into nanoseconds. A minute of the day before
            // the epoch may be readable by its offset.
            let readable = -SECONDS_PER_DAY..READABLE_END / NANOS_PER_SECOND;
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
        let nanos = (seconds - offset_seconds).checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)?;
        (0..READABLE_END).contains(&nanos).then_some(UnixNanos(nanos))
    }
}

#[cold]
fn decode_time_in_quotes(text: &[u8]) -> Option<UnixNanos> {
    let text = text.trim_ascii();
    match decode_number(text) {
        Some((number, len)) if len == text.len() => decode_time_number(&number),
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

/// `.605624` in ns, and what follows; 0 ns without a point.
#[inline]
fn decode_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', fraction @ ..] = text else { return Some((0, text)) };
    let mut nanos = 0;
    let mut count = 0;
    while let Some(digit) = fraction.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        nanos = nanos * 10 + digit as i64;
        count += 1;
        if count > 9 {
            return None;
        }
    }
    if count == 0 {
        return None;
    }
    Some((nanos * POWERS[9 - count], &fraction[count..]))
}

/// `+05:30` in seconds.
fn decode_offset(zone: &[u8]) -> Option<i64> {
    let [sign @ (b'+' | b'-'), zone @ ..] = zone else { return None };
    if zone.len() != 5 || zone[2] != b':' {
        return None;
    }
    let (hours, minutes) = (two_digits(zone, 0)?, two_digits(zone, 3)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3600 + minutes * 60) as i64;
    Some(if *sign == b'-' { -seconds } else { seconds })
}

const POWERS: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

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
    let (seconds, micros) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second_of_day) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    put_digits(&mut text[0..4], year as u32);
    put_digits(&mut text[5..7], month as u32);
    put_digits(&mut text[8..10], day as u32);
    put_digits(&mut text[11..13], second_of_day as u32 / 3600);
    put_digits(&mut text[14..16], second_of_day as u32 / 60 % 60);
    put_digits(&mut text[17..19], second_of_day as u32 % 60);
    put_digits(&mut text[20..26], micros as u32);
    text
}

#[inline]
fn put_digits(place: &mut [u8], mut value: u32) {
    for byte in place.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
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
        check("1721347022", 1_721_347_022_000_000_000);
        check("1721347022.605624", 1_721_347_022_605_624_000);
        check(" 1721347022605 ", 1_721_347_022_605_000_000);
        check("1721347022605624", 1_721_347_022_605_624_000);
        check("1721347022605624123", 1_721_347_022_605_624_123);
        check("1.721347022605e12", 1_721_347_022_605_000_000);
        check("0.000000000000000000000000000000000000000000001", 0);
    }

    #[test]
    fn the_same_minute_gives_the_same_moment() {
        let whole = b"2024-07-18T23:57:02.605624Z\"";
        let mut decoder = TimeDecoder::default();
        assert_eq!(decoder.decode_same_minute(whole), None);
        decoder.decode_text(&whole[..27]);
        assert_eq!(decoder.decode_same_minute(whole), Some(UnixNanos(1_721_347_022_605_624_000)));
        // Every byte changed to every value: the same moment as by the long way, or none.
        for at in 0..28 {
            for byte in 0..=255 {
                let mut text = *whole;
                text[at] = byte;
                if let Some(moment) = decoder.decode_same_minute(&text) {
                    assert_eq!(Some(moment), decode_time_text(&text[..27]), "{:?}", std::str::from_utf8(&text));
                    assert_eq!(text[27], b'"');
                }
            }
        }
    }

    #[test]
    fn a_far_minute_is_not_remembered() {
        for text in
            [b"0001-01-01T00:00:00.000000Z\"", b"1500-07-18T23:57:02.605624Z\"", b"2999-07-18T23:57:02.605624Z\""]
        {
            let mut decoder = TimeDecoder::default();
            assert_eq!(decoder.decode_text(&text[..27]), None);
            assert_eq!(decoder.decode_same_minute(text), None);
        }
        check("1969-12-31T23:30:00-01:00", 1_800_000_000_000);
    }

    #[test]
    fn unreadable_texts() {
        let cases = "2024-13-01T00:00:00Z 2023-02-29T00:00:00Z 2024-07-18T24:00:00Z 2024-07-18T23:57:02.Z \
                     2024-07-18T23:57:02.1234567890Z 2024-07-18T23:57:02+25:00 2024-07-18T23:57:02Zx 2024-07-18 \
                     0001-01-01T00:00:00Z 2300-01-01T00:00:00Z -5 1e30 abc 12a 2024-07-18T23:57:0xZ";
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
