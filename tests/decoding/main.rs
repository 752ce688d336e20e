//! The decoder (SPEC section 1): tables of payloads and what they say, and seeded mutations.
//!
//! The decoder remembers how the last message of a type was laid out and in which minute it was, so every payload is
//! decoded by several decoders: one that has seen nothing, one that has just seen the same payload, some that have just
//! seen others, and one that has seen every payload of the test so far. They must agree in everything.

mod books;
mod fields;
mod layouts;
mod moments;
mod mutations;
mod numbers;
mod producers;
mod quotes;
mod search;
mod text;

use std::cell::RefCell;
use std::fmt::Write;

use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::event::{Body, BookSide, Side};
use senpai_md_consumer::engine::input::subject::EventKind::{self, Book, Heartbeat, Quote, Trade};

const KINDS: [EventKind; 4] = [Trade, Quote, Book, Heartbeat];

/// Messages of other layouts: they hold every type's names, canonical and not, and a minute that the cases share.
const OTHERS: [&str; 4] = [
    r#"{"event_type":"x","provider":"w","ts_exchange":"2024-07-18T23:57:01.000001Z","ts_recv":"2024-07-18T23:57:01.000002Z","price":5,"size":6,"side":"sell","trade_id":"9","bid":5,"ask":6,"bids":[[5,6]],"asks":[[7,8]]}"#,
    r#"{"asks":[{"price":7,"size":8}],"bids":[],"ask":"6","bid":"5","trade_id":9,"size":"6","price":"5","ts_recv":1721347022,"ts":1721347022605}"#,
    r#"{"p":5,"q":6,"bp":5,"ap":6,"bs":7,"as":8,"ts":1,"source":"wxy","price":9,"size":9,"bid":9,"ask":9}"#,
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
            let price = |price: Option<f64>| price.map_or("-".into(), |price| price.to_string());
            format!("{}{} / {}{}", price(quote.bid), size(quote.bid_size), price(quote.ask), size(quote.ask_size))
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
    if origin.is_time_unreadable {
        text += " time unreadable";
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
