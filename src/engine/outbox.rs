//! What waits to be published, as values.
//!
//! ```text
//!   signals    ring of SIGNALS_WAITING_MAX; full: the oldest goes, counted
//!   snapshots  ring; newest[symbol] is the sequence number of the symbol's newest entry
//!              first ══ entry ══ entry ══ entry ══ first + len
//! ```
//!
//! Signals leave before snapshots: an agent acts on them. While nobody takes the messages (no connection, a socket that
//! is full) a newer snapshot of a symbol overwrites its unsent one, so at most one a symbol is added then.

use std::collections::VecDeque;

use super::bounds::SIGNALS_WAITING_MAX;
use super::features::Snapshot;
use super::memory::{NoMemory, Table};
use super::signal::Signal;
use super::symbol::SymbolId;

const SIGNALS: Table = Table::new("the signals that wait", "MAX_SYMBOLS");
const SNAPSHOTS: Table = Table::new("the snapshots that wait", "MAX_SYMBOLS");

pub struct Outbox {
    signals: VecDeque<(SymbolId, Signal)>,
    snapshots: VecDeque<(SymbolId, Snapshot)>,
    /// Sequence number of the first entry of `snapshots`; counted from 1, so that 0 is before all.
    first: u64,
    newest: Vec<u64>,
    snapshot_capacity: usize,
    is_stalled: bool,
}

/// One message to publish.
pub enum Outgoing {
    Signal(SymbolId, Signal),
    Features(SymbolId, Snapshot),
}

impl Outbox {
    /// Up to `symbol_capacity` snapshots wait in order; beyond that at most one more for each symbol.
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        Ok(Outbox {
            signals: SIGNALS.ring(SIGNALS_WAITING_MAX)?,
            snapshots: SNAPSHOTS.ring(symbol_capacity.saturating_mul(2))?,
            first: 1,
            newest: SNAPSHOTS.zeros(symbol_capacity)?,
            snapshot_capacity: symbol_capacity,
            is_stalled: false,
        })
    }

    /// Returns whether an older signal had to go for it.
    pub fn push_signal(&mut self, symbol: SymbolId, signal: Signal) -> bool {
        let full = self.signals.len() == SIGNALS_WAITING_MAX;
        if full {
            self.signals.pop_front();
        }
        self.signals.push_back((symbol, signal));
        full
    }

    #[inline]
    pub fn push_snapshot(&mut self, symbol: SymbolId, snapshot: Snapshot) {
        let newest = &mut self.newest[symbol.0 as usize];
        if (self.is_stalled || self.snapshots.len() >= self.snapshot_capacity) && *newest >= self.first {
            self.snapshots[(*newest - self.first) as usize].1 = snapshot;
            return;
        }
        *newest = self.first + self.snapshots.len() as u64;
        self.snapshots.push_back((symbol, snapshot));
    }

    /// A snapshot of the symbol is among those that wait.
    pub fn has_snapshot(&self, symbol: SymbolId) -> bool {
        self.newest[symbol.0 as usize] >= self.first
    }

    /// Nobody takes the messages for now; until the next is taken, newer snapshots overwrite unsent ones.
    pub fn stall(&mut self) {
        self.is_stalled = true;
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Outgoing> {
        self.is_stalled = false;
        if let Some((symbol, signal)) = self.signals.pop_front() {
            return Some(Outgoing::Signal(symbol, signal));
        }
        let (symbol, snapshot) = self.snapshots.pop_front()?;
        self.first += 1;
        if self.snapshots.is_empty() {
            // Back to the ring's start, which is in the caches.
            self.snapshots.clear();
        }
        Some(Outgoing::Features(symbol, snapshot))
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.snapshots.is_empty()
    }
}
