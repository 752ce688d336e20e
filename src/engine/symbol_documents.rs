//! The documents of symbols that HTTP asks for: /state/latest and /features/latest of one, and for /events those of all that
//! have changed, a page at a time.

use smallvec::SmallVec;

use crate::engine::engine::Engine;
use crate::engine::output::encode::{encode_snapshot, encode_state, encode_update};
use crate::engine::state::symbol_table::SymbolId;
use crate::engine::time::UnixNanos;

/// Symbols of a page that are looked at, which takes 100 ns each,
const LOOKED_AT_MAX: usize = 128;
/// and those of them that have a document, which takes 1 to 2 us: a page is some tens of microseconds of work.
const DOCUMENTS_MAX: usize = 16;
/// More than a document has, unless its name is long.
const DOCUMENT_BYTES: usize = 768;

/// A page of the symbols that have changed.
pub struct SymbolUpdates {
    /// The engine's local time: what changes later has changed since then.
    pub moment: UnixNanos,
    /// By name.
    pub updates: Vec<SymbolUpdate>,
    /// The last symbol that was looked at; `None`: there are no more.
    pub looked_up_to: Option<Box<str>>,
}

/// A symbol as it is now.
pub struct SymbolUpdate {
    /// Of its state.
    pub name: Box<str>,
    /// Bytes of that name which are the symbol's.
    pub symbol_len: usize,
    /// JSON, as /features/latest has it, with `"state"`, `"price"` and `"signals"`.
    pub document: Vec<u8>,
}

impl Engine {
    /// The features document of a symbol for `moment` of local time; `None` when the symbol is unknown.
    pub fn features_document(&mut self, symbol: &str, moment: UnixNanos) -> Option<Vec<u8>> {
        let id = self.symbols().find(symbol.as_bytes())?;
        let snapshot = self.snapshot_at(id, moment);
        let mut document = Vec::with_capacity(1024);
        encode_snapshot(&mut document, self.symbols().names(id), self.providers(), &snapshot);
        Some(document)
    }

    /// The latest events of a symbol; `None` when the symbol is unknown.
    pub fn state_document(&self, symbol: &str) -> Option<Vec<u8>> {
        let id = self.symbols().find(symbol.as_bytes())?;
        let mut document = Vec::with_capacity(4096);
        encode_state(&mut document, self.symbols().names(id), self.symbols().state(id), self.providers());
        Some(document)
    }

    /// Of the symbols whose names come after `after` (`None`: of all), a page of those that have taken an event since the
    /// moment `since` of local time, for `moment` of local time. A `since` that is ahead of local time (the clock was stepped
    /// back) means all.
    pub fn updates(&mut self, since: UnixNanos, after: Option<&str>, moment: UnixNanos) -> SymbolUpdates {
        let since = if since > self.local { UnixNanos(i64::MIN) } else { since };
        let mut changed = SmallVec::<[SymbolId; DOCUMENTS_MAX]>::new();
        let (mut looked_at, mut last) = (0, None);
        for id in self.symbols.ids_after(after) {
            (looked_at, last) = (looked_at + 1, Some(id));
            if self.symbols.state(id).last_event >= since {
                changed.push(id);
            }
            if looked_at == LOOKED_AT_MAX || changed.len() == DOCUMENTS_MAX {
                break;
            }
        }
        let is_full = looked_at == LOOKED_AT_MAX || changed.len() == DOCUMENTS_MAX;
        let looked_up_to = last.filter(|_| is_full).map(|id| self.symbols.names(id).name.clone());
        let updates = changed.into_iter().map(|id| self.update(id, moment)).collect();
        SymbolUpdates { moment: self.local, updates, looked_up_to }
    }

    fn update(&mut self, id: SymbolId, moment: UnixNanos) -> SymbolUpdate {
        let snapshot = self.snapshot_at(id, moment);
        let names = self.symbols.names(id);
        let mut document = Vec::with_capacity(DOCUMENT_BYTES);
        encode_update(&mut document, names, &self.providers, &snapshot, self.symbols.state(id));
        SymbolUpdate { name: names.name.clone(), symbol_len: names.symbol().len(), document }
    }
}
