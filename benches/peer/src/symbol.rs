//! A symbol's windows and features. Sums are kept up by adding and subtracting floats (they drift); latencies are counted
//! by tenths of a millisecond.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

use crate::event::{Book, Event, Quote, Trade};

const LONG: TimeDelta = TimeDelta::seconds(60);
const SHORT: TimeDelta = TimeDelta::seconds(10);

struct Traded {
    t: DateTime<Utc>,
    price: f64,
    size: f64,
    log_return: f64,
}

/// Trades of a time, with their sums.
struct Window {
    length: TimeDelta,
    trades: VecDeque<Traded>,
    size: f64,
    value: f64,
    log_return: f64,
    log_return_squared: f64,
    /// The price of the newest trade that has left.
    left: Option<f64>,
}

impl Window {
    fn new(length: TimeDelta) -> Self {
        Window {
            length,
            trades: VecDeque::new(),
            size: 0.0,
            value: 0.0,
            log_return: 0.0,
            log_return_squared: 0.0,
            left: None,
        }
    }

    fn push(&mut self, t: DateTime<Utc>, price: f64, size: f64) {
        // Between two trades that are both in the window.
        let log_return = self.trades.back().map_or(0.0, |last| (price / last.price).ln());
        self.trades.push_back(Traded { t, price, size, log_return });
        self.size += size;
        self.value += price * size;
        self.add_return(log_return, 1.0);
    }

    fn add_return(&mut self, log_return: f64, sign: f64) {
        self.log_return += sign * log_return;
        self.log_return_squared += sign * log_return * log_return;
    }

    fn evict(&mut self, now: DateTime<Utc>) {
        while let Some(first) = self.trades.front()
            && first.t <= now - self.length
        {
            self.size -= first.size;
            self.value -= first.price * first.size;
            self.left = Some(first.price);
            self.trades.pop_front();
            if let Some(first) = self.trades.front_mut() {
                let log_return = std::mem::take(&mut first.log_return);
                self.add_return(log_return, -1.0);
            }
        }
    }

    fn realized_vol(&self) -> Option<f64> {
        let count = self.trades.len().saturating_sub(1) as f64;
        let squares = self.log_return_squared - self.log_return * self.log_return / count;
        (count >= 2.0).then(|| (squares.max(0.0) / (count - 1.0)).sqrt())
    }

    fn vwap(&self) -> Option<f64> {
        (!self.trades.is_empty()).then(|| self.value / self.size)
    }
}

pub struct Symbol {
    watermark: DateTime<Utc>,
    best: Option<(f64, f64)>,
    /// For requests for the state.
    _latest: (Option<Trade>, Option<Quote>, Option<Book>),
    long: Window,
    short: Window,
    latencies: VecDeque<(DateTime<Utc>, i64)>,
    /// How many of each.
    latency_counts: BTreeMap<i64, usize>,
    pub last_publication: Option<Duration>,
    pub is_pending: bool,
}

impl Default for Symbol {
    fn default() -> Self {
        Symbol {
            watermark: DateTime::UNIX_EPOCH,
            best: None,
            _latest: (None, None, None),
            long: Window::new(LONG),
            short: Window::new(SHORT),
            latencies: VecDeque::new(),
            latency_counts: BTreeMap::new(),
            last_publication: None,
            is_pending: false,
        }
    }
}

#[derive(Serialize)]
pub struct Snapshot {
    pub symbol: String,
    ts: String,
    features: Features,
}

#[derive(Serialize)]
struct Features {
    mid: Option<f64>,
    spread_abs: Option<f64>,
    spread_bps: Option<f64>,
    trade_vwap_10s: Option<f64>,
    trade_vwap_60s: Option<f64>,
    trade_count_10s: usize,
    trade_volume_10s: f64,
    return_10s: Option<f64>,
    realized_vol_60s: Option<f64>,
    latency_ms_p50: Option<f64>,
    latency_ms_p95: Option<f64>,
}

impl Symbol {
    pub fn apply(&mut self, event: Event) {
        let (ts_exchange, ts_recv) = match &event {
            Event::Trade(trade) => (trade.ts_exchange, trade.ts_recv),
            Event::Quote(quote) => (quote.ts_exchange, quote.ts_recv),
            Event::Book(book) => (book.ts_exchange, book.ts_recv),
            Event::Heartbeat => return,
        };
        self.watermark = self.watermark.max(ts_recv);
        match event {
            Event::Trade(trade) => {
                self.long.push(ts_recv, trade.price, trade.size);
                self.short.push(ts_recv, trade.price, trade.size);
                self._latest.0 = Some(trade);
            }
            Event::Quote(quote) => {
                self.best = Some((quote.bid, quote.ask));
                self._latest.1 = Some(quote);
            }
            Event::Book(book) => {
                if let (Some(bid), Some(ask)) = (book.bids.first(), book.asks.first()) {
                    self.best = Some((bid.0, ask.0));
                }
                self._latest.2 = Some(book);
            }
            Event::Heartbeat => {}
        }
        let latency = (ts_recv - ts_exchange).num_microseconds().unwrap_or_default() / 100;
        self.latencies.push_back((ts_recv, latency));
        *self.latency_counts.entry(latency).or_default() += 1;
        self.long.evict(self.watermark);
        self.short.evict(self.watermark);
        while let Some((t, latency)) = self.latencies.front()
            && *t <= self.watermark - LONG
        {
            if let Some(count) = self.latency_counts.get_mut(latency) {
                *count -= 1;
                if *count == 0 {
                    self.latency_counts.remove(latency);
                }
            }
            self.latencies.pop_front();
        }
    }

    pub fn snapshot(&self, name: &str) -> Snapshot {
        let mid = self.best.map(|(bid, ask)| (bid + ask) / 2.0);
        let spread = self.best.map(|(bid, ask)| ask - bid);
        let newest = self.long.trades.back().map(|trade| trade.price);
        let features = Features {
            mid,
            spread_abs: spread,
            spread_bps: spread.zip(mid).map(|(spread, mid)| spread / mid * 1e4),
            trade_vwap_10s: self.short.vwap(),
            trade_vwap_60s: self.long.vwap(),
            trade_count_10s: self.short.trades.len(),
            trade_volume_10s: self.short.size,
            return_10s: newest.or(self.long.left).zip(self.short.left).map(|(newest, then)| newest / then - 1.0),
            realized_vol_60s: self.long.realized_vol(),
            latency_ms_p50: self.latency(0.5),
            latency_ms_p95: self.latency(0.95),
        };
        let ts = self.watermark.to_rfc3339_opts(SecondsFormat::Micros, true);
        Snapshot { symbol: name.to_owned(), ts, features }
    }

    fn latency(&self, q: f64) -> Option<f64> {
        let rank = (q * self.latencies.len() as f64).ceil() as usize;
        let mut below = 0;
        let mut reached = self.latency_counts.iter().filter(|(_, count)| {
            below += **count;
            below >= rank
        });
        reached.next().map(|(latency, _)| *latency as f64 / 10.0)
    }
}
