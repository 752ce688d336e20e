//! What /events shows, looked up for all of its readers together, as long as there are any: each 250 ms the shards are asked
//! for new signals and for the symbols that have changed, a page at a time, and once a second for how they are.
//!
//! In: answers of the shards, the board of alerts. Out: the [`Hub`], which readers take from. With no reader nothing is asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::bounded;

use crate::api::event_hub::{Hub, Output};
use crate::api::shard_reports::reports;
use crate::api::status::StatusMaker;
use crate::engine::alerts::board::AlertBoard;
use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};
use crate::http::response::EventReader;
use crate::runtime::clock::Clock;
use crate::runtime::task;
use crate::runtime::timeout::sleep;
use crate::runtime::turns::Turns;
use crate::service::requests::{ShardHandle, ShardRequest};

/// From the end of a round to the next: no symbol comes more often than four times a second.
const PAUSE: Duration = Duration::from_millis(250);
/// From one status to the next, and from one round to the next that also has the symbols whose windows still move though no
/// event comes.
const STATUS_INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;
/// That is over when the longest window is empty.
const MOVING_NS: i64 = 62 * NANOS_PER_SECOND;
/// From one round that has all symbols to the next, however long rounds take. Symbols that it does not find have given up their
/// places; the page forgets those that it is not sent for longer.
const FULL_INTERVAL_NS: u64 = 60 * NANOS_PER_SECOND as u64;

/// See the head of this file.
pub struct Events {
    hub: RefCell<Hub>,
    shards: Vec<ShardHandle>,
    board: Arc<AlertBoard>,
    clock: Clock,
    turns: Rc<Turns>,
    is_running: Cell<bool>,
    /// A reader has come: it needs all symbols.
    wants_all: Cell<bool>,
    /// Of each shard, the number of the last signal that the hub was given; of the alerts likewise.
    signals_seen: RefCell<Vec<u64>>,
    alerts_seen: Cell<u64>,
}

impl Events {
    /// `shards` in the order of their cores.
    pub fn new(shards: Vec<ShardHandle>, board: Arc<AlertBoard>, clock: Clock, turns: Rc<Turns>) -> Rc<Events> {
        let instance = format!("{:x}", clock.now().0);
        let signals_seen = RefCell::new(vec![0; shards.len()]);
        Rc::new(Events {
            hub: RefCell::new(Hub::new(instance)),
            shards,
            board,
            clock,
            turns,
            is_running: Cell::new(false),
            wants_all: Cell::new(false),
            signals_seen,
            alerts_seen: Cell::new(0),
        })
    }

    /// See [`Hub::join`].
    pub fn join(self: &Rc<Self>, symbol: Option<&str>, last_event_id: Option<&str>) -> Option<Reader> {
        let number = self.hub.borrow_mut().join(symbol, last_event_id)?;
        self.wants_all.set(true);
        if !self.is_running.replace(true) {
            let events = self.clone();
            drop(task::spawn(async move { events.run().await }));
        }
        Some(Reader { events: self.clone(), number })
    }

    /// Until there is no reader.
    async fn run(self: Rc<Self>) {
        let mut changed_since = vec![UnixNanos(i64::MIN); self.shards.len()];
        let mut status = StatusMaker::new(self.hub.borrow().instance().to_owned());
        let (mut status_due_ns, mut full_due_ns) = (0, 0);
        loop {
            let now_ns = self.clock.elapsed_ns();
            self.look_for_outputs().await;
            let is_status_due = now_ns >= status_due_ns;
            if is_status_due {
                status_due_ns = now_ns + STATUS_INTERVAL_NS;
                let reports = reports(&self.shards).await;
                let readers = self.hub.borrow().reader_count();
                let document = status.status(&reports, &self.board, &self.clock, readers);
                self.hub.borrow_mut().set_status(document.as_bytes());
            }
            let is_full = self.wants_all.replace(false) || now_ns >= full_due_ns;
            if is_full {
                full_due_ns = now_ns + FULL_INTERVAL_NS;
            }
            let before = match is_full {
                true => None,
                false if is_status_due => Some(MOVING_NS),
                false => Some(0),
            };
            self.look_for_updates(before, &mut changed_since).await;
            self.hub.borrow_mut().wake();
            sleep(PAUSE).await;
            if self.hub.borrow().reader_count() == 0 {
                break;
            }
        }
        self.is_running.set(false);
    }

    /// Signals and alerts that have come since the last look, those of one core in their order.
    async fn look_for_outputs(&self) {
        let mut new = Vec::new();
        let mut missed = 0;
        for core in 0..self.shards.len() {
            let seen = self.signals_seen.borrow()[core];
            let (reply, answer) = bounded(1);
            self.shards[core].send(ShardRequest::Signals(seen, reply)).await;
            // A shard that has ended gives none any more.
            let signals = answer.recv().await.unwrap_or_default();
            let Some((newest, oldest)) = signals.first().zip(signals.last()) else { continue };
            missed += oldest.number - seen - 1;
            self.signals_seen.borrow_mut()[core] = newest.number;
            new.extend(signals.into_iter().rev());
        }
        new.sort_by_key(|signal| signal.moment);
        let (alerts, sent) = self.board.sent_after(self.alerts_seen.get());
        missed += sent - self.alerts_seen.replace(sent) - alerts.len() as u64;
        self.turns.next_of_many().await;
        let mut hub = self.hub.borrow_mut();
        hub.note_missed(missed);
        new.into_iter().map(Output::Signal).chain(alerts.into_iter().map(Output::Alert)).for_each(|new| hub.give(new));
        hub.end_look();
    }

    /// The symbols that have taken an event since the last look, or up to so many ns before it; `None`: all symbols.
    async fn look_for_updates(&self, before: Option<i64>, changed_since: &mut [UnixNanos]) {
        let first = self.hub.borrow().next_update();
        for (shard, changed_since) in self.shards.iter().zip(changed_since) {
            let since = before.map_or(UnixNanos(i64::MIN), |before| changed_since.minus(before));
            let mut after = None;
            let mut began = None;
            loop {
                let (reply, answer) = bounded(1);
                shard.send(ShardRequest::Updates { since, after, reply }).await;
                // A shard that has ended has no symbols any more.
                let Ok(page) = answer.recv().await else { break };
                began.get_or_insert(page.moment);
                self.turns.next_of_many().await;
                let mut hub = self.hub.borrow_mut();
                page.updates.into_iter().for_each(|update| hub.update(update));
                after = page.looked_up_to;
                if after.is_none() || hub.reader_count() == 0 {
                    break;
                }
            }
            *changed_since = began.unwrap_or(*changed_since);
        }
        if before.is_none() {
            self.hub.borrow_mut().forget_before(first);
        }
    }
}

/// A reader's place; it leaves when this is dropped.
pub struct Reader {
    events: Rc<Events>,
    number: u64,
}

impl EventReader for Reader {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.events.hub.borrow_mut().is_ready(self.number, cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        self.events.hub.borrow_mut().take(self.number, out);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.events.hub.borrow_mut().leave(self.number);
    }
}
