//! How far a reader is, and how far behind.

use super::{Stage, StreamReader};
use crate::jetstream::report::{Phase, ReaderReport};
use crate::jetstream::{CLOCK_TOLERANCE_NS, Start};

impl StreamReader {
    /// Where it stands.
    pub fn report(&self, now_ns: u64) -> ReaderReport {
        let phase = match (self.stage, self.start) {
            (Stage::Offline, _) => Phase::Offline,
            (Stage::Look | Stage::CreateStream | Stage::CreateConsumer, _) => Phase::Preparing,
            (Stage::Reading, Start::NewestOfEach) => Phase::Newest,
            (Stage::Reading, _) if self.has_caught_up => Phase::Live,
            (Stage::Reading, _) => Phase::CatchingUp,
        };
        // What the last look saw, where nothing has come since.
        let seen = self.last_look.filter(|look| self.reads_all && look.deliveries == self.deliveries);
        let unread = seen.map_or(0, |look| look.last_sequence.saturating_sub(self.passed_sequence()));
        let pending = self.pending.max(unread);
        let since_applied = || {
            let present_ns = self.present(now_ns)?;
            // A clock that was wrong then tells nothing.
            let is_told = self.applied_ns <= present_ns.saturating_add(CLOCK_TOLERANCE_NS);
            // What waits came since nothing did.
            let idle_ns = self.idle_ns.map_or(u64::MAX, |idle_ns| now_ns.saturating_sub(idle_ns));
            is_told.then(|| present_ns.saturating_sub(self.applied_ns).min(idle_ns))
        };
        // Without a consumer it is not known what waits.
        let unknown_ns = match self.stage {
            Stage::Reading => 0,
            _ => self.left_ns.map_or(0, |left_ns| now_ns.saturating_sub(left_ns)),
        };
        ReaderReport {
            phase,
            has_caught_up: self.has_caught_up,
            applied_count: self.applied_count,
            applied_sequence: self.applied_sequence,
            pending,
            beginning_sequence: self.beginning.map(|beginning| beginning.last_sequence),
            lag_ns: match pending {
                0 => Some(unknown_ns),
                _ if self.applied_count == 0 => None,
                _ => since_applied(),
            },
            resets: self.resets,
            consumers_lost: self.consumers_lost,
            missed: self.missed,
            skipped: self.skipped,
        }
    }
}
