//! Requests to the shards, from HTTP and from the stop, and their answers. They travel over channels, because a shard lives
//! on its own executor; the shard answers between two of its slices, so an answer shows a consistent state. No answer takes
//! longer than a slice: what is about all symbols is requested a page at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender, bounded};

use crate::engine::published::LatestSignal;
use crate::runtime::bell::Bell;
use crate::runtime::stop::Stop;
use crate::runtime::turns::Turns;
use crate::service::report::{ShardReport, SymbolReport, latest_signals, states_of, symbol_page};
use crate::service::worker::Worker;

/// Requests that may wait for a shard.
const REQUESTS_MAX: usize = 64;

/// What a shard is asked for, with where the answer goes. Where the shard has ended, the reply channel closes.
pub enum ShardRequest {
    /// The latest events of a symbol, as a JSON document. `None`: the shard does not know the symbol.
    State(String, Sender<Option<Vec<u8>>>),
    /// The names of a symbol's states, where each provider has its own: those that begin with the symbol and `@`.
    States(String, Sender<Vec<Box<str>>>),
    /// The features of a symbol computed for now, as a JSON document. `None`: the shard does not know the symbol.
    Features(String, Sender<Option<Vec<u8>>>),
    Report(Sender<ShardReport>),
    /// The last signals of its symbols, newest first.
    Signals(Sender<Vec<LatestSignal>>),
    /// The first [`PAGE_SYMBOLS`](crate::service::report::PAGE_SYMBOLS) symbols, by name, after this one; fewer are the last.
    Symbols(Option<Box<str>>, Sender<Vec<SymbolReport>>),
    /// Drain and end.
    Stop,
}

/// Sends requests to a shard. Clones lead to the same shard.
#[derive(Clone)]
pub struct ShardHandle {
    requests: Sender<ShardRequest>,
    bell: Arc<Bell>,
}

/// The requests that wait for a shard, at the shard's end.
#[derive(Clone)]
pub struct RequestQueue {
    requests: Receiver<ShardRequest>,
    /// What wakes the shard.
    pub bell: Arc<Bell>,
    /// Where the requesters wait for the answers.
    requester: Arc<Bell>,
}

/// The two ends of the requests to a shard that `bell` wakes, from the requesters that `requester` wakes.
pub fn request_channel(bell: Arc<Bell>, requester: Arc<Bell>) -> (ShardHandle, RequestQueue) {
    let (sender, receiver) = bounded(REQUESTS_MAX);
    (ShardHandle { requests: sender, bell: bell.clone() }, RequestQueue { requests: receiver, bell, requester })
}

impl ShardHandle {
    /// Waits while the queue is full. False: the shard has ended.
    pub async fn send(&self, request: ShardRequest) -> bool {
        let is_sent = self.requests.send(request).await.is_ok();
        self.bell.ring();
        is_sent
    }

    /// Does not wait, even where the shard does not answer any more; a request of HTTP is replaced where the queue is full.
    pub fn send_now(&self, request: ShardRequest) {
        let _ = self.requests.force_send(request);
        self.bell.ring();
    }
}

impl RequestQueue {
    /// The shard ends: requests are refused from now on.
    pub fn close(&self) {
        self.requests.close();
    }
}

/// Answers until the queue is closed and empty, also while the shard drains.
pub async fn answer_requests(worker: Rc<RefCell<Worker>>, queue: RequestQueue, turns: Rc<Turns>, stop: Stop) {
    while let Ok(request) = queue.requests.recv().await {
        turns.next().await;
        // A requester that is gone does not want the answer any more.
        match request {
            ShardRequest::State(symbol, reply) => {
                let _ = reply.try_send(worker.borrow().shard.engine.state_document(&symbol));
            }
            ShardRequest::Features(symbol, reply) => {
                let shard = &mut worker.borrow_mut().shard;
                shard.check_clock();
                let now = shard.clock.now();
                let _ = reply.try_send(shard.engine.features_document(&symbol, now));
            }
            ShardRequest::States(symbol, reply) => {
                let _ = reply.try_send(states_of(&worker.borrow().shard, &symbol));
            }
            ShardRequest::Report(reply) => {
                let _ = reply.try_send(ShardReport::new(&mut worker.borrow_mut()));
            }
            ShardRequest::Signals(reply) => {
                let _ = reply.try_send(latest_signals(&worker.borrow().shard));
            }
            ShardRequest::Symbols(after, reply) => {
                let _ = reply.try_send(symbol_page(&worker.borrow().shard, after.as_deref()));
            }
            ShardRequest::Stop => stop.set(),
        }
        queue.requester.ring();
    }
}
