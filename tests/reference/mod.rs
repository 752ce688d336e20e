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
mod duplicates;
pub mod generator;
pub mod json;
pub mod latency;
pub mod parse;
pub mod profile;
pub mod providers;
#[path = "../support/random.rs"]
pub mod random;
pub mod recording;
#[path = "../recording_files/mod.rs"]
pub mod recording_files;
mod symbol;
pub mod time;

use duplicates::{Duplicates, Told};
use latency::LatencyWindow;
use parse::{Body, Event, Kind};
use providers::{Claim, Names, ProviderMode, state_name};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use symbol::{Symbol, window_length};

#[allow(unused_imports)]
pub use compare::{Summary, compare, has_keys_in_order};

pub const SECOND: i64 = 1_000_000_000;
pub const MILLISECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;

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
    /// 0 turns one off, and the next two likewise.
    pub signal_max_age_ns: i64,
    pub signal_max_quote_age_ns: i64,
    pub signal_max_gap_ns: i64,
    pub max_clock_skew_ns: i64,
    /// How many trades are remembered, to know those that come again; 0 turns it off.
    pub deduplicate_trades: usize,
    pub provider_mode: ProviderMode,
    /// `PROVIDERS`, the best first.
    pub providers: Vec<String>,
    pub provider_timeout_ns: i64,
    pub symbols_max: usize,
    /// 0: a symbol never gives up its place.
    pub symbol_idle_ns: i64,
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
            signal_max_quote_age_ns: 30 * SECOND,
            signal_max_gap_ns: 60 * SECOND,
            max_clock_skew_ns: SECOND,
            deduplicate_trades: 65_536,
            provider_mode: ProviderMode::Primary,
            providers: Vec::new(),
            provider_timeout_ns: 30 * SECOND,
            symbols_max: 10_000,
            symbol_idle_ns: 3_600 * SECOND,
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
        let ts_ns = payload.get("ts").and_then(Value::as_str).and_then(time::parse_rfc3339).unwrap_or(0);
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
    /// Well-formed events, those dropped for another reason included.
    pub events: BTreeMap<String, u64>,
    /// The same by type and provider.
    pub events_in: BTreeMap<(String, String), u64>,
    pub malformed: BTreeMap<String, u64>,
    pub late: BTreeMap<String, u64>,
    pub duplicate: BTreeMap<String, u64>,
    pub other_provider: BTreeMap<String, u64>,
    pub symbol_limit: BTreeMap<String, u64>,
    /// States that gave up their place.
    pub evicted: u64,
    /// Of all signals.
    pub signal_ids: BTreeSet<String>,
    /// By symbol, how often another provider took over.
    pub provider_switches: BTreeMap<String, u64>,
    /// By provider.
    pub timestamps_rejected: BTreeMap<String, u64>,
    pub timestamps_unreadable: BTreeMap<String, u64>,
    /// By reason.
    pub signals_suppressed: BTreeMap<String, u64>,
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
    /// `None`: nobody bids, or asks.
    pub bid: Option<f64>,
    pub ask: Option<f64>,
    pub bid_size: Option<f64>,
    pub ask_size: Option<f64>,
    pub provider: String,
}

/// Levels are (price, size), best first, none of size 0.
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
    /// By provider, the local receipt of its last event with a t that was not believed.
    rejected_at: BTreeMap<String, i64>,
    names: Names,
    duplicates: Duplicates,
    /// By the name of the state.
    symbols: BTreeMap<String, Symbol>,
    /// Numbers the snapshots, to order those that fall due at the same moment.
    snapshots: u64,
    counts: Counts,
}

impl Reference {
    pub fn new(settings: Settings) -> Self {
        Reference {
            names: Names::new(&settings.providers),
            duplicates: Duplicates::new(settings.deduplicate_trades),
            settings,
            local: None,
            rejected_at: BTreeMap::new(),
            symbols: BTreeMap::new(),
            snapshots: 0,
            counts: Counts::default(),
        }
    }

    /// One message as it arrived. `receipt_ns` is the local time of its arrival, `None` in a recording without receipt times.
    pub fn event(&mut self, receipt_ns: Option<i64>, subject: &str, payload: &[u8]) -> Vec<Published> {
        // A malformed event changes no state: not local time either.
        let Some((kind, name)) = parse::subject(subject) else {
            count(&mut self.counts.malformed, "unknown");
            return Vec::new();
        };
        let event = parse::event(kind, payload).filter(|_| kind == Kind::Heartbeat || parse::is_symbol(name));
        let Some(mut event) = event else {
            count(&mut self.counts.malformed, kind.name());
            return Vec::new();
        };
        if let Some(receipt) = receipt_ns {
            self.move_local(receipt);
        }
        event.provider = self.names.name(&event.provider);
        count(&mut self.counts.events, kind.name());
        *self.counts.events_in.entry((kind.name().to_owned(), event.provider.clone())).or_default() += 1;

        // Event time. Without receipt times the clock is the largest t so far, and nothing is rejected or stale.
        let claimed = event.ts_recv.or(event.ts_exchange);
        if let (None, Some(t)) = (receipt_ns, claimed) {
            self.move_local(t);
        }
        let local = self.local_or_epoch();
        self.move_local(local);
        if self.is_duplicate(name, &event) {
            count(&mut self.counts.duplicate, kind.name());
            let published = self.fire_due_before_local();
            // A sign of life, and nothing else.
            if let Some(symbol) = self.symbols.get_mut(&self.state_name(name, &event)) {
                symbol.hear(&event.provider, local);
            }
            return published;
        }
        if event.timestamps_unreadable {
            count(&mut self.counts.timestamps_unreadable, &event.provider);
        }
        let mut t = claimed.unwrap_or(local);
        let latest_believed = local.saturating_add(self.settings.max_clock_skew_ns);
        if receipt_ns.is_some() && t > latest_believed {
            count(&mut self.counts.timestamps_rejected, &event.provider);
            self.rejected_at.insert(event.provider.clone(), local);
        }
        // Until 5 s without such an event all of the provider's events take local receipt.
        let rejected_at = self.rejected_at.get(&event.provider);
        let takes_receipt = rejected_at.is_some_and(|rejected_at| local - rejected_at < 5 * SECOND);
        if takes_receipt {
            t = local;
        }
        // A ts_recv that does not serve as t is absent for the latency, too.
        let received = if takes_receipt { local } else { event.ts_recv.unwrap_or(local) };
        // Nor does a ts_exchange that lies too far ahead say anything about a latency then.
        let is_believed = |sent: &i64| !takes_receipt || *sent <= latest_believed;
        let latency_ns = event.ts_exchange.filter(is_believed).map(|sent| received - sent);
        // A difference beyond a day is no latency.
        let latency_ns = latency_ns.filter(|latency| latency.abs() <= DAY);

        let mut published = self.fire_due_before_local();
        if kind == Kind::Heartbeat {
            return published;
        }
        if event.provider == providers::OTHER && self.settings.provider_mode != providers::ProviderMode::Merged {
            count(&mut self.counts.other_provider, kind.name());
            return published;
        }
        let state = self.state_name(name, &event);
        if !self.symbols.contains_key(&state) && !self.has_room(local) {
            count(&mut self.counts.symbol_limit, kind.name());
            return published;
        }
        let place = (0..).find(|place| self.symbols.values().all(|symbol| symbol.place != *place)).unwrap_or(0);
        let symbol = self.symbols.entry(state.clone()).or_insert_with(|| Symbol::new(name, place, t, local));
        match symbol.takes(name, &event.provider, t, local, &self.settings) {
            Claim::Refused => {
                count(&mut self.counts.other_provider, kind.name());
                return published;
            }
            Claim::TakesOver => count(&mut self.counts.provider_switches, name),
            Claim::Stays | Claim::IsFirst => {}
        }
        symbol.accepted = local;
        let late = t < symbol.watermark - window_length(&self.settings);
        if late {
            count(&mut self.counts.late, kind.name());
        }
        symbol.apply(t, late, latency_ns, event.provider, event.body, local);

        let now = symbol.now(local);
        let age = receipt_ns.map(|_| local - t);
        published.extend(symbol.signal(&state, local, now, age, &self.settings, &mut self.counts));
        if self.settings.publish_interval_ns > 0 {
            match symbol.last_snapshot {
                Some((last, _)) if local - last < self.settings.publish_interval_ns => symbol.pending = true,
                _ => published.push(symbol.snapshot(&state, local, now, &mut self.snapshots, &self.settings)),
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

    fn state_name(&self, symbol: &str, event: &Event) -> String {
        state_name(self.settings.provider_mode, symbol, &event.provider)
    }

    /// Whether it is a trade that came before.
    fn is_duplicate(&mut self, symbol: &str, event: &Event) -> bool {
        let Body::Trade { price, size, trade_id: Some(trade_id), .. } = &event.body else { return false };
        // An empty id is none.
        if trade_id.is_empty() {
            return false;
        }
        self.duplicates.is_duplicate(Told {
            trade_id: trade_id.clone(),
            symbol: symbol.to_owned(),
            provider: event.provider.clone(),
            price: *price,
            size: *size,
            ts_exchange: event.ts_exchange,
        })
    }

    /// Whether there is a place for a new symbol: where the table is full, that of the one that has been silent longest, if
    /// for long enough; of several the one with the first place. One with a snapshot to come keeps its place.
    fn has_room(&mut self, local: i64) -> bool {
        if self.symbols.len() < self.settings.symbols_max {
            return true;
        }
        let idle = self.settings.symbol_idle_ns;
        let is_idle = |symbol: &Symbol| idle != 0 && !symbol.pending && local - symbol.accepted >= idle;
        let silent =
            self.symbols.iter().filter(|(_, symbol)| is_idle(symbol)).min_by_key(|(_, s)| (s.accepted, s.place));
        let Some(name) = silent.map(|(name, _)| name.clone()) else { return false };
        self.symbols.remove(&name);
        self.counts.evicted += 1;
        true
    }

    /// Local time, by what has come so far.
    pub fn local_or_epoch(&self) -> i64 {
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

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    *counts.entry(key.to_owned()).or_default() += 1;
}
