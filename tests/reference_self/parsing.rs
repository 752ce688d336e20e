//! Payloads, subjects and moments.

use crate::reference::json;
use crate::*;

fn count_of(subject: &str, payload: &str) -> (u64, u64) {
    let mut reference = Reference::new(Settings::default());
    reference.event(None, subject, payload.as_bytes());
    let counts = reference.counts();
    (counts.events.values().sum(), counts.malformed.values().sum())
}

#[test]
#[rustfmt::skip] // one case a line
fn payloads_are_read_tolerantly() {
    let price_and_size = |payload: &str| match parse::event(parse::Kind::Trade, payload.as_bytes())?.body {
        parse::Body::Trade { price, size, .. } => Some((price, size)),
        _ => None,
    };
    let good = Some((2.5, 4.0));
    for payload in [
        r#"{"price":2.5,"size":4}"#,
        r#" {"size":"4","price":"2.5","x":{"price":[1,{"size":9}]}} "#,
        r#"{"p":2.5,"q":4}"#,
        r#"{"px":"25e-1","amount":4.0}"#,
        r#"{"price":1,"size":4,"price":2.5}"#,
        r#"{"p":1,"price":2.5,"qty":9,"size":4}"#,
        r#"{"px":1,"p":2.5,"q":9,"volume":9,"amount":9,"quantity":9,"qty":4}"#,
        r#"{"q":4,"volume":9,"price":2.5}"#,
        // The first name that can be read.
        r#"{"price":null,"p":2.5,"size":4}"#,
        r#"{"price":0,"p":"x","px":2.5,"size":-1,"quantity":4}"#,
        r#"{"price":7,"price":null,"p":2.5,"size":4}"#,
        r#"{"p":2.5,"s":4,"q":9}"#,
        r#"{"p":2.5,"s":"9","q":4}"#,
        r#"{"\u0070rice":2.5,"size":4}"#,
        r#"{"price":+2.5,"size":4.}"#,
        r#"{"price":002.50,"size":"+4"}"#,
        r#"{"price":" 2.5 ","size":"04.","x":[NaN,-Infinity,.5,"NaN"],"y":Infinity}"#,
        r#"{"price":.25e1,"size":4.e0}"#,
    ] {
        assert_eq!(price_and_size(payload), good, "{payload}");
    }
    for payload in [
        r#"{"price":2.5}"#,
        r#"{"size":4}"#,
        r#"{"price":2.5,"size":0}"#,
        r#"{"price":2.5,"size":-4}"#,
        r#"{"price":0,"size":4}"#,
        r#"{"price":"NaN","size":4}"#,
        r#"{"price":"inf","size":4}"#,
        r#"{"price":NaN,"size":4}"#,
        r#"{"price":2.5,"size":-Infinity}"#,
        r#"{"price":++2.5,"size":4}"#,
        r#"{"price":.,"size":4}"#,
        r#"{"price":"2 .5","size":4}"#,
        r#"{"price":true,"size":4}"#,
        r#"{"price":2.5,"size":0,"qty":4}"#,
        r#"{"price":1e15,"size":4}"#,
        r#"{"price":2.5,"size":1e18}"#,
        r#"{"price":2.5,"size":4,"hd":{},"x":1,"price":25}"#,
        r#"{"price":2.5,"price":null,"size":4}"#,
        r#"{"price":2.5,"size":4"#,
        r#"{"price":2.5,"size":4}}"#,
        r#"[{"price":2.5,"size":4}]"#,
        "",
    ] {
        assert_eq!(price_and_size(payload), None, "{payload}");
    }

    let event = |kind, payload: &str| parse::event(kind, payload.as_bytes()).unwrap();
    let provider = |payload: &str| event(parse::Kind::Heartbeat, payload).provider;
    assert_eq!(provider("{}"), "unknown");
    assert_eq!(provider(r#"{"provider":7}"#), "unknown");
    assert_eq!(provider(r#"{"venue":"vvv","exchange":"eee"}"#), "eee");
    assert_eq!(provider(r#"{"venue":"vvv","exchange":"ee","source":"123"}"#), "vvv");
    assert_eq!(provider(r#"{"venue":"vvv","source":"sss","provider":"p"}"#), "p");
    let recv = |payload: &str| event(parse::Kind::Heartbeat, payload).ts_recv;
    let t = 1_700_000_000 * SECOND;
    assert_eq!(recv(r#"{"received_at":1700000003,"ts_receive":1700000000}"#), Some(t));
    assert_eq!(recv(r#"{"ts_recv":"soon","recv_ts":1700000000}"#), Some(t));
    let sent = |payload: &str| event(parse::Kind::Heartbeat, payload).ts_exchange;
    assert_eq!(sent(r#"{"ts":1700000003,"timestamp":1700000000}"#), Some(t));
    assert_eq!(sent(r#"{"ts":1700000003,"timestamp":5,"ts_event":1700000000,"exchange_ts":0}"#), Some(t));
    assert_eq!(sent(r#"{"hd":{"ts_event":1700000000}}"#), Some(t));
    let unreadable = |payload: &str| event(parse::Kind::Heartbeat, payload).timestamps_unreadable;
    assert!(unreadable(r#"{"ts":5}"#) && unreadable(r#"{"ts_recv":"","ts":1700000000}"#));
    assert!(!unreadable(r#"{"ts":null}"#) && !unreadable(r#"{"ts":5,"timestamp":1700000000}"#) && !unreadable("{}"));

    let side_and_id = |payload: &str| match event(parse::Kind::Trade, payload).body {
        parse::Body::Trade { side, trade_id, .. } => (side, trade_id),
        _ => unreachable!(),
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":"S","tid":7}"#), ("sell", text("7")));
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":"Buy","id":"x","tid":7}"#), ("buy", text("x")));
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"side":1,"id":[]}"#), ("unknown", None));

    assert_eq!(side_and_id(r#"{"price":1,"size":1,"S":"AAPL","m":true,"e":"trade","t":5}"#), ("sell", text("5")));
    assert_eq!(side_and_id(r#"{"price":1,"size":1,"maker_side":"ask","e":"aggTrade","a":5,"t":6}"#), ("buy", text("5")));

    let quote = |payload: &str| match parse::event(parse::Kind::Quote, payload.as_bytes())?.body {
        parse::Body::Quote { bid, ask, bid_size, ask_size } => Some((bid, ask, bid_size, ask_size)),
        _ => None,
    };
    let (one, two) = (Some(1.0), Some(2.0));
    assert_eq!(quote(r#"{"bp":1,"ap":"2","bs":0,"as":"-1"}"#), Some((one, two, Some(0.0), None)));
    assert_eq!(quote(r#"{"bid_price":1,"ask_price":2,"bid_qty":3,"ask_qty":4}"#), Some((one, two, Some(3.0), Some(4.0))));
    assert_eq!(quote(r#"{"b":1,"B":2,"a":"","A":4}"#), Some((one, None, two, None)));
    assert_eq!(quote(r#"{"bid":0,"b":1}"#), Some((None, None, None, None)));
    assert_eq!(quote(r#"{"bid":null,"b":1}"#), Some((one, None, None, None)));
    assert_eq!(quote(r#"{"bid":1,"ask":"x"}"#), None);
    assert_eq!(quote(r#"{"bid_size":1}"#), None);

    let bids = |bids: &str| match parse::event(parse::Kind::Book, format!("{{\"asks\":[],\"bids\":{bids}}}").as_bytes())?.body {
        parse::Body::Book { bids, .. } => Some(bids),
        _ => None,
    };
    assert_eq!(bids("[]"), Some(vec![]));
    assert_eq!(bids(r#"[["2",0,"more"],{"size":"3","x":1,"price":1},[2,1]]"#), Some(vec![(2.0, 1.0), (1.0, 3.0)]));
    assert_eq!(bids(r#"{"1":2,"3":"4"}"#), Some(vec![(3.0, 4.0), (1.0, 2.0)]));
    for bad in ["null", "[1]", "[[1]]", "[[0,1]]", "[[1,-1]]", r#"[{"price":1}]"#, "[[1,1],null]"] {
        assert_eq!(bids(bad), None, "{bad}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn subjects_name_type_and_symbol() {
    let symbol = |text| parse::subject(text).map(|(kind, symbol)| (kind.name(), symbol));
    assert_eq!(symbol("md.events.trade.BRK.B"), Some(("trade", "BRK.B")));
    assert_eq!(symbol("md.events.quote.BTC/USD"), Some(("quote", "BTC/USD")));
    assert_eq!(symbol("md.events.book_l2.X"), Some(("book_l2", "X")));
    assert_eq!(symbol("md.events.heartbeat.__system__"), Some(("heartbeat", "__system__")));
    for bad in ["md.events.trade.", "md.events.trade", "md.events.book.X", "md.event.trade.X", "MD.events.trade.X", ""] {
        assert_eq!(symbol(bad), None, "{bad}");
    }
    let quote = r#"{"bid":1,"ask":2}"#;
    for good in ["X", "BRK.B", "BTC/USD", "ÅL.OL"] {
        assert_eq!(count_of(&format!("md.events.quote.{good}"), quote), (1, 0), "{good}");
    }
    for bad in ["*", ">", "A.*", "*.A", "A>B", "A..B", ".A", "A.", "A B", "A\n", "A\u{85}", &"x".repeat(129)] {
        assert_eq!(count_of(&format!("md.events.quote.{bad}"), quote), (0, 1), "{bad}");
    }
    assert_eq!(count_of("md.events.heartbeat.x", "{}"), (1, 0));
    assert_eq!(count_of("md.events.heartbeat.x", "null"), (0, 1));
    assert_eq!(count_of("md.events.heartbeat.", "{}"), (0, 1));
    let mut reference = Reference::new(Settings::default());
    reference.event(None, "md.events.heartbeat.x", b"{}");
    reference.event(None, "md.events.trade.", br#"{"price":1,"size":1}"#);
    assert_eq!(reference.counts().malformed["unknown"], 1);
    assert!(reference.symbols().is_empty());
}

#[test]
fn timestamps_are_told_apart() {
    let parsed = |value: Value| parse::any_timestamp(&json::parse(&value.to_string())?);
    let t = 1_721_347_022_605_624_000;
    for good in [
        json!("2024-07-18T23:57:02.605624Z"),
        json!("2024-07-18 23:57:02.605624"),
        json!("2024-07-19T05:27:02.605624000+05:30"),
        json!("2024-07-18T15:57:02.605624-08:00"),
        json!(1721347022.605624),
        json!(1721347022605.624),
        json!(1721347022605624_u64),
        json!(1721347022605624000_u64),
        json!("1721347022.605624"),
        json!("1721347022605624000"),
        json!("1.721347022605624e9"),
    ] {
        assert_eq!(parsed(good.clone()), Some(t), "{good}");
    }
    assert_eq!(parsed(json!("1721347022605")), Some(1_721_347_022_605_000_000));
    assert_eq!(parsed(json!(1721347022)), Some(1_721_347_022_000_000_000));
    assert_eq!(parsed(json!("2024-07-18T23:57:02Z")), Some(1_721_347_022_000_000_000));
    assert_eq!(parsed(json!("2024-07-18T23:57:02.000000001Z")), Some(1_721_347_022_000_000_001));
    assert_eq!(parsed(json!("2024-02-29T00:00:00Z")), Some(1_709_164_800 * SECOND));
    assert_eq!(parsed(json!("2016-12-31T23:59:60Z")), Some(1_483_228_800 * SECOND));
    assert_eq!(parsed(json!("1969-12-31T23:59:59.5Z")), Some(-SECOND / 2));
    for (text, seconds) in [
        ("946684799", None),
        ("946684800", Some(946_684_800)),
        ("4133980799", Some(4_133_980_799)),
        ("4133980800", None),
    ] {
        let bounded = parse::timestamp(&json::Value::Number(text.to_owned()));
        assert_eq!(bounded, seconds.map(|seconds: i64| seconds * SECOND), "{text}");
    }
    for same in ["2024-07-18 23:57:02 UTC", " 2024-07-19T01:57:02+02 ", "2024-07-19T01:57:02,0000000009+0200"] {
        assert_eq!(parsed(json!(same)), Some(1_721_347_022 * SECOND), "{same}");
    }
    assert_eq!(parsed(json!(0)), Some(0));
    assert_eq!(parsed(json!(99_999_999_999_i64)), None); // Seconds of the year 5138: too far for i64 nanoseconds.
    assert_eq!(parsed(json!(100_000_000_000_i64)), Some(100_000_000 * SECOND));
    assert_eq!(parsed(json!(99_999_999_999_999_i64)), None);
    assert_eq!(parsed(json!(100_000_000_000_000_i64)), Some(100_000_000 * SECOND));
    assert_eq!(parsed(json!(99_999_999_999_999_999_i64)), None);
    assert_eq!(parsed(json!(100_000_000_000_000_000_i64)), Some(100_000_000 * SECOND));
    for bad in [
        json!("2023-02-29T00:00:00Z"),
        json!("2024-13-01T00:00:00Z"),
        json!("2024-07-18"),
        json!("2024-07-18T24:00:00Z"),
        json!("2024-07-18T23:57:02.Z"),
        json!("2024-07-18T23:57:02 Z"),
        json!("now"),
        json!(""),
        json!(null),
        json!([1]),
    ] {
        assert_eq!(parsed(bad.clone()), None, "{bad}");
    }
    assert_eq!(time::format(t), "2024-07-18T23:57:02.605624Z");
    assert_eq!(time::format(t + 999), "2024-07-18T23:57:02.605624Z");
    assert_eq!(time::format(951_782_400 * SECOND), "2000-02-29T00:00:00.000000Z");
    assert_eq!(time::format(-1), "1969-12-31T23:59:59.999999Z");
}
