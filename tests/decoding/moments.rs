//! Moments in every form.

use senpai_md_consumer::engine::input::subject::EventKind::Heartbeat;

use crate::check;

#[test]
fn moments() {
    let check_time = |value: &str, expected: Option<i64>| {
        for (name, said) in [("ts_exchange", "exchange"), ("ts_recv", "recv")] {
            let expected = expected.map_or("alive".into(), |nanos| format!("alive {said} {nanos}"));
            check(Heartbeat, format!("{{\"{name}\":{value}}}"), &expected);
            check(Heartbeat, format!("{{\"a\":1, \"{name}\": {value} , \"provider\":null}}"), &expected);
        }
    };
    let readable = |value: &str, nanos: i64| check_time(value, Some(nanos));
    const MINUTE: i64 = 1_721_347_020_000_000_000;
    readable(r#""2024-07-18T23:57:02.605624Z""#, MINUTE + 2_605_624_000);
    readable(r#""2024-07-18T23:57:59.999999Z""#, MINUTE + 59_999_999_000);
    readable(r#""2024-07-18T23:57:00.000000Z""#, MINUTE);
    readable(r#""2024-07-18 23:57:02.605624Z""#, MINUTE + 2_605_624_000);
    readable(r#""2024-07-18t23:57:02.605624z""#, MINUTE + 2_605_624_000);
    readable(r#""2024-07-18T23:57:02.605624""#, MINUTE + 2_605_624_000);
    readable(r#""2024-07-18 23:57:02""#, MINUTE + 2_000_000_000);
    let digits = "123456789";
    for count in 1..=9 {
        let nanos: i64 = format!("{:0<9}", &digits[..count]).parse().unwrap();
        for (zone, offset_minutes) in
            [("Z", 0), ("", 0), ("+00:00", 0), ("-00:00", 0), ("+02:00", 120), ("-05:30", -330), ("+14:00", 840)]
        {
            let text = format!("\"2024-07-18T23:57:02.{}{zone}\"", &digits[..count]);
            readable(&text, MINUTE + 2_000_000_000 + nanos - offset_minutes * 60_000_000_000);
        }
    }
    readable(r#""2024-07-18T23:57:02Z""#, MINUTE + 2_000_000_000);
    readable(r#""2024-07-18T23:57:02+05:45""#, MINUTE + 2_000_000_000 - 345 * 60_000_000_000);
    readable(r#""2024-02-29T00:00:00Z""#, 1_709_164_800_000_000_000);
    readable(r#""1970-01-01T00:00:00Z""#, 0);
    readable(r#""2016-12-31T23:59:60Z""#, 1_483_228_800_000_000_000);
    readable("1721347022", MINUTE + 2_000_000_000);
    readable("1721347022.605624123", MINUTE + 2_605_624_123);
    readable("1721347022605", MINUTE + 2_605_000_000);
    readable("1721347022605.624123", MINUTE + 2_605_624_123);
    readable("1721347022605624", MINUTE + 2_605_624_000);
    readable("1721347022605624123", MINUTE + 2_605_624_123);
    readable("1.721347022605e12", MINUTE + 2_605_000_000);
    readable("0", 0);
    readable("5", 5_000_000_000);
    // Told apart by size: just below and at each border.
    check_time("99999999999", None);
    readable("100000000000", 100_000_000_000_000_000);
    check_time("99999999999999", None);
    readable("100000000000000", 100_000_000_000_000_000);
    check_time("99999999999999980", None);
    check_time("99999999999999999", None);
    check_time("\"99999999999999999\"", None);
    check_time("99999999999999999.999", None);
    readable("100000000000000000", 100_000_000_000_000_000);
    readable("8999999999", 8_999_999_999_000_000_000);
    check_time("9000000000", None);
    for text in ["1721347022", "1721347022.605624", "1721347022605", "1721347022605624", "1721347022605624123"] {
        let nanos: i64 = format!("{:0<19}", text.replace('.', "")).parse().unwrap();
        readable(&format!("\"{text}\""), nanos);
        readable(&format!("\" {text} \""), nanos);
    }
    for text in [
        "",
        "2024",
        "2024-07-18",
        "2024-07-18T",
        "2024-07-18T23:57",
        "2024-07-18T23:57:",
        "2024-07-18T23:57:0",
        "2024-07-18T23:57:02.",
        "2024-07-18T23:57:02.Z",
        "2024-07-18T23:57:02.1234567890Z",
        "2024-07-18T23:57:02.605624ZZ",
        "2024-07-18T23:57:02.605624Z ",
        "2024-07-18T23:57:60.605624Z",
        "2024-07-18T23:57:61.605624Z",
        "2024-07-18T23:57:6a.605624Z",
        "2024-07-18T23:57:02.6056a4Z",
        "2024-07-18T23:57:02.605624X",
        "2024-07-18T23:57:02;605624Z",
        "2024-07-18T23:57.02.605624Z",
        "2024-07-18T23:60:02.605624Z",
        "2024-07-18T24:57:02.605624Z",
        "2024-07-32T23:57:02.605624Z",
        "2024-13-18T23:57:02.605624Z",
        "2024-00-18T23:57:02.605624Z",
        "2024-07-00T23:57:02.605624Z",
        "2023-02-29T23:57:02.605624Z",
        "2024-07-18X23:57:02.605624Z",
        "2024/07/18T23:57:02.605624Z",
        "2024-07-18T23:57:02+2:00",
        "2024-07-18T23:57:02+24:00",
        "2024-07-18T23:57:02+02:60",
        "2024-07-18T23:57:02+02",
        "1969-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2255-12-31T23:57:02.605624Z",
        "-5",
        "1e30",
        "0x5",
        "NaN",
        "now",
        "1721347022 s",
    ] {
        if text == "2024" {
            readable("\"2024\"", 2_024_000_000_000);
        } else if text == "2024-07-18T23:57:60.605624Z" {
            // A leap second, as in 23:59:60; Unix time has none.
            readable(&format!("\"{text}\""), MINUTE + 60_605_624_000);
        } else {
            check_time(&format!("\"{text}\""), None);
        }
    }
    // The minute is remembered from one message to the next, unless it is one that no moment lies in.
    for far in ["0001-01-01T00:00:00.000000Z", "1500-07-18T23:57:02.605624Z", "2999-07-18T23:57:02.605624Z"] {
        check_time(&format!("\"{far}\""), None);
    }
    readable(r#""1969-12-31T23:30:00-01:00""#, 1_800_000_000_000);
    for value in ["-1", "-0.5", "1e19", "1e300", "1e999999", "99999999999999999999", "18446744073709551616"] {
        check_time(value, None);
    }
    readable("0e999999", 0);
    readable("1e-999999", 0);
    readable("0.000000001", 1);
    readable("0.0000000009", 0);
}
