//! Escapes, UTF-8, nesting and size.

use senpai_md_consumer::engine::input::subject::EventKind::{Book, Heartbeat, Quote, Trade};

use crate::{check, with_required};

#[test]
fn escapes() {
    check(Trade, r#"{"pr\u0069ce":1.5,"s\u0069ze":2}"#, "1.5 x 2");
    check(Trade, r#"{"\u0070\u0072\u0069\u0063\u0065":1.5,"\u0073\u0069\u007A\u0065":2}"#, "1.5 x 2");
    check(Trade, r#"{"pr\u0069ce":1.5,"price":3,"size":2}"#, "3 x 2");
    check(Trade, r#"{"price":3,"pr\u0069ce":1.5,"size":2}"#, "1.5 x 2");
    check(Book, r#"{"b\u0069ds":[{"pr\u0069ce":1,"s\u0069ze":2}],"asks":[]}"#, "[1x2] / []");
    check(
        Trade,
        r#"{"pri\\ce":9,"pri\"ce":9,"pri\/ce":9,"\tprice":9,"price\u0000":9,"\ud83d\ude00":9,"\ud83d":9,"price":1,"size":2}"#,
        "1 x 2",
    );
    check(Trade, r#"{"a":"\"price\":9,\\","b":"}\"{","c":["\\\"]"],"price":1,"size":2}"#, "1 x 2");
    check(Heartbeat, r#"{"provider":"a\"b\\\/\u00e9"}"#, r#"alive from a\"b\\\/\u00e9"#);
    check(Heartbeat, "{\"provider\":\"Zürich 株 😀\",\"größe\":\"ключ\"}", "alive from Zürich 株 😀");
    // In values too, as .NET writes a plus sign.
    check(Trade, r#"{"price":"\u002B1.5","size":"2\u002e5e\u002d1","side":"b\u0075y"}"#, "1.5 x 0.25 buy");
    check(Quote, r#"{"bid":"\u0031","ask":"\t2\n","bid_size":"1\\","ask_size":"\u00312"}"#, "1 / 2 x 12");
    check(Trade, r#"{"price":"1\u0000","size":1}"#, "Unreadable(\"price\")");
    check(Book, r#"{"bids":[["\u0031","\u0032"]],"asks":[{"price":"\u0033","size":"4"}]}"#, "[1x2] / [3x4]");
    for time in [
        r"2024-07-18T23:57:02\u002B00:00",
        r"2024-07-18T23:57:02.000\u002B00:00",
        r"2024\u002d07\u002d18T23:57:02Z",
        r"172134\u0037022",
    ] {
        let expected = "alive exchange 1721347022000000000 recv 1721347022000000000";
        check(Heartbeat, format!("{{\"ts_exchange\":\"{time}\",\"ts_recv\":\"{time}\"}}"), expected);
    }
    let too_long = format!("{{\"price\":\"1.{}\\u0030\",\"size\":1}}", "0".repeat(200));
    check(Trade, too_long, "Unreadable(\"price\")");
    check(Trade, r#"{"price":1,"size":2,"trade_id":"a\"\\b"}"#, r#"1 x 2 #"a\\"\\\\b""#);
    // Raw control characters in strings are let pass.
    check(Heartbeat, "{\"provider\":\"a\tb\",\"x\":\"\0\u{1}\n\",\"k\ney\":1}", "alive from a\tb");
    let long_key = "k".repeat(5_000);
    check(Trade, format!("{{\"{long_key}\":1,\"{long_key}\\n\":2,\"price\":1,\"size\":2}}"), "1 x 2");
}

const NOT_UTF8: [&[u8]; 8] =
    [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80", b"\xe2\x82", b"\xf0\x9f\x98"];

#[test]
fn invalid_utf8_in_names() {
    for bytes in NOT_UTF8 {
        check(Heartbeat, [&b"{\""[..], bytes, b"\":1}"].concat(), "NotUtf8");
        check(Heartbeat, [&b"{\"a"[..], bytes, b"\":1,\"price\":2,\"size\":3}"].concat(), "NotUtf8");
        check(Heartbeat, [&b"{\"a\\n"[..], bytes, b"\":1}"].concat(), "NotUtf8");
        check(Heartbeat, [&b"{\"a\":1,\"b"[..], bytes, b"\":\"a long enough value\"}"].concat(), "NotUtf8");
    }
}

#[test]
fn invalid_utf8() {
    for bytes in NOT_UTF8 {
        for (before, after) in [
            (&b"{\"provider\":\""[..], &b"\"}"[..]),
            (b"{\"provider\":\"12345678", b"\",\"price\":1}"),
            (b"{\"x\":[{\"y\":\"", b"\"}]}"),
            (b"{\"x\":{\"", b"\":1}}"),
            (b"{\"ts\":\"2024-07-18T23:57:02", b"Z\",\"a\":1}"),
        ] {
            let payload = [before, bytes, after].concat();
            check(Heartbeat, payload, "NotUtf8");
        }
        for (before, after) in [(&b"{\"a\":"[..], &b"}"[..]), (b"{\"a\":1", b"}"), (b"{", b"}"), (b"{\"a\":[", b"]}")] {
            check(Heartbeat, [before, bytes, after].concat(), "Syntax");
        }
    }
    check(Heartbeat, [&b"{}"[..], b"\xff"].concat(), "TrailingBytes");
    check(Heartbeat, b"\xff{}", "NotAnObject");
    check(Heartbeat, b"\xef\xbb{}", "NotAnObject");
}

#[test]
fn nesting() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), (" [ 1 , ", " , 2 ] "), ("{\"b\":0,\"a\":", ",\"c\":1}")] {
        for depth in [1, 2, 63, 64, 65, 127, 128] {
            check(
                Heartbeat,
                format!("{{\"x\":{},\"ts\":1700000005}}", nested(open, close, depth)),
                "alive exchange 1700000005000000000",
            );
            check(Trade, with_required(Trade, "", &format!("\"side\":{}", nested(open, close, depth))), "1 x 2");
        }
        for depth in [129, 130, 1_000, 100_000] {
            check(Heartbeat, format!("{{\"x\":{}}}", nested(open, close, depth)), "TooDeep");
            check(Heartbeat, format!("{{\"provider\":{}}}", nested(open, close, depth)), "TooDeep");
        }
    }
    // One after another is not one in another.
    check(Heartbeat, format!("{{\"x\":[{}1]}}", format!("{},", nested("[", "]", 127)).repeat(50)), "alive");
    for open in ["[", "{\"a\":", "[{\"a\":["] {
        check(Heartbeat, format!("{{\"x\":{}", open.repeat(350_000)), "TooDeep");
    }
}

#[test]
fn large_payloads() {
    let text = "x".repeat(1 << 20);
    check(Trade, format!("{{\"price\":1,\"note\":\"{text}\",\"size\":2}}"), "1 x 2");
    check(Trade, format!("{{\"price\":1,\"{text}\":7,\"size\":2}}"), "1 x 2");
    check(Trade, format!("{{\"price\":1,\"note\":\"{}\",\"size\":2}}", "\\n".repeat(500_000)), "1 x 2");
    check(Trade, format!("{{\"price\":1,\"note\":\"{}\",\"size\":2}}", "é".repeat(500_000)), "1 x 2");
    check(Trade, format!("{{\"price\":1,\"note\":[{}null],\"size\":2}}", "{\"a\":[1,2]},".repeat(80_000)), "1 x 2");
    check(Trade, format!("{{{}\"price\":1,\"size\":2}}", "\"unknown\":0,".repeat(80_000)), "1 x 2");
    check(Trade, format!("{{{}\"size\":2}}", "\"price\":7,".repeat(100_000)), "7 x 2");
    check(Trade, format!("{{\"price\":1,{}\"size\":2}}", " ".repeat(1 << 20)), "1 x 2");
    check(Trade, format!("{{\"price\":1.{},\"size\":2}}", "0".repeat(1 << 20)), "1 x 2");
    check(
        Trade,
        format!("{{\"price\":1,\"size\":2,\"ts_recv\":1700000005.{}}}", "0".repeat(1 << 20)),
        "1 x 2 recv 1700000005000000000",
    );
    check(Trade, format!("{{\"price\":\"{text}\",\"size\":2}}"), r#"Unreadable("price")"#);
    check(
        Trade,
        format!("{{\"price\":1,\"size\":2,\"ts_recv\":\"{text}\",\"side\":\"{text}\"}}"),
        "1 x 2 time unreadable",
    );
    check(
        Trade,
        format!("{{\"price\":1,\"size\":2,\"trade_id\":\"{text}\",\"provider\":\"{text}\"}}"),
        &format!("1 x 2 #\"{text}\" from {text}"),
    );
    let levels = vec!["[63943.9,0.015]"; 20_000].join(",");
    let shown = format!("[{} +19980]", vec!["63943.9x0.015"; 20].join(" "));
    check(Book, format!("{{\"bids\":[{levels}],\"asks\":[{levels}]}}"), &format!("{shown} / {shown}"));
    let levels = vec![r#"{"price":"63943.9","size":"0.015"}"#; 20_000].join(", ");
    check(Book, format!("{{\"bids\":[{levels}],\"asks\":[{levels}]}}"), &format!("{shown} / {shown}"));
}
