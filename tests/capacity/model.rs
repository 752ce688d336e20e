//! The twin: SPEC sections 1 to 3 as far as room has to do with them, over the models of room in `trades` and `latencies`.
//!
//! Silent symbols are asked for room as long as an eighth or less of the shared chunks, or of the bucket rows, is left: up to 16
//! symbols after each trade, quote and book that found its symbol, in the order in which they were first seen. A round
//! begins when the one before is over and a slot of local time has passed since that began. After 64 pieces of room the
//! rest waits for the next event.

use std::collections::BTreeMap;

use crate::latencies::Latencies;
use crate::market::{Body, Event};
use crate::reference::SECOND;
use crate::trades::{NAMES, Trade, Trades};

const ROWS_PER_SYMBOL: usize = 24;
const CHUNK: usize = 31;
const LOW_PART: usize = 8;
const ASKED: usize = 16;
const GIVEN_BACK: usize = 64;
/// Providers told apart: `unknown`, `other` and those that came first.
const PROVIDERS: usize = 64;

#[derive(Clone, Debug)]
pub struct Settings {
    pub symbols_max: usize,
    pub window_trades: usize,
    pub rows_spare: usize,
    pub publish_interval: Option<i64>,
    pub rolling_window: i64,
    pub clock_skew_max: i64,
}

/// What a snapshot must say.
#[derive(Debug)]
pub struct Snapshot {
    pub symbol: String,
    pub now: i64,
    pub features: Vec<(&'static str, Option<f64>)>,
    /// Median and 95th percentile in ms, to within 1 %.
    pub latencies: [Option<f64>; 2],
    pub is_truncated: bool,
}

#[derive(Debug)]
struct Symbol {
    name: String,
    watermark: i64,
    /// Local time when the watermark last moved.
    moved_at: i64,
    trades: Trades,
    latencies: Latencies,
    /// t, bid, ask.
    quote: Option<(i64, f64, f64)>,
    book: Option<(i64, f64, f64)>,
    /// Local time and number of the last snapshot.
    published: Option<(i64, u64)>,
    is_pending: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub late: u64,
    pub symbol_limit: u64,
    pub timestamps_rejected: u64,
    /// Snapshots of windows that lack trades, and of those that lack latencies.
    pub lacking_trades: u64,
    pub lacking_latencies: u64,
    /// Symbols that came while no shared chunk was left.
    pub came_to_full_pool: u64,
    /// Symbols that a step of the clock has cleared.
    pub cleared: u64,
    /// What silent symbols gave when asked.
    pub chunks_given: u64,
    pub rows_given: u64,
}

#[derive(Debug)]
pub struct Twin {
    settings: Settings,
    local: i64,
    symbols: Vec<Symbol>,
    shared: usize,
    rows: usize,
    pub shared_left: usize,
    pub rows_left: usize,
    round_began: i64,
    next_asked: usize,
    providers: Vec<String>,
    /// Local time of each one's last event that was ahead.
    rejected_at: BTreeMap<String, i64>,
    snapshots: u64,
    /// Events by type and provider.
    pub events: BTreeMap<(&'static str, String), u64>,
    pub counts: Counts,
}

impl Twin {
    pub fn new(settings: Settings) -> Self {
        let shared = settings.window_trades.div_ceil(CHUNK);
        let rows = settings.symbols_max * ROWS_PER_SYMBOL + settings.rows_spare;
        Twin {
            local: 0,
            symbols: Vec::new(),
            shared,
            rows,
            shared_left: shared,
            rows_left: rows,
            round_began: 0,
            next_asked: 0,
            providers: Vec::new(),
            rejected_at: BTreeMap::new(),
            snapshots: 0,
            events: BTreeMap::new(),
            counts: Counts::default(),
            settings,
        }
    }

    fn long(&self) -> i64 {
        self.settings.rolling_window.min(60 * SECOND)
    }

    fn short(&self) -> i64 {
        self.settings.rolling_window.min(10 * SECOND)
    }

    fn slot_of(&self, t: i64) -> i64 {
        t.div_euclid(self.long() / 12)
    }

    /// One well-formed event, received at `receipt`; `None` in a recording without receipt times.
    pub fn event(&mut self, receipt: Option<i64>, event: &Event) -> Vec<Snapshot> {
        let mut snapshots = receipt.map_or(Vec::new(), |moment| self.move_local(moment));
        let claimed = event.ts_recv.or(event.ts_exchange);
        if receipt.is_none() {
            snapshots.extend(claimed.map_or(Vec::new(), |t| self.move_local(t)));
        }
        let local = self.local;
        let is_believed = |moment: i64| receipt.is_none() || moment - local <= self.settings.clock_skew_max;
        let mut t = claimed.unwrap_or(local);
        let mut latency = event.ts_exchange.map(|sent| event.ts_recv.unwrap_or(local) - sent);
        let is_ahead = !is_believed(t);
        let sent = event.ts_exchange.filter(|sent| is_believed(*sent));
        let provider = self.provider(event.provider.as_deref());
        if is_ahead {
            self.rejected_at.insert(provider.clone(), local);
            self.counts.timestamps_rejected += 1;
        }
        if self.rejected_at.get(&provider).is_some_and(|rejected_at| local - rejected_at < 5 * SECOND) {
            (t, latency) = (local, sent.map(|sent| local - sent));
        }
        *self.events.entry((event.body.kind(), provider)).or_default() += 1;
        if event.body == Body::Heartbeat {
            return snapshots;
        }
        let Some(id) = self.find_or_add(&event.symbol, t) else {
            self.counts.symbol_limit += 1;
            return snapshots;
        };
        snapshots.extend(self.apply(id, t, latency, &event.body));
        self.seek_room();
        self.check();
        snapshots
    }

    fn provider(&mut self, name: Option<&str>) -> String {
        let Some(name) = name else { return "unknown".into() };
        if !self.providers.iter().any(|known| known == name) {
            if name.len() > 32 || self.providers.len() == PROVIDERS - 2 {
                return "other".into();
            }
            self.providers.push(name.into());
        }
        name.into()
    }

    fn find_or_add(&mut self, name: &str, t: i64) -> Option<usize> {
        if let Some(id) = self.symbols.iter().position(|symbol| symbol.name == name) {
            return Some(id);
        }
        if self.symbols.len() == self.settings.symbols_max {
            return None;
        }
        self.symbols.push(Symbol {
            name: name.into(),
            watermark: t,
            moved_at: self.local,
            trades: Trades::default(),
            latencies: Latencies::default(),
            quote: None,
            book: None,
            published: None,
            is_pending: false,
        });
        self.counts.came_to_full_pool += u64::from(self.shared_left == 0);
        Some(self.symbols.len() - 1)
    }

    fn apply(&mut self, id: usize, t: i64, latency: Option<i64>, body: &Body) -> Option<Snapshot> {
        let (long, local, slot) = (self.long(), self.local, self.slot_of(t));
        let symbol = &mut self.symbols[id];
        if t > symbol.watermark {
            (symbol.watermark, symbol.moved_at) = (t, local);
        }
        let is_late = t < symbol.watermark - long;
        let is_newer = |latest: Option<(i64, f64, f64)>| latest.is_none_or(|(latest, ..)| t >= latest);
        match *body {
            Body::Trade { price, size } if !is_late => {
                symbol.trades.push(&mut self.shared_left, Trade { t, price, size });
            }
            Body::Quote { bid, ask } if is_newer(symbol.quote) => symbol.quote = Some((t, bid, ask)),
            Body::Book { bid, ask } if is_newer(symbol.book) => symbol.book = Some((t, bid, ask)),
            _ => {}
        }
        match latency {
            _ if is_late => self.counts.late += 1,
            Some(latency) => symbol.latencies.push(&mut self.rows_left, slot, latency),
            None => {}
        }
        symbol.trades.forget(&mut self.shared_left, symbol.watermark - long);
        let interval = self.settings.publish_interval?;
        if symbol.published.is_some_and(|(last, _)| local - last < interval) {
            symbol.is_pending = true;
            return None;
        }
        Some(self.publish(id, local))
    }

    fn now(&self, id: usize, local: i64) -> i64 {
        self.symbols[id].watermark + (local - self.symbols[id].moved_at)
    }

    fn publish(&mut self, id: usize, moment: i64) -> Snapshot {
        self.snapshots += 1;
        self.symbols[id].published = Some((moment, self.snapshots));
        self.symbols[id].is_pending = false;
        self.snapshot(id, moment)
    }

    fn snapshot(&mut self, id: usize, moment: i64) -> Snapshot {
        let (now, long, short) = (self.now(id, moment), self.long(), self.short());
        let now_slot = self.slot_of(now);
        let symbol = &mut self.symbols[id];
        let (trades, lacks_trades) = symbol.trades.features(now, long, short);
        let (latencies, lacks_latencies) = symbol.latencies.percentiles(&mut self.rows_left, now_slot);
        let market = match (symbol.quote, symbol.book) {
            (Some(quote), Some(book)) if quote.0 >= book.0 => Some(quote),
            (quote, book) => book.or(quote),
        };
        let mid = market.map(|(_, bid, ask)| (bid + ask) / 2.0);
        let spread = market.map(|(_, bid, ask)| ask - bid);
        let mut features: Vec<_> = NAMES.into_iter().zip(trades).collect();
        features.extend([("mid", mid), ("spread_abs", spread)]);
        features.push(("spread_bps", spread.zip(mid).map(|(spread, mid)| spread / mid * 10_000.0)));
        self.counts.lacking_trades += u64::from(lacks_trades);
        self.counts.lacking_latencies += u64::from(lacks_latencies);
        let is_truncated = lacks_trades || lacks_latencies;
        Snapshot { symbol: symbol.name.clone(), now, features, latencies, is_truncated }
    }

    /// Local time has come to `moment` with an event: what was due before is published.
    fn move_local(&mut self, moment: i64) -> Vec<Snapshot> {
        let snapshots = if moment > self.local { self.publish_due(moment - 1) } else { Vec::new() };
        self.local = self.local.max(moment);
        snapshots
    }

    /// Local time has come to `moment` without an event.
    pub fn time(&mut self, moment: i64) -> Vec<Snapshot> {
        let snapshots = self.publish_due(moment);
        self.local = self.local.max(moment);
        self.check();
        snapshots
    }

    fn publish_due(&mut self, until: i64) -> Vec<Snapshot> {
        let Some(interval) = self.settings.publish_interval else { return Vec::new() };
        let due = |(id, symbol): (usize, &Symbol)| {
            let (last, number) = symbol.published.filter(|_| symbol.is_pending)?;
            (last + interval <= until).then_some((last + interval, number, id))
        };
        let mut due: Vec<_> = self.symbols.iter().enumerate().filter_map(due).collect();
        due.sort();
        due.into_iter().map(|(moment, _, id)| self.publish(id, moment)).collect()
    }

    /// The system's clock is set: it was wrong by `step`. A symbol whose watermark is the local time of an event would find
    /// all that is to come late, so where the clock went back it is as new.
    pub fn clock_step(&mut self, step: i64) {
        self.local += step;
        self.round_began += step;
        self.rejected_at.values_mut().for_each(|moment| *moment += step);
        for symbol in &mut self.symbols {
            if symbol.watermark == symbol.moved_at && step < 0 {
                self.counts.cleared += 1;
                symbol.watermark += step;
                (symbol.quote, symbol.book) = (None, None);
                symbol.trades.clear(&mut self.shared_left);
                symbol.latencies.clear(&mut self.rows_left);
            }
            symbol.moved_at += step;
            if let Some((moment, _)) = &mut symbol.published {
                *moment += step;
            }
        }
        self.check();
    }

    /// The features of a symbol as they are asked for at `moment`; `None` when it is unknown.
    pub fn ask(&mut self, symbol: &str, moment: i64) -> Option<Snapshot> {
        let id = self.symbols.iter().position(|known| known.name == symbol)?;
        let snapshot = self.snapshot(id, self.local.max(moment));
        self.check();
        Some(snapshot)
    }

    fn seek_room(&mut self) {
        if self.shared_left > self.shared / LOW_PART && self.rows_left > self.rows / LOW_PART {
            return;
        }
        if self.next_asked == self.symbols.len() {
            if self.local - self.round_began < self.long() / 12 {
                return;
            }
            (self.round_began, self.next_asked) = (self.local, 0);
        }
        let mut given_back = 0;
        for _ in 0..ASKED {
            let id = self.next_asked;
            if id == self.symbols.len() {
                return;
            }
            let now = self.now(id, self.local);
            let (before, now_slot) = (now - self.long(), self.slot_of(now));
            let symbol = &mut self.symbols[id];
            let rows = symbol.latencies.release(&mut self.rows_left, now_slot);
            given_back += rows;
            let count_max = GIVEN_BACK.saturating_sub(given_back);
            let (chunks, is_done) = symbol.trades.release(&mut self.shared_left, before, count_max);
            given_back += chunks;
            self.counts.rows_given += rows as u64;
            self.counts.chunks_given += chunks as u64;
            if !is_done {
                return;
            }
            self.next_asked += 1;
        }
    }

    /// No room is made up or lost.
    fn check(&self) {
        let chunks: usize = self.symbols.iter().map(|symbol| symbol.trades.chunk_count() - 1).sum();
        let rows: usize = self.symbols.iter().map(|symbol| symbol.latencies.row_count()).sum();
        assert_eq!((chunks + self.shared_left, rows + self.rows_left), (self.shared, self.rows), "in all");
    }

    /// Trades held in all windows.
    pub fn trade_count(&self) -> usize {
        self.symbols.iter().map(|symbol| symbol.trades.count()).sum()
    }

    /// Nothing is in use but each symbol's own chunk.
    pub fn is_empty(&self) -> bool {
        (self.shared_left, self.rows_left) == (self.shared, self.rows)
    }

    pub fn symbols(&self) -> Vec<String> {
        self.symbols.iter().map(|symbol| symbol.name.clone()).collect()
    }

    /// A moment that no symbol has come to.
    pub fn end(&self) -> i64 {
        self.symbols.iter().map(|symbol| symbol.watermark.max(symbol.moved_at)).max().unwrap_or(0).max(self.local)
    }
}
