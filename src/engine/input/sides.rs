//! The two sides of a book, wherever they stand in a payload, and what says that a book is an update.

use crate::engine::input::event::Book;
use crate::engine::input::field::{Field, Name, name_inside_book, update_mark};
use crate::engine::input::found::Found;
use crate::engine::input::json::{Scanner, Value};
use crate::engine::input::last_values::{LastValues, each_value};
use crate::engine::input::levels::{SideOutcome, decode_side};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::unescape::unescaped;

/// The sides of a book, as far as they have been decoded, with what was found of each.
pub(super) struct Sides<'a> {
    pub book: &'a mut Book,
    pub outcomes: &'a mut [SideOutcome; 2],
}

impl Sides<'_> {
    /// Takes a side, if it is the best so far; false where it is no list of levels.
    pub fn take(
        &mut self,
        scanner: &mut Scanner<'_>,
        (field, rank): Name,
        found: &mut Found,
        is_raw: bool,
    ) -> Result<bool, Malformed> {
        if !matches!(scanner.peek(), b'[' | b'{') {
            scanner.value()?;
            return Ok(false);
        }
        if !found.is_best(field, rank) {
            scanner.value()?;
            return Ok(true);
        }
        let Book { bids, asks } = &mut *self.book;
        let (index, outcome) = match (field, is_raw) {
            (Field::Bids, false) => (0, decode_side::<true, false>(scanner, bids)?),
            (Field::Bids, true) => (0, decode_side::<true, true>(scanner, bids)?),
            (_, false) => (1, decode_side::<false, false>(scanner, asks)?),
            (_, true) => (1, decode_side::<false, true>(scanner, asks)?),
        };
        self.outcomes[index] = outcome;
        Ok(true)
    }

    /// Takes the sides inside an object `book`; false where they cannot be settled in one pass.
    #[inline(never)]
    pub fn take_inside<const SEARCHED: bool>(
        &mut self,
        scanner: &mut Scanner<'_>,
        found: &mut Found,
        last: &LastValues,
    ) -> Result<bool, Malformed> {
        let mut is_settled = true;
        each_value(scanner, name_inside_book, |scanner, name, start| {
            if name.0 == Field::Unknown || SEARCHED && last.is_superseded(name, start) {
                return scanner.value().map(|_| ());
            }
            if !self.take(scanner, name, found, last.is_raw)? {
                is_settled &= found.note_unread(name.0, name.1, scanner.bytes_behind());
            }
            Ok(())
        })?;
        Ok(is_settled)
    }
}

/// Whether the value of the name of an update mark says what the name is asked for.
pub(super) fn is_update_mark(rank: u8, value: Value<'_>) -> bool {
    let is_one_of =
        |text: &[u8], words: &[&[u8]]| unescaped(text, |text| words.contains(&text).then_some(())).is_some();
    match (rank, value) {
        (update_mark::EVENT, Value::Text(text)) => is_one_of(text, &[b"depthUpdate"]),
        (update_mark::TYPE | update_mark::ACTION, Value::Text(text)) => {
            is_one_of(text, &[b"delta", b"update", b"l2update"])
        }
        (update_mark::IS_SNAPSHOT | update_mark::IS_SNAPSHOT_SNAKE, Value::Bool(is_snapshot)) => !is_snapshot,
        (update_mark::RESET, Value::Bool(is_reset)) => is_reset,
        _ => false,
    }
}

/// Any mark but the two of Alpaca: `"T":"o"` is an update unless `"r":true` says that it begins anew.
pub(super) fn is_update(marks: u8) -> bool {
    const ORDER_BOOK: u8 = 1 << update_mark::UPPER_T;
    const RESET: u8 = 1 << update_mark::RESET;
    marks & !(ORDER_BOOK | RESET) != 0 || marks & (ORDER_BOOK | RESET) == ORDER_BOOK
}
