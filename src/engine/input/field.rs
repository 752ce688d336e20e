//! The fields of an event, and the names that stand for them (SPEC section 1).

use crate::engine::input::subject::EventKind;

/// What a name stands for. The numbers of a trade and of a quote share their places, as no event has both.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Field {
    PriceOrBid,
    SizeOrAsk,
    BidSize,
    AskSize,
    TsExchange,
    TsRecv,
    Provider,
    Side,
    TradeId,
    Bids,
    Asks,
    Unknown,
    /// No name: the object ends here.
    End,
}

pub(super) const FIELDS: usize = 13;

/// A field, and the rank of the name that stands for it: 0 is the canonical one, then the aliases follow.
pub(super) type Name = (Field, u8);

pub(super) const UNKNOWN: Name = (Field::Unknown, 0);

/// A field's names in the order of their ranks.
type Names = (Field, &'static [&'static [u8]]);

/// The names of the time at which the exchange sent an event.
pub const TS_EXCHANGE: [&[u8]; 5] = [b"ts_exchange", b"exchange_ts", b"ts_event", b"timestamp", b"ts"];
/// The names of the time at which an event was received by its producer.
pub const TS_RECV: [&[u8]; 4] = [b"ts_recv", b"recv_ts", b"ts_receive", b"received_at"];

const OF_EVERY_EVENT: [Names; 3] = [
    (Field::Provider, &[b"provider", b"source", b"exchange", b"venue"]),
    (Field::TsExchange, &TS_EXCHANGE),
    (Field::TsRecv, &TS_RECV),
];
const OF_TRADES: [Names; 4] = [
    (Field::PriceOrBid, &[b"price", b"p", b"px"]),
    (Field::SizeOrAsk, &[b"size", b"qty", b"quantity", b"amount", b"volume", b"q"]),
    (Field::Side, &[b"side"]),
    (Field::TradeId, &[b"trade_id", b"id", b"tid"]),
];
const OF_QUOTES: [Names; 4] = [
    (Field::PriceOrBid, &[b"bid", b"bid_price", b"bp"]),
    (Field::SizeOrAsk, &[b"ask", b"ask_price", b"ap"]),
    (Field::BidSize, &[b"bid_size", b"bid_qty", b"bs"]),
    (Field::AskSize, &[b"ask_size", b"ask_qty", b"as"]),
];
const OF_BOOKS: [Names; 2] = [(Field::Bids, &[b"bids"]), (Field::Asks, &[b"asks"])];

/// What `key` stands for in an event of `kind`.
pub(super) fn name_of(kind: EventKind, key: &[u8]) -> Name {
    let own: &[Names] = match kind {
        EventKind::Trade => &OF_TRADES,
        EventKind::Quote => &OF_QUOTES,
        EventKind::Book => &OF_BOOKS,
        EventKind::Heartbeat | EventKind::Unknown => &[],
    };
    for (field, names) in own.iter().chain(&OF_EVERY_EVENT) {
        if let Some(rank) = names.iter().position(|name| *name == key) {
            return (*field, rank as u8);
        }
    }
    UNKNOWN
}
