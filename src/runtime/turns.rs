//! Turns for what runs beside a shard on its executor: HTTP, and answers to questions.
//!
//! ```text
//!   shard   ══ pass ══ yields ─┐          ┌─ pass ══ yields ─┐          ┌─ pass …
//!   beside                     └─ slice ──┘                  └─ slice ──┘
//! ```
//!
//! Between two passes of the shard one task does one slice of work, of some tens of microseconds. Tasks that have work wait
//! for their turns in a queue. So however many ask, and whatever they ask for, an event waits for one slice at most.
//!
//! Work of many slices is spread over time, at most ten thousand of them a second. Done in one go, what ten readers of /events are
//! written after a round of a thousand symbols keeps the core for ten milliseconds from all else that runs on it, and that may be
//! the server that is to bring the next event: p99 from trade to snapshot was 1.7 to 2.1 times that without, and is 1.0
//! to 1.3 times, with ten pages. (What shards are asked for page by page comes as fast as they answer: each answer rings.)

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::runtime::bell::Bell;
use crate::runtime::executor::give_way;

/// The default is for an executor without a shard.
#[derive(Default)]
pub struct Turns {
    bell: Option<Arc<Bell>>,
    queue: TurnQueue,
    /// Tasks with work of many slices; only the first of them is in `queue`.
    bulk_queue: TurnQueue,
    /// That one is in it.
    is_bulk_waiting: Cell<bool>,
}

impl Turns {
    pub fn new(bell: Arc<Bell>) -> Turns {
        Turns { bell: Some(bell), ..Turns::default() }
    }

    /// Waits for the next turn. What follows, up to the next await, should be one slice of work.
    pub async fn next(&self) {
        let position = self.queue.front().await;
        give_way().await;
        drop(position);
    }

    /// As [`next`](Self::next), for work of many slices: of all tasks that have such work one at a time is in the queue, so
    /// that a small question does not wait for all large answers.
    pub async fn next_of_many(&self) {
        let position = self.front_of_bulk().await;
        let waiting = Waiting::begin(&self.is_bulk_waiting);
        self.next().await;
        drop((waiting, position));
    }

    /// Waits to be the one task with work of many slices, where other tasks take the turns for it. It is that one until
    /// the position is dropped.
    pub async fn front_of_bulk(&self) -> Position<'_> {
        self.bulk_queue.front().await
    }

    /// A task waits for a turn.
    pub fn is_wanted(&self) -> bool {
        self.queue.is_wanted()
    }

    /// A task waits for one that has not work of many slices. Such work can be spread over time: done in one go it keeps the
    /// core from everyone else, the server that is to bring the next event among them.
    pub fn is_wanted_at_once(&self) -> bool {
        self.queue.len() > usize::from(self.is_bulk_waiting.get())
    }

    /// Events of this socket are reasons for a turn.
    pub fn watch(&self, socket: impl AsFd) {
        if let Some(bell) = &self.bell
            && let Err(error) = bell.watch(socket)
        {
            // The reactor has its turns anyway.
            log::debug!("a socket cannot be watched, so it is served with a delay: {error}");
        }
    }
}

/// Until it is dropped, which may be at any moment.
struct Waiting<'a>(&'a Cell<bool>);

impl Waiting<'_> {
    fn begin(is_waiting: &Cell<bool>) -> Waiting<'_> {
        is_waiting.set(true);
        Waiting(is_waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// First come, first served. The first task stays the first until its position is dropped.
#[derive(Default)]
struct TurnQueue {
    positions: RefCell<VecDeque<(u64, Option<Waker>)>>,
    last_number: Cell<u64>,
}

impl TurnQueue {
    fn len(&self) -> usize {
        self.positions.borrow().len()
    }

    fn is_wanted(&self) -> bool {
        self.len() > 0
    }

    /// Joins at the end and waits until it is the first.
    async fn front(&self) -> Position<'_> {
        self.last_number.set(self.last_number.get() + 1);
        let position = Position { queue: self, number: self.last_number.get() };
        self.positions.borrow_mut().push_back((position.number, None));
        poll_fn(|cx| {
            let mut positions = self.positions.borrow_mut();
            if positions.front().is_some_and(|(number, _)| *number == position.number) {
                return Poll::Ready(());
            }
            let own = positions.iter_mut().find(|(number, _)| *number == position.number);
            own.expect("it is in the queue until it is dropped").1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        position
    }
}

/// A task's position in a queue. It may be dropped at any moment.
pub struct Position<'a> {
    queue: &'a TurnQueue,
    number: u64,
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        let next = {
            let mut positions = self.queue.positions.borrow_mut();
            positions.retain(|(number, _)| *number != self.number);
            positions.front_mut().and_then(|(_, waker)| waker.take())
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{executor, task};
    use std::rc::Rc;
    use std::time::Duration;

    /// Tasks that each want so many turns, of many or not; the order in which they had them.
    fn take_turns(wishes: &[(char, u32, bool)]) -> String {
        let wishes = wishes.to_vec();
        executor::run("test", async move {
            let (turns, taken) = (Rc::new(Turns::default()), Rc::new(RefCell::new(String::new())));
            let tasks: Vec<_> = wishes
                .into_iter()
                .map(|(name, count, is_bulk)| {
                    let (turns, taken) = (turns.clone(), taken.clone());
                    task::spawn(async move {
                        for _ in 0..count {
                            match is_bulk {
                                true => turns.next_of_many().await,
                                false => turns.next().await,
                            }
                            taken.borrow_mut().push(name);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            assert!(!turns.is_wanted());
            taken.take()
        })
        .expect("an executor can be started")
    }

    #[test]
    fn first_come_first_served() {
        assert_eq!(take_turns(&[('a', 3, false), ('b', 1, false), ('c', 2, false)]), "abcaca");
        assert_eq!(take_turns(&[('a', 2, true), ('b', 2, true), ('c', 2, true)]), "abcabc");
    }

    #[test]
    fn only_a_small_one_is_wanted_at_once() {
        executor::run("test", async {
            let turns = Rc::new(Turns::default());
            let next = |is_bulk| {
                let turns = turns.clone();
                task::spawn(async move {
                    match is_bulk {
                        true => turns.next_of_many().await,
                        false => turns.next().await,
                    }
                })
            };
            let is_wanted = || (turns.is_wanted(), turns.is_wanted_at_once());
            assert_eq!(is_wanted(), (false, false));
            let position = turns.queue.front().await;
            assert_eq!(is_wanted(), (true, true));
            let tasks = [next(true), next(true), next(true)];
            give_way().await;
            assert_eq!(is_wanted(), (true, true), "the small one is still before them");
            drop(position);
            assert_eq!(is_wanted(), (true, false));
            let small = next(false);
            small.await;
            for task in tasks {
                task.await;
            }
            assert_eq!(is_wanted(), (false, false));
            // One that leaves the queue is not counted any more.
            let position = turns.queue.front().await;
            assert!(crate::runtime::timeout::within(Duration::from_millis(1), turns.next_of_many()).await.is_none());
            assert_eq!(is_wanted(), (true, true));
            drop(position);
            assert_eq!(is_wanted(), (false, false));
        })
        .expect("an executor can be started");
    }

    #[test]
    fn of_the_large_ones_one_is_in_the_queue() {
        let wishes = [('a', 4, true), ('b', 4, true), ('c', 4, true), ('x', 2, false), ('y', 2, false)];
        let taken = take_turns(&wishes);
        let last = taken.rfind(['x', 'y']).expect("they had turns");
        assert!(last < 8, "of 16 turns the small ones had theirs among the first: {taken}");
    }

    #[test]
    fn a_task_that_leaves_the_queue_delays_no_other() {
        executor::run("test", async {
            let turns = Rc::new(Turns::default());
            let first = turns.queue.front().await;
            let second = {
                let turns = turns.clone();
                task::spawn(async move {
                    let gave_up = crate::runtime::timeout::within(Duration::from_millis(1), turns.next()).await;
                    assert!(gave_up.is_none());
                })
            };
            let third = {
                let turns = turns.clone();
                task::spawn(async move { turns.next().await })
            };
            second.await;
            drop(first);
            third.await;
            assert!(!turns.is_wanted());
        })
        .expect("an executor can be started");
    }
}
