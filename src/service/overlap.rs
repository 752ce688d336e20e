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

use ahash::RandomState;

use crate::engine::time::NANOS_PER_SECOND;

/// Messages that are remembered: a quarter of a second of a flood. What comes beyond them may be taken twice, and is counted.
const MESSAGES_MAX: usize = 1 << 18;
/// After the move, what the old connection has brought may still come: the new server and the socket hold it.
pub const REPEATS_NS: u64 = 5 * NANOS_PER_SECOND as u64;

/// What is said where [`Overlap::begin`] gives none.
pub const NO_MEMORY: &str = "there is no memory to compare what two NATS servers send: messages may be taken twice";

/// The messages of a move.
pub struct Overlap {
    hasher: RandomState,
    /// How often each has come on the old connection and not on the new one yet.
    taken: HashMap<u64, u32, RandomState>,
    stage: Stage,
    /// Not remembered.
    unknown_count: u64,
    repeat_count: u64,
}

enum Stage {
    /// On the old connection.
    Remembering,
    /// On the new one, until then.
    Comparing { until_ns: u64 },
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
        write!(f, "moved to another NATS server: {repeated} events came from both, and were taken once")?;
        match unknown {
            0 => Ok(()),
            unknown => write!(f, "; {unknown} more may have been taken twice"),
        }
    }
}

impl Overlap {
    /// From now on what is taken may come again. `None`: there is no memory for that.
    pub fn begin() -> Option<Overlap> {
        let mut taken = HashMap::with_hasher(RandomState::new());
        taken.try_reserve(MESSAGES_MAX).ok()?;
        Some(Overlap {
            hasher: RandomState::new(),
            taken,
            stage: Stage::Remembering,
            unknown_count: 0,
            repeat_count: 0,
        })
    }

    /// The new connection is the one that is read from here on.
    pub fn begin_comparing(&mut self, now_ns: u64) {
        self.stage = Stage::Comparing { until_ns: now_ns + REPEATS_NS };
    }

    /// There is no new connection yet.
    pub fn is_remembering(&self) -> bool {
        matches!(self.stage, Stage::Remembering)
    }

    /// A message has come; whether it was taken already.
    pub fn is_repeated(&mut self, subject: &[u8], payload: &[u8]) -> bool {
        let key = self.hasher.hash_one((subject, payload));
        match self.stage {
            Stage::Remembering => {
                let has_room = self.taken.len() < MESSAGES_MAX;
                match self.taken.get_mut(&key) {
                    Some(count) => *count += 1,
                    None if has_room => drop(self.taken.insert(key, 1)),
                    None => self.unknown_count += 1,
                }
                false
            }
            Stage::Comparing { .. } => {
                let Some(count) = self.taken.get_mut(&key).filter(|count| **count > 0) else { return false };
                *count -= 1;
                self.repeat_count += 1;
                true
            }
        }
    }

    /// What came of it, once nothing is to come again.
    pub fn poll_over(&self, now_ns: u64) -> Option<OverlapCounts> {
        match self.stage {
            Stage::Comparing { until_ns } if until_ns <= now_ns => {
                Some(OverlapCounts { repeated: self.repeat_count, unknown: self.unknown_count })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(old: &[&str]) -> Overlap {
        let mut overlap = Overlap::begin().expect("there is memory");
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
        let mut overlap = Overlap::begin().expect("there is memory");
        for number in 0..MESSAGES_MAX as u64 + 3 {
            overlap.is_repeated(b"s", &number.to_ne_bytes());
        }
        assert_eq!(overlap.poll_over(u64::MAX), None);
        overlap.begin_comparing(7);
        assert!(overlap.is_repeated(b"s", &0u64.to_ne_bytes()));
        assert_eq!(overlap.poll_over(6 + REPEATS_NS), None);
        assert_eq!(overlap.poll_over(7 + REPEATS_NS), Some(OverlapCounts { repeated: 1, unknown: 3 }));
    }
}
