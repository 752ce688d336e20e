//! The layouts of earlier payloads: what stood between their values.
//!
//! A producer writes its fields in the same order every time. So the bytes before each value are remembered and compared
//! first: a key that is where it was costs two word comparisons, with all punctuation around it. What is found is the same
//! either way; only the search is saved. A few layouts are kept for each type of event, as producers differ and some
//! fields are not in every message.

use crate::engine::input::field::{Field, Name, UNKNOWN, name_of};
use crate::engine::input::json::Scanner;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::unescape;
use crate::engine::input::value_prefix::ValuePrefix;

/// Fields of a layout; those behind them are searched for in every message.
pub(super) const LAYOUT_FIELDS: usize = 16;

/// What stood before each value of an earlier message, in their order, the end included.
pub(super) type Layout = [(ValuePrefix, Name); LAYOUT_FIELDS];

/// Layouts that are kept for each type of event.
const LAYOUTS: usize = 8;

/// The layouts of one type of event.
pub(super) struct Layouts {
    pub remembered: [Layout; LAYOUTS],
    /// The one that the last message had.
    pub current: usize,
    /// The one that is overwritten next.
    oldest: usize,
    /// The current one is being written, for this message.
    pub is_learning: bool,
}

impl Default for Layouts {
    fn default() -> Self {
        let remembered = [[(ValuePrefix::NONE, UNKNOWN); LAYOUT_FIELDS]; LAYOUTS];
        Layouts { remembered, current: 0, oldest: 0, is_learning: false }
    }
}

impl Layouts {
    /// For where the bytes before the field at `index` are not those of the current layout: they are compared with the
    /// other layouts, else the field is searched for and remembered.
    #[inline(never)]
    pub fn search(&mut self, scanner: &mut Scanner<'_>, kind: EventKind, index: usize) -> Result<Name, Malformed> {
        if index == 0 {
            // A layout starts behind it.
            scanner.skip_mark();
        }
        for (number, layout) in self.remembered.iter().enumerate() {
            if let Some((prefix, name)) = layout.get(index)
                && !self.is_learning
                && scanner.take_prefix(prefix)
            {
                self.current = number;
                return Ok(*name);
            }
        }
        let (prefix, name) = search_name(scanner, kind, index == 0)?;
        if index < LAYOUT_FIELDS {
            if !self.is_learning {
                // The new layout begins like the one that was followed up to here.
                let begun = self.remembered[self.current];
                self.current = self.oldest;
                self.oldest = (self.oldest + 1) % LAYOUTS;
                self.remembered[self.current] = begun;
                self.is_learning = true;
            }
            self.remembered[self.current][index] = (ValuePrefix::new(prefix).unwrap_or(ValuePrefix::NONE), name);
        }
        Ok(name)
    }
}

/// The next field's name, and the bytes before its value.
fn search_name<'a>(scanner: &mut Scanner<'a>, kind: EventKind, is_first: bool) -> Result<(&'a [u8], Name), Malformed> {
    let start = scanner.position();
    if is_first && !scanner.take(b'{') {
        return Err(Malformed::NotAnObject);
    }
    if scanner.take(b'}') {
        return Ok((scanner.bytes_since(start), (Field::End, 0)));
    }
    if !is_first {
        scanner.expect(b',')?;
    }
    let key = scanner.key()?;
    scanner.peek();
    let name = if key.contains(&b'\\') {
        unescape(key, &mut [0; 32]).map_or(UNKNOWN, |key| name_of(kind, key))
    } else {
        name_of(kind, key)
    };
    Ok((scanner.bytes_since(start), name))
}
