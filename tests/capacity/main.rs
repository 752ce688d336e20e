//! Room that runs out: the engine against a naive twin with an explicit model of capacity (SPEC section 2: "a symbol that
//! needs more room than is left loses its oldest trades early, says so, and never crashes or grows").
//!
//! Symbols come, fall silent, come back, are cleared by steps of the clock, in every state of the pools of trades and
//! latencies, of deadlines and of providers. Windows that lack nothing are exact; the others say so, and hold what the
//! model says. `trades` and `latencies` write down the rules of room, `model` those of events and time, `market` what comes;
//! `cases` are small ones to be read.
//!
//! `SEEDS` and `SEED` are those of tests/seeds; ten thousand seeds take some minutes.

mod cases;
mod latencies;
mod market;
mod model;
#[path = "../reference/mod.rs"]
mod reference;
#[path = "../seeds/mod.rs"]
mod seeds;
mod trades;

use std::collections::BTreeMap;
use std::io::Write;

use market::{Body, Event, Market, Step};
use model::{Counts, Settings, Snapshot, Twin};
use reference::random::Random;
use reference::{SECOND, time};
use senpai_md_consumer::engine::counters::{DropReason, Topic};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::subject::EventKind;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::{EngineSettings, ProviderMode};
use senpai_md_consumer::engine::time::UnixNanos;
use serde_json::Value;

/// Engine and twin, told the same.
pub struct Pair {
    engine: Engine,
    twin: Twin,
}

impl Pair {
    fn new(settings: Settings) -> Self {
        let mut engine = EngineSettings {
            symbols_max: settings.symbols_max,
            window_trades: settings.window_trades,
            latency_rows_spare: settings.rows_spare,
            publish_interval: settings.publish_interval,
            rolling_window: settings.rolling_window,
            clock_skew_max: settings.clock_skew_max,
            ..EngineSettings::default()
        };
        // The twin knows of room, not of providers, duplicates and idle symbols: tests/agreement.rs has those.
        engine.providers.mode = ProviderMode::Merged;
        engine.deduplicate_trades = 0;
        engine.symbol_idle = None;
        // Nobody asks for percentiles between the snapshots: they take rows when they are asked for.
        engine.alerts.latency_p95_ms = f64::INFINITY;
        // No return is beyond it: there are no signals.
        engine.signal.return_threshold = f64::INFINITY;
        Pair { engine: Engine::new(engine).expect("there is memory"), twin: Twin::new(settings) }
    }

    #[track_caller]
    fn take(&mut self, step: &Step) {
        let expected = match step {
            Step::Event(receipt, event) => {
                let (subject, payload) = event.encode();
                let at = receipt.map_or(Receipt::Unrecorded, |moment| Receipt::At(UnixNanos(moment)));
                self.engine.handle_event(subject.as_bytes(), payload.as_bytes(), at).expect("it is well-formed");
                self.twin.event(*receipt, event)
            }
            Step::Malformed(moment) => {
                let at = Receipt::At(UnixNanos(*moment));
                self.engine.handle_event(b"md.events.trade.NEW", b"{}", at).expect_err("it is malformed");
                Vec::new()
            }
            Step::Time(moment) => {
                self.engine.handle_time(UnixNanos(*moment));
                self.twin.time(*moment)
            }
            Step::Clock(step) => {
                self.engine.handle_clock_step(*step);
                self.twin.clock_step(*step);
                Vec::new()
            }
        };
        let mut published = Vec::new();
        while let Some(message) = self.engine.poll_output() {
            // Alerts are in `tests/alerts`.
            if message.topic == Topic::Alert {
                continue;
            }
            published.push(serde_json::from_slice::<Value>(message.payload).expect("it is JSON"));
        }
        assert_eq!(published.len(), expected.len(), "after {step:?}: {published:?} {expected:?}");
        for (published, expected) in published.iter().zip(&expected) {
            compare(expected, published);
        }
        assert_eq!(self.engine.window_trade_count(), self.twin.trade_count() as u64, "after {step:?}");
    }

    /// Asks for the features of a symbol; says whether they lack something.
    #[track_caller]
    pub fn ask(&mut self, symbol: &str, moment: i64) -> Option<bool> {
        let expected = self.twin.ask(symbol, moment);
        let document = self.engine.features_document(symbol, UnixNanos(moment));
        assert_eq!(document.is_some(), expected.is_some(), "{symbol}");
        let expected = expected?;
        compare(&expected, &serde_json::from_slice(&document?).expect("it is JSON"));
        Some(expected.is_truncated)
    }

    #[track_caller]
    fn compare_counts(&self) {
        let counters = &self.engine.counters;
        let mut events = BTreeMap::new();
        for kind in EventKind::ALL {
            for (index, name) in self.engine.providers().iter() {
                let count = counters.events_in[kind as usize][index];
                let malformed = if name == "unknown" { counters.dropped(DropReason::Malformed, kind) } else { 0 };
                if count > malformed {
                    events.insert((kind.name(), name.to_owned()), count - malformed);
                }
            }
        }
        let dropped = |reason| EventKind::ALL.iter().map(|kind| counters.dropped(reason, *kind)).sum::<u64>();
        let counts = &self.twin.counts;
        assert_eq!(events, self.twin.events);
        assert_eq!((dropped(DropReason::Late), dropped(DropReason::SymbolLimit)), (counts.late, counts.symbol_limit));
        assert_eq!(counters.timestamps_rejected.iter().sum::<u64>(), counts.timestamps_rejected);
    }
}

#[track_caller]
fn compare(expected: &Snapshot, actual: &Value) {
    let is_close = |name: &str, expected: Option<f64>, actual: &Value| match (expected, actual.as_f64()) {
        (None, None) => actual.is_null(),
        (Some(expected), Some(actual)) => {
            // What is left of numbers that cancel is as exact as these were.
            let floor = if matches!(name, "return_10s" | "realized_vol_60s") { 1e-12 } else { 0.0 };
            (actual - expected).abs() <= (1e-9 * expected.abs()).max(floor)
        }
        _ => false,
    };
    let is_near = |expected: Option<f64>, actual: &Value| match (expected, actual.as_f64()) {
        (None, None) => actual.is_null(),
        (Some(expected), Some(actual)) => (actual - expected).abs() <= 0.0101 * expected.abs() + 1e-6,
        _ => false,
    };
    let features = &actual["features"];
    let [p50, p95] = expected.latencies;
    let agrees = actual["symbol"] == expected.symbol.as_str()
        && actual["ts"] == time::format(expected.now).as_str()
        && actual["window_truncated"] == expected.is_truncated
        && expected.features.iter().all(|(name, value)| is_close(name, *value, &features[name]))
        && is_near(p50, &features["latency_ms_p50"])
        && is_near(p95, &features["latency_ms_p95"]);
    assert!(agrees, "expected {expected:?}\nactual {actual}");
}

fn settings(random: &mut Random) -> Settings {
    Settings {
        symbols_max: *random.pick(&[&1, &2, &3, &4, &4, &7]),
        window_trades: *random.pick(&[&1, &31, &62, &93, &150, &300, &700, &5_000]),
        rows_spare: *random.pick(&[&0, &0, &5, &200, &4096]),
        publish_interval: *random.pick(&[&None, &Some(SECOND / 1000), &Some(SECOND / 10), &Some(5 * SECOND)]),
        rolling_window: *random.pick(&[&60, &60, &60, &10, &7, &1]) * SECOND,
        clock_skew_max: *random.pick(&[&0, &1, &30]) * SECOND,
    }
}

/// A market of some hundred steps, then silence, in which all room comes back, then one symbol that takes all of it.
fn check_seed(seed: u64) -> Counts {
    let mut random = Random::new(seed);
    let settings = settings(&mut random);
    let window = settings.rolling_window.min(60 * SECOND);
    let names = settings.symbols_max + (random.draw() % 3) as usize;
    let mut pair = Pair::new(settings);
    // Now and then windows of more chunks than are given back at once.
    let (steps, burst) = if random.chance(10) { (8_000, 4_000) } else { (random.between(300, 900), 250) };
    let mut market = Market::new(random.clone(), names, window, burst);
    for _ in 0..steps {
        pair.take(&market.step());
        if random.chance(100) {
            let symbol = format!("S{}", random.between(0, names as i64));
            pair.ask(&symbol, market.local() + random.between(0, 2) * random.between(0, window));
        }
    }
    pair.compare_counts();
    let end = pair.twin.end().max(market.local()) + 3 * window;
    leave(&mut pair, end);
    refill(&mut pair, &mut random, end);
    pair.twin.counts
}

/// Once everything has left, no room is taken.
fn leave(pair: &mut Pair, end: i64) {
    for symbol in pair.twin.symbols() {
        let body = Body::Quote { bid: 1.0, ask: 2.0 };
        pair.take(&event_at(end, &symbol, body, 1_000));
    }
    assert!(pair.twin.is_empty(), "all of it has left");
    assert!(pair.twin.trade_count() <= pair.twin.symbols().len(), "but the newest trades");
}

/// A symbol finds as much room as the model says there is.
fn refill(pair: &mut Pair, random: &mut Random, end: i64) {
    let symbols = pair.twin.symbols();
    let Some(symbol) = symbols.get((random.draw() % symbols.len().max(1) as u64) as usize) else { return };
    let (mut index, mut reach) = (0, 64);
    // Latencies of every magnitude, so that each takes a bucket row of its own; and again while there is room for trades.
    while pair.twin.shared_left > 0 || pair.twin.rows_left > 0 && reach < 1 << 44 {
        index += 1;
        reach = if reach < 1 << 44 { reach + reach / 6 } else { 64 };
        let body = Body::Trade { price: 1.0, size: 1.0 };
        pair.take(&event_at(end + index, symbol, body, if index % 2 == 0 { reach } else { -reach }));
        if index % 50 == 0 {
            pair.ask(symbol, end + index);
        }
    }
    pair.ask(symbol, end + index);
}

fn event_at(moment: i64, symbol: &str, body: Body, latency: i64) -> Step {
    let event = Event {
        symbol: symbol.to_owned(),
        body,
        ts_recv: Some(moment),
        ts_exchange: Some(moment - latency),
        provider: None,
    };
    Step::Event(Some(moment), event)
}

/// Says which seed it was, should a test fail while this lives.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={} SEEDS=1 cargo test --test capacity fresh_seeds", self.0);
        }
    }
}

#[test]
fn fresh_seeds() {
    let (mut total, mut count) = (Counts::default(), 0);
    for seed in seeds::fresh("capacity", 300).map(Seed) {
        total.add(check_seed(seed.0));
        count += 1;
    }
    let _ = writeln!(std::io::stderr(), "capacity: {total:?}");
    // Seeds prove little where this did not happen.
    let seen = [
        total.late,
        total.symbol_limit,
        total.timestamps_rejected,
        total.lacking_trades,
        total.lacking_latencies,
        total.rows_given,
        10 * total.chunks_given,
        10 * total.came_to_full_pool,
        10 * total.cleared,
    ];
    assert!(count < 300 || seen.iter().all(|seen| *seen > count), "it was not much");
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.late += other.late;
        self.symbol_limit += other.symbol_limit;
        self.timestamps_rejected += other.timestamps_rejected;
        self.lacking_trades += other.lacking_trades;
        self.lacking_latencies += other.lacking_latencies;
        self.came_to_full_pool += other.came_to_full_pool;
        self.cleared += other.cleared;
        self.chunks_given += other.chunks_given;
        self.rows_given += other.rows_given;
    }
}
