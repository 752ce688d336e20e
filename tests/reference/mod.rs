//! The naive twin of the engine: SPEC sections 1 to 3 computed from their definitions.
//!
//! Recorded events go in (`event`), the passing of local time goes in (`advance`, `finish`), and what must be
//! published comes out. Every event of a symbol is kept for ever in plain `Vec`s; nothing is maintained
//! incrementally, each feature is recomputed from its formula whenever it is asked for. Nothing here is shared with the
//! engine, so that the two can only agree by both being right.
//!
//! ```text
//!   receipt, subject, payload ──► parse ──► Reference ──► Published ──► compare ◄── the engine's outputs
//!                       generator ──┘ (seeded streams)
//! ```
#![allow(dead_code)]

pub mod compare;
pub mod generator;
pub mod json;
pub mod latency;
pub mod parse;
pub mod recording;
#[path = "../recording_files/mod.rs"]
pub mod recording_files;
pub mod time;

use latency::{LatencySample, LatencyWindow};
use parse::{Body, Kind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[allow(unused_imports)]
pub use compare::{Summary, compare};

pub const SECOND: i64 = 1_000_000_000;

/// The names of the eleven features.
pub const FEATURES: [&str; 11] = [
    "mid",
    "spread_abs",
    "spread_bps",
    "trade_vwap_10s",
    "trade_vwap_60s",
    "trade_count_10s",
    "trade_volume_10s",
    "return_10s",
    "realized_vol_60s",
    "latency_ms_p50",
    "latency_ms_p95",
];

#[derive(Clone, Debug)]
pub struct Settings {
    /// 0 turns features off.
    pub publish_interval_ns: i64,
    pub rolling_window_ns: i64,
    pub return_threshold: f64,
    pub volume_threshold: f64,
    pub spread_max_bps: f64,
    pub cooldown_ns: i64,
    pub signal_max_age_ns: i64,
    pub max_clock_skew_ns: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            publish_interval_ns: Settings::interval_ns(10.0),
            rolling_window_ns: 60 * SECOND,
            return_threshold: 0.003,
            volume_threshold: 1.0,
            spread_max_bps: 20.0,
            cooldown_ns: 10 * SECOND,
            signal_max_age_ns: 5 * SECOND,
            max_clock_skew_ns: 30 * SECOND,
        }
    }
}

impl Settings {
    /// `FEATURES_PUB_RATE_HZ` as an interval, rounded up so that the rate is never exceeded.
    pub fn interval_ns(rate_hz: f64) -> i64 {
        if rate_hz == 0.0 { 0 } else { (1e9 / rate_hz).ceil() as i64 }
    }
}

/// One message to NATS.
#[derive(Clone, Debug, Default)]
pub struct Published {
    pub subject: String,
    pub payload: Value,
    /// The `now` that it was computed for.
    pub ts_ns: i64,
    /// Engine time: the local receipt of the event that gave it, or the end of the interval. On the expected side only.
    pub moment_ns: i64,
    /// Only on the expected side: from what `compare` tells which latency percentiles are acceptable.
    pub latency: Option<LatencyWindow>,
}

impl Published {
    /// A message of the engine under test; `ts_ns` is read back from the payload, to the microsecond.
    pub fn new(subject: &str, payload: Value) -> Self {
        let ts_ns = payload.get("ts").and_then(parse::timestamp).unwrap_or(0);
        Published { subject: subject.to_owned(), payload, ts_ns, moment_ns: 0, latency: None }
    }
}

/// The order in which messages leave: that of their moments; at one moment signal, alert, snapshot, and each kind as it
/// came about.
pub fn in_order(mut published: Vec<Published>) -> Vec<Published> {
    let kind = |message: &Published| match message.subject.split('.').nth(1) {
        Some("signals") => 0,
        Some("alerts") => 1,
        _ => 2,
    };
    published.sort_by_key(|message| (message.moment_ns, kind(message)));
    published
}

/// By event type (`trade`, `quote`, `book_l2`, `heartbeat`, `unknown`), or by provider where said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Well-formed events, the late ones included.
    pub events: BTreeMap<String, u64>,
    pub malformed: BTreeMap<String, u64>,
    pub late: BTreeMap<String, u64>,
    /// By provider.
    pub timestamps_rejected: BTreeMap<String, u64>,
    pub signals_stale: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Trade {
    pub t: i64,
    pub price: f64,
    pub size: f64,
    /// `buy`, `sell` or `unknown`.
    pub side: &'static str,
    pub trade_id: Option<String>,
    pub provider: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    pub t: i64,
    pub bid: f64,
    pub ask: f64,
    pub bid_size: Option<f64>,
    pub ask_size: Option<f64>,
    pub provider: String,
}

/// Levels are (price, size), best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    pub t: i64,
    pub bids: Vec<(f64, f64)>,
    pub asks: Vec<(f64, f64)>,
    pub provider: String,
}

/// The latest of each kind, as `/state/latest` shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub trade: Option<Trade>,
    pub quote: Option<Quote>,
    pub book: Option<Book>,
}

pub struct Reference {
    settings: Settings,
    /// Local time. It never steps back. `None` before anything told it.
    local: Option<i64>,
    symbols: BTreeMap<String, Symbol>,
    /// Numbers the snapshots, to order those that fall due at the same moment.
    snapshots: u64,
    counts: Counts,
}

impl Reference {
    pub fn new(settings: Settings) -> Self {
        Reference { settings, local: None, symbols: BTreeMap::new(), snapshots: 0, counts: Counts::default() }
    }

    /// One message as it arrived. `receipt_ns` is the local time of its arrival, `None` in a recording without receipt times.
    pub fn event(&mut self, receipt_ns: Option<i64>, subject: &str, payload: &[u8]) -> Vec<Published> {
        // A malformed event changes no state: not local time either.
        let Some((kind, name)) = parse::subject(subject) else {
            count(&mut self.counts.malformed, "unknown");
            return Vec::new();
        };
        let event = parse::event(kind, payload).filter(|_| kind == Kind::Heartbeat || parse::is_symbol(name));
        let Some(event) = event else {
            count(&mut self.counts.malformed, kind.name());
            return Vec::new();
        };
        if let Some(receipt) = receipt_ns {
            self.move_local(receipt);
        }
        count(&mut self.counts.events, kind.name());

        // Event time. Without receipt times the clock is the largest t so far, and nothing is rejected or stale.
        let claimed = event.ts_recv.or(event.ts_exchange);
        if let (None, Some(t)) = (receipt_ns, claimed) {
            self.move_local(t);
        }
        let local = self.local_or_epoch();
        self.move_local(local);
        let mut t = claimed.unwrap_or(local);
        let rejected = receipt_ns.is_some() && t > local.saturating_add(self.settings.max_clock_skew_ns);
        if rejected {
            t = local;
            count(&mut self.counts.timestamps_rejected, &event.provider);
        }
        // A ts_recv that is not believed as t is not believed as receipt either.
        let received = if rejected { local } else { event.ts_recv.unwrap_or(local) };
        // Nor is a ts_exchange that lies as far ahead: it says nothing about a latency.
        let is_believed = |sent: &i64| !rejected || *sent <= local.saturating_add(self.settings.max_clock_skew_ns);
        let latency_ns = event.ts_exchange.filter(is_believed).map(|sent| received - sent);

        let mut published = self.fire_due_before_local();
        if kind == Kind::Heartbeat {
            return published;
        }
        let symbol = self.symbols.entry(name.to_owned()).or_insert_with(|| Symbol::new(t, local));
        let late = t < symbol.watermark - window_length(&self.settings);
        if late {
            count(&mut self.counts.late, kind.name());
        }
        symbol.apply(t, late, latency_ns, event.provider, event.body, local);

        let now = symbol.now(local);
        let stale = receipt_ns.is_some() && t < local - self.settings.signal_max_age_ns;
        published.extend(symbol.signal(name, local, now, stale, &self.settings, &mut self.counts));
        if self.settings.publish_interval_ns > 0 {
            match symbol.last_snapshot {
                Some((last, _)) if local - last < self.settings.publish_interval_ns => symbol.pending = true,
                _ => published.push(symbol.snapshot(name, local, now, &mut self.snapshots, &self.settings)),
            }
        }
        published
    }

    /// Local time has come to `local_ns` with no message; what is due by then is published.
    pub fn advance(&mut self, local_ns: i64) -> Vec<Published> {
        self.move_local(local_ns);
        self.fire(self.local_or_epoch())
    }

    /// The end of the input: what is still pending is published for the moment at which it would have been due.
    pub fn finish(&mut self) -> Vec<Published> {
        self.fire(i64::MAX)
    }

    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    pub fn state(&self, symbol: &str) -> Option<State> {
        let s = self.symbols.get(symbol)?;
        Some(State { trade: s.trade.clone(), quote: s.quote.clone(), book: s.book.clone() })
    }

    /// The features document of a symbol, computed for the present local time, as `/features/latest` shows it.
    pub fn features(&self, symbol: &str) -> Option<Published> {
        let s = self.symbols.get(symbol)?;
        Some(s.features_document(symbol, s.now(self.local_or_epoch()), &self.settings))
    }

    /// The same for a `now` of the caller's choice.
    pub fn features_at(&self, symbol: &str, now_ns: i64) -> Option<Published> {
        let s = self.symbols.get(symbol)?;
        Some(s.features_document(symbol, now_ns, &self.settings))
    }

    pub fn symbols(&self) -> Vec<String> {
        self.symbols.keys().cloned().collect()
    }

    fn local_or_epoch(&self) -> i64 {
        self.local.unwrap_or(0)
    }

    fn move_local(&mut self, to: i64) {
        self.local = Some(self.local.map_or(to, |local| local.max(to)));
    }

    /// A snapshot due at this very moment waits: an event of the same moment may still belong into it.
    fn fire_due_before_local(&mut self) -> Vec<Published> {
        self.local.map_or(Vec::new(), |local| self.fire(local - 1))
    }

    /// Publishes the pending snapshots due at or before `until`, in the order in which they fall due; of those due together, the
    /// one whose interval was started by the earlier publication goes first.
    fn fire(&mut self, until: i64) -> Vec<Published> {
        let interval = self.settings.publish_interval_ns;
        let mut due: Vec<(i64, u64, &String, &mut Symbol)> = Vec::new();
        for (name, symbol) in &mut self.symbols {
            if let (true, Some((last, number))) = (symbol.pending, symbol.last_snapshot)
                && last.saturating_add(interval) <= until
            {
                due.push((last.saturating_add(interval), number, name, symbol));
            }
        }
        due.sort_by_key(|(at, number, ..)| (*at, *number));
        let mut published = Vec::new();
        for (at, _, name, symbol) in due {
            let now = symbol.now(at);
            published.push(symbol.snapshot(name, at, now, &mut self.snapshots, &self.settings));
        }
        published
    }
}

struct Symbol {
    /// The largest t seen, and the local time at which it last grew.
    watermark: i64,
    watermark_moved_at: i64,
    /// All trades that were not late, ever, by (t, arrival).
    trades: Vec<Trade>,
    /// All latencies of events that were not late, ever, by (t, arrival).
    latencies: latency::Samples,
    trade: Option<Trade>,
    quote: Option<Quote>,
    book: Option<Book>,
    /// Apart from `book`: a one-sided book shows in the state but says nothing about the spread.
    two_sided_book: Option<Book>,
    /// Local time and number of the last snapshot.
    last_snapshot: Option<(i64, u64)>,
    pending: bool,
    /// The `now` of the last signal by direction.
    last_signal: BTreeMap<&'static str, i64>,
}

impl Symbol {
    fn new(t: i64, local: i64) -> Self {
        Symbol {
            watermark: t,
            watermark_moved_at: local,
            trades: Vec::new(),
            latencies: latency::Samples::default(),
            trade: None,
            quote: None,
            book: None,
            two_sided_book: None,
            last_snapshot: None,
            pending: false,
            last_signal: BTreeMap::new(),
        }
    }

    fn now(&self, local: i64) -> i64 {
        self.watermark + (local - self.watermark_moved_at)
    }

    fn apply(&mut self, t: i64, late: bool, latency_ns: Option<i64>, provider: String, body: Body, local: i64) {
        if t > self.watermark {
            self.watermark = t;
            self.watermark_moved_at = local;
        }
        if let (false, Some(latency_ns)) = (late, latency_ns) {
            let mut samples = self.latencies.borrow_mut();
            let (at, arrival) = (samples.partition_point(|s| s.t <= t), samples.len());
            samples.insert(at, LatencySample { t, arrival, latency_ns });
        }
        match body {
            Body::Trade { price, size, side, trade_id } => {
                let trade = Trade { t, price, size, side, trade_id, provider };
                if !late {
                    let at = self.trades.partition_point(|other| other.t <= t);
                    self.trades.insert(at, trade.clone());
                }
                if self.trade.as_ref().is_none_or(|latest| t >= latest.t) {
                    self.trade = Some(trade);
                }
            }
            Body::Quote { bid, ask, bid_size, ask_size } => {
                if self.quote.as_ref().is_none_or(|latest| t >= latest.t) {
                    self.quote = Some(Quote { t, bid, ask, bid_size, ask_size, provider });
                }
            }
            Body::Book { bids, asks } => {
                let book = Book { t, bids, asks, provider };
                let two_sided = !book.bids.is_empty() && !book.asks.is_empty();
                if two_sided && self.two_sided_book.as_ref().is_none_or(|latest| t >= latest.t) {
                    self.two_sided_book = Some(book.clone());
                }
                if self.book.as_ref().is_none_or(|latest| t >= latest.t) {
                    self.book = Some(book);
                }
            }
            Body::Heartbeat => unreachable!("a heartbeat belongs to no symbol"),
        }
    }

    // The features.

    /// The trades with now - window < t <= now.
    fn trades_in(&self, now: i64, window: i64) -> &[Trade] {
        let from = self.trades.partition_point(|trade| trade.t <= now - window);
        let to = self.trades.partition_point(|trade| trade.t <= now);
        &self.trades[from..to.max(from)]
    }

    /// p(x): the price of the last trade at or before x.
    fn price_at(&self, x: i64) -> Option<f64> {
        let after = self.trades.partition_point(|trade| trade.t <= x);
        Some(self.trades[..after].last()?.price)
    }

    /// Bid and ask from the newer of the last quote and the last two-sided book; the quote wins a tie.
    fn market(&self) -> Option<(f64, f64)> {
        let quote = self.quote.as_ref().map(|q| (q.t, q.bid, q.ask));
        let book = self.two_sided_book.as_ref().map(|b| (b.t, b.bids[0].0, b.asks[0].0));
        let (_, bid, ask) = match (quote, book) {
            (Some(quote), Some(book)) => {
                if book.0 > quote.0 {
                    book
                } else {
                    quote
                }
            }
            (quote, book) => quote.or(book)?,
        };
        Some((bid, ask))
    }

    fn mid(&self) -> Option<f64> {
        self.market().map(|(bid, ask)| (bid + ask) / 2.0)
    }

    fn spread_abs(&self) -> Option<f64> {
        self.market().map(|(bid, ask)| ask - bid)
    }

    fn spread_bps(&self) -> Option<f64> {
        Some(self.spread_abs()? / self.mid()? * 10_000.0)
    }

    fn volume(&self, now: i64, window: i64) -> f64 {
        // Never null: what an f64 does not hold is the largest one.
        sum(self.trades_in(now, window).iter().map(|trade| trade.size)).min(f64::MAX)
    }

    fn vwap(&self, now: i64, window: i64) -> Option<f64> {
        let trades = self.trades_in(now, window);
        if trades.is_empty() {
            return None;
        }
        Some(sum(trades.iter().map(|trade| trade.price * trade.size)) / sum(trades.iter().map(|trade| trade.size)))
    }

    fn return_over(&self, now: i64, window: i64) -> Option<f64> {
        Some(self.price_at(now)? / self.price_at(now - window)? - 1.0)
    }

    fn realized_vol(&self, now: i64, window: i64) -> Option<f64> {
        let trades = self.trades_in(now, window);
        let returns: Vec<f64> = trades.windows(2).map(|pair| (pair[1].price / pair[0].price).ln()).collect();
        if returns.len() < 2 {
            return None;
        }
        let n = returns.len() as f64;
        let mean = sum(returns.iter().copied()) / n;
        let variance = sum(returns.iter().map(|r| (r - mean) * (r - mean))) / (n - 1.0);
        Some(variance.sqrt())
    }

    fn latency_window(&self, now: i64, window: i64) -> LatencyWindow {
        LatencyWindow::new(&self.latencies, now, window)
    }

    fn features(&self, now: i64, settings: &Settings) -> (Map<String, Value>, LatencyWindow) {
        let (w10, w60) = windows(settings);
        let latency = self.latency_window(now, w60);
        let percentiles = latency.percentiles();
        let features = json!({
            "mid": self.mid(),
            "spread_abs": self.spread_abs(),
            "spread_bps": self.spread_bps(),
            "trade_vwap_10s": self.vwap(now, w10),
            "trade_vwap_60s": self.vwap(now, w60),
            "trade_count_10s": self.trades_in(now, w10).len(),
            "trade_volume_10s": self.volume(now, w10),
            "return_10s": self.return_over(now, w10),
            "realized_vol_60s": self.realized_vol(now, w60),
            "latency_ms_p50": percentiles.map(|p| p.p50_ms),
            "latency_ms_p95": percentiles.map(|p| p.p95_ms),
        });
        let Value::Object(features) = features else { unreachable!() };
        (features, latency)
    }

    // What is published.

    fn features_document(&self, name: &str, now: i64, settings: &Settings) -> Published {
        let (features, latency) = self.features(now, settings);
        Published {
            subject: format!("senpai.features.{name}"),
            payload: json!({"symbol": name, "ts": time::format(now), "features": features, "window_truncated": false}),
            ts_ns: now,
            moment_ns: 0,
            latency: Some(latency),
        }
    }

    fn snapshot(&mut self, name: &str, at: i64, now: i64, number: &mut u64, settings: &Settings) -> Published {
        *number += 1;
        self.last_snapshot = Some((at, *number));
        self.pending = false;
        Published { moment_ns: at, ..self.features_document(name, now, settings) }
    }

    fn signal(
        &mut self,
        name: &str,
        local: i64,
        now: i64,
        stale: bool,
        settings: &Settings,
        counts: &mut Counts,
    ) -> Option<Published> {
        let (w10, _) = windows(settings);
        let (bid, ask) = self.market()?;
        let (spread_bps, return_10s) = (self.spread_bps()?, self.return_over(now, w10)?);
        let direction = if return_10s > settings.return_threshold {
            "long"
        } else if return_10s < -settings.return_threshold {
            "short"
        } else {
            return None;
        };
        let crossed = bid > ask;
        let tight = spread_bps < settings.spread_max_bps;
        if crossed || !tight || self.volume(now, w10) <= settings.volume_threshold {
            return None;
        }
        if self.last_signal.get(direction).is_some_and(|last| now - last < settings.cooldown_ns) {
            return None;
        }
        if stale {
            counts.signals_stale += 1;
            return None;
        }
        self.last_signal.insert(direction, now);
        let (features, latency) = self.features(now, settings);
        Some(Published {
            subject: format!("senpai.signals.{name}"),
            payload: json!({
                "symbol": name, "ts": time::format(now), "direction": direction, "rule": "reference",
                "price": self.price_at(now), "features": features,
            }),
            ts_ns: now,
            moment_ns: local,
            latency: Some(latency),
        })
    }
}

/// The lengths of the 10 s and 60 s windows, capped by the rolling window.
fn windows(settings: &Settings) -> (i64, i64) {
    (settings.rolling_window_ns.min(10 * SECOND), settings.rolling_window_ns.min(60 * SECOND))
}

/// The window length: the longer of the two, at most 60 s.
fn window_length(settings: &Settings) -> i64 {
    let (w10, w60) = windows(settings);
    w10.max(w60)
}

/// Neumaier's sum: what plain addition loses is carried along, so that ten times 0.1 is 1 and not a hair below the threshold.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    total + lost
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    *counts.entry(key.to_owned()).or_default() += 1;
}
