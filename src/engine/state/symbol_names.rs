//! How a symbol is written, in documents and subjects.

use crate::engine::bounds::SYMBOL_BYTES_MAX;
use crate::engine::memory::joined;

/// What stands before the symbol in the subject of its snapshots,
pub const FEATURES_PREFIX: &str = "senpai.features.";
/// and of its signals.
pub const SIGNALS_PREFIX: &str = "senpai.signals.";

/// How a symbol is written: resolved once, when it is first seen.
pub struct SymbolNames {
    pub name: Box<str>,
    /// The name as a JSON string, with its quotes.
    pub json: Box<[u8]>,
    pub features_subject: Box<[u8]>,
    pub signals_subject: Box<[u8]>,
}

impl SymbolNames {
    /// `None` when there is no memory for it.
    pub(super) fn new(name: &str) -> Option<Self> {
        // A symbol has no control characters, so that what is escaped in it takes two bytes.
        let mut place = [0; 2 * SYMBOL_BYTES_MAX + 2];
        let mut rest = &mut place[..];
        serde_json::to_writer(&mut rest, name).expect("a symbol fits, and text is always representable");
        let unused = rest.len();
        let json = std::str::from_utf8(&place[..place.len() - unused]).expect("JSON is text");
        Some(SymbolNames {
            name: joined(&[name])?,
            json: joined(&[json])?.into(),
            features_subject: joined(&[FEATURES_PREFIX, name])?.into(),
            signals_subject: joined(&[SIGNALS_PREFIX, name])?.into(),
        })
    }
}
