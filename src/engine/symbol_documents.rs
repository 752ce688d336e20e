//! The documents of one symbol that HTTP asks for: /state/latest and /features/latest.

use crate::engine::engine::Engine;
use crate::engine::output::encode::{encode_snapshot, encode_state};
use crate::engine::time::UnixNanos;

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
}
