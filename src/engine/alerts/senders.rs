//! Who sends a symbol, where several providers make one market of it: the two whose newest events are the newest.
//!
//! These two are enough to know whether the window holds events of more than one: what a third one has sent is older than
//! both.

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

const SENDERS: Table = Table::new("the providers of symbols", "MAX_SYMBOLS");

/// A provider, and t of its newest event.
type Sent = Option<(ProviderId, UnixNanos)>;

/// By symbol; the newest first.
pub struct Senders {
    newest: Vec<[Sent; 2]>,
    is_wanted: bool,
}

impl Senders {
    /// For up to `symbol_capacity` symbols; 0 where they are of no interest.
    pub fn new(symbol_capacity: usize) -> Result<Senders, NoMemory> {
        Ok(Senders { newest: SENDERS.list(symbol_capacity)?, is_wanted: symbol_capacity > 0 })
    }

    /// The symbol has taken an event of the provider. Says whether another one sent the newest before it.
    #[inline]
    pub fn note(&mut self, id: SymbolId, provider: ProviderId, t: UnixNanos) -> bool {
        let newest = &mut self.newest[id.0 as usize];
        if let Some((first, first_t)) = &mut newest[0]
            && *first == provider
        {
            *first_t = t.max(*first_t);
            return false;
        }
        let was_alone = newest[0].is_none();
        let before = newest[1].filter(|(second, _)| *second == provider).map_or(t, |(_, second_t)| t.max(second_t));
        let is_newer = |than: Sent| than.is_none_or(|(_, than_t)| before >= than_t);
        if is_newer(newest[0]) {
            *newest = [Some((provider, before)), newest[0]];
        } else if newest[1].is_none_or(|(second, _)| second == provider) || is_newer(newest[1]) {
            newest[1] = Some((provider, before));
        }
        !was_alone
    }

    /// Two providers that both have an event in the window of that length that ends at `now`.
    pub fn mixed(&self, id: SymbolId, now: UnixNanos, window: i64) -> Option<[ProviderId; 2]> {
        match *self.newest.get(id.0 as usize)? {
            [Some((first, _)), Some((second, second_t))] if now.since(second_t) < window => Some([first, second]),
            _ => None,
        }
    }

    /// The place is a new symbol's, or its state is cleared.
    pub fn forget(&mut self, id: SymbolId) {
        let index = id.0 as usize;
        if self.is_wanted && self.newest.len() <= index {
            self.newest.resize(index + 1, [None; 2]);
        }
        self.newest.get_mut(index).into_iter().for_each(|newest| *newest = [None; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;
    use crate::engine::state::provider::Providers;

    #[test]
    fn agrees_with_a_list_of_all_events() {
        const WINDOW: i64 = 60;
        let mut providers = Providers::new(&[]);
        let ids = ["a", "b", "c", "d"].map(|name| providers.intern(name.as_bytes()));
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut senders = Senders::new(3).expect("there is memory");
            let id = SymbolId(1);
            senders.forget(id);
            let (mut events, mut newest): (Vec<(ProviderId, i64)>, i64) = (Vec::new(), 1_000);
            let count = 1 + random.below(4);
            for _ in 0..300 {
                newest += [0, 0, 1, 10, 50][random.below(5) as usize];
                let t = newest - random.below(70) as i64;
                let provider = ids[random.below(count) as usize];
                senders.note(id, provider, UnixNanos(t));
                events.push((provider, t));
                let now = newest + random.below(20) as i64;
                let in_window = events.iter().filter(|(_, t)| now - t < WINDOW).map(|(provider, _)| provider.index());
                let distinct: std::collections::BTreeSet<usize> = in_window.collect();
                let mixed = senders.mixed(id, UnixNanos(now), WINDOW);
                assert_eq!(mixed.is_some(), distinct.len() > 1, "seed {seed}");
                assert!(mixed.is_none_or(|both| both.iter().all(|id| distinct.contains(&id.index()))), "seed {seed}");
            }
            senders.forget(id);
            assert_eq!(senders.mixed(id, UnixNanos(newest), WINDOW), None);
        }
    }
}
