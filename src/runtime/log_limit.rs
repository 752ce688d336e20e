//! How often a log line may come whose cause is a peer, a file or the network.
//!
//! One mechanism for all of them: a few lines at once, as what is new must be said; then one every few seconds, however often
//! the cause comes: nothing that a peer does gives more than 17 lines of a kind in a minute.

use std::cell::Cell;
use std::fmt;

use log::kv::{ToValue, Value};

use crate::engine::time::NANOS_PER_SECOND;

/// Between two lines of one kind, where no other interval is given.
const INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;
/// Lines that may come before they are rationed, and one more is earned in so much time.
const BURST: u32 = 5;
const EARNED_NS: u64 = 5 * NANOS_PER_SECOND as u64;
/// What these come to.
const LINES_A_MINUTE_MAX: u64 = BURST as u64 + 60 * NANOS_PER_SECOND as u64 / EARNED_NS;
const _: () = assert!(LINES_A_MINUTE_MAX < 20);

/// One kind of line, and the number of occurrences that the next one stands for. Times are ns of one clock that never steps
/// back.
#[derive(Debug)]
pub struct LogLimit {
    burst: u32,
    earned_ns: u64,
    /// When as many lines as ever may come at once again.
    full_ns: Cell<u64>,
    logged_ns: Cell<Option<u64>>,
    unlogged: Cell<u64>,
}

impl Default for LogLimit {
    fn default() -> LogLimit {
        LogLimit::new(BURST, EARNED_NS)
    }
}

impl LogLimit {
    /// `burst` lines, and another one each `earned_ns`.
    pub const fn new(burst: u32, earned_ns: u64) -> LogLimit {
        assert!(burst > 0, "some line may come");
        let (full_ns, logged_ns, unlogged) = (Cell::new(0), Cell::new(None), Cell::new(0));
        LogLimit { burst, earned_ns, full_ns, logged_ns, unlogged }
    }

    /// Counts an occurrence. `Some`: a line is due, at most once a second, which stands for so many.
    #[inline]
    pub fn count(&self, now_ns: u64) -> Option<Count> {
        self.count_within(now_ns, INTERVAL_NS)
    }

    /// As [`count`](Self::count), at most once in `interval_ns`.
    #[inline]
    pub fn count_within(&self, now_ns: u64, interval_ns: u64) -> Option<Count> {
        self.note();
        self.has_line(now_ns, interval_ns).then(|| self.take(now_ns))
    }

    /// Counts an occurrence that gives no line.
    #[inline]
    pub fn note(&self) {
        self.unlogged.set(self.unlogged.get() + 1);
    }

    /// Occurrences that no line has stood for yet.
    pub fn unlogged(&self) -> u64 {
        self.unlogged.get()
    }

    /// A line may come, `interval_ns` after the last one.
    #[inline]
    pub fn has_line(&self, now_ns: u64, interval_ns: u64) -> bool {
        let is_early = self.logged_ns.get().is_some_and(|logged_ns| now_ns - logged_ns < interval_ns);
        !is_early && self.next_line_ns() <= now_ns
    }

    /// When a line may come at the earliest.
    #[inline]
    pub fn next_line_ns(&self) -> u64 {
        self.full_ns.get().saturating_sub((self.burst as u64 - 1) * self.earned_ns)
    }

    /// A line comes, whatever the limit says, and stands for what has been counted.
    pub fn take(&self, now_ns: u64) -> Count {
        self.full_ns.set(self.full_ns.get().max(now_ns) + self.earned_ns);
        self.logged_ns.set(Some(now_ns));
        Count(self.unlogged.take())
    }
}

/// How many occurrences a line stands for, its own included: its key `count`, and at its end in text, where that is more
/// than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more since the last such line)", count - 1),
        }
    }
}

impl ToValue for Count {
    fn to_value(&self) -> Value<'_> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = NANOS_PER_SECOND as u64;

    #[test]
    fn one_line_an_interval_with_its_count() {
        let limit = LogLimit::default();
        let check =
            |now_ns: u64, expected: Option<u64>| assert_eq!(limit.count(now_ns), expected.map(Count), "{now_ns}");
        check(5, Some(1));
        check(5, None);
        check(INTERVAL_NS + 4, None);
        check(INTERVAL_NS + 5, Some(3));
        check(INTERVAL_NS + 6, None);
        assert_eq!(limit.count_within(INTERVAL_NS + 7, 2), Some(Count(2)));
        check(10 * INTERVAL_NS, Some(1));
    }

    #[test]
    fn a_cause_without_end_gives_a_few_lines_and_then_one_now_and_then() {
        let limit = LogLimit::default();
        let (mut lines, mut stands_for) = (Vec::new(), 0);
        // Every 10 ms, for two minutes.
        for now_ns in (0..120 * SECOND).step_by(10_000_000) {
            if let Some(Count(count)) = limit.count(now_ns) {
                lines.push(now_ns);
                stands_for += count;
            }
        }
        assert_eq!(lines[..6], [0, SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND, 5 * SECOND], "what is new is said");
        assert_eq!(lines[6..8], [10 * SECOND, 15 * SECOND]);
        for start in &lines {
            let in_a_minute = lines.iter().filter(|at| (*start..start + 60 * SECOND).contains(at)).count() as u64;
            assert!(in_a_minute <= LINES_A_MINUTE_MAX, "{in_a_minute}");
        }
        assert!((11_500..=12_000).contains(&stands_for), "each occurrence stands in a line: {stands_for}");
        // After a quiet time it is as at the beginning.
        let later = 200 * SECOND;
        assert!((0..5).all(|second| limit.count(later + second * SECOND).is_some()));
    }

    #[test]
    fn a_count_of_one_has_no_text() {
        assert_eq!(Count(1).to_string(), "");
        assert_eq!(Count(1001).to_string(), " (and 1000 more since the last such line)");
    }
}
