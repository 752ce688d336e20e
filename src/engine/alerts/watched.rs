//! What is known of the alerts of a subject, and when they are looked at again.

use crate::engine::alerts::alert::AlertKind;
use crate::engine::alerts::edge::Edge;
use crate::engine::state::provider::{NEVER, NO_DEADLINE, ProviderId};
use crate::engine::time::UnixNanos;

/// The first kinds are about a symbol; the last of them of one moment.
pub(super) const SYMBOL_KINDS: usize = 4;
const _: () = assert!(AlertKind::ProviderSwitch as usize + 1 == SYMBOL_KINDS);
/// In the place of a symbol: the process.
pub(super) const PROCESS: u32 = u32::MAX;

/// An alert of one kind about one subject.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    pub edge: Edge,
    /// Its number, while it fires.
    pub number: u64,
    /// Its timer's.
    pub due: UnixNanos,
}

pub(super) const QUIET: Watched = Watched { edge: Edge::Quiet, number: 0, due: NO_DEADLINE };

/// The alerts of a symbol.
#[derive(Clone, Copy)]
pub(super) struct OfSymbol {
    pub by_kind: [Watched; SYMBOL_KINDS],
    /// Up to then a latency above the limit may be in its window.
    pub slow_until: UnixNanos,
    /// The provider that the last alert of a switch has named, and when that was.
    pub told: (ProviderId, UnixNanos),
}

pub(super) const NOTHING: OfSymbol =
    OfSymbol { by_kind: [QUIET; SYMBOL_KINDS], slow_until: NEVER, told: (ProviderId::UNKNOWN, NEVER) };

/// When an alert that fires is looked at again. Outdated where the alert has another `due`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub due: UnixNanos,
    pub kind: u8,
    pub symbol: u32,
}
