//! What two connections bring at the same time is taken once.
//!
//! ```text
//!   old connection   ────A──B──C──D│              remembered from the successor's SUB on: A B C D
//!   its successor        ╰─SUB─ ─C──D──E──F──►    C and D have been taken, E has not
//! ```
//!
//! Core NATS gives messages no number, so a message is known by its subject and its payload. Both connections bring what one
//! producer sends in its order. A message that is remembered and comes again is left out once; one whose twin was sent
//! again by its producer comes as often as that did, as each is counted. Wrong only where a producer sends the same bytes twice,
//! once just before the overlap and once within the seconds after it: the second is left out.

use std::collections::HashMap;
use std::fmt;
use std::mem;

use ahash::RandomState;

use crate::engine::time::NANOS_PER_SECOND;

/// Messages that are remembered: a quarter of a second of a flood. What comes beyond them may be taken twice, and is counted.
const MESSAGES_MAX: usize = 1 << 18;
/// After the move, what the old connection has brought may still come: the new server and the socket hold it.
pub const REPEATS_NS: u64 = 5 * NANOS_PER_SECOND as u64;

/// What is said where [`Overlap::begin`] is refused.
pub const NO_MEMORY: &str = "there is no memory to compare what two NATS servers send: messages may be taken twice";

/// How often each message has come on the old connection and not on the new one yet.
type Taken = HashMap<u64, u32, RandomState>;

/// What is remembered of a move; nothing while there is none.
#[derive(Default)]
pub struct Overlap {
    moving: Option<Box<Move>>,
}

struct Move {
    hasher: RandomState,
    taken: Taken,
    /// Until when the new connection is compared; `None`: the old one is read.
    until_ns: Option<u64>,
    /// Of the move before this one, which is not over: the old connection of this one is its new one, until then.
    earlier: Option<(Taken, u64)>,
    /// Not remembered.
    unknown_count: u64,
    repeat_count: u64,
}

/// What came of an overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlapCounts {
    /// Came on both, and were taken once.
    pub repeated: u64,
    /// Too many to be remembered: these may have been taken twice.
    pub unknown: u64,
}

impl fmt::Display for OverlapCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverlapCounts { repeated, unknown } = self;
        let (events, were) = if *repeated == 1 { ("event", "was") } else { ("events", "were") };
        write!(f, "moved to another NATS server: {repeated} {events} came from both, and {were} taken once")?;
        match unknown {
            0 => Ok(()),
            unknown => write!(f, "; {unknown} more may have been taken twice"),
        }
    }
}

impl Overlap {
    /// From now on what is taken may come again. `false`: there is no memory for that.
    #[must_use]
    pub fn begin(&mut self) -> bool {
        let mut taken = Taken::with_hasher(RandomState::new());
        if taken.try_reserve(MESSAGES_MAX).is_err() {
            return false;
        }
        match &mut self.moving {
            // Another successor than the one before: what may come again has been remembered since that one.
            Some(moving) if moving.until_ns.is_none() => {}
            Some(moving) => {
                let before = mem::replace(&mut moving.taken, taken);
                moving.earlier = moving.until_ns.take().map(|until_ns| (before, until_ns));
            }
            None => {
                let hasher = RandomState::new();
                let (until_ns, earlier, unknown_count, repeat_count) = (None, None, 0, 0);
                self.moving = Some(Box::new(Move { hasher, taken, until_ns, earlier, unknown_count, repeat_count }));
            }
        }
        true
    }

    /// The new connection is the one that is read from here on.
    pub fn begin_comparing(&mut self, now_ns: u64) {
        if let Some(moving) = &mut self.moving {
            moving.until_ns.get_or_insert(now_ns + REPEATS_NS);
            moving.earlier = None;
        }
    }

    /// The new connection will bring nothing.
    pub fn cancel(&mut self) {
        let Some(moving) = self.moving.as_mut().filter(|moving| moving.until_ns.is_none()) else { return };
        match moving.earlier.take() {
            Some((taken, until_ns)) => (moving.taken, moving.until_ns) = (taken, Some(until_ns)),
            None => self.moving = None,
        }
    }

    /// Nothing is remembered: no message is a repeated one.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.moving.is_none()
    }

    /// A message has come; whether it was taken already.
    pub fn is_repeated(&mut self, subject: &[u8], payload: &[u8]) -> bool {
        self.moving.as_mut().is_some_and(|moving| moving.is_repeated(subject, payload))
    }

    /// What came of a move, once nothing of it is to come again.
    pub fn poll_over(&mut self, now_ns: u64) -> Option<OverlapCounts> {
        let moving = self.moving.as_mut()?;
        moving.earlier.take_if(|(_, until_ns)| *until_ns <= now_ns);
        moving.until_ns.filter(|until_ns| *until_ns <= now_ns)?;
        let moving = self.moving.take()?;
        Some(OverlapCounts { repeated: moving.repeat_count, unknown: moving.unknown_count })
    }
}

impl Move {
    fn is_repeated(&mut self, subject: &[u8], payload: &[u8]) -> bool {
        let key = self.hasher.hash_one((subject, payload));
        let is_repeated = match (self.until_ns, &mut self.earlier) {
            (Some(_), _) => take_one(&mut self.taken, key),
            (None, Some((taken, _))) => take_one(taken, key),
            (None, None) => false,
        };
        if self.until_ns.is_none() {
            self.remember(key);
        }
        self.repeat_count += u64::from(is_repeated);
        is_repeated
    }

    fn remember(&mut self, key: u64) {
        let has_room = self.taken.len() < MESSAGES_MAX;
        match self.taken.get_mut(&key) {
            Some(count) => *count += 1,
            None if has_room => drop(self.taken.insert(key, 1)),
            None => self.unknown_count += 1,
        }
    }
}

fn take_one(taken: &mut Taken, key: u64) -> bool {
    let Some(count) = taken.get_mut(&key).filter(|count| **count > 0) else { return false };
    *count -= 1;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(old: &[&str]) -> Overlap {
        let mut overlap = Overlap::default();
        assert!(overlap.begin());
        for payload in old {
            assert!(!overlap.is_repeated(b"s", payload.as_bytes()));
        }
        overlap.begin_comparing(7);
        overlap
    }

    #[test]
    fn what_both_bring_is_taken_once() {
        let check = |old: &[&str], new: &[&str], expected: &[&str]| {
            let mut overlap = overlap(old);
            let taken: Vec<&str> =
                new.iter().copied().filter(|payload| !overlap.is_repeated(b"s", payload.as_bytes())).collect();
            assert_eq!(taken, expected, "{old:?}, then {new:?}");
        };
        check(&["A", "B", "C", "D"], &["C", "D", "E", "F"], &["E", "F"]);
        check(&["A", "B"], &["C", "D"], &["C", "D"]);
        check(&[], &["A", "A"], &["A", "A"]);
        // Sent twice by its producer, and taken twice in all.
        check(&["A", "A"], &["A", "A", "B"], &["B"]);
        check(&["A"], &["A", "A", "B"], &["A", "B"]);
    }

    #[test]
    fn another_subject_is_another_message() {
        let mut overlap = overlap(&["A"]);
        assert!(!overlap.is_repeated(b"t", b"A"));
        assert!(!overlap.is_repeated(b"sA", b""));
        assert!(overlap.is_repeated(b"s", b"A"));
    }

    #[test]
    fn it_ends_and_says_what_came_of_it() {
        let mut overlap = Overlap::default();
        assert!(overlap.begin());
        for number in 0..MESSAGES_MAX as u64 + 3 {
            overlap.is_repeated(b"s", &number.to_ne_bytes());
        }
        assert_eq!(overlap.poll_over(u64::MAX), None);
        overlap.begin_comparing(7);
        assert!(overlap.is_repeated(b"s", &0u64.to_ne_bytes()));
        assert_eq!(overlap.poll_over(6 + REPEATS_NS), None);
        assert_eq!(overlap.poll_over(7 + REPEATS_NS), Some(OverlapCounts { repeated: 1, unknown: 3 }));
    }

    /// A node is restarted within the seconds after the one before it.
    #[test]
    fn a_move_while_the_one_before_is_not_over() {
        let repeats = |overlap: &mut Overlap, payloads: &[&str]| -> Vec<bool> {
            payloads.iter().map(|payload| overlap.is_repeated(b"s", payload.as_bytes())).collect()
        };
        // From server 1, whose A and B come again, to server 2; from there to server 3, which brings B again, too.
        let mut moved = overlap(&["A", "B"]);
        assert_eq!(repeats(&mut moved, &["A"]), [true]);
        assert!(moved.begin());
        assert_eq!(repeats(&mut moved, &["B", "C"]), [true, false]);
        moved.begin_comparing(9);
        assert_eq!(repeats(&mut moved, &["B", "C", "C", "D"]), [true, true, false, false]);
        assert_eq!(moved.poll_over(8 + REPEATS_NS), None);
        assert_eq!(moved.poll_over(9 + REPEATS_NS), Some(OverlapCounts { repeated: 4, unknown: 0 }));
        assert!(moved.is_idle() && !moved.is_repeated(b"s", b"D"));
        // Server 3 is not reached: what server 1 has brought is still left out once, until its time is over.
        let mut cancelled = overlap(&["A", "B"]);
        assert!(cancelled.begin());
        assert_eq!(repeats(&mut cancelled, &["A"]), [true]);
        cancelled.cancel();
        assert_eq!(repeats(&mut cancelled, &["A", "B"]), [false, true]);
        assert_eq!(cancelled.poll_over(7 + REPEATS_NS), Some(OverlapCounts { repeated: 2, unknown: 0 }));
        // The time of the first move is over during the second.
        let mut late = overlap(&["A"]);
        assert!(late.begin());
        assert_eq!(late.poll_over(7 + REPEATS_NS), None);
        assert_eq!(repeats(&mut late, &["A"]), [false]);
        // Another successor in the place of the one before: what has been remembered stays.
        let mut again = Overlap::default();
        assert!(again.begin());
        assert_eq!(repeats(&mut again, &["A"]), [false]);
        assert!(again.begin());
        again.begin_comparing(1);
        assert_eq!(repeats(&mut again, &["A"]), [true]);
    }
}
