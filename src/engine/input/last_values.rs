//! Where the last value of each name stands, for the few payloads that the decoder cannot settle in one pass: those in
//! which a name comes twice and its last value cannot be read, and raw Databento records, whose header may stand behind
//! the prices.

use crate::engine::input::field::{FIELDS, Field, HEADER_TIME, HEADER_TIME_RANK, INSIDE_BOOK, Name, RANKS};
use crate::engine::input::field::{UNKNOWN, name_inside_book, name_of};
use crate::engine::input::json::Scanner;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::unescape;

/// No value starts there: an object has a brace before its first.
const NOWHERE: usize = 0;

pub(super) struct LastValues {
    /// By field and rank.
    starts: [[usize; RANKS]; FIELDS],
    /// There is an object `hd`.
    pub is_raw: bool,
}

/// For payloads that are settled in one pass.
pub(super) static UNSEARCHED: LastValues = LastValues { starts: [[NOWHERE; RANKS]; FIELDS], is_raw: false };

impl LastValues {
    #[cold]
    pub fn find(kind: EventKind, payload: &[u8]) -> Result<Self, Malformed> {
        let mut last = LastValues { starts: [[NOWHERE; RANKS]; FIELDS], is_raw: false };
        let mut scanner = Scanner::new(payload);
        each_value(
            &mut scanner,
            |key| name_of(kind, key),
            |scanner, (field, rank), start| {
                last.starts[field as usize][rank as usize] = start;
                let is_object = scanner.peek() == b'{';
                // What an earlier object of the name held is not there.
                match field {
                    Field::Book => {
                        for side in [Field::Bids, Field::Asks] {
                            last.starts[side as usize][INSIDE_BOOK as usize..].fill(NOWHERE);
                        }
                        if is_object {
                            return each_value(scanner, name_inside_book, |scanner, (field, rank), start| {
                                last.starts[field as usize][rank as usize] = start;
                                scanner.value().map(|_| ())
                            });
                        }
                    }
                    Field::Header => {
                        last.is_raw = is_object;
                        last.starts[Field::TsExchange as usize][HEADER_TIME_RANK as usize] = NOWHERE;
                        if is_object {
                            return each_value(scanner, name_inside_header, |scanner, (field, rank), start| {
                                last.starts[field as usize][rank as usize] = start;
                                scanner.value().map(|_| ())
                            });
                        }
                    }
                    _ => {}
                }
                scanner.value().map(|_| ())
            },
        )?;
        Ok(last)
    }

    /// Whether a value that starts at `start` is not the last of its name.
    pub fn is_superseded(&self, (field, rank): Name, start: usize) -> bool {
        !matches!(field, Field::Unknown | Field::End) && self.starts[field as usize][rank as usize] != start
    }
}

/// What `key` stands for inside an object `hd`.
pub(super) fn name_inside_header(key: &[u8]) -> Name {
    if key == HEADER_TIME { (Field::TsExchange, HEADER_TIME_RANK) } else { UNKNOWN }
}

/// Calls `take` for each value of an object: it is told what the key stands for and where the value starts, and has to
/// move past it.
pub(super) fn each_value<'a>(
    scanner: &mut Scanner<'a>,
    name_of: impl Fn(&[u8]) -> Name,
    mut take: impl FnMut(&mut Scanner<'a>, Name, usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let key = scanner.key()?;
        scanner.peek();
        let start = scanner.position();
        let name = name_of_key(key, &name_of);
        take(scanner, name, start)?;
        if !scanner.take(b',') {
            return scanner.expect(b'}');
        }
    }
}

/// What a key that may have escapes stands for.
pub(super) fn name_of_key(key: &[u8], name_of: impl Fn(&[u8]) -> Name) -> Name {
    if key.contains(&b'\\') { unescape(key, &mut [0; 32]).map_or(UNKNOWN, name_of) } else { name_of(key) }
}
