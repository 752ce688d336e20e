//! How a symbol is written, in documents and subjects.

use crate::engine::bounds::STATE_NAME_BYTES_MAX;
use crate::engine::memory::joined;

/// What stands before the symbol in the subject of its snapshots,
pub const FEATURES_PREFIX: &str = "senpai.features.";
/// and of its signals.
pub const SIGNALS_PREFIX: &str = "senpai.signals.";

/// How a symbol is written: resolved once, when it is first seen.
pub struct SymbolNames {
    /// How many symbols the place has had before: what is about one of those is not about this.
    pub generation: u32,
    /// The state's: the symbol, and its provider behind it where each has a state of its own.
    pub name: Box<str>,
    symbol_len: u8,
    /// The symbol as a JSON string, with its quotes.
    pub json: Box<[u8]>,
    /// `"{name}:` as an id begins.
    pub id_start: Box<[u8]>,
    pub features_subject: Box<[u8]>,
    pub signals_subject: Box<[u8]>,
}

impl SymbolNames {
    /// `suffix` tells the symbol's states apart. `None` when there is no memory for it.
    pub fn new(symbol: &str, suffix: &str) -> Option<Self> {
        // Names of states have no control characters, so that what is escaped in them takes two bytes.
        let mut place = [0; 2 * STATE_NAME_BYTES_MAX + 2];
        let mut json_of = |text: &str| {
            let mut rest = &mut place[..];
            serde_json::to_writer(&mut rest, text).expect("it fits, and text is always representable");
            let unused = rest.len();
            joined(&[std::str::from_utf8(&place[..place.len() - unused]).expect("JSON is text")])
        };
        let name = joined(&[symbol, suffix])?;
        let (json, quoted) = (json_of(symbol)?, json_of(&name)?);
        Some(SymbolNames {
            generation: 0,
            symbol_len: symbol.len() as u8,
            json: json.into(),
            id_start: joined(&[&quoted[..quoted.len() - 1], ":"])?.into(),
            features_subject: joined(&[FEATURES_PREFIX, &name])?.into(),
            signals_subject: joined(&[SIGNALS_PREFIX, &name])?.into(),
            name,
        })
    }

    /// The symbol alone.
    pub fn symbol(&self) -> &str {
        &self.name[..self.symbol_len as usize]
    }
}
