//! What is counted: plain integers, added up on the way and read when somebody asks.

use super::bounds::PROVIDERS_MAX;
use super::provider::ProviderId;
use super::subject::EventKind;

const KINDS: usize = EventKind::ALL.len();

/// Why an event was not used, or not wholly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum DropReason {
    Malformed,
    Backpressure,
    Late,
    SymbolLimit,
}

impl DropReason {
    pub const ALL: [DropReason; 4] = [Self::Malformed, Self::Backpressure, Self::Late, Self::SymbolLimit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Backpressure => "backpressure",
            Self::Late => "late",
            Self::SymbolLimit => "symbol_limit",
        }
    }
}

/// What is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum OutputKind {
    Features,
    Signal,
}

impl OutputKind {
    pub const ALL: [OutputKind; 2] = [Self::Features, Self::Signal];

    pub fn name(self) -> &'static str {
        match self {
            Self::Features => "features",
            Self::Signal => "signal",
        }
    }
}

/// Counts since start, of one engine.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Events received, by kind and provider; one that could not be read counts with the provider `unknown`.
    pub events_in: [[u64; PROVIDERS_MAX]; KINDS],
    pub events_dropped: [[u64; KINDS]; DropReason::ALL.len()],
    pub timestamps_rejected: [u64; PROVIDERS_MAX],
    pub signals_suppressed_stale: u64,
    /// Outputs that found no room, or that the server would not have taken.
    pub publish_dropped: [u64; OutputKind::ALL.len()],
    /// Messages skipped because another shard owns their symbol.
    pub events_foreign: u64,
    pub processing_latency: LatencyHistogram,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            events_in: [[0; PROVIDERS_MAX]; KINDS],
            events_dropped: Default::default(),
            timestamps_rejected: [0; PROVIDERS_MAX],
            signals_suppressed_stale: 0,
            publish_dropped: Default::default(),
            events_foreign: 0,
            processing_latency: LatencyHistogram::default(),
        }
    }
}

impl Counters {
    #[inline]
    pub fn count_in(&mut self, kind: EventKind, provider: ProviderId) {
        self.events_in[kind as usize][provider.index()] += 1;
    }

    /// An event that was received and not used, before its provider was known.
    pub fn count_unread(&mut self, kind: EventKind, reason: DropReason) {
        self.count_in(kind, ProviderId::UNKNOWN);
        self.count_dropped(kind, reason);
    }

    #[inline]
    pub fn count_dropped(&mut self, kind: EventKind, reason: DropReason) {
        self.events_dropped[reason as usize][kind as usize] += 1;
    }

    pub fn events_in_total(&self) -> u64 {
        self.events_in.iter().flatten().sum()
    }

    pub fn dropped(&self, reason: DropReason, kind: EventKind) -> u64 {
        self.events_dropped[reason as usize][kind as usize]
    }
}

/// Upper bounds of the processing-latency histogram, in ns; one more bucket is above them all.
pub const LATENCY_BOUNDS_NS: [u64; 12] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 25_000_000, 100_000_000];

#[derive(Clone, Debug, Default)]
pub struct LatencyHistogram {
    pub counts: [u64; LATENCY_BOUNDS_NS.len() + 1],
    pub sum_ns: u64,
}

impl LatencyHistogram {
    /// Counts `events` events that took `latency_ns` each.
    pub fn observe(&mut self, latency_ns: u64, events: u64) {
        let bucket = LATENCY_BOUNDS_NS.partition_point(|bound| *bound < latency_ns);
        self.counts[bucket] += events;
        self.sum_ns += latency_ns * events;
    }
}
