//! How what runs beside a shard on its executor (HTTP, answers to questions) comes to its turns.
//!
//! ```text
//!   shard   ══ pass ══ gives way ─┐          ┌─ pass ══ gives way ─┐          ┌─ pass …
//!   beside                        └─ slice ──┘                     └─ slice ──┘
//! ```
//!
//! Between two passes of the shard one task does one slice of work, of some tens of microseconds: whoever has something to
//! do stands in line for it. So however many ask, and whatever they ask for, an event waits for one slice at most.

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
    line: Line,
    /// Its first stands in the other line.
    bulk_line: Line,
}

impl Turns {
    pub fn new(bell: Arc<Bell>) -> Turns {
        Turns { bell: Some(bell), ..Turns::default() }
    }

    /// Waits for the next turn. What follows, up to the next await, should be one slice of work.
    pub async fn next(&self) {
        let place = self.line.front().await;
        give_way().await;
        drop(place);
    }

    /// As [`next`](Self::next), for work of many slices: of all who have such work one is in line at a time, so that a
    /// small question does not wait for all large answers.
    pub async fn next_of_many(&self) {
        let place = self.one_of_many().await;
        self.next().await;
        drop(place);
    }

    /// Waits to be that one, for work whose turns others take. It is, until the place is dropped.
    pub async fn one_of_many(&self) -> Place<'_> {
        self.bulk_line.front().await
    }

    /// Somebody waits for a turn.
    pub fn is_wanted(&self) -> bool {
        self.line.is_wanted()
    }

    /// Events of this socket are reasons for a turn.
    pub fn watch(&self, socket: impl AsFd) {
        if let Some(bell) = &self.bell
            && let Err(error) = bell.watch(socket)
        {
            // It is served all the same, if later: the reactor has its turns anyway.
            log::debug!("a socket cannot be watched: {error}");
        }
    }
}

/// First come, first served. The first keeps its place until that is dropped.
#[derive(Default)]
struct Line {
    places: RefCell<VecDeque<(u64, Option<Waker>)>>,
    last_number: Cell<u64>,
}

impl Line {
    fn is_wanted(&self) -> bool {
        !self.places.borrow().is_empty()
    }

    /// Joins at the end and waits until it is the first.
    async fn front(&self) -> Place<'_> {
        self.last_number.set(self.last_number.get() + 1);
        let place = Place { line: self, number: self.last_number.get() };
        self.places.borrow_mut().push_back((place.number, None));
        poll_fn(|cx| {
            let mut places = self.places.borrow_mut();
            if places.front().is_some_and(|(number, _)| *number == place.number) {
                return Poll::Ready(());
            }
            let own = places.iter_mut().find(|(number, _)| *number == place.number);
            own.expect("it is in line until it is dropped").1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        place
    }
}

/// Left at any moment.
pub struct Place<'a> {
    line: &'a Line,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let next = {
            let mut places = self.line.places.borrow_mut();
            places.retain(|(number, _)| *number != self.number);
            places.front_mut().and_then(|(_, waker)| waker.take())
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

    /// Tasks that each want `turns` turns, of many or not; who had one when.
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
    fn many_large_ones_are_one_in_line() {
        let wishes = [('a', 4, true), ('b', 4, true), ('c', 4, true), ('x', 2, false), ('y', 2, false)];
        let taken = take_turns(&wishes);
        let last = taken.rfind(['x', 'y']).expect("they had turns");
        assert!(last < 8, "of 16 turns the small ones had theirs among the first: {taken}");
    }

    #[test]
    fn who_leaves_the_line_holds_up_nobody() {
        executor::run("test", async {
            let turns = Rc::new(Turns::default());
            let first = turns.line.front().await;
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
