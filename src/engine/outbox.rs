//! What waits to be published, as values.
//!
//! ```text
//!   signals    ring of SIGNALS_WAITING_MAX; full: the oldest goes, counted
//!   snapshots  one place a symbol; a newer one overwrites an unsent one
//!   turn       the symbols whose place is taken, in the order they were
//! ```
//!
//! Signals leave before snapshots: an agent acts on them.

use std::collections::VecDeque;

use super::bounds::SIGNALS_WAITING_MAX;
use super::features::Snapshot;
use super::signal::Signal;
use super::symbol::SymbolId;

pub struct Outbox {
    signals: VecDeque<(SymbolId, Signal)>,
    snapshots: Vec<Option<Snapshot>>,
    turn: VecDeque<SymbolId>,
}

/// One message to publish.
pub enum Outgoing {
    Signal(SymbolId, Signal),
    Features(SymbolId, Snapshot),
}

impl Outbox {
    pub fn new(symbol_capacity: usize) -> Self {
        Outbox {
            signals: VecDeque::with_capacity(SIGNALS_WAITING_MAX),
            snapshots: Vec::with_capacity(symbol_capacity),
            turn: VecDeque::with_capacity(symbol_capacity),
        }
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

    pub fn push_snapshot(&mut self, symbol: SymbolId, snapshot: Snapshot) {
        let index = symbol.0 as usize;
        if index >= self.snapshots.len() {
            self.snapshots.resize(index + 1, None);
        }
        if self.snapshots[index].replace(snapshot).is_none() {
            self.turn.push_back(symbol);
        }
    }

    pub fn pop(&mut self) -> Option<Outgoing> {
        if let Some((symbol, signal)) = self.signals.pop_front() {
            return Some(Outgoing::Signal(symbol, signal));
        }
        let symbol = self.turn.pop_front()?;
        let snapshot = self.snapshots[symbol.0 as usize].take().expect("a symbol in turn has a snapshot");
        Some(Outgoing::Features(symbol, snapshot))
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.turn.is_empty()
    }
}
