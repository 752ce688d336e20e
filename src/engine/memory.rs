//! Memory that is reserved at start. Where there is none, that is an error that says what to do, never an abort.
//!
//! The tables are as large as their settings say, so a wrong setting, a limit (`ulimit -v`, strict overcommit) or a small
//! machine shows here and nowhere else. Reserved pages cost nothing before they are written.

use std::collections::VecDeque;
use std::fmt;
use std::mem::size_of;

use zerocopy::FromZeros;

/// A table, as an error names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it holds, as in "no memory for …".
    pub what: &'static str,
    /// The setting that its size follows.
    pub setting: &'static str,
}

/// A table for which there is no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory {
    /// Which one.
    pub table: Table,
    /// `usize::MAX` where the size is more than a number holds.
    pub bytes: usize,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoMemory { table: Table { what, setting }, bytes } = self;
        let megabytes = bytes.div_ceil(1_000_000);
        write!(
            f,
            "no memory for {what}: {megabytes} MB more are needed; set a lower {setting}, or give this process more memory \
             (ulimit -v, vm.overcommit_memory)"
        )
    }
}

impl Table {
    /// A table that holds `what`, as large as `setting` says.
    pub const fn new(what: &'static str, setting: &'static str) -> Table {
        Table { what, setting }
    }

    /// An empty list with room for `capacity` entries.
    pub fn list<T>(self, capacity: usize) -> Result<Vec<T>, NoMemory> {
        let mut list = Vec::new();
        list.try_reserve_exact(capacity).map_err(|_| self.missing::<T>(capacity))?;
        Ok(list)
    }

    /// An empty ring with room for `capacity` entries.
    pub fn ring<T>(self, capacity: usize) -> Result<VecDeque<T>, NoMemory> {
        let mut ring = VecDeque::new();
        ring.try_reserve_exact(capacity).map_err(|_| self.missing::<T>(capacity))?;
        Ok(ring)
    }

    /// `len` zeros, of which none is touched.
    pub fn zeros<T: FromZeros>(self, len: usize) -> Result<Vec<T>, NoMemory> {
        T::new_vec_zeroed(len).map_err(|_| self.missing::<T>(len))
    }

    /// The error for `count` entries of which there is no room.
    pub fn missing<T>(self, count: usize) -> NoMemory {
        NoMemory { table: self, bytes: count.saturating_mul(size_of::<T>()) }
    }
}

/// The texts joined; `None` when there is no memory. For the names that come with events.
pub fn joined(texts: &[&str]) -> Option<Box<str>> {
    let mut joined = String::new();
    joined.try_reserve_exact(texts.iter().map(|text| text.len()).sum()).ok()?;
    texts.iter().for_each(|text| joined.push_str(text));
    Some(joined.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::new("the test's table", "TEST_ENTRIES");

    #[test]
    fn what_cannot_be_had_is_said_with_its_size_and_setting() {
        let check = |capacity: usize, bytes: usize| {
            let expected = NoMemory { table: TABLE, bytes };
            assert_eq!(TABLE.list::<u64>(capacity), Err(expected), "{capacity}");
            assert_eq!(TABLE.ring::<u64>(capacity), Err(expected), "{capacity}");
            assert_eq!(TABLE.zeros::<u64>(capacity), Err(expected), "{capacity}");
        };
        // More than an address space has, more than a Vec may have, more than a number holds.
        check(1 << 57, 1 << 60);
        check(1 << 60, 1 << 63);
        check(usize::MAX, usize::MAX);
        let text = TABLE.missing::<u64>(200_001).to_string();
        assert!(text.starts_with("no memory for the test's table: 2 MB") && text.contains("TEST_ENTRIES"), "{text}");
    }

    #[test]
    fn what_can_be_had_has_the_room_that_was_asked_for() {
        assert!(TABLE.list::<u64>(1_000).is_ok_and(|list| list.is_empty() && list.capacity() >= 1_000));
        assert!(TABLE.ring::<u64>(1_000).is_ok_and(|ring| ring.is_empty() && ring.capacity() >= 1_000));
        assert_eq!(TABLE.zeros::<u64>(1_000), Ok(vec![0; 1_000]));
        assert_eq!(joined(&["ab", "", "c"]).as_deref(), Some("abc"));
    }
}
