//! Which symbol has been silent longest, for when a new one needs its place (SPEC section 1).
//!
//! A heap with one entry a symbol: a moment at or before its last event. Events do not touch it; when a place is needed, an
//! entry that is outdated moves to its symbol's last event, so that each moves once in the time after which a symbol is idle.
//! Turned down: a list in the order of events (each event would move its symbol), a look at all symbols (a new name a
//! millisecond).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

const IDLE: Table = Table::new("the order of idle symbols", "MAX_SYMBOLS");

/// Of those that cannot go so many are passed over for one event.
const KEPT_MAX: usize = 16;

/// See the head of this file.
pub struct IdleSymbols {
    entries: BinaryHeap<Reverse<(UnixNanos, u32)>>,
    /// While a place is looked for: those that are silent and cannot go yet.
    kept: Vec<Reverse<(UnixNanos, u32)>>,
}

impl IdleSymbols {
    /// For up to `symbol_capacity` symbols.
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        Ok(IdleSymbols { entries: IDLE.list(symbol_capacity)?.into(), kept: IDLE.list(KEPT_MAX)? })
    }

    /// A symbol has a place since `moment`.
    pub fn add(&mut self, symbol: SymbolId, moment: UnixNanos) {
        self.entries.push(Reverse((moment, symbol.0)));
    }

    /// Takes out the symbol that has been silent longest, if it has been since `moment` or before. `last_event` says since
    /// when a symbol has; `can_go` whether it can give up its place.
    pub fn take(
        &mut self,
        moment: UnixNanos,
        last_event: impl Fn(SymbolId) -> UnixNanos,
        can_go: impl Fn(SymbolId) -> bool,
    ) -> Option<SymbolId> {
        let mut taken = None;
        while let Some(mut first) = self.entries.peek_mut() {
            let Reverse((since, symbol)) = *first;
            if since > moment {
                break;
            }
            let last = last_event(SymbolId(symbol));
            if last > since {
                *first = Reverse((last, symbol));
                continue;
            }
            let entry = std::collections::binary_heap::PeekMut::pop(first);
            if can_go(SymbolId(symbol)) {
                taken = Some(SymbolId(symbol));
                break;
            }
            self.kept.push(entry);
            if self.kept.len() == KEPT_MAX {
                break;
            }
        }
        self.entries.extend(self.kept.drain(..));
        taken
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        let mut entries = std::mem::take(&mut self.entries).into_vec();
        entries.iter_mut().for_each(|Reverse((moment, _))| *moment = moment.plus(step_ns));
        self.entries = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Random;

    #[test]
    fn the_longest_silent_one_goes_first() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let count = 1 + random.below(20) as usize;
            let mut idle = IdleSymbols::new(count).expect("there is memory");
            let mut last: Vec<i64> = (0..count as i64).collect();
            (0..count).for_each(|symbol| idle.add(SymbolId(symbol as u32), UnixNanos(symbol as i64)));
            let mut local = count as i64;
            for _ in 0..1_000 {
                local += random.below(4) as i64 + 1;
                if random.below(3) > 0 {
                    last[random.below(count as u64) as usize] = local;
                    continue;
                }
                if random.below(20) == 0 {
                    idle.handle_clock_step(1_000);
                    local += 1_000;
                    last.iter_mut().for_each(|moment| *moment += 1_000);
                }
                let (silent_since, waiting) = (local - random.below(60) as i64, random.below(count as u64) as usize);
                let naive = (0..count).filter(|symbol| *symbol != waiting && last[*symbol] <= silent_since);
                let naive = naive.min_by_key(|symbol| last[*symbol]);
                let taken = idle.take(
                    UnixNanos(silent_since),
                    |symbol| UnixNanos(last[symbol.0 as usize]),
                    |symbol| symbol.0 as usize != waiting,
                );
                assert_eq!(taken.map(|symbol| symbol.0 as usize), naive, "seed {seed}");
                if let Some(symbol) = taken {
                    last[symbol.0 as usize] = local;
                    idle.add(symbol, UnixNanos(local));
                }
            }
            assert_eq!(idle.entries.len(), count);
        }
    }
}
