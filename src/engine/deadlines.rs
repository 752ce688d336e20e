//! The queue of deadlines of snapshots: the end of the interval since a symbol's last one. What is published then is decided in
//! [`engine`](crate::engine::engine).
//!
//! ```text
//!   publication ──► push(deadline) ──► [ soonest … latest ] ──► pop()
//! ```
//!
//! The interval is one constant, so deadlines come in the order of the publications before them, and a FIFO is sorted. An
//! event may publish its symbol before an entry falls due: that entry is outdated.

use std::collections::VecDeque;

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::symbol_table::{SymbolId, SymbolTable};
use crate::engine::time::UnixNanos;

const DEADLINES: Table = Table::new("the snapshots that are due", "MAX_SYMBOLS");

pub(super) struct DeadlineQueue {
    /// The end of each symbol's running interval, soonest first.
    deadlines: VecDeque<(UnixNanos, SymbolId)>,
}

impl DeadlineQueue {
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        // A symbol may have an outdated entry beside its valid one.
        Ok(DeadlineQueue { deadlines: DEADLINES.ring(symbol_capacity.saturating_mul(2))? })
    }

    /// A symbol has published, at the moment `deadline - interval`.
    #[inline]
    pub fn push(&mut self, deadline: UnixNanos, id: SymbolId, symbols: &SymbolTable, interval: i64) {
        if self.deadlines.len() == self.deadlines.capacity() {
            self.discard_outdated(symbols, interval);
        }
        self.deadlines.push_back((deadline, id));
    }

    #[cold]
    fn discard_outdated(&mut self, symbols: &SymbolTable, interval: i64) {
        self.deadlines.retain(|(deadline, id)| symbols.state(*id).is_interval_end(*deadline, interval));
    }

    /// The soonest moment at which a snapshot may be due.
    #[inline]
    pub fn next_deadline(&self) -> Option<UnixNanos> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Takes the soonest entry, which may be outdated.
    #[inline]
    pub fn pop(&mut self) -> Option<(UnixNanos, SymbolId)> {
        self.deadlines.pop_front()
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.deadlines.iter_mut().for_each(|(deadline, _)| *deadline = deadline.plus(step_ns));
    }
}
