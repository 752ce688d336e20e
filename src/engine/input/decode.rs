//! A payload becomes an event: the tolerant decoder of SPEC section 1, one pass, nothing allocated.
//!
//! Each field keeps what its best-ranked name said last: rank 0 is the canonical name, then the aliases in SPEC's
//! order; so a canonical name wins wherever it stands, and a field given twice takes its last value.
//!
//! The decoder remembers how earlier messages were laid out (`layouts`) and the minute of the last moment (`time`). What
//! it remembers saves work and changes no result.

use crate::engine::input::event::{Body, Book, BookSide, Level, Origin, Quote, Side, Trade};
use crate::engine::input::field::{FIELDS, Field};
use crate::engine::input::json::{Scanner, Value};
use crate::engine::input::layouts::{LAYOUT_FIELDS, Layouts};
use crate::engine::input::malformed::Malformed;
use crate::engine::input::subject::EventKind;
use crate::engine::input::unescape::{unescape, unescaped};
use crate::engine::time::TimeDecoder;

/// The rank of a field that has not been named.
const NEVER: u8 = u8::MAX;

/// The decoder's memory between payloads.
#[derive(Default)]
pub struct Decoder {
    layouts: [Layouts; EventKind::ALL.len()],
    time: TimeDecoder,
    /// The levels of the last book. After an error they are nothing to rely on.
    pub book: Book,
}

impl Decoder {
    /// Decodes the payload of an event of `kind`; a book's levels go into `self.book`.
    pub fn decode<'a>(&mut self, kind: EventKind, payload: &'a [u8]) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        let Decoder { layouts, time, book } = self;
        let layouts = &mut layouts[kind as usize];
        let mut scanner = Scanner::new(payload);
        // An unreadable value is a value too (NaN, or `None`): it stands for the field, which counts as absent.
        let mut ranks = [NEVER; FIELDS];
        let mut numbers = [f64::NAN; 4];
        let mut times = [None; 2];
        let mut sides = [None; 2];
        let (mut provider, mut trade_id, mut side) = (&b""[..], &b""[..], Side::Unknown);

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
            let place = field as usize;
            let is_best = rank <= ranks[place];
            if is_best {
                ranks[place] = rank;
            }
            match field {
                Field::PriceOrBid | Field::SizeOrAsk | Field::BidSize | Field::AskSize => {
                    let value = scanner.decimal()?;
                    if is_best {
                        numbers[place] = value;
                    }
                }
                Field::TsExchange | Field::TsRecv => {
                    let value = scanner.time(time)?;
                    if is_best {
                        times[place - Field::TsExchange as usize] = value;
                    }
                }
                Field::Provider => {
                    let value = scanner.text()?;
                    if is_best {
                        provider = value.unwrap_or_default();
                    }
                }
                Field::Side => side = side_of(scanner.text()?),
                Field::TradeId => {
                    scanner.peek();
                    let start = scanner.position();
                    let value = scanner.apart(Scanner::value)?;
                    if is_best {
                        trade_id = if let Value::Other = value { b"" } else { scanner.bytes_since(start) };
                    }
                }
                Field::Bids => sides[0] = scanner.apart(|scanner| decode_side(scanner, &mut book.bids))?,
                Field::Asks => sides[1] = scanner.apart(|scanner| decode_side(scanner, &mut book.asks))?,
                Field::Unknown => scanner.skip()?,
                Field::End => break,
            }
        }
        scanner.expect_end()?;

        let [ts_exchange, ts_recv] = times;
        let origin = Origin { provider, ts_exchange, ts_recv };
        // What the event cannot do without.
        let missing = |field: Field, name| {
            if ranks[field as usize] == NEVER { Malformed::Missing(name) } else { Malformed::Unreadable(name) }
        };
        let price = |field: Field, name| as_price(numbers[field as usize]).ok_or_else(|| missing(field, name));
        let body = match kind {
            EventKind::Trade => Body::Trade(Trade {
                price: price(Field::PriceOrBid, "price")?,
                size: price(Field::SizeOrAsk, "size")?,
                side,
                trade_id,
            }),
            EventKind::Quote => Body::Quote(Quote {
                bid: price(Field::PriceOrBid, "bid")?,
                ask: price(Field::SizeOrAsk, "ask")?,
                bid_size: as_size(numbers[Field::BidSize as usize]),
                ask_size: as_size(numbers[Field::AskSize as usize]),
            }),
            EventKind::Book => {
                sides[0].ok_or_else(|| missing(Field::Bids, "bids"))?;
                sides[1].ok_or_else(|| missing(Field::Asks, "asks"))?;
                Body::Book
            }
            EventKind::Heartbeat => Body::Heartbeat,
            EventKind::Unknown => return Err(Malformed::Subject),
        };
        Ok((origin, body))
    }
}

/// A side's levels into `levels`; `None` when the value is not a list of levels. Its grammar is checked either way.
fn decode_side(side: &mut Scanner<'_>, levels: &mut BookSide) -> Result<Option<()>, Malformed> {
    levels.clear();
    // A copy, which stays in registers.
    let mut scanner = *side;
    if scanner.peek() != b'[' {
        side.value()?;
        return Ok(None);
    }
    scanner.expect(b'[')?;
    let mut readable = Some(());
    if !scanner.take(b']') {
        loop {
            let level = match scanner.peek() {
                b'[' => decode_level_array(&mut scanner)?,
                b'{' => scanner.apart(decode_level_object)?,
                _ => {
                    scanner.apart(Scanner::value)?;
                    None
                }
            };
            match level {
                Some(level) => levels.push(level),
                None => readable = None,
            }
            if !scanner.take(b',') {
                break;
            }
        }
        scanner.expect(b']')?;
    }
    *side = scanner;
    Ok(readable)
}

/// `[price, size, …]`; what follows the two is let pass.
#[inline(always)]
fn decode_level_array(scanner: &mut Scanner<'_>) -> Result<Option<Level>, Malformed> {
    scanner.expect(b'[')?;
    if scanner.take(b']') {
        return Ok(None);
    }
    let price = scanner.decimal()?;
    if !scanner.take(b',') {
        scanner.expect(b']')?;
        return Ok(None);
    }
    let size = scanner.decimal()?;
    while scanner.take(b',') {
        scanner.apart(Scanner::value)?;
    }
    scanner.expect(b']')?;
    Ok(level_of(price, size))
}

/// `{"price":…,"size":…}` in any order, with any other fields.
fn decode_level_object(scanner: &mut Scanner<'_>) -> Result<Option<Level>, Malformed> {
    scanner.expect(b'{')?;
    if scanner.take(b'}') {
        return Ok(None);
    }
    let (mut price, mut size) = (f64::NAN, f64::NAN);
    loop {
        let key = scanner.key()?;
        let mut place = [0; 8];
        let key = if key.contains(&b'\\') { unescape(key, &mut place).unwrap_or_default() } else { key };
        match key {
            b"price" => price = scanner.decimal()?,
            b"size" => size = scanner.decimal()?,
            _ => {
                scanner.value()?;
            }
        }
        if !scanner.take(b',') {
            break;
        }
    }
    scanner.expect(b'}')?;
    Ok(level_of(price, size))
}

#[inline]
fn level_of(price: f64, size: f64) -> Option<Level> {
    Some(Level { price: as_price(price)?, size: as_size(size)? })
}

/// Prices and traded sizes: finite and > 0.
#[inline]
fn as_price(value: f64) -> Option<f64> {
    (value > 0.0 && value <= f64::MAX).then_some(value)
}

/// Quoted sizes: finite and >= 0.
#[inline]
fn as_size(value: f64) -> Option<f64> {
    (0.0..=f64::MAX).contains(&value).then_some(value)
}

#[inline]
fn side_of(text: Option<&[u8]>) -> Side {
    let side = text.and_then(|text| {
        unescaped(text, |text| match text {
            [b'b' | b'B'] => Some(Side::Buy),
            [b's' | b'S'] => Some(Side::Sell),
            _ if text.eq_ignore_ascii_case(b"buy") => Some(Side::Buy),
            _ if text.eq_ignore_ascii_case(b"sell") => Some(Side::Sell),
            _ => None,
        })
    });
    side.unwrap_or(Side::Unknown)
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
