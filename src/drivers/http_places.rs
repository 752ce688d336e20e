//! What HTTP connections share: the places, of which the one silent longest is given to a newcomer, the bytes of
//! answers that are on their way, and the counts of both.
//!
//! ```text
//!   accept ──► seated ──(told to leave for another)──► leaving ──► gone
//!      └─────► turned away (503; every seat is being answered) ──► gone
//! ```
//!
//! The invariant: each of the three has a bound, so there are never more connections, and tasks, than their sum.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Waker};

use super::stop::{Stop, Stopped};

/// An answer up to this always goes; those of all connections together are a few MiB.
pub const SMALL_ANSWER_BYTES_MAX: usize = 16 << 10;
/// Connections that were told to leave and are still there: they leave at once, unless a request came meanwhile.
const LEAVING_MAX: usize = 32;
/// Connections that are being told 503. They linger for the peer to read it.
const TURNED_AWAY_MAX: usize = 32;

/// Why a connection was closed that its peer might have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer did not take its answer.
    Unread,
    /// It was silent longest, and another came.
    Silent,
    /// Every place was busy with an answer.
    Full,
    /// The request was not complete in time: 408.
    RequestTimeout,
    /// There was no descriptor for it.
    Descriptors,
}

impl Closed {
    pub const ALL: [Closed; 5] =
        [Closed::Unread, Closed::Silent, Closed::Full, Closed::RequestTimeout, Closed::Descriptors];

    /// The label of the metric, and the key in /stats.
    pub fn name(self) -> &'static str {
        match self {
            Closed::Unread => "unread",
            Closed::Silent => "silent",
            Closed::Full => "full",
            Closed::RequestTimeout => "request_timeout",
            Closed::Descriptors => "descriptors",
        }
    }
}

/// Written by the executor that serves, read anywhere.
#[derive(Debug, Default)]
pub struct HttpCounters {
    closed: [AtomicU64; Closed::ALL.len()],
    answers_refused: AtomicU64,
    in_flight_bytes: AtomicU64,
}

impl HttpCounters {
    pub fn closed(&self, reason: Closed) -> u64 {
        self.closed[reason as usize].load(Relaxed)
    }

    /// Answers over 16 KiB that were 503 because too many bytes were on their way.
    pub fn answers_refused(&self) -> u64 {
        self.answers_refused.load(Relaxed)
    }

    /// Of answers over 16 KiB, at present.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes.load(Relaxed)
    }

    pub(super) fn count(&self, reason: Closed) {
        self.closed[reason as usize].fetch_add(1, Relaxed);
    }
}

/// On one executor.
pub struct Places {
    seats_max: usize,
    in_flight_bytes_max: usize,
    /// By [`Standing`].
    counts: [Cell<usize>; 3],
    /// Seats whose peer owes a request, from the one that has owed it longest.
    waiting: RefCell<BTreeMap<u64, Rc<Seat>>>,
    next_waiting: Cell<u64>,
    /// Sizes of the last answers over 16 KiB, by what they answered.
    large_answers: RefCell<BTreeMap<String, usize>>,
    pub counters: Arc<HttpCounters>,
    on_empty: Cell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Seated,
    Leaving,
    TurnedAway,
}

struct Seat {
    standing: Cell<Standing>,
    /// Its key in `waiting`.
    waiting: Cell<Option<u64>>,
    leave: Stop,
}

/// A connection's place, given back when dropped.
pub struct Place {
    places: Rc<Places>,
    seat: Rc<Seat>,
}

pub enum Admission {
    Seated(Place),
    /// To be told 503.
    TurnedAway(Place),
    /// Not even that: to be closed at once.
    None,
}

impl Places {
    pub fn new(seats_max: usize, in_flight_bytes_max: usize, counters: Arc<HttpCounters>) -> Rc<Places> {
        Rc::new(Places {
            seats_max,
            in_flight_bytes_max,
            counts: Default::default(),
            waiting: RefCell::default(),
            next_waiting: Cell::new(0),
            large_answers: RefCell::default(),
            counters,
            on_empty: Cell::new(None),
        })
    }

    /// For one more connection. It waits for its first request from here on.
    pub fn admit(self: &Rc<Self>) -> Admission {
        if self.count(Standing::Seated).get() < self.seats_max || self.make_room() {
            let place = self.place(Standing::Seated);
            place.wait();
            return Admission::Seated(place);
        }
        self.counters.count(Closed::Full);
        match self.count(Standing::TurnedAway).get() < TURNED_AWAY_MAX {
            true => Admission::TurnedAway(self.place(Standing::TurnedAway)),
            false => Admission::None,
        }
    }

    /// Tells the connection to leave that has been silent longest. False: there is none.
    pub fn make_room(&self) -> bool {
        if self.count(Standing::Leaving).get() >= LEAVING_MAX {
            return false;
        }
        let Some((_, seat)) = self.waiting.borrow_mut().pop_first() else { return false };
        seat.waiting.set(None);
        self.leave_standing(&seat);
        seat.standing.set(Standing::Leaving);
        self.enter_standing(&seat);
        self.counters.count(Closed::Silent);
        seat.leave.set();
        true
    }

    /// Room for the answer to a request for `target`, before it is made: as large as the last one was. `None`: there is
    /// no room, so it need not be made.
    pub fn reserve(&self, target: &str) -> Option<InFlight<'_>> {
        let expected = self.large_answers.borrow().get(target).copied().unwrap_or(0);
        let mut room = InFlight { places: self, len_bytes: 0 };
        room.resize(expected).then_some(room)
    }

    /// Keeps what [`reserve`](Self::reserve) will expect.
    pub fn note_answer(&self, target: &str, len_bytes: usize) {
        let mut answers = self.large_answers.borrow_mut();
        match answers.get_mut(target) {
            Some(known) if len_bytes > SMALL_ANSWER_BYTES_MAX => *known = len_bytes,
            Some(_) => drop(answers.remove(target)),
            // Only what the responder knows has large answers, so peers cannot make this grow.
            None if len_bytes > SMALL_ANSWER_BYTES_MAX => drop(answers.insert(target.to_owned(), len_bytes)),
            None => {}
        }
    }

    /// Until the last place has been given back.
    pub async fn are_empty(&self) {
        poll_fn(|cx| match self.is_empty() {
            true => Poll::Ready(()),
            false => {
                self.on_empty.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.get() == 0)
    }

    fn place(self: &Rc<Self>, standing: Standing) -> Place {
        let seat = Seat { standing: Cell::new(standing), waiting: Cell::new(None), leave: Stop::new() };
        self.enter_standing(&seat);
        Place { places: self.clone(), seat: Rc::new(seat) }
    }

    fn count(&self, standing: Standing) -> &Cell<usize> {
        &self.counts[standing as usize]
    }

    fn enter_standing(&self, seat: &Seat) {
        let count = self.count(seat.standing.get());
        count.set(count.get() + 1);
    }

    fn leave_standing(&self, seat: &Seat) {
        let count = self.count(seat.standing.get());
        count.set(count.get() - 1);
    }
}

impl Place {
    /// The peer owes a request: the place may be given to another. A byte of it changes nothing.
    pub fn wait(&self) {
        if self.seat.standing.get() != Standing::Seated || self.seat.waiting.get().is_some() {
            return;
        }
        let key = self.places.next_waiting.get();
        self.places.next_waiting.set(key + 1);
        self.seat.waiting.set(Some(key));
        self.places.waiting.borrow_mut().insert(key, self.seat.clone());
    }

    /// The request is there: the place is kept until [`wait`](Self::wait).
    pub fn be_busy(&self) {
        if let Some(key) = self.seat.waiting.take() {
            self.places.waiting.borrow_mut().remove(&key);
        }
    }

    /// Until it is to be left.
    pub fn taken(&self) -> Stopped {
        self.seat.leave.wait()
    }

    pub fn is_taken(&self) -> bool {
        self.seat.leave.is_set()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.be_busy();
        self.places.leave_standing(&self.seat);
        if self.places.is_empty()
            && let Some(waker) = self.places.on_empty.take()
        {
            waker.wake();
        }
    }
}

/// Room for the bytes of one answer, given back when dropped.
pub struct InFlight<'a> {
    places: &'a Places,
    len_bytes: usize,
}

impl InFlight<'_> {
    /// False: there is no room for so many; then it holds what it held. Small answers take none, and what is larger than
    /// all the room there is goes when it is alone.
    pub fn resize(&mut self, len_bytes: usize) -> bool {
        let len_bytes = if len_bytes <= SMALL_ANSWER_BYTES_MAX { 0 } else { len_bytes };
        let in_flight = &self.places.counters.in_flight_bytes;
        let others = in_flight.load(Relaxed) as usize - self.len_bytes;
        if len_bytes > self.len_bytes && others > 0 && others + len_bytes > self.places.in_flight_bytes_max {
            self.places.counters.answers_refused.fetch_add(1, Relaxed);
            return false;
        }
        in_flight.store((others + len_bytes) as u64, Relaxed);
        self.len_bytes = len_bytes;
        true
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seated(places: &Rc<Places>) -> Place {
        match places.admit() {
            Admission::Seated(place) => place,
            _ => panic!("there is a place"),
        }
    }

    #[test]
    fn the_one_that_has_waited_longest_leaves() {
        let places = Places::new(3, 0, Arc::default());
        let [first, second, third] = [(); 3].map(|()| seated(&places));
        first.be_busy();
        first.wait();
        third.be_busy();
        let fourth = seated(&places);
        assert_eq!([&first, &second, &third, &fourth].map(Place::is_taken), [false, true, false, false]);
        // Those that leave do not come back into the order.
        second.wait();
        let fifth = seated(&places);
        assert!(first.is_taken() && !fourth.is_taken());
        fourth.be_busy();
        fifth.be_busy();
        assert_eq!((places.counters.closed(Closed::Silent), places.counters.closed(Closed::Full)), (2, 0));

        // All are busy now.
        let turned_away: Vec<Admission> = (0..TURNED_AWAY_MAX).map(|_| places.admit()).collect();
        assert!(turned_away.iter().all(|admission| matches!(admission, Admission::TurnedAway(_))));
        assert!(matches!(places.admit(), Admission::None));
        assert_eq!(places.counters.closed(Closed::Full), 1 + TURNED_AWAY_MAX as u64);
        drop(fifth);
        let sixth = seated(&places);
        assert!(!places.is_empty());
        drop((first, second, third, fourth, sixth, turned_away));
        assert!(places.is_empty() && places.waiting.borrow().is_empty());
    }

    #[test]
    fn those_that_do_not_leave_are_bounded() {
        let places = Places::new(1, 0, Arc::default());
        let stuck: Vec<Place> = (0..=LEAVING_MAX).map(|_| seated(&places)).collect();
        assert!(matches!(places.admit(), Admission::TurnedAway(_)));
        drop(stuck);
        assert!(places.is_empty());
    }

    #[test]
    fn answers_have_room_up_to_the_bound() {
        let (small, large) = (SMALL_ANSWER_BYTES_MAX, SMALL_ANSWER_BYTES_MAX + 1);
        let places = Places::new(0, 2 * large, Arc::default());
        let bytes = || places.counters.in_flight_bytes() as usize;
        let mut rooms = [(); 3].map(|()| places.reserve("/").expect("nothing is known of it"));
        assert!(rooms[0].resize(large) && rooms[1].resize(large) && !rooms[2].resize(large));
        assert!(rooms[2].resize(small));
        assert_eq!((bytes(), places.counters.answers_refused()), (2 * large, 1));

        // The next one is expected to be as the last.
        places.note_answer("/", large);
        assert!(places.reserve("/").is_none() && places.reserve("/other").is_some());
        places.note_answer("/", small);
        assert!(places.reserve("/").is_some() && places.large_answers.borrow().is_empty());
        drop(rooms);
        assert_eq!(bytes(), 0);

        let mut alone = places.reserve("/").unwrap();
        assert!(alone.resize(9 * large), "what is larger than the bound goes alone");
        assert!(!places.reserve("/").unwrap().resize(large));
        assert!(alone.resize(large) && bytes() == large);
    }
}
