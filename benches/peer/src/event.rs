//! Payloads as serde sees them; it skips what has no field here.
// Some of it would only be shown by HTTP.
#![allow(dead_code)]

use chrono::{DateTime, Utc};
use serde::Deserialize;

pub enum Event {
    Trade(Trade),
    Quote(Quote),
    Book(Book),
    Heartbeat,
}

#[derive(Deserialize)]
pub struct Trade {
    pub ts_exchange: DateTime<Utc>,
    pub ts_recv: DateTime<Utc>,
    pub price: f64,
    pub size: f64,
    #[serde(default)]
    pub side: Option<String>,
    #[serde(default)]
    pub trade_id: Option<String>,
}

#[derive(Deserialize)]
pub struct Quote {
    pub ts_exchange: DateTime<Utc>,
    pub ts_recv: DateTime<Utc>,
    pub bid: f64,
    pub ask: f64,
    #[serde(default)]
    pub bid_size: Option<f64>,
    #[serde(default)]
    pub ask_size: Option<f64>,
}

#[derive(Deserialize)]
pub struct Book {
    pub ts_exchange: DateTime<Utc>,
    pub ts_recv: DateTime<Utc>,
    pub bids: Vec<(f64, f64)>,
    pub asks: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
pub struct Heartbeat {
    pub provider: String,
}
