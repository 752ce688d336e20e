//! Prints features, signals and alerts as they come, each signal once. The shapes are those of ops/schemas/schemas.json;
//! `None` is a value that cannot be computed.
//!
//! ```text
//! NATS_URL=nats://localhost:4222 cargo run --example consume
//! ```
//!
//! In a project of its own it needs async-nats, futures-lite, serde (with `derive`), serde_json and tokio (with `macros` and `rt`).

use std::collections::{HashSet, VecDeque};
use std::env;
use std::error::Error;

use async_nats::ConnectOptions;
use futures_lite::StreamExt;
use serde::Deserialize;

#[derive(Deserialize)]
struct FeatureValues {
    mid: Option<f64>,
    return_10s: Option<f64>,
    trade_volume_10s: f64,
    // … as many as are needed
}

#[derive(Deserialize)]
struct Features {
    symbol: String,
    ts: String,
    features: FeatureValues,
    /// Age of the top of market: how fresh `mid` is.
    quote_age_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Signal {
    id: String,
    direction: Direction,
    price: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Long,
    Short,
}

#[derive(Deserialize)]
struct Alert {
    kind: String,
    state: String,
    message: String,
}

/// The last ids: a second instance of the service, or a restarted one, sends the same signal under the same id.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    const CAPACITY: usize = 100_000;

    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > Seen::CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("NATS_URL").unwrap_or_else(|_| "nats://localhost:4222".to_owned());
    // A lost connection is made again for as long as it takes, with its subscriptions.
    let client = ConnectOptions::new().retry_on_initial_connect().connect(url).await?;
    // One subscription, so that signals and features stay in their order.
    let mut messages = client.subscribe("senpai.>").await?;
    let mut seen = Seen::default();
    while let Some(message) = messages.next().await {
        match message.subject.split('.').nth(1) {
            Some("features") => {
                let Features { symbol, ts, features, quote_age_ms } = serde_json::from_slice(&message.payload)?;
                let FeatureValues { mid, return_10s, trade_volume_10s } = features;
                println!(
                    "features {symbol} {ts} mid={mid:?} ({quote_age_ms:?} ms old) {return_10s:?} {trade_volume_10s}"
                );
            }
            Some("signals") => {
                let Signal { id, direction, price } = serde_json::from_slice(&message.payload)?;
                if seen.is_new(&id) {
                    println!("signal {id} {direction:?} at {price}");
                }
            }
            Some("alerts") => {
                let Alert { kind, state, message } = serde_json::from_slice(&message.payload)?;
                println!("alert {kind} {state} {message}");
            }
            _ => {}
        }
    }
    Ok(())
}
