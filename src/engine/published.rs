//! What became of the engine's outputs: what takes them off it says so here.

use crate::engine::counters::{Topic, Unpublished};
use crate::engine::engine::Engine;
pub use crate::engine::output::latest_signals::LatestSignal;

impl Engine {
    /// A newer snapshot of the symbol that a message is about waits to be published.
    pub fn has_snapshot_waiting(&self, topic: Topic) -> bool {
        match topic {
            Topic::Features { symbol, generation } => {
                self.symbols.names(symbol).generation == generation && self.outbox.has_snapshot(symbol)
            }
            Topic::Signal | Topic::Alert => false,
        }
    }

    /// The connection takes no messages for now: newer snapshots may overwrite unsent ones.
    pub fn stall_output(&mut self) {
        self.outbox.stall();
    }

    /// Counts a message that the connection has taken.
    #[inline]
    pub fn count_published(&mut self, topic: Topic) {
        if let Topic::Features { symbol, .. } = topic {
            self.symbols.state_mut(symbol).features_published += 1;
            self.counters.features_published += 1;
        }
    }

    /// A message that the connection had taken was not delivered: it counts as published no longer. The place of its symbol may
    /// be another's by now.
    pub fn take_back_published(&mut self, topic: Topic) {
        let Topic::Features { symbol, generation } = topic else { return };
        self.counters.features_published = self.counters.features_published.saturating_sub(1);
        if self.symbols.names(symbol).generation == generation {
            let published = &mut self.symbols.state_mut(symbol).features_published;
            *published = published.saturating_sub(1);
        }
    }

    /// A signal that could not be sent for so long is not sent any more, in ns; `i64::MAX`: it is, however old.
    pub fn signal_age_max(&self) -> i64 {
        self.settings.signal.age_limits.event
    }

    /// Counts messages that are given up: the connection cannot take them, was lost before it sent them, or took too long.
    pub fn count_unpublished(&mut self, what: Unpublished, count: u64) {
        self.counters.publish_dropped[what as usize] += count;
    }

    /// The last signals, newest first, also those that were not sent.
    pub fn latest_signals(&self) -> impl Iterator<Item = &LatestSignal> {
        self.latest_signals.iter()
    }
}
