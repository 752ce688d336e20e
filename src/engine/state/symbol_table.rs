//! The table that finds symbols by name.

use std::slice::SliceIndex;

use hashbrown::HashTable;

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::latency_window::LatencyWindow;
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::state::symbol_state::{NAME_START_BYTES, SymbolState};
use crate::engine::state::trade_pool::TradePool;

/// A symbol's number: its place in the table, for good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SymbolId(pub u32);
const STATES: Table = Table::new("the symbols", "MAX_SYMBOLS");

/// All symbols, found by name and kept by number.
pub struct SymbolTable {
    /// Numbers alone, so that it stays in the caches; a name is compared where its symbol's state begins, which is needed
    /// next.
    by_name: HashTable<SymbolId>,
    /// For lists of all of them, which are made a page at a time.
    in_order: Vec<SymbolId>,
    hasher: ahash::RandomState,
    states: Vec<SymbolState>,
    names: Vec<SymbolNames>,
    symbol_capacity: usize,
}

impl SymbolTable {
    /// An empty table; it never grows.
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        let mut by_name = HashTable::new();
        let nothing_moves = |_: &SymbolId| unreachable!("it is empty");
        by_name.try_reserve(symbol_capacity, nothing_moves).map_err(|_| STATES.missing::<SymbolId>(symbol_capacity))?;
        Ok(SymbolTable {
            by_name,
            in_order: STATES.list(symbol_capacity)?,
            hasher: ahash::RandomState::new(),
            states: STATES.list(symbol_capacity)?,
            names: STATES.list(symbol_capacity)?,
            symbol_capacity,
        })
    }

    /// The symbol of this name, where it has a place.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<SymbolId> {
        self.by_name.find(self.hasher.hash_one(name), |id| self.is_named(*id, name)).copied()
    }

    #[inline]
    fn is_named(&self, id: SymbolId, name: &[u8]) -> bool {
        let state = self.state(id);
        let start = name.len().min(NAME_START_BYTES);
        state.name_len as usize == name.len()
            && state.name_start[..start] == name[..start]
            && (start == name.len() || self.names(id).name.as_bytes() == name)
    }

    /// Takes a new symbol in; `None` when the table is full, or there is no memory for the name.
    #[cold]
    pub fn add(&mut self, name: &str, trade_pool: &mut TradePool) -> Option<SymbolId> {
        if self.states.len() == self.symbol_capacity {
            return None;
        }
        let id = SymbolId(self.states.len() as u32);
        let (names, latency) = (SymbolNames::new(name)?, LatencyWindow::new()?);
        self.states.push(SymbolState::new(name, latency, trade_pool));
        let place = self.in_order.partition_point(|known| *self.names(*known).name < *name);
        self.in_order.insert(place, id);
        self.names.push(names);
        let hash_of = |name: &[u8]| self.hasher.hash_one(name);
        self.by_name
            .insert_unique(hash_of(name.as_bytes()), id, |id| hash_of(self.names[id.0 as usize].name.as_bytes()));
        Some(id)
    }

    /// What is known of a symbol.
    #[inline]
    pub fn state(&self, id: SymbolId) -> &SymbolState {
        &self.states[id.0 as usize]
    }

    /// The same, to be changed.
    #[inline]
    pub fn state_mut(&mut self, id: SymbolId) -> &mut SymbolState {
        &mut self.states[id.0 as usize]
    }

    /// Those with numbers in `ids`.
    pub fn states_mut(
        &mut self,
        ids: impl SliceIndex<[SymbolState], Output = [SymbolState]>,
    ) -> impl Iterator<Item = &mut SymbolState> {
        self.states[ids].iter_mut()
    }

    /// How a symbol is written.
    pub fn names(&self, id: SymbolId) -> &SymbolNames {
        &self.names[id.0 as usize]
    }

    /// Those whose names come after `name`, in the order of their names; all of them after `None`.
    pub fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &SymbolState)> {
        let start = name.map_or(0, |name| self.in_order.partition_point(|id| *self.names(*id).name <= *name));
        self.in_order[start..].iter().map(|id| (&*self.names(*id).name, self.state(*id)))
    }

    /// Symbols that have a place.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// No symbol has been seen.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bounds::SYMBOL_BYTES_MAX;

    #[test]
    fn symbols_are_told_apart_by_every_byte_of_their_names() {
        let long = "x".repeat(SYMBOL_BYTES_MAX);
        let lengths = [1, NAME_START_BYTES - 1, NAME_START_BYTES, NAME_START_BYTES + 1, SYMBOL_BYTES_MAX];
        let same = lengths.map(|length| long[..length].to_owned());
        let other_ends = lengths.map(|length| format!("{}y", &long[..length - 1]));
        let names: Vec<String> = same.into_iter().chain(other_ends).collect();
        let mut trade_pool = TradePool::new(0, names.len()).expect("there is memory");
        let mut table = SymbolTable::new(names.len()).expect("there is memory");
        for name in &names {
            assert_eq!(table.find(name.as_bytes()), None, "{name} is not there yet");
            let id = table.add(name, &mut trade_pool);
            assert!(id.is_some() && table.find(name.as_bytes()) == id, "{name}");
        }
        let found: Vec<u32> = names.iter().filter_map(|name| Some(table.find(name.as_bytes())?.0)).collect();
        assert_eq!(found, (0..names.len() as u32).collect::<Vec<_>>());
        let mut sorted = names.clone();
        sorted.sort();
        for start in 0..=sorted.len() {
            let last = start.checked_sub(1).map(|index| sorted[index].as_str());
            let listed: Vec<&str> = table.after(last).map(|(name, _)| name).collect();
            assert_eq!(listed, sorted[start..], "after {last:?}");
        }
        assert_eq!(table.add("one more", &mut trade_pool), None);
        assert_eq!(table.find(b"x".repeat(300).as_slice()), None, "longer than any symbol");
    }
}
