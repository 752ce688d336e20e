//! The log line about times that cannot be read: once a minute at most, for all providers together.

use crate::engine::bounds::PROVIDERS_MAX;
use crate::engine::engine::Engine;
use crate::engine::time::NANOS_PER_SECOND;
use crate::runtime::log_text::printable;

/// Between two lines.
const INTERVAL_NS: u64 = 60 * NANOS_PER_SECOND as u64;

/// What has been said so far.
pub(super) struct UnreadableTimes {
    said: [u64; PROVIDERS_MAX],
    said_ns: Option<u64>,
}

impl Default for UnreadableTimes {
    fn default() -> Self {
        UnreadableTimes { said: [0; PROVIDERS_MAX], said_ns: None }
    }
}

impl UnreadableTimes {
    /// Says how many events have had such a time since the last line, by provider.
    pub fn report(&mut self, engine: &Engine, core: u32, now_ns: u64) {
        let counts = &engine.counters.timestamps_unreadable;
        if *counts == self.said || self.said_ns.is_some_and(|said_ns| now_ns - said_ns < INTERVAL_NS) {
            return;
        }
        let more = |index: usize| counts[index] - self.said[index];
        let providers: Vec<String> = engine
            .providers()
            .iter()
            .filter(|(index, _)| more(*index) > 0)
            .map(|(index, name)| format!("{} {}", printable(name), more(index)))
            .collect();
        let (count, providers): (u64, _) = ((0..PROVIDERS_MAX).map(more).sum(), providers.join(", "));
        log::warn!(
            core, count, providers:%;
            "{count} events came with times that cannot be read ({providers}) and count as events without them: send \
             RFC 3339 or epoch numbers, from 2000 to 2100"
        );
        (self.said, self.said_ns) = (*counts, Some(now_ns));
    }
}
