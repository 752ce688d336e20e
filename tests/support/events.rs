//! Events to publish: simple ones with made-up numbers, and recordings moved to the present.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::reference::recording;
use crate::reference::recording_files::Recording;
use crate::reference::{SECOND, parse, time};

/// Subject and payload.
pub type Event = (String, Vec<u8>);

const MICROSECOND: i64 = 1_000;

/// To the microsecond, so that what the service shows of a moment is all of it.
pub fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since_epoch.as_micros() as i64 * MICROSECOND
}

pub fn event(kind: &str, symbol: &str, payload: Value) -> Event {
    (format!("md.events.{kind}.{symbol}"), payload.to_string().into_bytes())
}

pub fn trade(symbol: &str, t_ns: i64, price: f64) -> Event {
    event("trade", symbol, json!({"provider": "test", "ts_recv": t_ns, "price": price, "size": 1.0, "side": "buy"}))
}

pub fn quote(symbol: &str, t_ns: i64, bid: f64, ask: f64) -> Event {
    event("quote", symbol, json!({"provider": "test", "ts_recv": t_ns, "bid": bid, "ask": ask}))
}

pub fn book(symbol: &str, t_ns: i64, level_count: usize) -> Event {
    let levels = |first: f64, step: f64| -> Vec<Value> {
        (0..level_count).map(|level| json!([first + step * level as f64, 1.5])).collect()
    };
    let (bids, asks) = (levels(99.99, -0.001), levels(100.01, 0.001));
    event("book_l2", symbol, json!({"provider": "test", "ts_recv": t_ns, "bids": bids, "asks": asks}))
}

pub fn heartbeat(provider: &str) -> Event {
    event("heartbeat", provider, json!({"provider": provider}))
}

/// A market that rises with each trade, 20 ms of event time apart, and ended an hour ago: from the trade
/// [`RISE_WARM_UP`] on, each gives a long signal under [`RISE_FLAGS`], for its own moment.
pub fn rising_market(symbol: &str, trade_count: usize) -> Vec<Event> {
    let start_ns = now_ns() - 3600 * SECOND - trade_count as i64 * RISE_STEP_NS;
    let trades = (0..trade_count).map(|i| trade(symbol, start_ns + i as i64 * RISE_STEP_NS, 100.0 + i as f64 * 0.01));
    std::iter::once(quote(symbol, start_ns, 100.0, 100.01)).chain(trades).collect()
}

const RISE_STEP_NS: i64 = SECOND / 50;
/// A return over 10 s needs a trade 10 s earlier.
pub const RISE_WARM_UP: usize = (10 * SECOND / RISE_STEP_NS) as usize;
/// There is one quote, at the beginning.
pub const RISE_FLAGS: [&str; 8] = [
    "--signal-return-threshold",
    "0",
    "--signal-cooldown-seconds",
    "0",
    "--signal-max-age-seconds",
    "31536000",
    "--signal-max-quote-age-seconds",
    "0",
];

/// A time from 2000 to 2100, in ns.
pub fn moment_of(value: &Value) -> Option<i64> {
    parse::timestamp(&crate::reference::json::parse(&value.to_string())?)
}

/// The recording, moved by whole seconds so that it ended a moment ago, with strictly rising times: an event
/// at the same microsecond as the one of its symbol before it comes one microsecond later.
///
/// The reason for the latter: `now` is the watermark plus the local time since it moved. Where each event moves it,
/// `now` is the event's own time, whenever it is received; so outputs can be foretold to the bit. `None`: an event has no
/// `ts_recv`, so that there is nothing to move.
pub fn recording_until_now(recording: &Recording) -> Option<Vec<Event>> {
    let records = recording::read(recording);
    let mut payloads: Vec<(String, Value)> = records
        .into_iter()
        .map(|(_, subject, payload)| (subject, serde_json::from_slice(&payload).expect("JSON")))
        .collect();
    let moment = |payload: &Value, field: &str| payload.get(field).and_then(moment_of);
    let end = payloads.iter().filter_map(|(_, payload)| moment(payload, "ts_recv")).max()?;
    let shift = (now_ns() - end) / SECOND * SECOND - SECOND;

    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for (subject, payload) in &mut payloads {
        if let Some(sent) = moment(payload, "ts_exchange") {
            payload["ts_exchange"] = time::format(sent + shift).into();
        }
        let mut received = moment(payload, "ts_recv")? + shift;
        if let Some((kind, symbol)) = parse::subject(subject)
            && kind != parse::Kind::Heartbeat
        {
            let before = last.get(symbol).copied().unwrap_or(i64::MIN);
            received = received.max(before.saturating_add(MICROSECOND));
            last.insert(symbol.to_owned(), received);
        }
        payload["ts_recv"] = time::format(received).into();
    }
    Some(payloads.into_iter().map(|(subject, payload)| (subject, payload.to_string().into_bytes())).collect())
}
