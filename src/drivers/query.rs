//! Questions that HTTP asks the shards, and their answers. They travel over channels, because a shard lives on its own
//! executor; the shard answers between two of its slices, so an answer shows a consistent state.

use std::cell::RefCell;
use std::rc::Rc;

use async_channel::{Receiver, Sender};

use super::executor::give_way;
use super::shard::{ConnectionReport, Shard};
use super::stop::Stop;
use crate::engine::counters::Counters;

pub enum Query {
    /// The latest events of a symbol, as a JSON document.
    State(String, Sender<Option<Vec<u8>>>),
    /// The features of a symbol computed for now, as a JSON document.
    Features(String, Sender<Option<Vec<u8>>>),
    Report(Detail, Sender<ShardReport>),
    /// Drain and end.
    Stop,
}

/// How much a report has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    Totals,
    /// And every symbol's figures: thousands of names.
    Symbols,
}

/// What a shard counts and how it is.
#[derive(Clone, Debug, Default)]
pub struct ShardReport {
    pub core: u32,
    pub counters: Counters,
    pub providers: Vec<String>,
    pub symbol_count: usize,
    pub features_published: u64,
    pub signals_emitted: u64,
    /// With [`Detail::Symbols`].
    pub symbols: Vec<SymbolReport>,
    pub connection: ConnectionReport,
    pub queue_len_bytes: usize,
    pub queue_capacity_bytes: usize,
    pub window_trade_count: u64,
    pub events_per_second: (f64, f64),
}

#[derive(Clone, Debug)]
pub struct SymbolReport {
    pub name: String,
    pub features_published: u64,
    /// Long and short.
    pub signals_emitted: [u64; 2],
}

/// Answers until there are no more questions, also while the shard drains.
pub async fn answer(shard: Rc<RefCell<Shard>>, queries: Receiver<Query>, stop: Stop) {
    while let Ok(query) = queries.recv().await {
        // An asker that is gone does not want the answer any more.
        match query {
            Query::State(symbol, reply) => {
                let _ = reply.try_send(shard.borrow().engine.state_document(&symbol));
            }
            Query::Features(symbol, reply) => {
                let mut shard = shard.borrow_mut();
                shard.look_around();
                let now = shard.clock.now();
                let _ = reply.try_send(shard.engine.features_document(&symbol, now));
            }
            Query::Report(detail, reply) => {
                let _ = reply.try_send(report(&mut shard.borrow_mut(), detail));
            }
            Query::Stop => stop.set(),
        }
        give_way().await;
    }
}

impl ShardReport {
    /// In the place of a shard that does not answer any more.
    pub fn missing(core: u32) -> ShardReport {
        let connection = ConnectionReport { trouble: Some(format!("core {core} has ended")), ..Default::default() };
        ShardReport { core, connection, ..Default::default() }
    }
}

fn report(shard: &mut Shard, detail: Detail) -> ShardReport {
    let elapsed_ns = shard.clock.elapsed_ns();
    let engine = &shard.engine;
    let symbols = engine.symbols().iter().map(|(names, state)| SymbolReport {
        name: names.name.to_string(),
        features_published: state.features_published,
        signals_emitted: state.signals_emitted,
    });
    let states = || engine.symbols().iter().map(|(_, state)| state);
    ShardReport {
        core: shard.settings.ownership.core,
        counters: engine.counters.clone(),
        providers: engine.providers().iter().map(|(_, name)| name.to_owned()).collect(),
        symbol_count: engine.symbols().len(),
        features_published: states().map(|state| state.features_published).sum(),
        signals_emitted: states().map(|state| state.signals_emitted.iter().sum::<u64>()).sum(),
        symbols: if detail == Detail::Symbols { symbols.collect() } else { Vec::new() },
        connection: shard.connection.clone(),
        queue_len_bytes: shard.queue.len_bytes(),
        queue_capacity_bytes: shard.queue.capacity(),
        window_trade_count: engine.window_trade_count(),
        events_per_second: shard.rate.per_second(elapsed_ns),
    }
}
