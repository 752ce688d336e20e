//! The decoder (SPEC section 1): tables of payloads and what they say, and seeded mutations.
//!
//! The decoder remembers how the last message of a type was laid out and in which minute it was, so every payload is
//! decoded by several decoders: one that has seen nothing, one that has just seen the same payload, some that have just
//! seen others, and one that has seen every payload of the test so far. They must agree in everything.

use std::cell::RefCell;
use std::fmt::Write;

use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::event::{Body, BookSide, Side};
use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};
use serde_json::Value;

const KINDS: [EventKind; 4] = [Trade, Quote, Book, Heartbeat];

/// Messages of other layouts: they hold every type's names, canonical and not, and a minute that the cases share.
const OTHERS: [&str; 4] = [
    r#"{"event_type":"x","provider":"w","ts_exchange":"2024-07-18T23:57:01.000001Z","ts_recv":"2024-07-18T23:57:01.000002Z","price":5,"size":6,"side":"sell","trade_id":"9","bid":5,"ask":6,"bids":[[5,6]],"asks":[[7,8]]}"#,
    r#"{"asks":[{"price":7,"size":8}],"bids":[],"ask":"6","bid":"5","trade_id":9,"size":"6","price":"5","ts_recv":1721347022,"ts":1721347022605}"#,
    r#"{"p":5,"q":6,"bp":5,"ap":6,"bs":7,"as":8,"ts":1,"source":"w","price":9,"size":9,"bid":9,"ask":9}"#,
    r#"{ "price" : 5 , "size" : 6 , "bid" : 5 , "ask" : 6 , "x" : {} }"#,
];

/// What a payload came to, as text: `1.5 x 2 buy #"id" from venue exchange 1 recv 2`, or why it is malformed.
fn outcome(decoder: &mut Decoder, kind: EventKind, payload: &[u8]) -> String {
    let (origin, body) = match decoder.decode(kind, payload) {
        Ok(decoded) => decoded,
        Err(malformed) => return format!("{malformed:?}"),
    };
    let mut text = match body {
        Body::Trade(trade) => {
            let side = if trade.side == Side::Unknown { "" } else { trade.side.name() };
            let id = if trade.trade_id.is_empty() { "" } else { "#" };
            let words = [
                format!("{} x {}", trade.price, trade.size),
                side.into(),
                format!("{id}{}", trade.trade_id.escape_ascii()),
            ];
            words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").replace("\\\"", "\"")
        }
        Body::Quote(quote) => {
            let size = |size: Option<f64>| size.map_or(String::new(), |size| format!(" x {size}"));
            format!("{}{} / {}{}", quote.bid, size(quote.bid_size), quote.ask, size(quote.ask_size))
        }
        Body::Book => format!("{} / {}", side_text(&decoder.book.bids), side_text(&decoder.book.asks)),
        Body::Heartbeat => "alive".into(),
    };
    if !origin.provider.is_empty() {
        write!(text, " from {}", String::from_utf8_lossy(origin.provider)).unwrap();
    }
    for (name, moment) in [("exchange", origin.ts_exchange), ("recv", origin.ts_recv)] {
        if let Some(moment) = moment {
            write!(text, " {name} {}", moment.0).unwrap();
        }
    }
    text
}

fn side_text(side: &BookSide) -> String {
    let levels: Vec<_> = side.levels().iter().map(|level| format!("{}x{}", level.price, level.size)).collect();
    let more = side.level_count as usize - levels.len();
    format!("[{}{}]", levels.join(" "), if more > 0 { format!(" +{more}") } else { String::new() })
}

thread_local! {
    static VETERAN: RefCell<Decoder> = RefCell::new(Decoder::default());
}

/// The outcome, on which all decoders agree.
#[track_caller]
fn decode(kind: EventKind, payload: &[u8]) -> String {
    let show = || payload.escape_ascii().to_string().chars().take(500).collect::<String>();
    let fresh = outcome(&mut Decoder::default(), kind, payload);
    let mut warm = Decoder::default();
    for other in [payload].into_iter().chain(OTHERS.map(str::as_bytes)) {
        let _ = warm.decode(kind, other);
        assert_eq!(outcome(&mut warm, kind, payload), fresh, "{kind:?} {} after {}", show(), other.escape_ascii());
    }
    let veteran = VETERAN.with_borrow_mut(|veteran| outcome(veteran, kind, payload));
    assert_eq!(veteran, fresh, "{kind:?} {} after all before it", show());
    fresh
}

#[track_caller]
fn check(kind: EventKind, payload: impl AsRef<[u8]>, expected: &str) {
    let payload = payload.as_ref();
    assert_eq!(decode(kind, payload), expected, "{kind:?} {}", payload.escape_ascii());
}

/// A payload of `fields` besides what the type requires and they do not give.
fn with_required(kind: EventKind, canonical: &str, fields: &str) -> String {
    let required: &[(&str, &str)] = match kind {
        Trade => &[("price", "1"), ("size", "2")],
        Quote => &[("bid", "1"), ("ask", "2")],
        Book => &[("bids", "[]"), ("asks", "[]")],
        Heartbeat | EventKind::Unknown => &[],
    };
    let others =
        required.iter().filter(|(name, _)| *name != canonical).map(|(name, value)| format!(",\"{name}\":{value}"));
    format!("{{{fields}{}}}", others.collect::<String>())
}

/// A field of SPEC's table: what its type says with the value `a`; `b` is another readable value.
#[track_caller]
fn check_names(kind: EventKind, canonical: &str, aliases: &[&str], (a, b): (&str, &str), expected: &str) {
    let payload = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        with_required(kind, canonical, &fields.join(","))
    };
    for name in [canonical].iter().chain(aliases) {
        check(kind, payload(&[(name, a)]), expected);
        // A field given twice takes its last value, whatever the first was.
        check(kind, payload(&[(name, b), (name, a)]), expected);
        check(kind, payload(&[(name, "null"), (name, a)]), expected);
        check(kind, payload(&[(name, b), ("x", "1"), (name, b), (name, a)]), expected);
        // Names are case-sensitive and whole.
        check(
            kind,
            payload(&[(canonical, a), (&name.to_uppercase(), b), (&format!("{name}_"), b), (&name[1..], "{}")]),
            expected,
        );
    }
    for alias in aliases {
        check(kind, payload(&[(canonical, a), (alias, b)]), expected);
        check(kind, payload(&[(alias, b), (canonical, a)]), expected);
        check(kind, payload(&[(alias, b), (canonical, b), (alias, b), (canonical, a), (alias, b)]), expected);
    }
}

#[test]
fn names_and_aliases() {
    check_names(Trade, "price", &["p", "px"], ("7.5", "9"), "7.5 x 2");
    check_names(Trade, "size", &["qty", "quantity", "amount", "volume", "q"], ("7.5", "9"), "1 x 7.5");
    check_names(Trade, "side", &[], (r#""buy""#, r#""sell""#), "1 x 2 buy");
    check_names(Trade, "trade_id", &["id", "tid"], (r#""a7""#, "8"), r#"1 x 2 #"a7""#);
    check_names(Quote, "bid", &["bid_price", "bp"], ("7.5", "9"), "7.5 / 2");
    check_names(Quote, "ask", &["ask_price", "ap"], ("7.5", "9"), "1 / 7.5");
    check_names(Quote, "bid_size", &["bid_qty", "bs"], ("7.5", "9"), "1 x 7.5 / 2");
    check_names(Quote, "ask_size", &["ask_qty", "as"], ("7.5", "9"), "1 / 2 x 7.5");
    check_names(Book, "bids", &[], ("[[1,2]]", "[[3,4],[5,6]]"), "[1x2] / []");
    check_names(Book, "asks", &[], ("[[1,2]]", "[[3,4],[5,6]]"), "[] / [1x2]");
    for (kind, said) in [(Trade, "1 x 2"), (Quote, "1 / 2"), (Book, "[] / []"), (Heartbeat, "alive")] {
        let check_names = |canonical, aliases: &[&str], values, more: &str| {
            check_names(kind, canonical, aliases, values, &format!("{said} {more}"));
        };
        check_names("provider", &["source", "exchange", "venue"], (r#""a""#, r#""b""#), "from a");
        check_names("ts_exchange", &["exchange_ts", "ts_event", "timestamp", "ts"], ("5", "6"), "exchange 5000000000");
        check_names("ts_recv", &["recv_ts", "ts_receive", "received_at"], ("5", "6"), "recv 5000000000");
    }
    // A name means something in its own type of event only.
    check(Quote, r#"{"p":1,"price":1,"q":1,"bid":3,"ask":4,"bids":7}"#, "3 / 4");
    check(Trade, r#"{"bid":1,"bp":1,"as":"x","price":3,"size":4,"asks":[[]]}"#, "3 x 4");
    check(Book, r#"{"bid":1,"ask":2,"bids":[],"asks":[],"price":{},"size":[]}"#, "[] / []");
    check(Heartbeat, r#"{"bid":"x","price":"x","bids":3,"sequence":17}"#, "alive");
    // The payload's own type and symbol decide nothing.
    check(Trade, r#"{"event_type":"quote","symbol":"BTC/USD","price":3,"size":4}"#, "3 x 4");
    // The canonical name stands for the field also where its value is unreadable.
    check(Trade, r#"{"price":null,"p":3,"size":4}"#, r#"Unreadable("price")"#);
    check(Trade, r#"{"price":3,"size":4,"ts":5,"ts_exchange":"?"}"#, "3 x 4");
}

#[test]
fn required_fields() {
    check(Trade, "{}", r#"Missing("price")"#);
    check(Trade, r#"{"price":1}"#, r#"Missing("size")"#);
    check(Trade, r#"{"size":1}"#, r#"Missing("price")"#);
    check(Quote, "{}", r#"Missing("bid")"#);
    check(Quote, r#"{"bid":1}"#, r#"Missing("ask")"#);
    check(Book, "{}", r#"Missing("bids")"#);
    check(Book, r#"{"bids":[]}"#, r#"Missing("asks")"#);
    check(Heartbeat, "{}", "alive");
    check(EventKind::Unknown, r#"{"price":1,"size":2}"#, "Subject");
    let unreadable = [
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "[]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#""""#,
        r#""abc""#,
        r#""1x""#,
        r#""1 2""#,
        r#""0x10""#,
        r#""1,5""#,
        r#""NaN""#,
        r#""inf""#,
        r#""Infinity""#,
        r#""-1""#,
        r#""--1""#,
        r#""+-1""#,
        r#""++1""#,
        r#"".""#,
        r#""+""#,
        r#""1e""#,
        r#""null""#,
        "-1",
        "-0.5",
        "-1e-300",
        "0",
        "0.0",
        "-0",
        "0e9",
        r#""0""#,
        "1e309",
        "1e400",
        r#""1e999999999999999999999""#,
        "1e99999999999",
        "1e-400",
        "1e-99999999999",
        "-1e99999999999",
    ];
    for value in unreadable {
        for (kind, field) in [(Trade, "price"), (Trade, "size"), (Quote, "bid"), (Quote, "ask")] {
            let payload = with_required(kind, field, &format!("\"{field}\":{value}"));
            check(kind, payload, &format!("Unreadable(\"{field}\")"));
        }
    }
    for value in ["null", "true", "NaN", "1", "{}", r#""[]""#, r#"{"price":1,"size":2}"#] {
        for field in ["bids", "asks"] {
            check(
                Book,
                with_required(Book, field, &format!("\"{field}\":{value}")),
                &format!("Unreadable(\"{field}\")"),
            );
        }
    }
}

#[test]
fn optional_fields() {
    for value in ["null", "true", "7", "[]", "{}", "NaN", r#""""#, r#""x""#, r#""buyer""#] {
        check(Trade, with_required(Trade, "", &format!("\"side\":{value}")), "1 x 2");
    }
    for side in ["buy", "BUY", "Buy", "b", "B"] {
        check(Trade, with_required(Trade, "", &format!("\"side\":\"{side}\"")), "1 x 2 buy");
    }
    for side in ["sell", "SELL", "sElL", "s", "S"] {
        check(Trade, with_required(Trade, "", &format!("\"side\":\"{side}\"")), "1 x 2 sell");
    }
    let long = format!("\"{}\"", "9".repeat(5_000));
    for id in [r#""""#, r#""a-b-c""#, "7", "5182005737", "-7", "1.50", "1e5", "123456789012345678901234567890", &long] {
        check(Trade, with_required(Trade, "", &format!("\"trade_id\":{id}")), &format!("1 x 2 #{id}"));
        check(Trade, with_required(Trade, "", &format!("\"trade_id\" : {id} ")), &format!("1 x 2 #{id}"));
    }
    for id in ["null", "true", "false", "[]", "[7]", "{}", r#"{"id":7}"#, "NaN", "-Infinity"] {
        check(Trade, with_required(Trade, "", &format!("\"trade_id\":{id}")), "1 x 2");
    }
    for provider in ["null", "7", "true", "[]", r#"{"name":"x"}"#, r#""""#] {
        check(Heartbeat, format!("{{\"provider\":{provider}}}"), "alive");
    }
    for (size, said) in [
        ("0", " x 0"),
        ("0.5", " x 0.5"),
        (r#""3""#, " x 3"),
        ("null", ""),
        ("-1", ""),
        ("NaN", ""),
        ("1e400", ""),
        ("[]", ""),
    ] {
        check(Quote, with_required(Quote, "", &format!("\"bid_size\":{size}")), &format!("1{said} / 2"));
        check(Quote, with_required(Quote, "", &format!("\"ask_size\":{size}")), &format!("1 / 2{said}"));
    }
    for value in ["null", "true", "[]", "{}", "NaN", "-5", r#""yesterday""#, r#""""#] {
        let fields = format!("\"ts_recv\":{value},\"ts_exchange\":{value}");
        check(Trade, with_required(Trade, "", &fields), "1 x 2");
    }
}

#[test]
fn numbers() {
    let check_number = |text: &str, expected: f64| {
        for value in [
            text.to_owned(),
            format!("\"{text}\""),
            format!("\" {text}\\t\"").replace("\\t", "\t"),
            format!("\"+{text}\""),
        ] {
            for after in ["", " ", ",\"x\":1", " ,\"longer\":\"name\"", "\n"] {
                let payload = format!("{{\"size\":2,\"price\":{value}{after}}}");
                check(Trade, &payload, &format!("{expected} x 2"));
            }
        }
    };
    for text in [
        "1",
        "7",
        "10",
        "63943.9",
        "0.095",
        "0.1",
        "123456",
        "1234567",
        "12345678",
        "123456.7",
        "1234567.8",
        "0.1234567",
        "0.12345678",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.1234567890123456789012345",
        "1e5",
        "1E5",
        "1e+5",
        "1.5e-7",
        "15e22",
        "1e23",
        "1e308",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072011e-308",
        "0.000000000000000000000000000001",
        "100000000000000000000000.5",
        "1e0000000000000000005",
        "0.5e00",
    ] {
        check_number(text, text.parse().unwrap());
    }
    // Producers that pad numbers exist.
    check_number("007.50", 7.5);
    check_number(&format!("{}1", "0".repeat(10_000)), 1.0);
    check_number(&format!("1{}e-5000", "0".repeat(5_000)), 1.0);
    check_number(&format!("0.{}1e5001", "0".repeat(5_000)), 1.0);
    // As other languages print them, bare or in quotes, for a price and for whatever nobody reads.
    for text in [".5", "1.", "1.e5", ".5e1", "0100.5", "00.5", "12345678.", ".123456789012345678901234567890"] {
        check_number(text, text.parse().unwrap());
        for signed in [format!("+{text}"), text.to_owned()] {
            check(
                Trade,
                format!("{{\"size\":2,\"price\":{signed}}}"),
                &format!("{} x 2", text.parse::<f64>().unwrap()),
            );
            check(Heartbeat, format!("{{\"x\":[{signed},-{text}],\"y\":{signed}}}"), "alive");
        }
        let levels = format!("[[{text},+{text}],{{\"price\":+{text},\"size\":{text}}}]");
        let value: f64 = text.parse().unwrap();
        let said = format!("[{value}x{value} {value}x{value}] / []");
        check(Book, format!("{{\"bids\":{levels},\"asks\":[]}}"), &said);
    }
    check(
        Heartbeat,
        r#"{"ts_recv":+1721347022.,"ts":"+1721347022"}"#,
        "alive exchange 1721347022000000000 recv 1721347022000000000",
    );
    check(Trade, r#"{"price":1,"size":2,"trade_id":+7}"#, "1 x 2 #+7");
    for number in [
        "++1",
        "+-1",
        "-+1",
        "+",
        ".",
        "-.",
        "+.",
        ".e5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x10",
        "1_000",
        "1,5x",
        "1..2",
        "1.2.3",
        "1e5.5",
        "+ 1",
        "+Infinity",
        "+NaN",
        "١",
    ] {
        check(Trade, format!("{{\"size\":2,\"price\":{number}}}"), "Syntax");
    }
}

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

#[test]
fn layouts() {
    let plain = r#"{"price":1.5,"size":2,"side":"buy","ts_recv":5,"x":[1,{"y":null}],"provider":"a"}"#;
    let said = "1.5 x 2 buy from a recv 5000000000";
    check(Trade, plain, said);
    check(Trade, plain.replace(':', ": ").replace(',', ", "), said);
    for space in [" ", "\n", "\r\n", "\t", " \n\t\r  ", "          "] {
        let mut spaced = String::from(space);
        let mut in_string = false;
        for c in plain.chars() {
            in_string ^= c == '"';
            let is_token = "{}[]:,".contains(c) && !in_string;
            spaced += &if is_token { format!("{space}{c}{space}") } else { c.to_string() };
        }
        check(Trade, &spaced, said);
        check(Trade, format!("\u{feff}{spaced}"), said);
        check(Trade, format!("{plain}{space}"), said);
    }
    for (space, expected) in
        [("\u{a0}", "Syntax"), ("\u{b}", "Syntax"), ("\0", "Syntax"), ("\u{feff}", "Syntax"), ("/**/", "Syntax")]
    {
        check(Trade, plain.replace(':', &format!(":{space}")), expected);
    }
    check(Trade, format!("\u{feff}\u{feff}{plain}"), "NotAnObject");
    for payload in
        ["", " ", "\u{feff}", "\0", "null", "1", "true", "[]", "[{}]", "\"{}\"", "x", "}", "\\{}", "price=1", "[1,2]"]
    {
        check(Trade, payload, "NotAnObject");
        check(Heartbeat, payload, "NotAnObject");
    }
    for rest in ["x", "{}", ",", "}", "\0", "1", "null", " {}", "\n[]", "\u{feff}", "//"] {
        check(Trade, format!("{plain}{rest}"), "TrailingBytes");
    }
    for bad in [
        "{",
        "{,}",
        "{\"price\"}",
        "{\"price\":}",
        "{\"price\":1,}",
        "{\"price\":1,,\"size\":2}",
        "{price:1}",
        "{'price':1}",
        "{1:2}",
        "{\"price\" 1}",
        "{\"price\"=1}",
        "{\"price\":1 \"size\":2}",
        "{\"price\":1;\"size\":2}",
        "{\"price\":1]",
        "{:1}",
        "{\"a\":01x}",
        "{\"a\":nul}",
        "{\"a\":nullx}",
        "{\"a\":True}",
        "{\"a\":None}",
        "{\"a\":nan}",
        "{\"a\":infinity}",
        "{\"a\":+Infinity}",
        "{\"a\":--Infinity}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\\"}",
        "{\"\\q\":1}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}}",
        "{\"a\":{\"b\"}}",
        "{\"a\":{\"b\":1]}",
        "{\"a\":{b:1}}",
        "{\"a\":{\"b\":1,}}",
        "{\"a\":\u{1f600}}",
    ] {
        check(Heartbeat, bad, "Syntax");
        check(Heartbeat, format!("{{\"provider\":\"p\",\"ts\":5,{}", &bad[1..]), "Syntax");
    }
    // What Python's json writes for a float that is none; nothing reads it, nothing trips over it.
    check(Heartbeat, r#"{"a":NaN,"b":[Infinity,-Infinity],"c":{"d":NaN}}"#, "alive");
}

/// Producers whose messages differ, in turn: more of them than shapes are remembered.
#[test]
fn layouts_in_turn() {
    let fields =
        [r#""price":1.5"#, r#""size":"2""#, r#""side":"sell""#, r#""provider":"a""#, r#""x":[{}]"#, r#""ts":5"#];
    let orders = |count: usize| {
        (0..count).map(move |order| {
            let mut left = fields.to_vec();
            let mut number = order * 7;
            let fields: Vec<_> = (0..fields.len())
                .map(|_| {
                    let field = left.remove(number % left.len());
                    number = number / 2 + order;
                    field
                })
                .collect();
            // White space as Python puts it, or none; some fields are not there.
            let fields = &fields[..fields.len() - usize::from(order % 5 == 4 && !fields[5].contains("size"))];
            format!("{{{}}}", fields.join(if order % 3 == 0 { ", " } else { "," }))
        })
    };
    for count in [1, 2, 4, 5, 40] {
        let mut decoder = Decoder::default();
        for payload in (0..4).flat_map(|_| orders(count)) {
            let fresh = outcome(&mut Decoder::default(), Trade, payload.as_bytes());
            assert_eq!(outcome(&mut decoder, Trade, payload.as_bytes()), fresh, "{payload}");
            // What is malformed leaves nothing behind that would matter.
            let cut = &payload.as_bytes()[..payload.len() / 2];
            assert_eq!(outcome(&mut decoder, Trade, cut), outcome(&mut Decoder::default(), Trade, cut), "{payload}");
        }
    }
}

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
            check(Heartbeat, format!("{{\"x\":{},\"ts\":5}}", nested(open, close, depth)), "alive exchange 5000000000");
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
fn books() {
    let check_side = |levels: &str, expected: &str| {
        let (bids, asks) = match expected.strip_prefix('[') {
            Some(_) => (format!("{expected} / [9x9]"), format!("[9x9] / {expected}")),
            None => (r#"Unreadable("bids")"#.into(), r#"Unreadable("asks")"#.into()),
        };
        check(Book, format!("{{\"bids\":{levels},\"asks\":[[9,9]]}}"), &bids);
        check(Book, format!("{{\"asks\":[[9,9]],\"bids\":{levels}}}"), &bids);
        check(Book, format!("{{\"asks\":{levels},\"bids\":[[9,9]]}}"), &asks);
        check(Book, format!("{{\"bids\":[[9,9]],\"symbol\":\"X\",\"asks\" : {levels} }}"), &asks);
    };
    check_side("[]", "[]");
    check_side("[ ]", "[]");
    check_side("[[1,2]]", "[1x2]");
    check_side("[[1.5,0],[2,0.5]]", "[1.5x0 2x0.5]");
    check_side(r#"[["1.5","2"],["3" , "4"]]"#, "[1.5x2 3x4]");
    check_side(r#"[{"price":1,"size":2},{"size":"4","price":"3"}]"#, "[1x2 3x4]");
    check_side(r#"[[1,2],{"price":3,"size":4},["5",6]]"#, "[1x2 3x4 5x6]");
    check_side(r#"[{"price":1,"size":2,"orders":[{"a":1}],"id":"x"}]"#, "[1x2]");
    check_side(r#"[{"price":7,"price":1,"size":null,"size":2}]"#, "[1x2]");
    check_side(r#"[ [ 1 , 2 ] , { "price" : 3 , "size" : 4 } ]"#, "[1x2 3x4]");
    check_side("[[1,2,3],[4,5,\"x\",{},[6],null]]", "[1x2 4x5]");
    for level in [
        "[]",
        "[1]",
        "{}",
        r#"{"price":1}"#,
        r#"{"size":1}"#,
        r#"{"p":1,"q":2}"#,
        "null",
        "1",
        r#""1x2""#,
        "true",
        "NaN",
        "[null,1]",
        "[1,null]",
        "[0,1]",
        "[-1,1]",
        "[1,-1]",
        "[1,-1e-9]",
        "[1e400,1]",
        "[1,1e400]",
        "[NaN,1]",
        "[1,Infinity]",
        "[[1],2]",
        "[1,[2]]",
        r#"["x",1]"#,
        r#"{"price":"x","size":1}"#,
        r#"{"price":1,"size":-1}"#,
        r#"{"price":1,"size":2,"price":null}"#,
    ] {
        check_side(&format!("[{level}]"), "unreadable");
        check_side(&format!("[[1,2],{level},[3,4]]"), "unreadable");
    }
    for levels in [
        "[[1,2],]",
        "[,[1,2]]",
        "[[1,2][3,4]]",
        "[[1,2]",
        "[[1,2}]",
        "[[1 2]]",
        "[[1,2],{\"price\":1,\"size\":2]]",
        "[[1,]]",
        "[{\"price\" 1}]",
    ] {
        check(Book, format!("{{\"bids\":{levels},\"asks\":[]}}"), "Syntax");
        check(Book, format!("{{\"asks\":{levels},\"bids\":[]}}"), "Syntax");
    }
    // A side given twice is its last value, also where that is shorter, empty or nothing.
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":[[5,6]]}"#, "[5x6] / []");
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":[]}"#, "[] / []");
    check(Book, r#"{"bids":[[1,2],[3,4]],"asks":[],"bids":null}"#, r#"Unreadable("bids")"#);
    let side = |count: usize| {
        let levels: Vec<_> = (1..=count).map(|i| format!("[{i},{}]", i * 2)).collect();
        format!("[{}]", levels.join(","))
    };
    let first: Vec<_> = (1..=20).map(|i| format!("{i}x{}", i * 2)).collect();
    check_side(&side(20), &format!("[{}]", first.join(" ")));
    check_side(&side(21), &format!("[{} +1]", first.join(" ")));
    // Malformed beyond the levels that are kept is malformed all the same.
    check_side(&side(30).replace("[30,60]", "[30,-60]"), "unreadable");
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
    check(Trade, format!("{{\"price\":1,\"size\":2,\"ts_recv\":5.{}}}", "0".repeat(1 << 20)), "1 x 2 recv 5000000000");
    check(Trade, format!("{{\"price\":\"{text}\",\"size\":2}}"), r#"Unreadable("price")"#);
    check(Trade, format!("{{\"price\":1,\"size\":2,\"ts_recv\":\"{text}\",\"side\":\"{text}\"}}"), "1 x 2");
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

/// Whole messages of every type and style, for the cuts and the mutations.
const CORPUS: [(EventKind, &str); 18] = [
    (
        Trade,
        r#"{"event_type":"trade","symbol":"BTCUSDT","provider":"binance","ts_exchange":"2024-07-18T23:57:02.605624Z","ts_recv":"2024-07-18T23:57:02.613201Z","price":63943.9,"size":0.003,"side":"buy","trade_id":"5182005737"}"#,
    ),
    (
        Trade,
        r#"{"event_type": "trade", "symbol": "BTC/USD", "source": "x", "ts": 1721347022605, "p": "63943.90", "q": "0.00300", "side": "SELL", "id": 5182005737}"#,
    ),
    (
        Trade,
        "\u{feff}{\n  \"px\": 1.5e3,\n  \"volume\": 2,\n  \"venue\": \"Zürich\",\n  \"received_at\": \"2024-07-19 01:57:02+02:00\"\n}",
    ),
    (Trade, r#"{"pr\u0069ce":1,"size":2,"meta":{"a":[1,2,{"b":null}],"c":"\"}"},"flags":[true,false,NaN]}"#),
    (
        Trade,
        r#"{"price":5,"p":4,"price":6,"quantity":1,"amount":2,"ts_recv":1721347022605624123,"ts_event":"1721347022.605624"}"#,
    ),
    (
        Quote,
        r#"{"event_type":"quote","symbol":"ETHUSDT","provider":"binance","ts_exchange":"2024-07-18T23:57:02.605624Z","ts_recv":"2024-07-18T23:57:02.613201Z","bid":3421.55,"ask":3421.56,"bid_size":12.5,"ask_size":0.75}"#,
    ),
    (Quote, r#"{"bp":"3421.55","ap":"3421.56","bs":"12.5","as":null,"exchange":"k","timestamp":1721347022.605}"#),
    (
        Quote,
        r#"{"ask_price": 2, "bid_price": 1, "ask_qty": 0, "bid_qty": "0", "x": [[[]]], "recv_ts": "1721347022605"}"#,
    ),
    (Quote, r#"{"bid":1e-5,"ask":1E+5,"bid_size":-1,"ask_size":1e400}"#),
    (
        Book,
        r#"{"event_type":"book_l2","symbol":"BTCUSDT","provider":"binance","ts_exchange":"2024-07-18T23:57:02.605624Z","bids":[[63943.9,1.5],[63943.8,0]],"asks":[[63944.0,2],[63944.1,0.003]]}"#,
    ),
    (Book, r#"{"asks":[{"price":"2","size":"1","n":3}],"bids":[["1","1",9]],"depth":20}"#),
    (Book, r#"{"bids": [], "asks": [ [ 2 , 3 ] , {"size": 1, "price": 4} ], "ts_receive": "2024-07-18T23:57:02.6Z"}"#),
    (Book, r#"{"bids":[[1,2]],"asks":[],"bids":[[3,4],[2,1]],"exchange_ts":0}"#),
    (
        Heartbeat,
        r#"{"event_type":"heartbeat","provider":"__system__","ts_recv":"2024-07-18T23:57:02.605624Z","status":"ok"}"#,
    ),
    (Heartbeat, r#"{"provider":"a","uptime":12.5,"counts":{"trade":1,"quote":2}}"#),
    (Trade, r#"{"price":0100.5,"size":.5,"x":+1,"ts":+1721347022.}"#),
    (Quote, r#"{"bid":1.,"ask":"+.5e1","bid_size":.0,"ask_size":"1."}"#),
    (Heartbeat, "{}"),
];

#[test]
fn every_cut_is_malformed() {
    for (kind, payload) in CORPUS {
        let whole = decode(kind, payload.as_bytes());
        assert!(!whole.contains('('), "{payload}: {whole}");
        for cut in 0..payload.len() {
            let part = &payload.as_bytes()[..cut];
            let said = decode(kind, part);
            assert!(["NotAnObject", "Syntax"].contains(&&*said), "{}: {said}", part.escape_ascii());
        }
    }
}

/// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn mutate(payload: &mut Vec<u8>, random: &mut Random) {
    const PIECES: [&[u8]; 37] = [
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b" ",
        b"\n",
        b"0",
        b"9",
        b"-",
        b".",
        b"e",
        b"1e999",
        b"-1",
        b"null",
        b"NaN",
        b"\"price\":",
        b"\"p\":",
        b"\"size\":7,",
        b"\"bid\":",
        b"\"ts_recv\":",
        b"\"bids\":[[1,2]],",
        b"\\u0069",
        b"\\ud83d",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\0",
        b"00",
        b"1721347022",
        b"2024-07-18T23:57:02.605624Z",
        b"\":\"",
        b"\",\"",
        b"[[[",
    ];
    let at = random.below(payload.len() + 1);
    let end = (at + 1 + random.below(12)).min(payload.len());
    match random.below(8) {
        0 | 1 if at < payload.len() => payload[at] = random.next() as u8,
        2 if at < payload.len() => payload[at] ^= 1 << random.below(8),
        3 => drop(payload.drain(at..end)),
        4 => {
            let copy = payload[at..end].to_vec();
            let place = random.below(payload.len() + 1);
            payload.splice(place..place, copy);
        }
        5 => {
            let other = CORPUS[random.below(CORPUS.len())].1.as_bytes();
            let cut = random.below(other.len());
            payload.splice(at..end, other[cut..(cut + 1 + random.below(30)).min(other.len())].iter().copied());
        }
        6 if random.below(8) == 0 => payload.truncate(at),
        _ => {
            let piece = PIECES[random.below(PIECES.len())];
            payload.splice(at..at, piece.iter().copied());
        }
    }
}

/// A required number as serde_json sees it: under the canonical name, else under the first alias that is there.
fn required(object: &serde_json::Map<String, Value>, names: &[&str]) -> Option<f64> {
    let number = match names.iter().find_map(|name| object.get(*name))? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number.is_finite() && number > 0.0).then_some(number)
}

fn close(a: f64, b: f64) -> bool {
    // serde_json's own reading of numbers may be off by the last bit.
    (a - b).abs() <= 1e-15 * a.abs()
}

#[test]
fn mutations() {
    const PRICE: &[&str] = &["price", "p", "px"];
    const SIZE: &[&str] = &["size", "qty", "quantity", "amount", "volume", "q"];
    const BID: &[&str] = &["bid", "bid_price", "bp"];
    const ASK: &[&str] = &["ask", "ask_price", "ap"];
    let mut random = Random(20_240_718);
    let mut veteran = Decoder::default();
    let (mut accepted, mut agreed) = (0, 0);
    for _ in 0..300_000 {
        let seed = random.0;
        let (mut kind, payload) = CORPUS[random.below(CORPUS.len())];
        if random.below(20) == 0 {
            kind = KINDS[random.below(4)];
        }
        let mut payload = payload.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            mutate(&mut payload, &mut random);
        }
        let show = || format!("state {seed:#x}: {kind:?} {}", payload.escape_ascii());
        let mut fresh = Decoder::default();
        let said = outcome(&mut fresh, kind, &payload);
        assert_eq!(outcome(&mut fresh, kind, &payload), said, "a second time, {}", show());
        assert_eq!(outcome(&mut veteran, kind, &payload), said, "after all before it, {}", show());

        let decoded = fresh.decode(kind, &payload);
        accepted += decoded.is_ok() as u32;
        let Ok(Value::Object(object)) = serde_json::from_slice(&payload) else { continue };
        let names = match kind {
            Trade => [PRICE, SIZE],
            Quote => [BID, ASK],
            _ => continue,
        };
        let expected = names.map(|names| required(&object, names));
        match (decoded.map(|(_, body)| body), expected) {
            (Ok(Body::Trade(trade)), [Some(price), Some(size)]) => {
                assert!(close(trade.price, price) && close(trade.size, size), "{price} {size}, {}", show());
                agreed += 1;
            }
            (Ok(Body::Quote(quote)), [Some(bid), Some(ask)]) => {
                assert!(close(quote.bid, bid) && close(quote.ask, ask), "{bid} {ask}, {}", show());
                agreed += 1;
            }
            (Ok(_), _) => panic!("serde_json reads {expected:?}, {}", show()),
            (Err(malformed), [Some(_), Some(_)]) => panic!("{malformed:?}, {}", show()),
            (Err(_), _) => {}
        }
    }
    assert!(accepted > 20_000 && agreed > 8_000, "{accepted} accepted, {agreed} as serde_json reads them");
}
