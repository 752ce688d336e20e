//! States, snapshots and signals as compact JSON, appended to a buffer; `format!` is not used. Numbers are the shortest
//! text that reads back as the same f64.

use crate::engine::features::snapshot::{Features, Snapshot};
use crate::engine::input::event::{Book, BookSide};
use crate::engine::rules::momentum::{RULE, Signal};
use crate::engine::state::cooldowns::Direction;
use crate::engine::state::provider::Providers;
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::state::symbol_state::{Arrival, SymbolState};
use crate::engine::time::{UnixNanos, encode_time};

/// `{"symbol","provider","ts","features":{…},"window_truncated","trade_age_ms","quote_age_ms"}`; `"provider"` where the symbol
/// has one.
pub fn encode_snapshot(out: &mut Vec<u8>, names: &SymbolNames, providers: &Providers, snapshot: &Snapshot) {
    out.extend_from_slice(b"{\"symbol\":");
    put_head(out, names, providers, snapshot);
    put_features(out, &snapshot.features);
    out.extend_from_slice(b",\"window_truncated\":");
    out.extend_from_slice(if snapshot.window_truncated { b"true" } else { b"false" });
    put_ages(out, snapshot);
}

/// A snapshot's document with `"state"`, `"price"` (of the latest trade, or null) and `"signals":{"long","short"}` behind it.
pub fn encode_update(
    out: &mut Vec<u8>,
    names: &SymbolNames,
    providers: &Providers,
    snapshot: &Snapshot,
    state: &SymbolState,
) {
    encode_snapshot(out, names, providers, snapshot);
    let end = out.pop();
    assert_eq!(end, Some(b'}'), "a document is an object");
    out.extend_from_slice(b",\"state\":");
    // What is escaped in the name is in the id's start.
    out.extend_from_slice(&names.id_start[..names.id_start.len() - 1]);
    out.push(b'"');
    put_field(out, b"price", state.trade.as_ref().map(|(_, trade)| trade.price));
    for (name, direction) in [(&b",\"signals\":{\"long\":"[..], Direction::Long), (b",\"short\":", Direction::Short)] {
        out.extend_from_slice(name);
        out.extend_from_slice(itoa::Buffer::new().format(state.signals_emitted[direction as usize]).as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// `{"id","symbol","provider","ts","direction","rule","price","features":{…},"trade_age_ms","quote_age_ms"}`; the id is
/// `{state's name}:{rule}:{direction}:{ns of the watermark}`.
pub fn encode_signal(out: &mut Vec<u8>, names: &SymbolNames, providers: &Providers, signal: &Signal) {
    let direction = signal.direction.name().as_bytes();
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(&names.id_start);
    out.extend_from_slice(RULE.as_bytes());
    for part in [direction, itoa::Buffer::new().format(signal.watermark.0).as_bytes()] {
        out.push(b':');
        out.extend_from_slice(part);
    }
    out.extend_from_slice(b"\",\"symbol\":");
    put_head(out, names, providers, &signal.snapshot);
    out.extend_from_slice(b",\"direction\":\"");
    out.extend_from_slice(direction);
    out.extend_from_slice(b"\",\"rule\":\"");
    out.extend_from_slice(RULE.as_bytes());
    out.extend_from_slice(b"\",\"price\":");
    put_number(out, Some(signal.price));
    put_features(out, &signal.snapshot.features);
    put_ages(out, &signal.snapshot);
}

/// The last fields of an output, and its end.
#[inline]
fn put_ages(out: &mut Vec<u8>, snapshot: &Snapshot) {
    let mut put_age = |name: &[u8], age_ms: Option<i64>| {
        out.extend_from_slice(name);
        match age_ms {
            Some(age_ms) => out.extend_from_slice(itoa::Buffer::new().format(age_ms).as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    };
    put_age(b",\"trade_age_ms\":", snapshot.trade_age_ms);
    put_age(b",\"quote_age_ms\":", snapshot.quote_age_ms);
    out.push(b'}');
}

/// The symbol's value, its provider, and when.
#[inline]
fn put_head(out: &mut Vec<u8>, names: &SymbolNames, providers: &Providers, snapshot: &Snapshot) {
    out.extend_from_slice(&names.json);
    out.extend_from_slice(providers.field(snapshot.provider));
    out.extend_from_slice(b",\"ts\":\"");
    out.extend_from_slice(&encode_time(snapshot.now));
    out.push(b'"');
}

fn put_features(out: &mut Vec<u8>, features: &Features) {
    let Features { best, trades, return_short, latency } = features;
    put(out, b",\"features\":{\"mid\":", best.map(|best| best.mid()));
    put(out, b",\"spread_abs\":", best.map(|best| best.spread_abs()));
    put(out, b",\"spread_bps\":", best.map(|best| best.spread_bps()));
    put(out, b",\"trade_vwap_10s\":", trades.vwap_short);
    put(out, b",\"trade_vwap_60s\":", trades.vwap_long);
    out.extend_from_slice(b",\"trade_count_10s\":");
    out.extend_from_slice(itoa::Buffer::new().format(trades.count_short).as_bytes());
    put(out, b",\"trade_volume_10s\":", Some(trades.volume_short));
    put(out, b",\"return_10s\":", *return_short);
    put(out, b",\"realized_vol_60s\":", trades.realized_vol_long);
    put(out, b",\"latency_ms_p50\":", latency.p50_ms);
    put(out, b",\"latency_ms_p95\":", latency.p95_ms);
    out.push(b'}');
}

/// A name and its value. The name's length is known to the compiler, which makes its copy a few moves.
#[inline(always)]
fn put<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: Option<f64>) {
    out.extend_from_slice(name);
    put_number(out, value);
}

/// A number, or null: JSON knows neither NaN nor infinity, and they would mean "can't be computed".
#[inline]
fn put_number(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) if value.is_finite() => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        _ => out.extend_from_slice(b"null"),
    }
}

/// `{"symbol","trade":{…}|null,"quote":{…}|null,"book":{…}|null}`
pub fn encode_state(out: &mut Vec<u8>, names: &SymbolNames, state: &SymbolState, providers: &Providers) {
    out.extend_from_slice(b"{\"symbol\":");
    out.extend_from_slice(&names.json);
    out.extend_from_slice(b",\"trade\":");
    match &state.trade {
        Some((arrival, trade)) => {
            put_arrival(out, arrival, providers);
            put_field(out, b"price", Some(trade.price));
            put_field(out, b"size", Some(trade.size));
            out.extend_from_slice(b",\"side\":\"");
            out.extend_from_slice(trade.side.name().as_bytes());
            out.extend_from_slice(b"\",\"trade_id\":");
            out.extend_from_slice(trade.trade_id());
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"quote\":");
    match &state.quote {
        Some((arrival, quote)) => {
            put_arrival(out, arrival, providers);
            put_field(out, b"bid", quote.bid);
            put_field(out, b"ask", quote.ask);
            put_field(out, b"bid_size", quote.bid_size);
            put_field(out, b"ask_size", quote.ask_size);
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"book\":");
    match state.book() {
        Some((arrival, Book { bids, asks })) => {
            put_arrival(out, &arrival, providers);
            put_side(out, b"bids", bids);
            put_side(out, b"asks", asks);
            out.extend_from_slice(b",\"bid_levels\":");
            out.extend_from_slice(itoa::Buffer::new().format(bids.level_count).as_bytes());
            out.extend_from_slice(b",\"ask_levels\":");
            out.extend_from_slice(itoa::Buffer::new().format(asks.level_count).as_bytes());
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// `{"ts","provider","ts_exchange","ts_recv"`, left open.
fn put_arrival(out: &mut Vec<u8>, arrival: &Arrival, providers: &Providers) {
    let mut put_time = |name: &[u8], moment: Option<UnixNanos>| {
        out.extend_from_slice(name);
        match moment {
            Some(moment) => {
                out.push(b'"');
                out.extend_from_slice(&encode_time(moment));
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
    };
    put_time(b"{\"ts\":", Some(arrival.t));
    put_time(b",\"ts_exchange\":", arrival.ts_exchange);
    put_time(b",\"ts_recv\":", arrival.ts_recv);
    out.extend_from_slice(b",\"provider\":");
    serde_json::to_writer(out, providers.name(arrival.provider)).expect("writing to memory does not fail");
}

fn put_field(out: &mut Vec<u8>, name: &[u8], value: Option<f64>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    put_number(out, value);
}

fn put_side(out: &mut Vec<u8>, name: &[u8], side: &BookSide) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":[");
    for (index, level) in side.levels().iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        put_number(out, Some(level.price));
        out.push(b',');
        put_number(out, Some(level.size));
        out.push(b']');
    }
    out.push(b']');
}
