//! What the twin keeps of a symbol, and the features and signals computed from it.

use super::latency::{self, LatencySample, LatencyWindow};
use super::parse::Body;
use super::providers::{Claim, Heard, ProviderMode, known};
use super::{Book, Counts, MILLISECOND, Published, Quote, SECOND, Settings, Trade, time};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) struct Symbol {
    /// As the events' subjects have it; the state's own name may have a provider behind it.
    pub symbol: String,
    /// Whose state it is, `unknown` included: the primary, in the mode `separate` the owner. In the mode `merged` nobody's.
    pub provider: Option<String>,
    pub heard: Heard,
    /// The first that was free when it came; it tells apart symbols that have been silent for the same time.
    pub place: usize,
    /// Local time of the last event that was accepted.
    pub accepted: i64,
    /// The largest t seen, and the local time at which it last grew.
    pub watermark: i64,
    pub watermark_moved_at: i64,
    /// All trades that were not late, ever, by (t, arrival).
    pub trades: Vec<Trade>,
    /// All latencies of events that were not late, ever, by (t, arrival).
    pub latencies: latency::Samples,
    pub trade: Option<Trade>,
    pub quote: Option<Quote>,
    pub book: Option<Book>,
    /// Local time and number of the last snapshot.
    pub last_snapshot: Option<(i64, u64)>,
    pub pending: bool,
    /// When a signal of the direction was last given.
    pub last_signal: BTreeMap<&'static str, i64>,
}

/// t, bid and ask.
type Top = (i64, Option<f64>, Option<f64>);

/// The one rule.
const RULE: &str = "momentum_10s";

impl Symbol {
    pub fn new(symbol: &str, place: usize, t: i64, local: i64) -> Self {
        Symbol {
            symbol: symbol.to_owned(),
            provider: None,
            heard: Heard::default(),
            place,
            accepted: local,
            watermark: t,
            watermark_moved_at: local,
            trades: Vec::new(),
            latencies: latency::Samples::default(),
            trade: None,
            quote: None,
            book: None,
            last_snapshot: None,
            pending: false,
            last_signal: BTreeMap::new(),
        }
    }

    /// Whether an event that has just come may go into the state; where its provider takes over, the state begins anew with
    /// it. What is about the symbol's outputs stays.
    pub fn takes(&mut self, symbol: &str, provider: &str, t: i64, local: i64, settings: &Settings) -> Claim {
        let claim = match settings.provider_mode {
            ProviderMode::Merged => return Claim::Stays,
            ProviderMode::Separate => {
                let owner = self.provider.get_or_insert_with(|| provider.to_owned());
                // Another name, or another symbol, that reads the same.
                return if owner == provider && self.symbol == symbol { Claim::Stays } else { Claim::Refused };
            }
            ProviderMode::Primary => {
                self.hear(provider, local);
                self.heard.claim(provider, self.provider.as_deref(), local, settings)
            }
        };
        if claim == Claim::TakesOver {
            *self = Symbol {
                heard: std::mem::take(&mut self.heard),
                last_snapshot: self.last_snapshot,
                pending: self.pending,
                last_signal: std::mem::take(&mut self.last_signal),
                ..Symbol::new(symbol, self.place, t, local)
            };
        }
        if matches!(claim, Claim::IsFirst | Claim::TakesOver) {
            self.provider = Some(provider.to_owned());
        }
        claim
    }

    pub fn hear(&mut self, provider: &str, local: i64) {
        if known(provider).is_some() {
            self.heard.hear(provider, local);
        }
    }

    pub fn now(&self, local: i64) -> i64 {
        self.watermark + (local - self.watermark_moved_at)
    }

    pub fn apply(&mut self, t: i64, late: bool, latency_ns: Option<i64>, provider: String, body: Body, local: i64) {
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

    /// The newest of the last quote and the last book; the quote wins a tie. A side that it lacks is not looked for in the
    /// older one.
    fn top(&self) -> Option<Top> {
        let quote = self.quote.as_ref().map(|q| (q.t, q.bid, q.ask));
        let best = |levels: &[(f64, f64)]| levels.first().map(|(price, _)| *price);
        let book = self.book.as_ref().map(|b| (b.t, best(&b.bids), best(&b.asks)));
        match (quote, book) {
            (Some(quote), Some(book)) if book.0 > quote.0 => Some(book),
            (quote, book) => quote.or(book),
        }
    }

    fn market(&self) -> Option<(f64, f64)> {
        let (_, bid, ask) = self.top()?;
        Some((bid?, ask?))
    }

    /// Of the latest trade and of the top of market, in whole milliseconds rounded down.
    fn ages_ms(&self, now: i64) -> (Option<i64>, Option<i64>) {
        let age = |t: i64| (now - t).div_euclid(MILLISECOND);
        (self.trade.as_ref().map(|trade| age(trade.t)), self.top().map(|(t, ..)| age(t)))
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

    pub fn features_document(&self, name: &str, now: i64, settings: &Settings) -> Published {
        let (features, latency) = self.features(now, settings);
        let (trade_age_ms, quote_age_ms) = self.ages_ms(now);
        Published {
            subject: format!("senpai.features.{name}"),
            payload: self.with_provider(json!({
                "symbol": self.symbol, "ts": time::format(now), "features": features, "window_truncated": false,
                "trade_age_ms": trade_age_ms, "quote_age_ms": quote_age_ms,
            })),
            ts_ns: now,
            moment_ns: 0,
            latency: Some(latency),
        }
    }

    /// Where it is known.
    fn with_provider(&self, mut document: Value) -> Value {
        if let Some(provider) = self.provider.as_deref().and_then(known) {
            document["provider"] = json!(provider);
        }
        document
    }

    pub fn snapshot(&mut self, name: &str, at: i64, now: i64, number: &mut u64, settings: &Settings) -> Published {
        *number += 1;
        self.last_snapshot = Some((at, *number));
        self.pending = false;
        Published { moment_ns: at, ..self.features_document(name, now, settings) }
    }

    /// Why a signal is not given, the first in SPEC's order. `age` is from the event's t to its local receipt, where there is one.
    fn guard(&self, now: i64, age: Option<i64>, settings: &Settings) -> Option<&'static str> {
        let exceeds = |age: i64, limit: i64| limit != 0 && age > limit;
        if age.is_some_and(|age| exceeds(age, settings.signal_max_age_ns)) {
            return Some("stale");
        }
        if exceeds(now - self.top()?.0, settings.signal_max_quote_age_ns) {
            return Some("stale_quote");
        }
        let before = now - windows(settings).0;
        let answering = self.trades.iter().rfind(|trade| trade.t <= before)?;
        exceeds(before - answering.t, settings.signal_max_gap_ns).then_some("gap")
    }

    pub fn signal(
        &mut self,
        name: &str,
        local: i64,
        now: i64,
        age: Option<i64>,
        settings: &Settings,
        counts: &mut Counts,
    ) -> Option<Published> {
        let (w10, _) = windows(settings);
        let (bid, ask) = self.market()?;
        let (spread_bps, return_10s) = (self.spread_bps()?, self.return_over(now, w10)?);
        // Numbers are exact to a part in 10^9: those that are so close are one number, and no number is above itself.
        let above = |a: f64, b: f64| a > b && (a / b - 1.0).abs() > 1e-9;
        let direction = match settings.return_threshold {
            limit if above(return_10s, limit) => "long",
            limit if above(-return_10s, limit) => "short",
            _ => return None,
        };
        let crossed = bid > ask;
        let tight = above(settings.spread_max_bps, spread_bps);
        if crossed || !tight || !above(self.volume(now, w10), settings.volume_threshold) {
            return None;
        }
        // Before the last one, too: another provider's time may lie behind. And no id is given twice, wherever the symbol was meanwhile.
        let is_cooling = |last: &i64| (now - last).abs() < settings.cooldown_ns;
        let id = format!("{name}:{RULE}:{direction}:{}", self.watermark);
        if self.last_signal.get(direction).is_some_and(is_cooling) || counts.signal_ids.contains(&id) {
            return None;
        }
        if let Some(reason) = self.guard(now, age, settings) {
            *counts.signals_suppressed.entry(reason.to_owned()).or_default() += 1;
            return None;
        }
        self.last_signal.insert(direction, now);
        counts.signal_ids.insert(id.clone());
        let (features, latency) = self.features(now, settings);
        let (trade_age_ms, quote_age_ms) = self.ages_ms(now);
        Some(Published {
            subject: format!("senpai.signals.{name}"),
            payload: self.with_provider(json!({
                "id": id, "symbol": self.symbol,
                "ts": time::format(now), "direction": direction, "rule": RULE, "price": self.price_at(now),
                "features": features, "trade_age_ms": trade_age_ms, "quote_age_ms": quote_age_ms,
            })),
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
pub(super) fn window_length(settings: &Settings) -> i64 {
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
