//! A payload becomes an event: the tolerant decoder of SPEC section 1, one pass, nothing allocated.
//!
//! Each field keeps what its best-ranked name said last: rank 0 is the canonical name, then the aliases in SPEC's
//! order; so a canonical name wins wherever it stands, and a field given twice takes its last value.
//!
//! A producer writes its fields in the same order every time. So the decoder remembers, for each type of event, which
//! key stood where in the last message, and compares that first: a key that is where it was costs three word
//! comparisons. The names that it finds are the same either way; only the search is spared.

use super::event::{Body, Book, BookSide, Level, Origin, Quote, Side, Trade};
use super::json::{ExpectedKey, Malformed, Scanner, Value, unescape};
use super::subject::EventKind;
use super::time::{TimeDecoder, UnixNanos};

/// A field's value so far, with the rank of the name that gave it. An unreadable value is a value too: it stands for
/// the field, and the field counts as absent.
#[derive(Clone, Copy)]
struct Field<T> {
    rank: u8,
    value: Option<T>,
}

const NEVER: u8 = u8::MAX;

impl<T> Field<T> {
    const ABSENT: Self = Field { rank: NEVER, value: None };

    #[inline]
    fn offer(&mut self, rank: u8, value: Option<T>) {
        if rank <= self.rank {
            *self = Field { rank, value };
        }
    }

    /// The value of a field that the event cannot do without.
    #[inline]
    fn require(self, name: &'static str) -> Result<T, Malformed> {
        match self.value {
            Some(value) => Ok(value),
            None if self.rank == NEVER => Err(Malformed::Missing(name)),
            None => Err(Malformed::Unreadable(name)),
        }
    }
}

/// Which field a name stands for; the number is the name's rank.
#[derive(Clone, Copy, Default)]
enum Name {
    Provider(u8),
    TsExchange(u8),
    TsRecv(u8),
    Price(u8),
    Size(u8),
    Side,
    TradeId(u8),
    Bid(u8),
    Ask(u8),
    BidSize(u8),
    AskSize(u8),
    Bids,
    Asks,
    #[default]
    Unknown,
}

/// Fields of a message whose keys are remembered; what comes behind them is searched for.
const SHAPE_FIELDS: usize = 16;

/// The keys of the last message of a type, in their order.
type Shape = [(ExpectedKey, Name); SHAPE_FIELDS];

#[inline]
fn name_of(kind: EventKind, key: &[u8]) -> Name {
    match key {
        b"provider" => Name::Provider(0),
        b"source" => Name::Provider(1),
        b"exchange" => Name::Provider(2),
        b"venue" => Name::Provider(3),
        b"ts_exchange" => Name::TsExchange(0),
        b"exchange_ts" => Name::TsExchange(1),
        b"ts_event" => Name::TsExchange(2),
        b"timestamp" => Name::TsExchange(3),
        b"ts" => Name::TsExchange(4),
        b"ts_recv" => Name::TsRecv(0),
        b"recv_ts" => Name::TsRecv(1),
        b"ts_receive" => Name::TsRecv(2),
        b"received_at" => Name::TsRecv(3),
        _ => match kind {
            EventKind::Quote => match key {
                b"bid" => Name::Bid(0),
                b"bid_price" => Name::Bid(1),
                b"bp" => Name::Bid(2),
                b"ask" => Name::Ask(0),
                b"ask_price" => Name::Ask(1),
                b"ap" => Name::Ask(2),
                b"bid_size" => Name::BidSize(0),
                b"bid_qty" => Name::BidSize(1),
                b"bs" => Name::BidSize(2),
                b"ask_size" => Name::AskSize(0),
                b"ask_qty" => Name::AskSize(1),
                b"as" => Name::AskSize(2),
                _ => Name::Unknown,
            },
            EventKind::Trade => match key {
                b"price" => Name::Price(0),
                b"p" => Name::Price(1),
                b"px" => Name::Price(2),
                b"size" => Name::Size(0),
                b"qty" => Name::Size(1),
                b"quantity" => Name::Size(2),
                b"amount" => Name::Size(3),
                b"volume" => Name::Size(4),
                b"q" => Name::Size(5),
                b"side" => Name::Side,
                b"trade_id" => Name::TradeId(0),
                b"id" => Name::TradeId(1),
                b"tid" => Name::TradeId(2),
                _ => Name::Unknown,
            },
            EventKind::Book => match key {
                b"bids" => Name::Bids,
                b"asks" => Name::Asks,
                _ => Name::Unknown,
            },
            EventKind::Heartbeat | EventKind::Unknown => Name::Unknown,
        },
    }
}

/// The decoder's memory between payloads.
#[derive(Default)]
pub struct Decoder {
    shapes: [Shape; EventKind::ALL.len()],
    time: TimeDecoder,
    /// The levels of the last book. After an error they are nothing to rely on.
    pub book: Book,
}

/// The next key's name: as expected, or searched for and then expected the next time.
#[inline]
fn decode_name(
    scanner: &mut Scanner<'_>,
    kind: EventKind,
    expected: Option<&mut (ExpectedKey, Name)>,
) -> Result<Name, Malformed> {
    match expected {
        Some((key, name)) if scanner.take_key(key) => Ok(*name),
        expected => search_name(scanner, kind, expected),
    }
}

#[inline(never)]
fn search_name(
    scanner: &mut Scanner<'_>,
    kind: EventKind,
    expected: Option<&mut (ExpectedKey, Name)>,
) -> Result<Name, Malformed> {
    let key = scanner.key()?;
    if key.contains(&b'\\') {
        let mut place = [0; 32];
        return Ok(unescape(key, &mut place).map_or(Name::Unknown, |key| name_of(kind, key)));
    }
    let name = name_of(kind, key);
    if let (Some(expected), Some(key)) = (expected, ExpectedKey::new(key)) {
        *expected = (key, name);
    }
    Ok(name)
}

impl Decoder {
    /// Decodes the payload of an event of `kind`; a book's levels go into `self.book`.
    pub fn decode<'a>(&mut self, kind: EventKind, payload: &'a [u8]) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        let Decoder { shapes, time, book } = self;
        let mut shape = shapes[kind as usize].iter_mut();
        let mut scanner = Scanner::new(payload);
        if !scanner.take(b'{') {
            return Err(Malformed::NotAnObject);
        }
        let mut provider = Field::<&[u8]>::ABSENT;
        let (mut ts_exchange, mut ts_recv) = (Field::<UnixNanos>::ABSENT, Field::<UnixNanos>::ABSENT);
        // A trade's price and size, or a quote's bid and ask and their sizes.
        let (mut first, mut second) = (Field::<f64>::ABSENT, Field::<f64>::ABSENT);
        let (mut first_size, mut second_size) = (Field::<f64>::ABSENT, Field::<f64>::ABSENT);
        let (mut side, mut trade_id) = (Side::Unknown, Field::<&[u8]>::ABSENT);
        let (mut bids, mut asks) = (Field::<()>::ABSENT, Field::<()>::ABSENT);

        if !scanner.take(b'}') {
            loop {
                let name = decode_name(&mut scanner, kind, shape.next())?;
                match name {
                    Name::Bids => bids.offer(0, decode_side(&mut scanner, &mut book.bids)?),
                    Name::Asks => asks.offer(0, decode_side(&mut scanner, &mut book.asks)?),
                    Name::TradeId(rank) => {
                        scanner.peek();
                        let start = scanner.position();
                        let value = scanner.value()?;
                        let token = scanner.bytes_since(start);
                        trade_id.offer(rank, (!matches!(value, Value::Other)).then_some(token));
                    }
                    Name::Provider(rank) => provider.offer(rank, scanner.text()?),
                    Name::TsExchange(rank) => ts_exchange.offer(rank, scanner.time(time)?),
                    Name::TsRecv(rank) => ts_recv.offer(rank, scanner.time(time)?),
                    Name::Price(rank) | Name::Bid(rank) => first.offer(rank, as_price(scanner.decimal()?)),
                    Name::Ask(rank) => second.offer(rank, as_price(scanner.decimal()?)),
                    Name::Size(rank) => second.offer(rank, as_price(scanner.decimal()?)),
                    Name::BidSize(rank) => first_size.offer(rank, as_size(scanner.decimal()?)),
                    Name::AskSize(rank) => second_size.offer(rank, as_size(scanner.decimal()?)),
                    Name::Side => side = side_of(scanner.text()?),
                    Name::Unknown => {
                        scanner.text()?;
                    }
                }
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.expect(b'}')?;
        }
        scanner.expect_end()?;

        let origin = Origin {
            provider: provider.value.unwrap_or_default(),
            ts_exchange: ts_exchange.value,
            ts_recv: ts_recv.value,
        };
        let body = match kind {
            EventKind::Trade => Body::Trade(Trade {
                price: first.require("price")?,
                size: second.require("size")?,
                side,
                trade_id: trade_id.value.unwrap_or_default(),
            }),
            EventKind::Quote => Body::Quote(Quote {
                bid: first.require("bid")?,
                ask: second.require("ask")?,
                bid_size: first_size.value,
                ask_size: second_size.value,
            }),
            EventKind::Book => {
                bids.require("bids")?;
                asks.require("asks")?;
                Body::Book
            }
            EventKind::Heartbeat => Body::Heartbeat,
            EventKind::Unknown => return Err(Malformed::Subject),
        };
        Ok((origin, body))
    }
}

/// A side's levels into `levels`; `None` when the value is not a list of levels. Its grammar is checked either way.
fn decode_side(scanner: &mut Scanner<'_>, levels: &mut BookSide) -> Result<Option<()>, Malformed> {
    levels.clear();
    if scanner.peek() != b'[' {
        scanner.value()?;
        return Ok(None);
    }
    scanner.expect(b'[')?;
    if scanner.take(b']') {
        return Ok(Some(()));
    }
    let mut readable = Some(());
    loop {
        let level = match scanner.peek() {
            b'[' => decode_level_array(scanner)?,
            b'{' => decode_level_object(scanner)?,
            _ => {
                scanner.value()?;
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
    Ok(readable)
}

/// `[price, size, …]`; what follows the two is let pass.
fn decode_level_array(scanner: &mut Scanner<'_>) -> Result<Option<Level>, Malformed> {
    scanner.expect(b'[')?;
    if scanner.take(b']') {
        return Ok(None);
    }
    let price = as_price(scanner.decimal()?);
    let mut size = None;
    let mut count = 1;
    while scanner.take(b',') {
        count += 1;
        if count == 2 {
            size = as_size(scanner.decimal()?);
        } else {
            scanner.value()?;
        }
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
    let (mut price, mut size) = (None, None);
    loop {
        let key = scanner.key()?;
        let mut place = [0; 8];
        let key = if key.contains(&b'\\') { unescape(key, &mut place).unwrap_or_default() } else { key };
        match key {
            b"price" => price = as_price(scanner.decimal()?),
            b"size" => size = as_size(scanner.decimal()?),
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

fn level_of(price: Option<f64>, size: Option<f64>) -> Option<Level> {
    Some(Level { price: price?, size: size? })
}

/// Prices and traded sizes: finite and > 0.
#[inline]
fn as_price(value: Option<f64>) -> Option<f64> {
    value.filter(|price| price.is_finite() && *price > 0.0)
}

/// Quoted sizes: finite and >= 0.
#[inline]
fn as_size(value: Option<f64>) -> Option<f64> {
    value.filter(|size| size.is_finite() && *size >= 0.0)
}

#[inline]
fn side_of(text: Option<&[u8]>) -> Side {
    match text {
        Some(text) if text.eq_ignore_ascii_case(b"buy") || text.eq_ignore_ascii_case(b"b") => Side::Buy,
        Some(text) if text.eq_ignore_ascii_case(b"sell") || text.eq_ignore_ascii_case(b"s") => Side::Sell,
        _ => Side::Unknown,
    }
}
