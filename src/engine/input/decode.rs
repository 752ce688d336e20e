//! A payload becomes an event: the tolerant decoder of SPEC section 1, one pass, nothing allocated.
//!
//! A field is said by the first of its names whose value can be read, and a name given twice says its last value. For
//! that, a name has a rank, and each field keeps the value of the lowest rank that could be read so far: one that can be
//! read takes the place of a value of the same rank or a higher one, one that cannot be read takes nobody's place. So
//! the order of the fields does not matter, and nothing but one value a field is kept.
//!
//! ```text
//!   {"quantity":2,"size":null,"p":5,"qty":"3","price":4}     size 2 (rank 2), 3 (rank 1); price 5 (rank 1), 4 (rank 0)
//! ```
//!
//! There is one case that this cannot settle: a name comes again with a value that cannot be read, so that what it said
//! is void and a name behind it may be asked again (`"qty":3,"size":2,"size":null` is 3). Such a payload, and a raw
//! Databento record, is searched for the last value of each name first (`last_values`), and decoded again with those
//! alone.
//!
//! Names that mean one thing or another are fields of their own, settled where they are met (`s`) or at the end (`t` and
//! `a` of a trade, by its `e`). What has been read stands in a `draft`, which becomes the event at the end.
//!
//! The decoder remembers how earlier messages were laid out (`layouts`) and the minute of the last moment (`time`). What
//! it remembers saves work and changes no result.

use crate::engine::input::draft::{Draft, TradeType};
use crate::engine::input::event::{Body, Book, Origin, PRICE_END, SIZE_END, Side};
use crate::engine::input::field::{ANY_PROVIDER, Field, MAKER_RANK_MAX, NUMBERS, SIDE_OR_TICKER_RANK, TICKER_RANK};
use crate::engine::input::field::{UPPER_T, update_mark};
use crate::engine::input::found::{Found, ends_with_text};
use crate::engine::input::json::Scanner;
use crate::engine::input::last_values::{LastValues, UNSEARCHED, each_value, name_inside_header};
use crate::engine::input::layouts::{LAYOUT_FIELDS, Layouts};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::sides::{Sides, is_update_mark};
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::{ESCAPED_TEXT_BYTES_MAX, unescape, unescaped};
use crate::engine::time::{TimeDecoder, UnixNanos};

/// The decoder's memory between payloads.
#[derive(Default)]
pub struct Decoder {
    layouts: [Layouts; EventKind::ALL.len()],
    time: TimeDecoder,
    /// The levels of the last book. After an error they are nothing to rely on.
    pub book: Book,
    /// The first pass was not enough.
    is_unsettled: bool,
}

/// The least value of each number. A price of 0 is none, but in a quote it is a value.
static LEAST: [f64; NUMBERS] = {
    let mut least = [0.0; NUMBERS];
    least[Field::Price as usize] = f64::from_bits(1);
    least
};
/// The end of each number's values.
static END: [f64; NUMBERS] = {
    let mut end = [SIZE_END; NUMBERS];
    end[Field::Price as usize] = PRICE_END;
    end[Field::Bid as usize] = PRICE_END;
    end[Field::Ask as usize] = PRICE_END;
    end
};

impl Decoder {
    /// Decodes the payload of an event of `kind`; a book's levels go into `self.book`.
    #[inline]
    pub fn decode<'a>(&mut self, kind: EventKind, payload: &'a [u8]) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        let decoded = self.pass::<false>(kind, payload, &UNSEARCHED);
        if self.is_unsettled {
            return self.decode_in_two_passes(kind, payload);
        }
        decoded
    }

    #[cold]
    fn decode_in_two_passes<'a>(
        &mut self,
        kind: EventKind,
        payload: &'a [u8],
    ) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        self.is_unsettled = false;
        self.pass::<true>(kind, payload, &LastValues::find(kind, payload)?)
    }

    /// One pass. With `SEARCHED` the last values are known, and only they are looked at.
    #[inline(never)]
    fn pass<'a, const SEARCHED: bool>(
        &mut self,
        kind: EventKind,
        payload: &'a [u8],
        last: &LastValues,
    ) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        let Decoder { layouts, time, book, is_unsettled } = self;
        let layouts = &mut layouts[kind as usize];
        let mut scanner = Scanner::starting_at(payload, 0);
        let mut draft = Draft::new();

        layouts.is_learning = false;
        let mut layout = layouts.remembered[layouts.current].iter();
        loop {
            let expected = layout.next();
            let (field, rank) = match expected {
                Some((prefix, name)) if scanner.take_prefix(prefix) => *name,
                _ => {
                    let index = LAYOUT_FIELDS - layout.len() - expected.is_some() as usize;
                    let name = scanner.apart(|scanner| layouts.search(scanner, kind, index))?;
                    layout = layouts.remembered[layouts.current].get(index + 1..).unwrap_or_default().iter();
                    name
                }
            };
            if SEARCHED {
                scanner.peek();
                if last.is_superseded((field, rank), scanner.position()) {
                    scanner.value()?;
                    continue;
                }
            }
            // Only there it is needed: a value more to keep costs each field.
            let start = if SEARCHED { scanner.position() } else { 0 };
            let is_read = match field {
                Field::Price | Field::Size | Field::Bid | Field::Ask | Field::BidSize | Field::AskSize => {
                    let value = scanner.decimal()?;
                    let is_read = value >= LEAST[field as usize] && value < END[field as usize];
                    if is_read && draft.found.is_best(field, rank) {
                        draft.numbers[field as usize] = value;
                        if SEARCHED && last.is_raw && matches!(field, Field::Price | Field::Bid | Field::Ask) {
                            draft.found.note_point(field, scanner.bytes_since(start).contains(&b'.'));
                        }
                    }
                    is_read
                }
                Field::SizeOrTicker if scanner.peek() == b'"' => {
                    scanner.skip()?;
                    false
                }
                Field::SizeOrTicker => {
                    let value = scanner.apart(Scanner::any_decimal)?;
                    let is_read = (0.0..SIZE_END).contains(&value);
                    if is_read && draft.found.is_best(Field::Size, TICKER_RANK) {
                        draft.numbers[Field::Size as usize] = value;
                    }
                    is_read
                }
                Field::TsExchange | Field::TsRecv => {
                    let value = scanner.time(time)?;
                    if value.is_some() && draft.found.is_best(field, rank) {
                        *if field == Field::TsExchange {
                            &mut draft.origin.ts_exchange
                        } else {
                            &mut draft.origin.ts_recv
                        } = value;
                    }
                    value.is_some()
                }
                Field::Provider => match scanner.text()? {
                    Some(text) if rank == ANY_PROVIDER || is_provider_name(text) => {
                        if draft.found.is_best(field, rank) {
                            draft.origin.provider = text;
                        }
                        true
                    }
                    _ => false,
                },
                Field::Side => {
                    let value = match rank {
                        ..=MAKER_RANK_MAX => scanner.text()?.and_then(|text| side_of(text, rank)),
                        // Of the buyer's being the maker.
                        _ => {
                            scanner.apart(Scanner::boolean)?.map(|is_sell| if is_sell { Side::Sell } else { Side::Buy })
                        }
                    };
                    if let Some(value) = value
                        && draft.found.is_best(field, rank)
                    {
                        draft.side = value;
                    }
                    value.is_some()
                }
                Field::TradeId => {
                    let id = scanner.id()?;
                    if !id.is_empty() && draft.found.is_best(field, rank) {
                        draft.trade_id = id;
                    }
                    !id.is_empty()
                }
                Field::TradeType => {
                    let trade_types = |text: &[u8]| match text {
                        b"trade" => Some(TradeType::Trade),
                        b"aggTrade" => Some(TradeType::Aggregate),
                        _ => None,
                    };
                    let text = scanner.text()?;
                    draft.trade_type = text.and_then(|text| unescaped(text, trade_types)).unwrap_or(TradeType::Other);
                    true
                }
                Field::NumberOrTime => {
                    scanner.peek();
                    draft.number_or_time = scanner.position();
                    scanner.apart(Scanner::value)?;
                    true
                }
                Field::AggregateNumber => {
                    draft.aggregate = scanner.apart(Scanner::any_id)?;
                    true
                }
                Field::Bids | Field::Asks => {
                    let mut sides = Sides { book, outcomes: &mut draft.outcomes };
                    scanner.apart(|scanner| sides.take(scanner, (field, rank), &mut draft.found, last.is_raw))?
                }
                Field::UpdateMark => {
                    let value = scanner.apart(Scanner::value)?;
                    let bit = 1 << rank;
                    draft.note_mark(bit, is_update_mark(rank, value));
                    true
                }
                Field::TimeOrType => {
                    let value = scanner.time(time)?;
                    let bit = 1 << update_mark::UPPER_T;
                    let is_order_book = value.is_none() && ends_with_text(scanner.bytes_behind(), b"\"o\"");
                    draft.note_mark(bit, is_order_book);
                    if value.is_some() && draft.found.is_best(Field::TsExchange, UPPER_T) {
                        draft.origin.ts_exchange = value;
                    }
                    value.is_some()
                }
                // A second one takes the place of the first, with all that is in it.
                Field::Book if draft.has_book && !SEARCHED => {
                    *is_unsettled = true;
                    return Err(Malformed::Syntax);
                }
                Field::Book => {
                    draft.has_book = true;
                    if scanner.peek() == b'{' {
                        let mut sides = Sides { book, outcomes: &mut draft.outcomes };
                        let is_settled =
                            scanner.apart(|scanner| sides.take_inside::<SEARCHED>(scanner, &mut draft.found, last))?;
                        if !is_settled {
                            *is_unsettled = true;
                            return Err(Malformed::Syntax);
                        }
                    } else {
                        scanner.skip()?;
                    }
                    true
                }
                Field::Header if scanner.peek() == b'{' && !SEARCHED => {
                    *is_unsettled = true;
                    return Err(Malformed::Syntax);
                }
                Field::Header if scanner.peek() == b'{' => {
                    let moment = scanner.apart(|scanner| time_in_header(scanner, time, &mut draft.found, last))?;
                    draft.origin.ts_exchange = moment.or(draft.origin.ts_exchange);
                    true
                }
                Field::Header | Field::Unknown => {
                    scanner.skip()?;
                    true
                }
                Field::End => break,
            };
            if !is_read && !draft.found.note_unread(field, rank, scanner.bytes_behind()) {
                *is_unsettled = true;
                return Err(Malformed::Syntax);
            }
        }
        scanner.expect_end()?;

        draft.settle(kind, payload, time)
    }
}

/// The time in the header of a raw Databento record; `None` where there is none that counts.
#[cold]
fn time_in_header(
    scanner: &mut Scanner<'_>,
    time: &mut TimeDecoder,
    found: &mut Found,
    last: &LastValues,
) -> Result<Option<UnixNanos>, Malformed> {
    let mut moment = None;
    each_value(scanner, name_inside_header, |scanner, (field, rank), start| {
        if field == Field::Unknown || last.is_superseded((field, rank), start) {
            return scanner.value().map(|_| ());
        }
        let value = scanner.time(time)?;
        if value.is_none() {
            found.note_unread(field, rank, scanner.bytes_behind());
        } else if found.is_best(field, rank) {
            moment = value;
        }
        Ok(())
    })?;
    Ok(moment)
}

/// Whether a text says who a provider is, and not a code of one.
fn is_provider_name(text: &[u8]) -> bool {
    let is_name = |text: &[u8]| {
        let has_letter = || match std::str::from_utf8(text) {
            Ok(text) => text.chars().any(char::is_alphabetic),
            Err(_) => false,
        };
        text.len() >= 3 && (text.iter().any(u8::is_ascii_alphabetic) || has_letter())
    };
    match text.contains(&b'\\') {
        false => is_name(text),
        // One that is too long to be read here is no code: it is a provider with too long a name.
        true => unescape(text, &mut [0; ESCAPED_TEXT_BYTES_MAX]).is_none_or(is_name),
    }
}

/// The aggressor's side by the text of a name of that rank.
#[inline]
fn side_of(text: &[u8], rank: u8) -> Option<Side> {
    match text {
        // As most write it.
        b"buy" if rank < SIDE_OR_TICKER_RANK => Some(Side::Buy),
        b"sell" if rank < SIDE_OR_TICKER_RANK => Some(Side::Sell),
        _ => any_side_of(text, rank),
    }
}

#[inline(never)]
fn any_side_of(text: &[u8], rank: u8) -> Option<Side> {
    unescaped(text, |text| match rank {
        // Elsewhere it is a ticker.
        SIDE_OR_TICKER_RANK => match text {
            b"Buy" => Some(Side::Buy),
            b"Sell" => Some(Side::Sell),
            _ => None,
        },
        ..SIDE_OR_TICKER_RANK => side_word(text),
        // The maker's.
        _ => side_word(text).map(|side| if side == Side::Buy { Side::Sell } else { Side::Buy }),
    })
}

#[inline]
fn side_word(text: &[u8]) -> Option<Side> {
    let is_one_of = |words: [&[u8]; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of([b"buy", b"b", b"buyer", b"bid"]) {
        Some(Side::Buy)
    } else if is_one_of([b"sell", b"s", b"seller", b"ask"]) || text.eq_ignore_ascii_case(b"a") {
        Some(Side::Sell)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layouts in turn, with a key of `key_len` bytes in each; says how many were learnt after the first round.
    fn learnt_again(layouts: usize, key_len: usize) -> usize {
        let key = "k".repeat(key_len);
        let fields =
            [r#""price":1.5"#.to_owned(), r#""size":2"#.to_owned(), format!(r#""{key}":3"#), r#""ts":5"#.to_owned()];
        let payload = |layout: usize| {
            let mut fields = fields.to_vec();
            fields.rotate_left(layout % 4);
            if layout >= 4 {
                fields.swap(1, 2);
            }
            format!("{{{}}}", fields.join(","))
        };
        let mut decoder = Decoder::default();
        let mut learnt = 0;
        for round in 0..3 {
            for layout in 0..layouts {
                let payload = payload(layout);
                assert!(decoder.decode(EventKind::Trade, payload.as_bytes()).is_ok(), "{payload}");
                let layouts = &decoder.layouts[EventKind::Trade as usize];
                learnt += usize::from(round > 0 && layouts.is_learning);
            }
        }
        learnt
    }

    #[test]
    fn a_byte_order_mark_is_no_layout_of_its_own() {
        let mut decoder = Decoder::default();
        let mut is_learnt = |payload: &str| {
            assert!(decoder.decode(EventKind::Trade, payload.as_bytes()).is_ok(), "{payload}");
            decoder.layouts[EventKind::Trade as usize].is_learning
        };
        let plain = r#"{"price":1.5,"size":2}"#;
        assert!(is_learnt(plain));
        assert!(!is_learnt(&format!("\u{feff}{plain}")));
        assert!(!is_learnt(plain));
    }

    #[test]
    fn eight_layouts_and_keys_of_forty_bytes_are_remembered() {
        for layouts in 1..=8 {
            for key_len in [1, 16, 20, 21, 24, 40] {
                assert_eq!(learnt_again(layouts, key_len), 0, "{layouts} layouts, keys of {key_len} bytes");
            }
        }
        assert!(learnt_again(1, 60) > 0, "what does not fit is searched for each time");
    }
}
