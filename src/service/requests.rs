//! Requests to the shards, from HTTP and from the stop, and their answers. They travel over channels, because a shard lives
//! on its own executor; the shard answers between two of its slices, so an answer shows a consistent state. No answer takes
//! longer than a slice: what is about all symbols is requested a page at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender, bounded};

use crate::engine::published::LatestSignal;
use crate::engine::symbol_documents::SymbolUpdates;
use crate::engine::time::UnixNanos;
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
    /// The last signals of its symbols, newest first: those with numbers above this one.
    Signals(u64, Sender<Vec<LatestSignal>>),
    /// A page of the symbols that have changed, see [`Engine::updates`](crate::engine::engine::Engine::updates).
    Updates {
        since: UnixNanos,
        after: Option<Box<str>>,
        reply: Sender<SymbolUpdates>,
    },
    /// The first [`PAGE_SYMBOLS`](crate::service::report::PAGE_SYMBOLS) symbols, by name, after this one; fewer are the last.
    Symbols(Option<Box<str>>, Sender<Vec<SymbolReport>>),
    /// An answer, between two passes of the shard's loop: whether that turns.
    Pulse(Sender<()>),
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
                let now = shard.engine_clock().now();
                let _ = reply.try_send(shard.engine.features_document(&symbol, now));
            }
            ShardRequest::States(symbol, reply) => {
                let _ = reply.try_send(states_of(&worker.borrow().shard, &symbol));
            }
            ShardRequest::Report(reply) => {
                let _ = reply.try_send(ShardReport::new(&mut worker.borrow_mut()));
            }
            ShardRequest::Signals(seen, reply) => {
                let _ = reply.try_send(latest_signals(&worker.borrow().shard, seen));
            }
            ShardRequest::Updates { since, after, reply } => {
                let shard = &mut worker.borrow_mut().shard;
                shard.check_clock();
                let now = shard.engine_clock().now();
                let _ = reply.try_send(shard.engine.updates(since, after.as_deref(), now));
            }
            ShardRequest::Symbols(after, reply) => {
                let _ = reply.try_send(symbol_page(&worker.borrow().shard, after.as_deref()));
            }
            ShardRequest::Pulse(reply) => {
                let _ = reply.try_send(());
            }
            ShardRequest::Stop => stop.set(),
        }
        queue.requester.ring();
    }
}

/// Whether the loops of all shards turn, as far as one question to each of them shows.
pub struct Pulse {
    answers: Vec<Receiver<()>>,
}

impl Pulse {
    /// Asks every shard. That does not wait.
    pub fn ask(shards: &[ShardHandle]) -> Pulse {
        let ask = |shard: &ShardHandle| {
            let (reply, answer) = bounded(1);
            shard.send_now(ShardRequest::Pulse(reply));
            answer
        };
        Pulse { answers: shards.iter().map(ask).collect() }
    }

    /// Whether all have answered by now. A question that was lost (a full queue, a shard that has ended) has no answer.
    pub fn is_felt(&self) -> bool {
        self.answers.iter().all(|answer| !answer.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_felt_when_every_shard_has_answered() {
        let bell = Arc::new(Bell::new().expect("there are descriptors"));
        let channels = [0, 1].map(|_| request_channel(bell.clone(), bell.clone()));
        let shards = channels.each_ref().map(|(shard, _)| shard.clone());
        let pulse = Pulse::ask(&shards);
        for (_, queue) in &channels {
            assert!(!pulse.is_felt());
            let Ok(ShardRequest::Pulse(reply)) = queue.requests.try_recv() else { panic!("it was asked") };
            reply.try_send(()).expect("the answer is awaited");
        }
        assert!(pulse.is_felt() && pulse.is_felt());

        // One shard's queue is full of others' questions, which it does not answer: its loop hangs.
        for _ in 0..2 * REQUESTS_MAX {
            let (reply, _) = bounded(1);
            shards[0].send_now(ShardRequest::Report(reply));
        }
        let pulse = Pulse::ask(&shards);
        let Ok(ShardRequest::Pulse(reply)) = channels[1].1.requests.try_recv() else { panic!("it was asked") };
        reply.try_send(()).expect("the answer is awaited");
        assert!(!pulse.is_felt());
        // One that has ended.
        channels[0].1.close();
        assert!(!Pulse::ask(&shards).is_felt());
    }
}
