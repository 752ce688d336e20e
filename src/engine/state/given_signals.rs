//! The last signals that were given, so that no id is given twice (SPEC section 3): a symbol that gives up its place and comes back,
//! a provider that repeats its events, a clock that goes back would else give one again. Fingerprints of ids as those of
//! [`recent_trades`](super::recent_trades).

use crate::engine::bounds::GIVEN_SIGNALS_MAX;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::cooldowns::Direction;
use crate::engine::state::recent_set::RecentSet;
use crate::engine::time::UnixNanos;

const GIVEN: Table = Table::new("the signals that were given", "CORES");

/// See the head of this file.
pub struct GivenSignals {
    fingerprints: RecentSet,
    hasher: ahash::RandomState,
}

/// What stands for the id of a signal.
#[derive(Clone, Copy)]
pub struct SignalFingerprint(u64);

impl GivenSignals {
    /// None has been given.
    pub fn new() -> Result<Self, NoMemory> {
        Ok(GivenSignals { fingerprints: RecentSet::new(GIVEN, GIVEN_SIGNALS_MAX)?, hasher: ahash::RandomState::new() })
    }

    /// Of the state's name, the direction and the state's watermark, as the id is.
    pub fn fingerprint(&self, name: &str, direction: Direction, watermark: UnixNanos) -> SignalFingerprint {
        SignalFingerprint(self.hasher.hash_one((name, direction as u8, watermark.0)))
    }

    /// Whether a signal with this id was given.
    pub fn contains(&self, fingerprint: SignalFingerprint) -> bool {
        self.fingerprints.contains(fingerprint.0)
    }

    /// A signal with this id is given.
    pub fn insert(&mut self, fingerprint: SignalFingerprint) {
        self.fingerprints.insert(fingerprint.0);
    }
}
