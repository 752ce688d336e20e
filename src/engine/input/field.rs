//! The fields of an event, and the names that stand for them (SPEC section 1).

use crate::engine::input::subject::EventKind;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Field {
    Price,
    Size,
    Bid,
    Ask,
    BidSize,
    AskSize,
    TsExchange,
    TsRecv,
    Provider,
    Side,
    TradeId,
    Bids,
    Asks,
    /// `s` in a trade: its size where it is a number, else a ticker.
    SizeOrTicker,
    /// `e` in a trade, which says what `t` and `a` are.
    TradeType,
    /// `t` in a trade: its number beside `"e":"trade"`, else its time.
    NumberOrTime,
    /// `a` in a trade: its number beside `"e":"aggTrade"`.
    AggregateNumber,
    /// What says whether a book is an update; the rank says by which name.
    UpdateMark,
    /// `T` in a book: its time, or its type.
    TimeOrType,
    /// An object that holds the sides of a book.
    Book,
    /// The header of a raw Databento record.
    Header,
    Unknown,
    /// No name: the object ends here.
    End,
}

/// The numbers, which come first.
pub(super) const NUMBERS: usize = Field::AskSize as usize + 1;
/// Fields that have several names, and ranks.
pub(super) const RANKED: usize = Field::Asks as usize + 1;
/// All fields.
pub(super) const FIELDS: usize = Field::End as usize + 1;
/// No field has more names than this.
pub(super) const RANKS: usize = 16;

/// A field, and the rank of the name that stands for it: names of lower rank are taken first.
pub(super) type Name = (Field, u8);

pub(super) const UNKNOWN: Name = (Field::Unknown, 0);

/// A field's names in the order of their ranks.
type Names = (Field, &'static [&'static [u8]]);

/// The names of the time at which the exchange sent an event. [`HEADER_TIME`] comes after them.
pub const TS_EXCHANGE: [&[u8]; 9] =
    [b"ts_exchange", b"exchange_ts", b"ts_event", b"timestamp", b"ts", b"time", b"T", b"E", b"t"];
/// The names of the time at which an event was received by its producer.
pub const TS_RECV: [&[u8]; 8] = [
    b"ts_recv",
    b"recv_ts",
    b"ts_receive",
    b"received_at",
    b"receipt_timestamp",
    b"local_timestamp",
    b"localTimestamp",
    b"ts_init",
];
const PROVIDER: [&[u8]; 4] = [b"provider", b"exchange", b"venue", b"source"];

/// The rank of `provider`, which may be any string; the other three may be codes.
pub(super) const ANY_PROVIDER: u8 = 0;
/// The rank of `T` as a time.
pub(super) const UPPER_T: u8 = 6;
/// The rank of `t` as a time, the last name at the top.
pub(super) const LOWER_T: u8 = 8;
/// The object that marks a raw Databento record,
pub const HEADER: &[u8] = b"hd";
/// the time in it,
pub const HEADER_TIME: &[u8] = b"ts_event";
/// and its rank.
pub(super) const HEADER_TIME_RANK: u8 = 9;

const OF_EVERY_EVENT: [Names; 4] = [
    (Field::Provider, &PROVIDER),
    (Field::TsExchange, &TS_EXCHANGE),
    (Field::TsRecv, &TS_RECV),
    (Field::Header, &[HEADER]),
];

/// The rank of `s` among the names of the size, which has its place there though it is a field of its own.
pub(super) const TICKER_RANK: u8 = 6;
/// The rank of `S` among the names of the side: before it come words, behind it
pub(super) const SIDE_OR_TICKER_RANK: u8 = 4;
/// the maker's side, up to this one, and behind that whether the buyer was the maker.
pub(super) const MAKER_RANK_MAX: u8 = 6;
/// Ranks of the trade's number at Binance, behind its names.
pub(super) const TRADE_NUMBER_RANK: u8 = 5;

const OF_TRADES: [Names; 8] = [
    (Field::Price, &[b"price", b"p", b"px"]),
    (Field::Size, &[b"size", b"qty", b"quantity", b"amount", b"sz", b"v", b"", b"q", b"volume"]),
    (Field::SizeOrTicker, &[b"s"]),
    (
        Field::Side,
        &[
            b"side",
            b"aggressor_side",
            b"aggressor",
            b"taker_side",
            b"S",
            b"maker_side",
            b"makerSide",
            b"is_buyer_maker",
            b"m",
        ],
    ),
    (Field::TradeId, &[b"trade_id", b"tradeId", b"id", b"tid", b"i"]),
    (Field::TradeType, &[b"e"]),
    (Field::NumberOrTime, &[b"t"]),
    (Field::AggregateNumber, &[b"a"]),
];
const OF_QUOTES: [Names; 4] = [
    (
        Field::Bid,
        &[b"bid", b"bid_price", b"bidPrice", b"best_bid", b"best_bid_price", b"bidPx", b"bid_px", b"bp", b"b"],
    ),
    (
        Field::Ask,
        &[b"ask", b"ask_price", b"askPrice", b"best_ask", b"best_ask_price", b"askPx", b"ask_px", b"ap", b"a"],
    ),
    (
        Field::BidSize,
        &[
            b"bid_size",
            b"bid_qty",
            b"bidSize",
            b"bidQty",
            b"bidVolume",
            b"bidAmount",
            b"bid_amount",
            b"bidSz",
            b"bid_sz",
            b"best_bid_size",
            b"best_bid_quantity",
            b"bs",
            b"B",
        ],
    ),
    (
        Field::AskSize,
        &[
            b"ask_size",
            b"ask_qty",
            b"askSize",
            b"askQty",
            b"askVolume",
            b"askAmount",
            b"ask_amount",
            b"askSz",
            b"ask_sz",
            b"best_ask_size",
            b"best_ask_quantity",
            b"as",
            b"A",
        ],
    ),
];
const OF_BOOKS: [Names; 5] = [
    (Field::Bids, &[b"bids", b"bid", b"b"]),
    (Field::Asks, &[b"asks", b"ask", b"a"]),
    (Field::UpdateMark, &[b"e", b"type", b"action", b"isSnapshot", b"is_snapshot", b"", b"r"]),
    (Field::TimeOrType, &[b"T"]),
    (Field::Book, &[b"book"]),
];

/// The names of [`Field::UpdateMark`], by rank; `T` has the one that is left free.
pub(super) mod update_mark {
    pub const EVENT: u8 = 0;
    pub const TYPE: u8 = 1;
    pub const ACTION: u8 = 2;
    pub const IS_SNAPSHOT: u8 = 3;
    pub const IS_SNAPSHOT_SNAKE: u8 = 4;
    pub const UPPER_T: u8 = 5;
    pub const RESET: u8 = 6;
}

/// So much is added to the rank of a side's name inside an object `book`.
pub(super) const INSIDE_BOOK: u8 = 3;

/// What `key` stands for in an event of `kind`.
pub(super) fn name_of(kind: EventKind, key: &[u8]) -> Name {
    let own: &[Names] = match kind {
        EventKind::Trade => &OF_TRADES,
        EventKind::Quote => &OF_QUOTES,
        EventKind::Book => &OF_BOOKS,
        EventKind::Heartbeat | EventKind::Unknown => &[],
    };
    if key.is_empty() {
        return UNKNOWN;
    }
    for (field, names) in own.iter().chain(&OF_EVERY_EVENT) {
        if let Some(rank) = names.iter().position(|name| *name == key) {
            return (*field, rank as u8);
        }
    }
    UNKNOWN
}

/// What `key` stands for inside an object `book`.
pub(super) fn name_inside_book(key: &[u8]) -> Name {
    match name_of(EventKind::Book, key) {
        (field @ (Field::Bids | Field::Asks), rank) => (field, rank + INSIDE_BOOK),
        _ => UNKNOWN,
    }
}
