//! Whole messages, cut at every byte and changed at random.

use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::event::Body;
use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};
use senpai_md_consumer::engine::random::Random;
use serde_json::Value;

use crate::{KINDS, decode, outcome};

/// Whole messages of every type and style, for the cuts and the mutations.
const CORPUS: [(EventKind, &str); 26] = [
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
    (
        Trade,
        r#"{"e":"trade","E":1721347022605,"s":"BTCUSDT","t":4217896584,"p":"0.5","q":"2","T":1721347022604,"m":true}"#,
    ),
    (Trade, r#"{"qty":3,"size":2,"size":null,"price":7,"price":"x","px":5,"e":"aggTrade","a":7,"v":1}"#),
    (Trade, r#"{"hd":{"ts_event":"1721347022605624123","rtype":0},"price":"3.500000000","size":4,"side":"B"}"#),
    (Quote, r#"{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#),
    (Quote, r#"{"bid":0,"bid_price":3,"ask":null,"a":2,"ask":"","askSize":4}"#),
    (Book, r#"{"book":{"b":{"1.5":2,"1.6":"3"},"a":[{"px":"2","sz":"0"}]},"type":"snapshot","T":"x","r":true}"#),
    (Book, r#"{"b":[["1",2]],"bids":null,"ask":[[3,4],[2,1]],"is_snapshot":true,"e":"depth","book":{"bids":[]}}"#),
    (Book, r#"{"bids":[[1,2]],"bids":7,"bid":[[3,4],[5,6],[4,0]],"asks":{"7":1}}"#),
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

fn mutate(payload: &mut Vec<u8>, random: &mut Random) {
    const PIECES: [&[u8]; 45] = [
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
        b"\"size\":null,",
        b"\"s\":",
        b"\"hd\":{},",
        b"\"e\":\"trade\",",
        b"\"t\":1721347022,",
        b"\"book\":{\"bids\":[]},",
        b"\"type\":\"delta\",",
        b"\"bid\":0,",
    ];
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    let at = below(payload.len() + 1);
    let end = (at + 1 + below(12)).min(payload.len());
    match below(8) {
        0 | 1 if at < payload.len() => payload[at] = below(256) as u8,
        2 if at < payload.len() => payload[at] ^= 1 << below(8),
        3 => drop(payload.drain(at..end)),
        4 => {
            let copy = payload[at..end].to_vec();
            let place = below(payload.len() + 1);
            payload.splice(place..place, copy);
        }
        5 => {
            let other = CORPUS[below(CORPUS.len())].1.as_bytes();
            let cut = below(other.len());
            payload.splice(at..end, other[cut..(cut + 1 + below(30)).min(other.len())].iter().copied());
        }
        6 if below(8) == 0 => payload.truncate(at),
        _ => {
            let piece = PIECES[below(PIECES.len())];
            payload.splice(at..at, piece.iter().copied());
        }
    }
}

/// A required number as serde_json sees it: the first below `end` that is more than 0, or 0 where that is a value.
fn required(object: &serde_json::Map<String, Value>, names: &[&str], end: f64, is_zero_read: bool) -> Option<f64> {
    let number = |name: &&str| match object.get(*name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if *name != "s" => text.trim().parse().ok(),
        _ => None,
    };
    names.iter().filter_map(number).find(|number| *number < end && (*number > 0.0 || is_zero_read && *number == 0.0))
}

fn close(a: f64, b: f64) -> bool {
    // serde_json's own reading of numbers may be off by the last bit.
    (a - b).abs() <= 1e-15 * a.abs()
}

#[test]
fn mutations() {
    const PRICE: &[&str] = &["price", "p", "px"];
    const SIZE: &[&str] = &["size", "qty", "quantity", "amount", "sz", "v", "s", "q", "volume"];
    const BID: &[&str] = &["bid", "bid_price", "bidPrice", "best_bid", "best_bid_price", "bidPx", "bid_px", "bp", "b"];
    const ASK: &[&str] = &["ask", "ask_price", "askPrice", "best_ask", "best_ask_price", "askPx", "ask_px", "ap", "a"];
    let mut veteran = Decoder::default();
    let (mut accepted, mut agreed) = (0, 0);
    for seed in 0..300_000 {
        let mut random = Random::new(seed);
        let (mut kind, payload) = CORPUS[random.below(CORPUS.len() as u64) as usize];
        if random.below(20) == 0 {
            kind = KINDS[random.below(4) as usize];
        }
        let mut payload = payload.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            mutate(&mut payload, &mut random);
        }
        let show = || format!("seed {seed}: {kind:?} {}", payload.escape_ascii());
        let mut fresh = Decoder::default();
        let said = outcome(&mut fresh, kind, &payload);
        assert_eq!(outcome(&mut fresh, kind, &payload), said, "a second time, {}", show());
        assert_eq!(outcome(&mut veteran, kind, &payload), said, "after all before it, {}", show());

        let decoded = fresh.decode(kind, &payload);
        accepted += decoded.is_ok() as u32;
        let Ok(Value::Object(object)) = serde_json::from_slice(&payload) else { continue };
        if object.contains_key("hd") {
            continue;
        }
        let names = match kind {
            Trade => [(PRICE, 1e15, false), (SIZE, 1e18, true)],
            Quote => [(BID, 1e15, true), (ASK, 1e15, true)],
            _ => continue,
        };
        let expected = names.map(|(names, end, is_zero_read)| required(&object, names, end, is_zero_read));
        match (decoded.map(|(_, body)| body), expected) {
            (Ok(Body::Trade(trade)), [Some(price), Some(size)]) => {
                assert!(close(trade.price, price) && close(trade.size, size), "{price} {size}, {}", show());
                agreed += 1;
            }
            (Ok(Body::Quote(quote)), expected) => {
                for (found, expected) in [quote.bid, quote.ask].into_iter().zip(expected) {
                    let expected = expected.filter(|price| *price > 0.0);
                    let is_same = found.zip(expected).is_none_or(|(found, expected)| close(found, expected));
                    assert!(is_same && found.is_some() == expected.is_some(), "{expected:?}, {}", show());
                    agreed += u32::from(found.is_some());
                }
            }
            (Ok(_), _) => panic!("serde_json reads {expected:?}, {}", show()),
            (Err(_), [_, Some(0.0)]) if kind == Trade => {}
            (Err(malformed), [Some(_), Some(_)]) => panic!("{malformed:?}, {}", show()),
            (Err(_), _) => {}
        }
    }
    assert!(accepted > 20_000 && agreed > 8_000, "{accepted} accepted, {agreed} as serde_json reads them");
}
