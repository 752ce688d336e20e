//! How often a log line may come whose cause is a peer, a file or the network.

use std::cell::Cell;
use std::fmt;

use log::kv::{ToValue, Value};

use crate::engine::time::NANOS_PER_SECOND;

/// Between two lines of one kind, where no other interval is given.
const INTERVAL_NS: u64 = NANOS_PER_SECOND as u64;

/// One kind of line: logged at most once in an interval, with the number of occurrences that it stands for. Times are ns
/// of one clock that never steps back.
#[derive(Debug, Default)]
pub struct LogLimit {
    logged_ns: Cell<Option<u64>>,
    unlogged: Cell<u64>,
}

impl LogLimit {
    /// Counts an occurrence. `Some`: a line is due, at most once a second, which stands for so many.
    #[inline]
    pub fn count(&self, now_ns: u64) -> Option<Count> {
        self.count_within(now_ns, INTERVAL_NS)
    }

    /// As [`count`](Self::count), at most once in `interval_ns`.
    #[inline]
    pub fn count_within(&self, now_ns: u64, interval_ns: u64) -> Option<Count> {
        let unlogged = self.unlogged.get() + 1;
        if self.logged_ns.get().is_some_and(|logged_ns| now_ns - logged_ns < interval_ns) {
            self.unlogged.set(unlogged);
            return None;
        }
        self.logged_ns.set(Some(now_ns));
        self.unlogged.set(0);
        Some(Count(unlogged))
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
    fn a_count_of_one_has_no_text() {
        assert_eq!(Count(1).to_string(), "");
        assert_eq!(Count(1001).to_string(), " (and 1000 more since the last such line)");
    }
}
