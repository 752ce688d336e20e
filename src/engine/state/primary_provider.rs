//! Which provider a symbol has, when several send it (SPEC section 1, "Providers", mode `primary`).
//!
//! ```text
//!   event of the symbol's own provider ──► its state takes it                                   (the path of nearly all)
//!   event of another ──► try_take_over? ── yes ──► the state begins anew, and is the other's
//!                                       └─ no ───► heard, and dropped
//! ```
//!
//! Those listed in `PROVIDERS` have ranks; all others share the last rank, and of equals the present one stays while it is
//! heard. So only when a listed one was last heard must be remembered beside the present one's.

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

/// What a symbol is when several providers send it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProviderMode {
    /// The market of one provider at a time.
    Primary,
    /// One market, whoever sends.
    Merged,
    /// A market for each provider.
    Separate,
}

impl ProviderMode {
    /// In the order in which they are offered.
    pub const ALL: [ProviderMode; 3] = [Self::Primary, Self::Merged, Self::Separate];

    /// As `PROVIDER_MODE` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Merged => "merged",
            Self::Separate => "separate",
        }
    }
}

/// The settings about providers.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// What a symbol is.
    pub mode: ProviderMode,
    /// `PROVIDERS`: names, the first is preferred to the second. At most
    /// [`PROVIDERS_LISTED_MAX`](crate::engine::bounds::PROVIDERS_LISTED_MAX) of at most `PROVIDER_BYTES_MAX` bytes.
    pub preferred: Vec<String>,
    /// A provider is heard for so long after its last event of the symbol, in ns.
    pub timeout: i64,
}

const HEARD: Table = Table::new("the times at which providers were heard", "MAX_SYMBOLS or PROVIDERS");
/// Not heard yet. A moment is kept as its successor, as a replay without any times is at moment 0.
const NEVER: i64 = 0;

/// When each listed provider was last heard for each symbol, while it was not the symbol's own.
pub struct PrimaryProviders {
    timeout: i64,
    listed: usize,
    /// A row for each symbol, a column for each listed provider.
    heard: Vec<i64>,
}

impl PrimaryProviders {
    /// For up to `symbol_capacity` symbols. Where the mode is another, nothing is kept.
    pub fn new(settings: &ProviderSettings, symbol_capacity: usize) -> Result<Self, NoMemory> {
        let listed = if settings.mode == ProviderMode::Primary { settings.preferred.len() } else { 0 };
        let heard = HEARD.zeros(symbol_capacity.saturating_mul(listed))?;
        Ok(PrimaryProviders { timeout: settings.timeout, listed, heard })
    }

    /// A provider that is not the symbol's own was heard.
    pub fn note_heard(&mut self, symbol: SymbolId, provider: ProviderId, local: UnixNanos) {
        if let Some(rank) = self.rank(provider) {
            self.row(symbol)[rank] = local.0 + 1;
        }
    }

    /// Notes that `provider` is heard now, and says whether it becomes the symbol's own in the place of `own`, which was last heard at
    /// `own_heard`: where that is heard no more or has a lower rank, and no other with a better rank is heard.
    pub fn try_take_over(
        &mut self,
        symbol: SymbolId,
        (own, own_heard): (ProviderId, UnixNanos),
        provider: ProviderId,
        local: UnixNanos,
    ) -> bool {
        self.note_heard(symbol, provider, local);
        let timeout = self.timeout;
        let is_heard = |heard: UnixNanos| local.since(heard) <= timeout;
        let rank_of = |provider| self.rank(provider).unwrap_or(self.listed);
        let (own_rank, rank) = (rank_of(own), rank_of(provider));
        if is_heard(own_heard) && own_rank <= rank {
            return false;
        }
        if self.row(symbol)[..rank].iter().any(|heard| *heard != NEVER && is_heard(UnixNanos(*heard - 1))) {
            return false;
        }
        self.note_heard(symbol, own, own_heard);
        true
    }

    /// The symbol's place is another symbol's from now on.
    pub fn forget(&mut self, symbol: SymbolId) {
        self.row(symbol).fill(NEVER);
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.heard.iter_mut().filter(|heard| **heard != NEVER).for_each(|heard| *heard += step_ns);
    }

    fn row(&mut self, symbol: SymbolId) -> &mut [i64] {
        let start = symbol.0 as usize * self.listed;
        &mut self.heard[start..start + self.listed]
    }

    /// A listed provider's place in the list.
    fn rank(&self, provider: ProviderId) -> Option<usize> {
        provider.place_in_list().filter(|place| *place < self.listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::provider::Providers;

    #[test]
    fn the_first_of_those_that_are_heard() {
        let preferred: Vec<String> = ["first", "second", "third"].map(str::to_owned).into();
        let mut providers = Providers::new(&preferred);
        let mut ids = ["first", "second", "third", "a", "b"].map(|name| providers.intern(name.as_bytes()));
        let settings = ProviderSettings { mode: ProviderMode::Primary, preferred, timeout: 10 };
        let check = |heard: &[(usize, i64)], own: (usize, i64), (provider, local): (usize, i64), expected: bool| {
            let mut primaries = PrimaryProviders::new(&settings, 2).expect("there is memory");
            for (provider, moment) in heard {
                primaries.note_heard(SymbolId(1), ids[*provider], UnixNanos(*moment));
            }
            let own = (ids[own.0], UnixNanos(own.1));
            let taken = primaries.try_take_over(SymbolId(1), own, ids[provider], UnixNanos(local));
            assert_eq!(taken, expected, "{heard:?} {own:?} {provider} {local}");
            assert_eq!(primaries.row(SymbolId(0)), [NEVER; 3], "the other symbol's");
        };
        // The better one at once, another when the present one is heard no more.
        check(&[], (1, 100), (0, 100), true);
        check(&[], (1, 100), (2, 110), false);
        check(&[], (1, 100), (2, 111), true);
        check(&[], (3, 100), (2, 101), true);
        check(&[], (3, 100), (4, 110), false);
        check(&[], (3, 100), (4, 111), true);
        check(&[], (2, 100), (4, 110), false);
        check(&[], (2, 100), (4, 111), true);
        // Not while a better one is heard that is not the present one.
        check(&[(0, 101)], (1, 100), (3, 111), false);
        check(&[(0, 100)], (1, 100), (3, 111), true);
        check(&[(2, 109)], (1, 100), (3, 111), false);
        check(&[(0, 101)], (1, 100), (2, 112), true);
        check(&[(2, 109)], (3, 100), (1, 109), true);
        check(&[(0, 105)], (3, 100), (1, 109), false);
        // What the own one had been heard is remembered for when it is not that any more.
        let mut primaries = PrimaryProviders::new(&settings, 2).expect("there is memory");
        let one = SymbolId(1);
        assert!(primaries.try_take_over(one, (ids[1], UnixNanos(100)), ids[0], UnixNanos(101)));
        assert!(!primaries.try_take_over(one, (ids[0], UnixNanos(90)), ids[2], UnixNanos(110)));
        primaries.handle_clock_step(1_000);
        assert!(!primaries.try_take_over(one, (ids[0], UnixNanos(1_090)), ids[3], UnixNanos(1_110)));
        primaries.forget(one);
        ids.swap(0, 3);
        assert!(primaries.try_take_over(one, (ids[3], UnixNanos(1_090)), ids[0], UnixNanos(1_110)));
    }
}
