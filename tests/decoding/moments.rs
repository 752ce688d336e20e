//! Moments in every form.

use senpai_md_consumer::engine::input::subject::EventKind::Heartbeat;

use crate::check;

#[test]
fn moments() {
    let check_time = |value: &str, expected: Option<i64>| {
        for (name, said) in [("ts_exchange", "exchange"), ("ts_recv", "recv")] {
            let expected = expected.map_or("alive time unreadable".into(), |nanos| format!("alive {said} {nanos}"));
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
    for zone in ["+0200", "+02"] {
        for seconds in ["02", "02.5", "02,500"] {
            let nanos = if seconds == "02" { 0 } else { 500_000_000 };
            readable(
                &format!("\"2024-07-18T23:57:{seconds}{zone}\""),
                MINUTE + 2_000_000_000 + nanos - 7_200_000_000_000,
            );
        }
    }
    readable(r#""2024-07-18 23:57:02 UTC""#, MINUTE + 2_000_000_000);
    readable(r#""2024-07-18 23:57:02.5 UTC""#, MINUTE + 2_500_000_000);
    readable("\" \t2024-07-18T23:57:02.605624Z \"", MINUTE + 2_605_624_000);
    // Cut to ns.
    readable(r#""2024-07-18T23:57:02.1234567890Z""#, MINUTE + 2_123_456_789);
    readable(r#""2024-07-18T23:57:02.999999999999999999999999""#, MINUTE + 2_999_999_999);
    readable("1721347022.605624123999999", MINUTE + 2_605_624_123);
    // From 2000 to 2100.
    readable(r#""2000-01-01T00:00:00Z""#, 946_684_800_000_000_000);
    check_time(r#""1999-12-31T23:59:59.999999999Z""#, None);
    readable(r#""2100-12-31T23:59:59.999999999Z""#, 4_133_980_799_999_999_999);
    check_time(r#""2101-01-01T00:00:00Z""#, None);
    readable(r#""1999-12-31T23:30:00-01:00""#, 946_686_600_000_000_000);
    readable("946684800", 946_684_800_000_000_000);
    check_time("946684799.999999999", None);
    readable("4133980799", 4_133_980_799_000_000_000);
    check_time("4133980800", None);
    readable("946684800000", 946_684_800_000_000_000);
    check_time("946684799999", None);
    readable("4133980799999", 4_133_980_799_999_000_000);
    check_time("4133980800000", None);
    readable("4133980799999999999", 4_133_980_799_999_999_999);
    check_time("4133980800000000000", None);
    check_time(r#""1970-01-01T00:00:00Z""#, None);
    readable(r#""2016-12-31T23:59:60Z""#, 1_483_228_800_000_000_000);
    readable("1721347022", MINUTE + 2_000_000_000);
    readable("1721347022.605624123", MINUTE + 2_605_624_123);
    readable("1721347022605", MINUTE + 2_605_000_000);
    readable("1721347022605.624123", MINUTE + 2_605_624_123);
    readable("1721347022605624", MINUTE + 2_605_624_000);
    readable("1721347022605624123", MINUTE + 2_605_624_123);
    readable("1.721347022605e12", MINUTE + 2_605_000_000);
    check_time("0", None);
    check_time("5", None);
    // Told apart by size: just below and at each border.
    check_time("99999999999", None);
    check_time("100000000000", None);
    check_time("99999999999999", None);
    check_time("100000000000000", None);
    check_time("99999999999999980", None);
    check_time("99999999999999999", None);
    check_time("\"99999999999999999\"", None);
    check_time("99999999999999999.999", None);
    check_time("100000000000000000", None);
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
        "2024-07-18T23:57:02.605624ZZ",
        "2024-07-18T23:57:02.605624 Z",
        "2024-07-18T23:57:02UTC",
        "2024-07-18T23:57:02  UTC",
        "2024-07-18T23:57:02 utc",
        "2024-07-18T23:57:02+020",
        "2024-07-18T23:57:02+2400",
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
        if text == "2024-07-18T23:57:60.605624Z" {
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
    for value in ["-1", "-0.5", "1e19", "1e300", "1e999999", "99999999999999999999", "18446744073709551616"] {
        check_time(value, None);
    }
    for value in ["0e999999", "1e-999999", "0.000000001"] {
        check_time(value, None);
    }
    readable("0.000001721347022e15", MINUTE + 2_000_000_000);
}
