//! What a payload has said so far, and the event that it comes to once all of it has been read.
//!
//! It stays in memory: the loop that fills it keeps the scanner in registers, and a value that is set once an event would
//! take one of them for the whole loop.

use crate::engine::input::event::{Body, Origin, Quote, Side, Trade};
use crate::engine::input::field::{Field, LOWER_T, NUMBERS, TRADE_NUMBER_RANK};
use crate::engine::input::found::Found;
use crate::engine::input::json::Scanner;
use crate::engine::input::levels::SideOutcome;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::sides::is_update;
use crate::engine::input::subject::EventKind;
use crate::engine::time::TimeDecoder;

/// What a trade's `e` says of its `t` and `a`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TradeType {
    Trade,
    Aggregate,
    Other,
}

/// What has been read of an event; `found` tells which of it counts.
pub(super) struct Draft<'a> {
    pub found: Found,
    /// By field.
    pub numbers: [f64; NUMBERS],
    /// Whether its time is unreadable is settled at the end.
    pub origin: Origin<'a>,
    pub trade_id: &'a [u8],
    pub side: Side,
    pub trade_type: TradeType,
    /// `a` of a trade as an id.
    pub aggregate: &'a [u8],
    /// Where the value of a trade's `t` starts: a number, or a time; 0 without one.
    pub number_or_time: usize,
    /// A bit for each name of an update mark.
    pub update_marks: u8,
    pub has_book: bool,
    /// Of the bids and the asks.
    pub outcomes: [SideOutcome; 2],
}

impl<'a> Draft<'a> {
    #[inline(always)]
    pub fn new() -> Self {
        Draft {
            found: Found::default(),
            numbers: [0.0; NUMBERS],
            origin: Origin::default(),
            trade_id: b"",
            side: Side::Unknown,
            trade_type: TradeType::Other,
            aggregate: b"",
            number_or_time: 0,
            update_marks: 0,
            has_book: false,
            outcomes: [SideOutcome::Read; 2],
        }
    }

    /// Notes what the name of an update mark says.
    pub fn note_mark(&mut self, bit: u8, is_update: bool) {
        self.update_marks = if is_update { self.update_marks | bit } else { self.update_marks & !bit };
    }

    /// The event. A book's levels have been read elsewhere.
    #[inline(always)]
    pub fn settle(
        &mut self,
        kind: EventKind,
        payload: &'a [u8],
        time: &mut TimeDecoder,
    ) -> Result<(Origin<'a>, Body<'a>), Malformed> {
        if self.trade_type != TradeType::Other || self.number_or_time != 0 {
            self.settle_names_of_trades(payload, time)?;
        }
        let Draft { found, origin, .. } = &mut *self;
        origin.is_time_unreadable = found.is_unreadable(Field::TsExchange) || found.is_unreadable(Field::TsRecv);
        let origin = *origin;
        match kind {
            EventKind::Trade => Ok((origin, Body::Trade(self.trade()?))),
            EventKind::Quote => match self.quote_of_both_sides() {
                Some(quote) => Ok((origin, Body::Quote(quote))),
                None => self.other_quote().map(|quote| (origin, Body::Quote(quote))),
            },
            EventKind::Book => self.check_book().map(|()| (origin, Body::Book)),
            EventKind::Heartbeat => Ok((origin, Body::Heartbeat)),
            EventKind::Unknown => Err(Malformed::Subject),
        }
    }

    /// What a trade's `t` and `a` are is known now.
    #[inline(never)]
    fn settle_names_of_trades(&mut self, payload: &'a [u8], time: &mut TimeDecoder) -> Result<(), Malformed> {
        let Draft { found, trade_type, number_or_time, .. } = self;
        let mut value = Scanner::starting_at(payload, *number_or_time);
        let has_number = *number_or_time != 0;
        if *trade_type != TradeType::Other && found.would_be_best(Field::TradeId, TRADE_NUMBER_RANK) {
            self.trade_id = match trade_type {
                TradeType::Trade if has_number => value.any_id()?,
                TradeType::Trade => b"",
                _ => self.aggregate,
            };
        }
        if has_number && *trade_type != TradeType::Trade {
            match value.time(time)? {
                None => _ = found.note_unread(Field::TsExchange, LOWER_T, value.bytes_behind()),
                moment if found.is_best(Field::TsExchange, LOWER_T) => self.origin.ts_exchange = moment,
                _ => {}
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn trade(&self) -> Result<Trade<'a>, Malformed> {
        self.found.required(Field::Price, "price")?;
        self.found.required(Field::Size, "size")?;
        let (price, size) = (self.numbers[Field::Price as usize], self.numbers[Field::Size as usize]);
        if size == 0.0 {
            return Err(Malformed::Unreadable("size"));
        }
        Ok(Trade { price, size, side: self.side, trade_id: self.trade_id })
    }

    /// As nearly all quotes are.
    #[inline(always)]
    fn quote_of_both_sides(&self) -> Option<Quote> {
        let (bid, ask) = (self.numbers[Field::Bid as usize], self.numbers[Field::Ask as usize]);
        (bid > 0.0 && ask > 0.0 && !self.found.is_fixed_point()).then(|| Quote {
            bid: Some(bid),
            ask: Some(ask),
            bid_size: self.size_in_quote(Field::BidSize),
            ask_size: self.size_in_quote(Field::AskSize),
        })
    }

    #[inline(never)]
    fn other_quote(&self) -> Result<Quote, Malformed> {
        let bid = self.price_in_quote(Field::Bid, "bid")?;
        let ask = self.price_in_quote(Field::Ask, "ask")?;
        if (bid, ask) == (None, None) && !self.found.is_named(Field::Bid) && !self.found.is_named(Field::Ask) {
            return Err(Malformed::Missing("bid"));
        }
        // Nobody bids or asks for a price that is not there.
        let bid_size = bid.and_then(|_| self.size_in_quote(Field::BidSize));
        let ask_size = ask.and_then(|_| self.size_in_quote(Field::AskSize));
        Ok(Quote { bid, ask, bid_size, ask_size })
    }

    #[inline(always)]
    fn size_in_quote(&self, field: Field) -> Option<f64> {
        self.found.is_read(field).then_some(self.numbers[field as usize])
    }

    fn price_in_quote(&self, field: Field, name: &'static str) -> Result<Option<f64>, Malformed> {
        match self.numbers[field as usize] {
            price if price > 0.0 => self.found.required(field, name).map(|()| Some(price)),
            // Nobody bids or asks: it is 0, or says nothing.
            _ if !self.found.is_unreadable(field) => Ok(None),
            _ => Err(Malformed::Unreadable(name)),
        }
    }

    #[inline(always)]
    fn check_book(&self) -> Result<(), Malformed> {
        if is_update(self.update_marks) {
            return Err(Malformed::Update);
        }
        for (side, field, name) in [(0, Field::Bids, "bids"), (1, Field::Asks, "asks")] {
            self.found.required(field, name)?;
            match self.outcomes[side] {
                SideOutcome::Read => {}
                SideOutcome::Unreadable => return Err(Malformed::Unreadable(name)),
                SideOutcome::FixedPoint => return Err(Malformed::FixedPoint(name)),
            }
        }
        Ok(())
    }
}
