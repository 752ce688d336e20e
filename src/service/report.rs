//! Questions that HTTP asks the shards, and their answers. They travel over channels, because a shard lives on its own
//! executor; the shard answers between two of its slices, so an answer shows a consistent state. No answer takes longer
//! than a slice: what is about all symbols is asked for a page at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender, bounded};

use crate::engine::counters::{Counters, Histogram};
use crate::nats::session::SessionReport;
use crate::runtime::bell::Bell;
use crate::runtime::stop::Stop;
use crate::runtime::turns::Turns;
use crate::service::shard::Shard;
use crate::service::worker::Worker;

/// Questions that a shard may have before it.
const QUERIES_WAITING: usize = 64;
/// Symbols of a page: some tens of microseconds, as each is where nothing else has been lately.
pub const PAGE_SYMBOLS: usize = 128;

pub enum Query {
    /// The latest events of a symbol, as a JSON document.
    State(String, Sender<Option<Vec<u8>>>),
    /// The features of a symbol computed for now, as a JSON document.
    Features(String, Sender<Option<Vec<u8>>>),
    Report(Sender<ShardReport>),
    /// The first [`PAGE_SYMBOLS`] symbols, by name, after this one; fewer are the last.
    Symbols(Option<Box<str>>, Sender<Vec<SymbolReport>>),
    /// Drain and end.
    Stop,
}

/// Where a shard is asked. Clones lead to the same shard.
#[derive(Clone)]
pub struct Line {
    queries: Sender<Query>,
    bell: Arc<Bell>,
}

/// Its end at the shard.
#[derive(Clone)]
pub struct Inquiries {
    queries: Receiver<Query>,
    /// What wakes the shard.
    pub bell: Arc<Bell>,
    /// Where those who ask wait.
    asker: Arc<Bell>,
}

/// To a shard that `bell` wakes, for those whom `asker` wakes.
pub fn line(bell: Arc<Bell>, asker: Arc<Bell>) -> (Line, Inquiries) {
    let (sender, receiver) = bounded(QUERIES_WAITING);
    (Line { queries: sender, bell: bell.clone() }, Inquiries { queries: receiver, bell, asker })
}

impl Line {
    /// False: the shard has ended.
    pub async fn ask(&self, query: Query) -> bool {
        let is_sent = self.queries.send(query).await.is_ok();
        self.bell.ring();
        is_sent
    }

    /// Does not wait, even where a shard answers no more; the question that it may replace is one of HTTP's.
    pub fn ask_now(&self, query: Query) {
        let _ = self.queries.force_send(query);
        self.bell.ring();
    }
}

impl Inquiries {
    pub fn close(&self) {
        self.queries.close();
    }
}

/// What a shard counts and how it is.
#[derive(Clone, Debug)]
pub struct ShardReport {
    pub core: u32,
    pub counters: Counters,
    pub providers: Vec<String>,
    pub symbol_count: usize,
    pub connection: SessionReport,
    pub queue_len_bytes: usize,
    pub queue_capacity_bytes: usize,
    pub window_trade_count: u64,
    pub events_per_second: (f64, f64),
    /// `None` where there is no shard any more.
    pub read_gap: Option<Histogram>,
}

#[derive(Clone, Debug)]
pub struct SymbolReport {
    pub name: Box<str>,
    pub features_published: u64,
    /// Long and short.
    pub signals_emitted: [u64; 2],
}

/// Answers until there are no more questions, also while the shard drains.
pub async fn answer(worker: Rc<RefCell<Worker>>, inquiries: Inquiries, turns: Rc<Turns>, stop: Stop) {
    while let Ok(query) = inquiries.queries.recv().await {
        turns.next().await;
        // An asker that is gone does not want the answer any more.
        match query {
            Query::State(symbol, reply) => {
                let _ = reply.try_send(worker.borrow().shard.engine.state_document(&symbol));
            }
            Query::Features(symbol, reply) => {
                let shard = &mut worker.borrow_mut().shard;
                shard.check_clock();
                let now = shard.clock.now();
                let _ = reply.try_send(shard.engine.features_document(&symbol, now));
            }
            Query::Report(reply) => {
                let _ = reply.try_send(report(&mut worker.borrow_mut()));
            }
            Query::Symbols(after, reply) => {
                let _ = reply.try_send(page(&worker.borrow().shard, after.as_deref()));
            }
            Query::Stop => stop.set(),
        }
        inquiries.asker.ring();
    }
}

impl ShardReport {
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

fn report(worker: &mut Worker) -> ShardReport {
    let Worker { shard, session } = worker;
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

fn page(shard: &Shard, after: Option<&str>) -> Vec<SymbolReport> {
    let symbols = shard.engine.symbols().after(after).take(PAGE_SYMBOLS);
    let reports = symbols.map(|(name, state)| SymbolReport {
        name: name.into(),
        features_published: state.features_published,
        signals_emitted: state.signals_emitted,
    });
    reports.collect()
}
