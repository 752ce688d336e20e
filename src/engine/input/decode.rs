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
//! `a` of a trade, by its `e`).
//!
//! The decoder remembers how earlier messages were laid out (`layouts`) and the minute of the last moment (`time`). What
//! it remembers saves work and changes no result.

use crate::engine::input::event::{Body, Book, Origin, PRICE_END, Quote, SIZE_END, Side, Trade};
use crate::engine::input::field::{ANY_PROVIDER, Field, LOWER_T, MAKER_RANK_MAX, NUMBERS, SIDE_OR_TICKER_RANK};
use crate::engine::input::field::{TICKER_RANK, TRADE_NUMBER_RANK, UPPER_T, update_mark};
use crate::engine::input::found::{Found, ends_with_text};
use crate::engine::input::json::{Scanner, Value};
use crate::engine::input::last_values::{LastValues, UNSEARCHED, each_value, name_inside_header};
use crate::engine::input::layouts::{LAYOUT_FIELDS, Layouts};
use crate::engine::input::levels::SideOutcome;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::sides::{Sides, is_update, is_update_mark};
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::unescaped;
use crate::engine::time::TimeDecoder;

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

/// What a trade's `e` says of its `t` and `a`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TradeType {
    Trade,
    Aggregate,
    Other,
}

/// Least and end of each number's values; a price of 0 is none, but in a quote it is a value.
const RANGES: [(f64, f64); NUMBERS] = {
    let mut ranges = [(0.0, SIZE_END); NUMBERS];
    ranges[Field::Price as usize] = (f64::from_bits(1), PRICE_END);
    ranges[Field::Bid as usize] = (0.0, PRICE_END);
    ranges[Field::Ask as usize] = (0.0, PRICE_END);
    ranges
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
    fn pass<'a, const SEARCHED: bool>(
        &mut self,
        kind: EventKind,
        payload: &'a [u8],
        last: &LastValues,
    ) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        let Decoder { layouts, time, book, is_unsettled } = self;
        let layouts = &mut layouts[kind as usize];
        let mut scanner = Scanner::new(payload);
        let mut found = Found::default();
        let mut numbers = [0.0; NUMBERS];
        let mut times = [None; 2];
        let mut sides = Sides { book, outcomes: [SideOutcome::Read; 2] };
        let (mut provider, mut trade_id, mut side) = (&b""[..], &b""[..], Side::Unknown);
        let (mut trade_type, mut number, mut aggregate) = (TradeType::Other, None, &b""[..]);
        let (mut update_marks, mut has_book) = (0u8, false);

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
                    let (least, end) = RANGES[field as usize];
                    let is_read = value >= least && value < end;
                    if is_read && found.is_best(field, rank) {
                        numbers[field as usize] = value;
                        if SEARCHED && last.is_raw && matches!(field, Field::Price | Field::Bid | Field::Ask) {
                            found.has_no_point[field as usize] = !scanner.bytes_since(start).contains(&b'.');
                        }
                    }
                    is_read
                }
                Field::SizeOrTicker if scanner.peek() == b'"' => {
                    scanner.skip()?;
                    false
                }
                Field::SizeOrTicker => {
                    let value = scanner.decimal()?;
                    let is_read = (0.0..SIZE_END).contains(&value);
                    if is_read && found.is_best(Field::Size, TICKER_RANK) {
                        numbers[Field::Size as usize] = value;
                    }
                    is_read
                }
                Field::TsExchange | Field::TsRecv => {
                    let value = scanner.time(time)?;
                    if value.is_some() && found.is_best(field, rank) {
                        times[field as usize - Field::TsExchange as usize] = value;
                    }
                    value.is_some()
                }
                Field::Provider => match scanner.text()? {
                    Some(text) if rank == ANY_PROVIDER || is_provider_name(text) => {
                        if found.is_best(field, rank) {
                            provider = text;
                        }
                        true
                    }
                    _ => false,
                },
                Field::Side => {
                    let value = match rank {
                        ..=MAKER_RANK_MAX => scanner.text()?.and_then(|text| side_of(text, rank)),
                        // Of the buyer's being the maker.
                        _ => scanner.boolean()?.map(|is_sell| if is_sell { Side::Sell } else { Side::Buy }),
                    };
                    if let Some(value) = value
                        && found.is_best(field, rank)
                    {
                        side = value;
                    }
                    value.is_some()
                }
                Field::TradeId => {
                    scanner.peek();
                    let start = scanner.position();
                    let value = scanner.apart(Scanner::value)?;
                    let id = as_id(value, scanner.bytes_since(start));
                    if !id.is_empty() && found.is_best(field, rank) {
                        trade_id = id;
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
                    trade_type = text.and_then(|text| unescaped(text, trade_types)).unwrap_or(TradeType::Other);
                    true
                }
                Field::NumberOrTime => {
                    scanner.peek();
                    let start = scanner.position();
                    let value = scanner.apart(Scanner::value)?;
                    number = Some((start, as_id(value, scanner.bytes_since(start))));
                    true
                }
                Field::AggregateNumber => {
                    scanner.peek();
                    let start = scanner.position();
                    let value = scanner.apart(Scanner::value)?;
                    aggregate = as_id(value, scanner.bytes_since(start));
                    true
                }
                Field::Bids | Field::Asks => {
                    scanner.apart(|scanner| sides.take(scanner, (field, rank), &mut found, last.is_raw))?
                }
                Field::UpdateMark => {
                    let value = scanner.apart(Scanner::value)?;
                    let bit = 1 << rank;
                    update_marks = if is_update_mark(rank, value) { update_marks | bit } else { update_marks & !bit };
                    true
                }
                Field::TimeOrType => {
                    let value = scanner.time(time)?;
                    let bit = 1 << update_mark::UPPER_T;
                    let is_order_book = value.is_none() && ends_with_text(scanner.bytes_behind(), b"\"o\"");
                    update_marks = if is_order_book { update_marks | bit } else { update_marks & !bit };
                    if value.is_some() && found.is_best(Field::TsExchange, UPPER_T) {
                        times[0] = value;
                    }
                    value.is_some()
                }
                // A second one takes the place of the first, with all that is in it.
                Field::Book if has_book && !SEARCHED => {
                    *is_unsettled = true;
                    return Err(Malformed::Syntax);
                }
                Field::Book => {
                    has_book = true;
                    if scanner.peek() == b'{' {
                        let is_settled =
                            scanner.apart(|scanner| sides.take_inside::<SEARCHED>(scanner, &mut found, last))?;
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
                    each_value(&mut scanner, name_inside_header, |scanner, (field, rank), start| {
                        if field == Field::Unknown || last.is_superseded((field, rank), start) {
                            return scanner.value().map(|_| ());
                        }
                        let value = scanner.time(time)?;
                        if value.is_none() {
                            found.note_unread(field, rank, scanner.bytes_behind());
                        } else if found.is_best(field, rank) {
                            times[0] = value;
                        }
                        Ok(())
                    })?;
                    true
                }
                Field::Header | Field::Unknown => {
                    scanner.skip()?;
                    true
                }
                Field::End => break,
            };
            if !is_read && !found.note_unread(field, rank, scanner.bytes_behind()) {
                *is_unsettled = true;
                return Err(Malformed::Syntax);
            }
        }
        scanner.expect_end()?;

        let is_number = |rank| found.would_be_best(Field::TradeId, rank);
        match trade_type {
            TradeType::Trade if is_number(TRADE_NUMBER_RANK) => trade_id = number.map_or(b"", |(_, id)| id),
            TradeType::Aggregate if is_number(TRADE_NUMBER_RANK) => trade_id = aggregate,
            _ => {}
        }
        if let Some((start, _)) = number
            && trade_type != TradeType::Trade
        {
            let mut value = Scanner::starting_at(payload, start);
            match value.time(time)? {
                None => _ = found.note_unread(Field::TsExchange, LOWER_T, value.bytes_behind()),
                moment if found.is_best(Field::TsExchange, LOWER_T) => times[0] = moment,
                _ => {}
            }
        }

        let [ts_exchange, ts_recv] = times;
        let is_time_unreadable = found.is_unreadable(Field::TsExchange) || found.is_unreadable(Field::TsRecv);
        let origin = Origin { provider, ts_exchange, ts_recv, is_time_unreadable };
        let body = match kind {
            EventKind::Trade => {
                let price = found.required(Field::Price, "price").map(|()| numbers[Field::Price as usize])?;
                let size = found.required(Field::Size, "size").map(|()| numbers[Field::Size as usize])?;
                if size == 0.0 {
                    return Err(Malformed::Unreadable("size"));
                }
                Body::Trade(Trade { price, size, side, trade_id })
            }
            EventKind::Quote => {
                if !found.is_named(Field::Bid) && !found.is_named(Field::Ask) {
                    return Err(Malformed::Missing("bid"));
                }
                let number = |field: Field| numbers[field as usize];
                let price = |field: Field, name| match number(field) {
                    // Nobody bids or asks.
                    0.0 if !found.is_unreadable(field) => Ok(None),
                    price => found.required(field, name).map(|()| Some(price)),
                };
                let (bid, ask) = (price(Field::Bid, "bid")?, price(Field::Ask, "ask")?);
                let size = |price: Option<f64>, field: Field| {
                    (price.is_some() && found.is_read(field)).then_some(number(field))
                };
                Body::Quote(Quote {
                    bid,
                    ask,
                    bid_size: size(bid, Field::BidSize),
                    ask_size: size(ask, Field::AskSize),
                })
            }
            EventKind::Book => {
                if is_update(update_marks) {
                    return Err(Malformed::Update);
                }
                for (side, field, name) in [(0, Field::Bids, "bids"), (1, Field::Asks, "asks")] {
                    found.required(field, name)?;
                    match sides.outcomes[side] {
                        SideOutcome::Read => {}
                        SideOutcome::Unreadable => return Err(Malformed::Unreadable(name)),
                        SideOutcome::FixedPoint => return Err(Malformed::FixedPoint(name)),
                    }
                }
                Body::Book
            }
            EventKind::Heartbeat => Body::Heartbeat,
            EventKind::Unknown => return Err(Malformed::Subject),
        };
        Ok((origin, body))
    }
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
    unescaped(text, |text| is_name(text).then_some(())).is_some()
}

/// The aggressor's side by the text of a name of that rank.
#[inline]
fn side_of(text: &[u8], rank: u8) -> Option<Side> {
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

/// The token of a value that can be an id, else nothing.
fn as_id<'a>(value: Value<'_>, token: &'a [u8]) -> &'a [u8] {
    if matches!(value, Value::Text(_) | Value::Number(_)) { token } else { b"" }
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
    fn eight_layouts_and_keys_of_forty_bytes_are_remembered() {
        for layouts in 1..=8 {
            for key_len in [1, 16, 20, 21, 24, 40] {
                assert_eq!(learnt_again(layouts, key_len), 0, "{layouts} layouts, keys of {key_len} bytes");
            }
        }
        assert!(learnt_again(1, 60) > 0, "what does not fit is searched for each time");
    }
}
