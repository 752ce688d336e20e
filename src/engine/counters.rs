//! What is counted: plain integers, added up per event and read for the metrics (`api::metrics`) and /stats.

use crate::engine::bounds::PROVIDERS_MAX;
use crate::engine::input::subject::EventKind;
pub use crate::engine::rules::guards::Suppression;
use crate::engine::state::cooldowns::Direction;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_table::SymbolId;

const KINDS: usize = EventKind::ALL.len();

/// Why an event was not used, or only in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DropReason {
    /// The payload cannot be used: nothing has changed.
    Malformed,
    /// Shed undecoded, as the queue was nearly full.
    Backpressure,
    /// Older than the windows: it changed none.
    Late,
    /// A new symbol for which the table had no place.
    SymbolLimit,
    /// A trade that had come before: nothing has changed.
    Duplicate,
    /// Of a provider that is not the symbol's: it has not changed the symbol.
    OtherProvider,
}

impl DropReason {
    /// In the order of the tables of counts.
    pub const ALL: [DropReason; 6] =
        [Self::Malformed, Self::Backpressure, Self::Late, Self::SymbolLimit, Self::Duplicate, Self::OtherProvider];

    /// As metrics and /stats name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Backpressure => "backpressure",
            Self::Late => "late",
            Self::SymbolLimit => "symbol_limit",
            Self::Duplicate => "duplicate",
            Self::OtherProvider => "other_provider",
        }
    }
}

/// What is published.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum OutputKind {
    /// A snapshot of features.
    Features,
    /// A signal.
    Signal,
    /// An alert.
    Alert,
}

impl OutputKind {
    /// In the order of the tables of counts.
    pub const ALL: [OutputKind; 3] = [Self::Features, Self::Signal, Self::Alert];
}

/// What a message to publish is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Topic {
    /// A snapshot of a symbol's features.
    Features {
        /// The symbol's place,
        symbol: SymbolId,
        /// and which symbol of that place it is.
        generation: u32,
    },
    /// A signal.
    Signal,
    /// An alert.
    Alert,
}

impl Topic {
    /// Its kind.
    #[inline]
    pub fn kind(self) -> OutputKind {
        match self {
            Self::Features { .. } => OutputKind::Features,
            Self::Signal => OutputKind::Signal,
            Self::Alert => OutputKind::Alert,
        }
    }
}

/// What became of an output that was not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Unpublished {
    /// A snapshot was given up: for want of room, or because the connection could not take it.
    Features,
    /// So was a signal.
    Signal,
    /// So was an alert.
    Alert,
    /// A signal could not be sent for so long that nobody is to act on it any more.
    SignalExpired,
}

impl Unpublished {
    /// In the order of the tables of counts.
    pub const ALL: [Unpublished; 4] = [Self::Features, Self::Signal, Self::Alert, Self::SignalExpired];

    /// As metrics and /stats name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Signal => "signal",
            Self::Alert => "alert",
            Self::SignalExpired => "signal_expired",
        }
    }
}

impl From<OutputKind> for Unpublished {
    fn from(kind: OutputKind) -> Unpublished {
        match kind {
            OutputKind::Features => Self::Features,
            OutputKind::Signal => Self::Signal,
            OutputKind::Alert => Self::Alert,
        }
    }
}

/// Counts since start, of one engine.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Events received, by kind and provider; one that could not be read counts with the provider `unknown`.
    pub events_in: [[u64; PROVIDERS_MAX]; KINDS],
    /// By reason and kind.
    pub events_dropped: [[u64; KINDS]; DropReason::ALL.len()],
    /// Events whose time lay too far ahead of local time, by provider.
    pub timestamps_rejected: [u64; PROVIDERS_MAX],
    /// Events with a time that could not be read under any of its names, by provider.
    pub timestamps_unreadable: [u64; PROVIDERS_MAX],
    /// Snapshots handed to the connection, less those that were lost with it or that the server refused.
    pub features_published: u64,
    /// By direction.
    pub signals_emitted: [u64; Direction::ALL.len()],
    /// Signals that were not given though their conditions held, by reason.
    pub signals_suppressed: [u64; Suppression::ALL.len()],
    /// Outputs that were not published, by what became of them.
    pub publish_dropped: [u64; Unpublished::ALL.len()],
    /// Messages skipped because another shard owns their symbol.
    pub events_foreign: u64,
    /// Messages left out because the connection before had brought them as well, while the service moved to another server.
    pub events_repeated: u64,
    /// Idle symbols that gave up their places for new ones.
    pub symbols_evicted: u64,
    /// From the read of an event to its outputs.
    pub processing_latency: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            events_in: [[0; PROVIDERS_MAX]; KINDS],
            events_dropped: Default::default(),
            timestamps_rejected: [0; PROVIDERS_MAX],
            timestamps_unreadable: [0; PROVIDERS_MAX],
            features_published: 0,
            signals_emitted: Default::default(),
            signals_suppressed: Default::default(),
            publish_dropped: Default::default(),
            events_foreign: 0,
            events_repeated: 0,
            symbols_evicted: 0,
            processing_latency: Histogram::new(&LATENCY_BOUNDS_NS),
        }
    }
}

impl Counters {
    /// An event was received.
    #[inline]
    pub fn count_in(&mut self, kind: EventKind, provider: ProviderId) {
        self.events_in[kind as usize][provider.index()] += 1;
    }

    /// An event that was received and not used, before its provider was known.
    pub fn count_unread(&mut self, kind: EventKind, reason: DropReason) {
        self.count_in(kind, ProviderId::UNKNOWN);
        self.count_dropped(kind, reason);
    }

    /// An event was not used, or only in part.
    #[inline]
    pub fn count_dropped(&mut self, kind: EventKind, reason: DropReason) {
        self.events_dropped[reason as usize][kind as usize] += 1;
    }

    /// Events of all kinds and providers.
    pub fn events_in_total(&self) -> u64 {
        self.events_in.iter().flatten().sum()
    }

    /// Events of a kind that were dropped for this reason.
    pub fn dropped(&self, reason: DropReason, kind: EventKind) -> u64 {
        self.events_dropped[reason as usize][kind as usize]
    }
}

/// Bounds of each histogram.
const BOUNDS: usize = 12;
/// Bounds of the processing latency, in ns.
const LATENCY_BOUNDS_NS: [u64; BOUNDS] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 25_000_000, 100_000_000];

/// Bounds of the time between two reads of the socket, in ns.
pub const READ_GAP_BOUNDS_NS: [u64; BOUNDS] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
];

/// Lengths of time, by upper bounds.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Upper bounds, inclusive.
    pub bounds_ns: &'static [u64; BOUNDS],
    /// One for each bound, and one for what is above them all.
    pub counts: [u64; BOUNDS + 1],
    /// Of all lengths.
    pub sum_ns: u64,
}

impl Histogram {
    /// Without a length yet.
    pub fn new(bounds_ns: &'static [u64; BOUNDS]) -> Self {
        Histogram { bounds_ns, counts: [0; BOUNDS + 1], sum_ns: 0 }
    }

    /// Counts `times` lengths of `length_ns` each.
    pub fn observe(&mut self, length_ns: u64, times: u64) {
        let bucket = self.bounds_ns.partition_point(|bound| *bound < length_ns);
        self.counts[bucket] += times;
        self.sum_ns += length_ns * times;
    }

    /// The sum of some that have the same bounds; `None` where there is none.
    pub fn sum<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Option<Histogram> {
        histograms.cloned().reduce(|mut sum, one| {
            sum.counts.iter_mut().zip(one.counts).for_each(|(count, more)| *count += more);
            sum.sum_ns += one.sum_ns;
            sum
        })
    }

    /// What was counted after `earlier`, a state of this one. Where it counts less (a core has ended), nothing.
    pub fn since(mut self, earlier: &Histogram) -> Histogram {
        self.counts.iter_mut().zip(earlier.counts).for_each(|(count, before)| *count = count.saturating_sub(before));
        self.sum_ns = self.sum_ns.saturating_sub(earlier.sum_ns);
        self
    }

    /// The `q`-quantile in ns, taken to lie evenly within its bucket, as Prometheus' `histogram_quantile` has it; above the last
    /// bound it is that bound. `None`: nothing was counted.
    pub fn quantile_ns(&self, q: f64) -> Option<f64> {
        let count: u64 = self.counts.iter().sum();
        let rank = q * count as f64;
        let mut below = 0;
        let (mut lower, last) = (0, self.bounds_ns[BOUNDS - 1] as f64);
        for (in_bucket, upper) in self.counts.iter().zip(self.bounds_ns) {
            if *in_bucket > 0 && (below + in_bucket) as f64 >= rank {
                let part = (rank - below as f64) / *in_bucket as f64;
                return Some(lower as f64 + (upper - lower) as f64 * part);
            }
            (below, lower) = (below + in_bucket, *upper);
        }
        (count > 0).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_what_was_counted_since() {
        let mut earlier = Histogram::new(&LATENCY_BOUNDS_NS);
        earlier.observe(50_000_000, 7);
        let mut later = earlier.clone();
        assert_eq!(later.clone().since(&earlier).quantile_ns(0.5), None);
        later.observe(800, 50);
        later.observe(2_000, 50);
        let since = later.clone().since(&earlier);
        let check = |q, expected: f64| assert_eq!(since.quantile_ns(q), Some(expected), "{q}");
        check(0.25, 500.0);
        check(0.5, 1_000.0);
        check(0.75, 1_750.0);
        check(1.0, 2_500.0);
        later.observe(u64::MAX / 2, 1);
        assert_eq!(later.since(&earlier).quantile_ns(1.0), Some(100_000_000.0));
        assert_eq!(Histogram::sum([&earlier, &earlier].into_iter()).map(|sum| sum.counts[11]), Some(14));
        assert!(Histogram::sum(std::iter::empty()).is_none());
    }
}
