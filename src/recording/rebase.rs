//! The timestamps of a payload: when its event happened, and the same payload at another time.
//!
//! ```text
//!   {"symbol":"X","ts_exchange":"2024-07-18T23:57:02.5Z","ts":1721347022500,"price":1}     shifted by 1 s:
//!   {"symbol":"X","ts_exchange":"2024-07-18T23:57:03.500000Z","ts":1721347023500,"price":1}
//! ```
//!
//! Every field that the decoder takes for a time is rewritten in its own format: a text keeps its separator, its offset
//! and its precision (microseconds at least), a number its unit and its digits. All other bytes stay as they are, and
//! so does a payload that is no JSON object and a time that cannot be read.

use std::ops::Range;

use crate::engine::input::field::{HEADER, HEADER_TIME, TS_EXCHANGE, TS_RECV};
use crate::engine::input::json::{Scanner, Value};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::number::{Number, decode_number};
use crate::engine::input::unescape::unescape;
use crate::engine::time::{NANOS_PER_SECOND, TimeDecoder, UnixNanos, decode_time_text, encode_time};

/// A payload's time: `ts_recv`, else `ts_exchange`.
pub fn event_time(payload: &[u8]) -> Option<UnixNanos> {
    let mut best: Option<(usize, UnixNanos)> = None;
    // What follows a place that is no JSON does not matter, as with the decoder.
    let _ = each_time(payload, |rank, _, _, time| {
        if best.is_none_or(|(best_rank, _)| rank <= best_rank) {
            best = Some((rank, time));
        }
    });
    best.map(|(_, time)| time)
}

/// Appends `payload` with every time moved by `shift` ns.
pub fn rebase(payload: &[u8], shift: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut copied = 0;
    let walked = each_time(payload, |_, token, value, time| {
        out.extend_from_slice(&payload[copied..token.start]);
        copied = token.start;
        let begin = out.len();
        let is_written = match value {
            Value::Text(text) => write_text(text, time, shift, out),
            Value::Number(number) => write_number(&number, time, shift, out),
            Value::Bool(_) | Value::Other => None,
        };
        match is_written {
            Some(()) => copied = token.end,
            None => out.truncate(begin),
        }
    });
    if walked.is_err() {
        out.truncate(start);
        copied = 0;
    }
    out.extend_from_slice(&payload[copied..]);
}

/// Calls `visit` for each field that is a readable time: the rank of its name (0 is the best), where its value stands,
/// the value, and what it means. They stand at the top, and in the header of a raw Databento record.
fn each_time<'a>(
    payload: &'a [u8],
    mut visit: impl FnMut(usize, Range<usize>, Value<'a>, UnixNanos),
) -> Result<(), Malformed> {
    // Beside it `t` is the trade's number.
    let mut is_numbered = false;
    each_field(&mut Scanner::new(payload), &mut |key, scanner| {
        let value = scanner.value()?;
        is_numbered |= key == b"e" && matches!(value, Value::Text(b"trade"));
        Ok(())
    })?;
    let mut decoder = TimeDecoder::default();
    let mut time_of = move |value| match value {
        Value::Text(text) => decoder.decode_text(text),
        Value::Number(number) => decoder.decode_number(&number),
        Value::Bool(_) | Value::Other => None,
    };
    let mut visit_value = |rank: Option<usize>, scanner: &mut Scanner<'a>| {
        let start = scanner.position();
        let value = scanner.value()?;
        if let Some(rank) = rank
            && let Some(time) = time_of(value)
        {
            visit(rank, start..scanner.position(), value, time);
        }
        Ok(())
    };
    each_field(&mut Scanner::new(payload), &mut |key, scanner| {
        if key == HEADER && scanner.peek() == b'{' {
            return each_field(scanner, &mut |key, scanner| {
                visit_value((key == HEADER_TIME).then_some(TS_RECV.len() + TS_EXCHANGE.len()), scanner)
            });
        }
        let rank = TS_RECV.iter().chain(&TS_EXCHANGE).position(|name| *name == key);
        visit_value(rank.filter(|_| !(is_numbered && key == b"t")), scanner)
    })
}

/// Is called with a field's key, and has to move past its value.
type TakeField<'a, 'f> = dyn FnMut(&[u8], &mut Scanner<'a>) -> Result<(), Malformed> + 'f;

/// Calls `take` for each field of an object.
fn each_field<'a>(scanner: &mut Scanner<'a>, take: &mut TakeField<'a, '_>) -> Result<(), Malformed> {
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let key = scanner.key()?;
        let mut place = [0; 32];
        let key = if key.contains(&b'\\') { unescape(key, &mut place).unwrap_or_default() } else { key };
        scanner.peek();
        take(key, scanner)?;
        if !scanner.take(b',') {
            return scanner.expect(b'}');
        }
    }
}

/// The quoted text of `time + shift`, as `text` is the text of `time`.
fn write_text(text: &[u8], time: UnixNanos, shift: i64, out: &mut Vec<u8>) -> Option<()> {
    let bare = text.trim_ascii();
    let blanks = text.len() - text.trim_ascii_start().len();
    out.push(b'"');
    out.extend_from_slice(&text[..blanks]);
    match decode_number(bare) {
        Some((number, len)) if len == bare.len() => write_number(&number, time, shift, out)?,
        _ => write_rfc3339(bare, time, shift, out)?,
    }
    out.extend_from_slice(&text[blanks + bare.len()..]);
    out.push(b'"');
    Some(())
}

/// ```text
///   2024-07-18T23:57:02.605624+02:00
///             │        └fraction┘└ zone
///             separator
/// ```
fn write_rfc3339(text: &[u8], time: UnixNanos, shift: i64, out: &mut Vec<u8>) -> Option<()> {
    let behind_seconds = &text[19..];
    let (point, zone) = match behind_seconds.first() {
        Some(point @ (b'.' | b',')) => {
            let digits = behind_seconds[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Some((*point, digits)), &behind_seconds[1 + digits..])
        }
        _ => (None, behind_seconds),
    };
    // The text without its zone, read as UTC, is ahead of the time by the zone's offset.
    let local = decode_time_text(&text[..text.len() - zone.len()])?;
    let local = moved(time, shift.checked_add(local.since(time))?)?;
    let seconds = encode_time(local);
    out.extend_from_slice(&seconds[..10]);
    out.push(text[10]);
    out.extend_from_slice(&seconds[11..19]);
    let (point, digits) = point.map_or((b'.', 6), |(point, digits)| (point, digits.max(6)));
    out.push(point);
    let mut fraction = local.0.rem_euclid(NANOS_PER_SECOND);
    let mut unit = NANOS_PER_SECOND / 10;
    for _ in 0..digits {
        out.push(b'0' + (fraction / unit) as u8);
        fraction %= unit;
        unit = (unit / 10).max(1);
    }
    out.extend_from_slice(zone);
    Some(())
}

/// `time + shift` in the unit of `number`, which is `time`, with as many digits behind the point.
fn write_number(number: &Number<'_>, time: UnixNanos, shift: i64, out: &mut Vec<u8>) -> Option<()> {
    let unit = match number.to_f64() {
        v if v < 1e11 => i128::from(NANOS_PER_SECOND),
        v if v < 1e14 => 1_000_000,
        v if v < 1e17 => 1_000,
        _ => 1,
    };
    // Below a nanosecond there is nothing.
    let decimals = (-number.exponent_10).clamp(0, 9) as usize;
    let scale = 10i128.pow(decimals as u32);
    let units = i128::from(moved(time, shift)?.0) * scale / unit;
    out.extend_from_slice(itoa::Buffer::new().format(units / scale).as_bytes());
    if decimals > 0 {
        let fraction = (units % scale).to_string();
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', decimals - fraction.len()));
        out.extend_from_slice(fraction.as_bytes());
    }
    Some(())
}

/// Only where the decoder would read it again.
fn moved(time: UnixNanos, shift: i64) -> Option<UnixNanos> {
    let moved = UnixNanos(time.0.checked_add(shift)?);
    TimeDecoder::default().decode_text(&encode_time(moved)).map(|_| moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::input::decode::Decoder;
    use crate::engine::input::subject::EventKind;

    const SECOND: i64 = NANOS_PER_SECOND;

    fn check(payload: &str, shift: i64, expected: &str) {
        let mut out = b"before".to_vec();
        rebase(payload.as_bytes(), shift, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{expected}"), "{payload} by {shift}");
    }

    fn check_value(value: &str, shift: i64, expected: &str) {
        check(&format!("{{\"a\":1, \"ts\" : {value} }}"), shift, &format!("{{\"a\":1, \"ts\" : {expected} }}"));
    }

    #[test]
    fn texts_keep_their_format() {
        let check = |value: &str, shift, expected: &str| {
            check_value(&format!("\"{value}\""), shift, &format!("\"{expected}\""));
        };
        check("2024-07-18T23:57:02.605624Z", SECOND, "2024-07-18T23:57:03.605624Z");
        check("2024-07-18T23:57:02.605624Z", 1_000, "2024-07-18T23:57:02.605625Z");
        check("2024-07-18T23:57:02Z", 180 * SECOND + 1_000, "2024-07-19T00:00:02.000001Z");
        check("2024-07-18 23:57:02.5", 0, "2024-07-18 23:57:02.500000");
        check("2024-07-18t23:57:02,5z", -SECOND, "2024-07-18t23:57:01,500000z");
        check("2024-07-18T23:57:02.123456789Z", 1, "2024-07-18T23:57:02.123456790Z");
        check("2024-07-19T01:57:02.1+02:00", SECOND, "2024-07-19T01:57:03.100000+02:00");
        check("2024-07-18T18:27:02.000000001-05:30", 59 * 60 * SECOND, "2024-07-18T19:26:02.000000001-05:30");
        check(" 2024-07-18 23:57:02 UTC ", SECOND, " 2024-07-18 23:57:03.000000 UTC ");
        check("2024-07-18T23:57:02.1234567899+0000", SECOND, "2024-07-18T23:57:03.1234567890+0000");
        check("1721347022605", SECOND, "1721347023605");
        check(" 1721347022.5 ", SECOND, " 1721347023.5 ");
        check("yesterday", SECOND, "yesterday");
        check("", SECOND, "");
        check("2024-07-18T23:57:02Z", i64::MAX, "2024-07-18T23:57:02Z");
        check("2024-07-18T23:57:02Z", -60 * 365 * 86_400 * SECOND, "2024-07-18T23:57:02Z");
    }

    #[test]
    fn numbers_keep_their_unit() {
        check_value("1721347022", SECOND, "1721347023");
        check_value("1721347022", SECOND - 1, "1721347022");
        check_value("1721347022605", SECOND, "1721347023605");
        check_value("1721347022605624", 1_000, "1721347022605625");
        check_value("1721347022605624123", 1, "1721347022605624124");
        check_value("1721347022.605624", SECOND + 1_000, "1721347023.605625");
        check_value("1721347022.05", SECOND, "1721347023.05");
        check_value("1.721347022605e12", SECOND, "1721347023605");
        // The decoder takes none of these for times.
        for other in ["-5", "5", "946684799", "4133980800", "true"] {
            check_value(other, SECOND, other);
        }
        check_value("null", SECOND, "null");
        check_value("{\"ts\":1721347022}", SECOND, "{\"ts\":1721347022}");
        check(
            r#"{"hd":{"ts_event":1721347022,"x":1721347022}}"#,
            SECOND,
            r#"{"hd":{"ts_event":1721347023,"x":1721347022}}"#,
        );
        check(r#"{"e":"aggTrade","t":1721347022}"#, SECOND, r#"{"e":"aggTrade","t":1721347023}"#);
        // A number of trades.
        check(r#"{"t":1721347022,"e":"trade"}"#, SECOND, r#"{"t":1721347022,"e":"trade"}"#);
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        let payload = "\u{feff}{ \"ts\\u005frecv\":1721347022,\"price\":1.50,\"x\":{\"ts\":1721347022},\"ts_recv\":1700000001,\"ts\":1700000002 , \"y\":[] }  ";
        check(
            payload,
            3 * SECOND,
            &payload.replace("v\":1721347022", "v\":1721347025").replace("1,\"ts\"", "4,\"ts\"").replace("2 ", "5 "),
        );
        for payload in ["", "{}", "[]", "{\"ts\":1721347022", "{\"ts\":1721347022,}", "nonsense", "{\"a\":1}"] {
            check(payload, SECOND, payload);
        }
    }

    #[test]
    fn the_names_are_the_decoders() {
        let decode = |payload: &str| {
            let (origin, _) = Decoder::default().decode(EventKind::Heartbeat, payload.as_bytes()).unwrap();
            (origin.ts_recv, origin.ts_exchange)
        };
        let time = UnixNanos(1_721_347_022 * SECOND);
        for name in TS_RECV {
            let payload = format!("{{\"{}\":1721347022}}", name.escape_ascii());
            assert_eq!((decode(&payload).0, event_time(payload.as_bytes())), (Some(time), Some(time)), "{payload}");
        }
        for name in TS_EXCHANGE {
            let payload = format!("{{\"{}\":1721347022}}", name.escape_ascii());
            assert_eq!((decode(&payload).1, event_time(payload.as_bytes())), (Some(time), Some(time)), "{payload}");
        }
    }

    #[test]
    fn the_time_of_an_event() {
        let check = |payload: &str, seconds: Option<i64>| {
            assert_eq!(event_time(payload.as_bytes()), seconds.map(|s| UnixNanos(s * SECOND)), "{payload}");
        };
        check(r#"{"ts_exchange":1700000005,"ts_recv":1700000006}"#, Some(1_700_000_006));
        check(r#"{"ts_recv":1700000006,"ts_exchange":1700000005}"#, Some(1_700_000_006));
        check(r#"{"ts":1700000005,"ts_event":1700000004,"price":1}"#, Some(1_700_000_004));
        check(r#"{"received_at":"x","ts":1700000003}"#, Some(1_700_000_003));
        check(r#"{"ts":1700000003,"ts":1700000004}"#, Some(1_700_000_004));
        check(r#"{"ts_recv":5,"hd":{"ts_event":1700000003}}"#, Some(1_700_000_003));
        check(r#"{"price":1}"#, None);
        check("[]", None);
    }

    #[test]
    fn moving_there_and_back_is_no_change_for_the_decoder() {
        let values = [
            "\"2024-07-18T23:57:02.605624Z\"",
            "\"2024-07-19T01:57:02.1+02:00\"",
            "1721347022605",
            "1721347022.605624",
            "\"1721347022605624123\"",
        ];
        for value in values {
            for shift in [SECOND, 63_113_904 * SECOND, -86_400 * SECOND, 1_234 * SECOND] {
                let payload = format!("{{\"ts_recv\":{value}}}");
                let (mut there, mut back) = (Vec::new(), Vec::new());
                rebase(payload.as_bytes(), shift, &mut there);
                rebase(&there, -shift, &mut back);
                let time = event_time(payload.as_bytes()).unwrap();
                assert_eq!(event_time(&there), Some(time.plus(shift)), "{payload} by {shift}");
                assert_eq!(event_time(&back), Some(time), "{payload} by {shift}");
            }
        }
    }
}
