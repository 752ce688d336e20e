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

/// A field, and the rank of the name that stands for it.
pub(super) type Name = (Field, u8);

/// The rank of what has not been named.
pub(super) const NEVER: u8 = u8::MAX;

pub(super) const UNKNOWN: Name = (Field::Unknown, 0);

pub(super) fn name_of(kind: EventKind, key: &[u8]) -> Name {
    use Field::*;
    let common = match key {
        b"provider" => (Provider, 0),
        b"source" => (Provider, 1),
        b"exchange" => (Provider, 2),
        b"venue" => (Provider, 3),
        b"ts_exchange" => (TsExchange, 0),
        b"exchange_ts" => (TsExchange, 1),
        b"ts_event" => (TsExchange, 2),
        b"timestamp" => (TsExchange, 3),
        b"ts" => (TsExchange, 4),
        b"ts_recv" => (TsRecv, 0),
        b"recv_ts" => (TsRecv, 1),
        b"ts_receive" => (TsRecv, 2),
        b"received_at" => (TsRecv, 3),
        _ => UNKNOWN,
    };
    match (kind, key) {
        (EventKind::Quote, b"bid") => (PriceOrBid, 0),
        (EventKind::Quote, b"bid_price") => (PriceOrBid, 1),
        (EventKind::Quote, b"bp") => (PriceOrBid, 2),
        (EventKind::Quote, b"ask") => (SizeOrAsk, 0),
        (EventKind::Quote, b"ask_price") => (SizeOrAsk, 1),
        (EventKind::Quote, b"ap") => (SizeOrAsk, 2),
        (EventKind::Quote, b"bid_size") => (BidSize, 0),
        (EventKind::Quote, b"bid_qty") => (BidSize, 1),
        (EventKind::Quote, b"bs") => (BidSize, 2),
        (EventKind::Quote, b"ask_size") => (AskSize, 0),
        (EventKind::Quote, b"ask_qty") => (AskSize, 1),
        (EventKind::Quote, b"as") => (AskSize, 2),
        (EventKind::Trade, b"price") => (PriceOrBid, 0),
        (EventKind::Trade, b"p") => (PriceOrBid, 1),
        (EventKind::Trade, b"px") => (PriceOrBid, 2),
        (EventKind::Trade, b"size") => (SizeOrAsk, 0),
        (EventKind::Trade, b"qty") => (SizeOrAsk, 1),
        (EventKind::Trade, b"quantity") => (SizeOrAsk, 2),
        (EventKind::Trade, b"amount") => (SizeOrAsk, 3),
        (EventKind::Trade, b"volume") => (SizeOrAsk, 4),
        (EventKind::Trade, b"q") => (SizeOrAsk, 5),
        (EventKind::Trade, b"side") => (Side, 0),
        (EventKind::Trade, b"trade_id") => (TradeId, 0),
        (EventKind::Trade, b"id") => (TradeId, 1),
        (EventKind::Trade, b"tid") => (TradeId, 2),
        (EventKind::Book, b"bids") => (Bids, 0),
        (EventKind::Book, b"asks") => (Asks, 0),
        _ => common,
    }
}
