//! What a shard says of itself: its counts and its connection, and its symbols a page at a time.

use crate::engine::bounds::PROVIDERS_MAX;
use crate::engine::counters::{Counters, Histogram};
use crate::engine::published::LatestSignal;
use crate::nats::session::SessionReport;
use crate::service::shard::Shard;
use crate::service::worker::Worker;

/// Symbols of a page: some tens of microseconds, as each is where nothing else has been lately.
pub const PAGE_SYMBOLS: usize = 128;

/// What a shard counts and how it is.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// From 0.
    pub core: u32,
    /// Since the start; all 0 where there is no shard any more.
    pub counters: Counters,
    /// Those whose events have been seen, by name.
    pub providers: Vec<String>,
    /// Symbols that the engine holds a state of; `MAX_SYMBOLS` limits them.
    pub symbol_count: usize,
    /// Where there is no shard any more, not connected, and its trouble says so.
    pub connection: SessionReport,
    /// Unread bytes in the receive buffer.
    pub queue_len_bytes: usize,
    /// 0 where there is no shard any more.
    pub queue_capacity_bytes: usize,
    /// Trades held in the windows of all symbols.
    pub window_trade_count: u64,
    /// Over the last second and over the last minute.
    pub events_per_second: (f64, f64),
    /// `None` where there is no shard any more.
    pub read_gap: Option<Histogram>,
}

/// What was published of a symbol.
#[derive(Clone, Debug)]
pub struct SymbolReport {
    /// As in its subjects.
    pub name: Box<str>,
    /// Snapshots since the start, without those that reached no subscriber.
    pub features_published: u64,
    /// Long and short.
    pub signals_emitted: [u64; 2],
}

impl ShardReport {
    /// As it is now.
    pub fn new(worker: &mut Worker) -> ShardReport {
        let Worker { shard, session, .. } = worker;
        let elapsed_ns = shard.clock.elapsed_ns();
        let engine = &shard.engine;
        ShardReport {
            core: shard.ownership.core,
            counters: engine.counters.clone(),
            providers: engine.providers().iter().map(|(_, name)| name.to_owned()).collect(),
            symbol_count: engine.symbols().len(),
            connection: session.report(elapsed_ns),
            queue_len_bytes: shard.receive_buffer.len_bytes(),
            queue_capacity_bytes: shard.receive_buffer.capacity(),
            window_trade_count: engine.window_trade_count(),
            events_per_second: shard.rate.per_second(elapsed_ns),
            read_gap: Some(shard.read_gap.clone()),
        }
    }

    /// In the place of a shard that does not answer any more.
    pub fn missing(core: u32) -> ShardReport {
        ShardReport {
            core,
            counters: Counters::default(),
            providers: Vec::new(),
            symbol_count: 0,
            connection: SessionReport { trouble: Some(format!("core {core} has ended")), ..Default::default() },
            queue_len_bytes: 0,
            queue_capacity_bytes: 0,
            window_trade_count: 0,
            events_per_second: (0.0, 0.0),
            read_gap: None,
        }
    }
}

/// The names of a symbol's states, where each provider has its own; at most as many as there may be providers.
pub fn states_of(shard: &Shard, symbol: &str) -> Vec<Box<str>> {
    let start = format!("{symbol}@");
    let names = shard.engine.symbols().after(Some(&start)).map(|(name, _)| name);
    names.take_while(|name| name.starts_with(&start)).take(PROVIDERS_MAX).map(Box::from).collect()
}

/// The first [`PAGE_SYMBOLS`] symbols, by name, after `after`.
pub fn symbol_page(shard: &Shard, after: Option<&str>) -> Vec<SymbolReport> {
    let symbols = shard.engine.symbols().after(after).take(PAGE_SYMBOLS);
    let reports = symbols.map(|(name, state)| SymbolReport {
        name: name.into(),
        features_published: state.features_published,
        signals_emitted: state.signals_emitted,
    });
    reports.collect()
}

/// The shard's last signals, newest first: those with numbers above `seen`.
pub fn latest_signals(shard: &Shard, seen: u64) -> Vec<LatestSignal> {
    shard.engine.latest_signals().take_while(|signal| signal.number > seen).cloned().collect()
}
