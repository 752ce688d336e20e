//! The reference itself, proved by cases small enough to compute by hand.

#[path = "../reference/mod.rs"]
mod reference;

mod duplicates;
mod features;
mod idle;
mod parsing;
mod providers;
mod schedule;
mod signals;
mod streams;

use reference::generator;
use reference::latency::nearest_rank;
use reference::profile::Profile;
use reference::providers::{ProviderMode, state_name};
use reference::{MILLISECOND, Published, Reference, SECOND, Settings, compare, parse, time};
use serde_json::{Value, json};

/// Where the clock of the cases stands at second 0.
const START: i64 = 1_721_347_200 * SECOND;

fn at(seconds: f64) -> i64 {
    START + (seconds * 1e9).round() as i64
}

type Step = (f64, &'static str, String);

fn event(seconds: f64, subject: &'static str, mut payload: Value) -> Step {
    payload["ts_recv"] = json!(at(seconds));
    (seconds, subject, payload.to_string())
}

fn trade(seconds: f64, price: f64, size: f64) -> Step {
    event(seconds, "md.events.trade.X", json!({"price": price, "size": size}))
}

fn quote(seconds: f64, bid: f64, ask: f64) -> Step {
    event(seconds, "md.events.quote.X", json!({"bid": bid, "ask": ask}))
}

fn book(seconds: f64, bids: Value, asks: Value) -> Step {
    event(seconds, "md.events.book_l2.X", json!({"bids": bids, "asks": asks}))
}

/// A quote that took so many milliseconds.
fn delayed(seconds: f64, latency_ms: f64) -> Step {
    let sent = at(seconds) - (latency_ms * 1e6) as i64;
    event(seconds, "md.events.quote.X", json!({"bid": 1, "ask": 1, "ts_exchange": sent}))
}

fn played(settings: Settings, steps: &[Step]) -> Reference {
    let mut reference = Reference::new(settings);
    for (_, subject, payload) in steps {
        reference.event(None, subject, payload.as_bytes());
    }
    reference
}

/// A feature of symbol X after the steps, for the moment of the last one. `None`: null.
#[track_caller]
fn check(feature: &str, steps: &[Step], expected: impl Into<Option<f64>>) {
    check_with(Settings::default(), feature, steps, expected);
}

#[track_caller]
fn check_with(settings: Settings, feature: &str, steps: &[Step], expected: impl Into<Option<f64>>) {
    let document = played(settings, steps).features("X").expect("symbol X").payload;
    let (actual, expected) = (document["features"][feature].as_f64(), expected.into());
    let equal = match (actual, expected) {
        (Some(actual), Some(expected)) => (actual - expected).abs() <= 1e-12 * expected.abs(),
        (actual, expected) => actual == expected,
    };
    assert!(equal, "{feature}: expected {expected:?}, actual {actual:?}");
}

fn rolling(seconds: i64) -> Settings {
    Settings { rolling_window_ns: seconds * SECOND, ..Settings::default() }
}
