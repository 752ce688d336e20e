//! The last signals of an engine, as they were or would have been published: for `/signals/latest`. One that waits for the
//! connection, or was given up, is among them.

use std::collections::VecDeque;

use crate::engine::alerts::short_text::ShortText;
use crate::engine::bounds::{LATEST_MAX, STATE_NAME_BYTES_MAX};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::output::encode::encode_signal;
use crate::engine::rules::momentum::Signal;
use crate::engine::state::provider::Providers;
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::time::UnixNanos;

/// More than a signal has, so that its place is there already.
const DOCUMENT_BYTES: usize = 2048;

const LATEST: Table = Table::new("the latest signals", "CORES");

/// A signal that was given.
#[derive(Clone, Debug)]
pub struct LatestSignal {
    /// From 1 on, one more for each signal of the engine.
    pub number: u64,
    /// In local time.
    pub moment: UnixNanos,
    /// The name of the symbol's state.
    pub state: ShortText<STATE_NAME_BYTES_MAX>,
    /// Bytes of that name which are the symbol's.
    symbol_len: usize,
    /// Its JSON.
    pub document: Vec<u8>,
}

impl LatestSignal {
    /// Whether it is of the state of that name, or of the symbol of that name, which may have several states.
    pub fn is_of(&self, name: &str) -> bool {
        let state = self.state.as_str();
        name == state || name == &state[..self.symbol_len]
    }
}

/// Oldest first; when there are [`LATEST_MAX`] the oldest makes room.
pub struct LatestSignals {
    signals: VecDeque<LatestSignal>,
    /// The place of the next one, until all are used.
    unused: Vec<Vec<u8>>,
}

impl LatestSignals {
    pub fn new() -> Result<LatestSignals, NoMemory> {
        let mut unused = LATEST.list(LATEST_MAX)?;
        for _ in 0..LATEST_MAX {
            unused.push(LATEST.list(DOCUMENT_BYTES)?);
        }
        Ok(LatestSignals { signals: LATEST.ring(LATEST_MAX)?, unused })
    }

    pub fn push(&mut self, moment: UnixNanos, names: &SymbolNames, providers: &Providers, signal: &Signal) {
        let place = self.unused.pop().or_else(|| self.signals.pop_front().map(|oldest| oldest.document));
        let mut document = place.expect("each place is unused or taken");
        document.clear();
        encode_signal(&mut document, names, providers, signal);
        let (state, symbol_len) = (ShortText::new(&names.name), names.symbol().len());
        let number = self.signals.back().map_or(1, |newest| newest.number + 1);
        self.signals.push_back(LatestSignal { number, moment, state, symbol_len, document });
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.signals.iter_mut().for_each(|signal| signal.moment = signal.moment.plus(step_ns));
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &LatestSignal> {
        self.signals.iter().rev()
    }
}
