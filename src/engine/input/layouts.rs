//! How earlier payloads were laid out: what stood between their values.

use crate::engine::input::field::{Field, Name, UNKNOWN, name_of};
use crate::engine::input::json::Scanner;
use crate::engine::input::lead::Lead;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::unescape;

/// Fields of a message whose leads are remembered; what comes behind them is searched for.
pub(super) const SHAPE_FIELDS: usize = 16;

/// What led to each field of an earlier message, in their order, the end included.
pub(super) type Shape = [(Lead, Name); SHAPE_FIELDS];

/// Shapes that are remembered a type.
const SHAPES: usize = 8;

/// The shapes of one type of event.
pub(super) struct Shapes {
    pub shapes: [Shape; SHAPES],
    /// The one that the last message had.
    pub current: usize,
    /// The one that is overwritten next.
    oldest: usize,
    /// The current one is being written, for this message.
    pub is_learning: bool,
}

impl Default for Shapes {
    fn default() -> Self {
        let shapes = [[(Lead::NONE, UNKNOWN); SHAPE_FIELDS]; SHAPES];
        Shapes { shapes, current: 0, oldest: 0, is_learning: false }
    }
}

impl Shapes {
    /// The field at `index` is not led to as in the current shape: as in another, or it is searched for and remembered.
    #[inline(never)]
    pub fn search(&mut self, scanner: &mut Scanner<'_>, kind: EventKind, index: usize) -> Result<Name, Malformed> {
        for (number, shape) in self.shapes.iter().enumerate() {
            if let Some((lead, name)) = shape.get(index)
                && !self.is_learning
                && scanner.take_lead(lead)
            {
                self.current = number;
                return Ok(*name);
            }
        }
        let (lead, name) = search_name(scanner, kind, index == 0)?;
        if index < SHAPE_FIELDS {
            if !self.is_learning {
                // The new shape begins as the one that has led here.
                let begun = self.shapes[self.current];
                self.current = self.oldest;
                self.oldest = (self.oldest + 1) % SHAPES;
                self.shapes[self.current] = begun;
                self.is_learning = true;
            }
            self.shapes[self.current][index] = (Lead::new(lead).unwrap_or(Lead::NONE), name);
        }
        Ok(name)
    }
}

/// The next field's name, and the bytes that lead to its value.
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
