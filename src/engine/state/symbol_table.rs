//! The table that finds symbols by name.

use std::slice::SliceIndex;

use hashbrown::HashTable;

use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::latency_window::LatencyWindow;
use crate::engine::state::symbol_names::SymbolNames;
use crate::engine::state::symbol_state::{NAME_START_BYTES, SymbolState};
use crate::engine::state::trade_pool::TradePool;

/// A symbol's number: its place in the table, which an idle symbol may give up to a new one.
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
    /// Names of symbols that have given up their places while outputs of them wait.
    departed: Vec<(SymbolId, SymbolNames)>,
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
            departed: Vec::new(),
            symbol_capacity,
        })
    }

    /// The symbol of this name, where it has a place.
    pub fn find(&self, name: &[u8]) -> Option<SymbolId> {
        // Not by `find_hashed`, which is compiled into its one caller: 40 instructions fewer for each event.
        self.by_name.find(self.hash(name), |id| self.is_named(*id, name)).copied()
    }

    /// A name's hash, other in each process.
    #[inline]
    pub fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// As [`find`](Self::find), where the name's hash is known.
    #[inline]
    pub fn find_hashed(&self, hash: u64, name: &[u8]) -> Option<SymbolId> {
        self.by_name.find(hash, |id| self.is_named(*id, name)).copied()
    }

    #[inline]
    fn is_named(&self, id: SymbolId, name: &[u8]) -> bool {
        let state = self.state(id);
        let start = name.len().min(NAME_START_BYTES);
        state.name_len as usize == name.len()
            && state.name_start[..start] == name[..start]
            && (start == name.len() || self.names(id).name.as_bytes() == name)
    }

    /// All places are taken.
    pub fn is_full(&self) -> bool {
        self.states.len() == self.symbol_capacity
    }

    /// Takes a new symbol in; `None` when the table is full, or there is no memory for it.
    #[cold]
    pub fn add(&mut self, names: SymbolNames, trade_pool: &mut TradePool) -> Option<SymbolId> {
        if self.is_full() {
            return None;
        }
        let latency = LatencyWindow::new()?;
        let id = SymbolId(self.states.len() as u32);
        self.states.push(SymbolState::new(&names.name, latency, trade_pool));
        self.names.push(names);
        self.list(id);
        Some(id)
    }

    /// Gives the place of `id` to a new symbol. Its names are kept until [`forget_departed`](Self::forget_departed). False: there is
    /// no memory for that, and nothing has changed.
    #[cold]
    pub fn replace(
        &mut self,
        id: SymbolId,
        mut names: SymbolNames,
        trade_pool: &mut TradePool,
        row_pool: &mut BucketRowPool,
    ) -> bool {
        if self.departed.try_reserve(1).is_err() {
            return false;
        }
        let former = &self.names[id.0 as usize];
        names.generation = former.generation.wrapping_add(1);
        if let Ok(entry) = self.by_name.find_entry(self.hash(former.name.as_bytes()), |known| *known == id) {
            entry.remove();
        }
        if let Ok(index) = self.in_order.binary_search_by(|known| self.names(*known).name.cmp(&former.name)) {
            self.in_order.remove(index);
        }
        self.states[id.0 as usize].give_place(&names.name, trade_pool, row_pool);
        let former = std::mem::replace(&mut self.names[id.0 as usize], names);
        self.departed.push((id, former));
        self.list(id);
        true
    }

    /// How the symbol is or was written that is or was the `generation`th of its place.
    #[inline]
    pub fn names_of(&self, id: SymbolId, generation: u32) -> &SymbolNames {
        let names = self.names(id);
        if names.generation == generation { names } else { self.departed_names(id, generation) }
    }

    #[cold]
    fn departed_names(&self, id: SymbolId, generation: u32) -> &SymbolNames {
        let departed = self.departed.iter().find(|(place, names)| *place == id && names.generation == generation);
        &departed.expect("names are kept while outputs wait").1
    }

    /// No output waits: none is of a symbol that has given up its place.
    pub fn forget_departed(&mut self) {
        self.departed.clear();
    }

    /// Names that are kept since outputs were last all published.
    pub fn departed_count(&self) -> usize {
        self.departed.len()
    }

    /// Makes a symbol that has its place findable by its name.
    fn list(&mut self, id: SymbolId) {
        let name = &*self.names[id.0 as usize].name;
        let place = self.in_order.partition_point(|known| *self.names[known.0 as usize].name < *name);
        let hash_of = |id: &SymbolId| self.hasher.hash_one(self.names[id.0 as usize].name.as_bytes());
        self.by_name.insert_unique(hash_of(&id), id, hash_of);
        self.in_order.insert(place, id);
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
    #[inline]
    pub fn names(&self, id: SymbolId) -> &SymbolNames {
        &self.names[id.0 as usize]
    }

    /// Those whose names come after `name`, in the order of their names; all of them after `None`.
    pub fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &SymbolState)> {
        self.ids_after(name).map(|id| (&*self.names(id).name, self.state(id)))
    }

    /// The same, by their numbers.
    pub fn ids_after(&self, name: Option<&str>) -> impl Iterator<Item = SymbolId> {
        let start = name.map_or(0, |name| self.in_order.partition_point(|id| *self.names(*id).name <= *name));
        self.in_order[start..].iter().copied()
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

    fn names(name: &str) -> SymbolNames {
        SymbolNames::new(name, "").expect("there is memory")
    }

    #[test]
    fn symbols_are_told_apart_by_every_byte_of_their_names() {
        let long = "x".repeat(SYMBOL_BYTES_MAX);
        let lengths = [1, NAME_START_BYTES - 1, NAME_START_BYTES, NAME_START_BYTES + 1, SYMBOL_BYTES_MAX];
        let same = lengths.map(|length| long[..length].to_owned());
        let other_ends = lengths.map(|length| format!("{}y", &long[..length - 1]));
        let all: Vec<String> = same.into_iter().chain(other_ends).collect();
        let mut trade_pool = TradePool::new(0, all.len()).expect("there is memory");
        let mut table = SymbolTable::new(all.len()).expect("there is memory");
        for name in &all {
            assert_eq!(table.find(name.as_bytes()), None, "{name} is not there yet");
            let id = table.add(names(name), &mut trade_pool);
            assert!(id.is_some() && table.find(name.as_bytes()) == id, "{name}");
        }
        let found: Vec<u32> = all.iter().filter_map(|name| Some(table.find(name.as_bytes())?.0)).collect();
        assert_eq!(found, (0..all.len() as u32).collect::<Vec<_>>());
        let mut sorted = all.clone();
        sorted.sort();
        for start in 0..=sorted.len() {
            let last = start.checked_sub(1).map(|index| sorted[index].as_str());
            let listed: Vec<&str> = table.after(last).map(|(name, _)| name).collect();
            assert_eq!(listed, sorted[start..], "after {last:?}");
        }
        assert_eq!(table.add(names("one more"), &mut trade_pool), None);
        assert_eq!(table.find(b"x".repeat(300).as_slice()), None, "longer than any symbol");
    }

    #[test]
    fn a_place_given_up_is_found_by_its_new_name_alone() {
        let mut trade_pool = TradePool::new(0, 3).expect("there is memory");
        let mut row_pool = BucketRowPool::new(8).expect("there is memory");
        let mut table = SymbolTable::new(3).expect("there is memory");
        for name in ["b", "d", "f"] {
            table.add(names(name), &mut trade_pool);
        }
        let place = table.find(b"d").expect("it is there");
        for (former, name, expected) in [("d", "a", ["a", "b", "f"]), ("a", "z", ["b", "f", "z"])] {
            let generation = table.names(place).generation;
            assert!(table.replace(place, names(name), &mut trade_pool, &mut row_pool));
            assert_eq!((table.find(former.as_bytes()), table.find(name.as_bytes())), (None, Some(place)));
            assert_eq!(table.after(None).map(|(name, _)| name).collect::<Vec<_>>(), expected);
            assert_ne!(table.names(place).generation, generation);
        }
        assert!(table.replace(place, SymbolNames::new("z", "@p").unwrap(), &mut trade_pool, &mut row_pool));
        assert_eq!((table.find(b"z"), table.find(b"z@p")), (None, Some(place)));
    }
}
