//! Events as the decoder gives them: borrowed from the payload, and valid.

use crate::engine::bounds::BOOK_LEVELS_MAX;
use crate::engine::time::UnixNanos;

/// Provider and times, which every type of event may have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Origin<'a> {
    /// The provider's name as the payload spells it (a JSON string's inside, escapes included); empty when absent.
    pub provider: &'a [u8],
    pub ts_exchange: Option<UnixNanos>,
    pub ts_recv: Option<UnixNanos>,
}

impl Origin<'_> {
    /// The time that the producer gives the event: of receipt, else of the exchange.
    #[inline]
    pub fn stated_time(&self) -> Option<UnixNanos> {
        self.ts_recv.or(self.ts_exchange)
    }
}

/// The aggressor's side of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
    #[default]
    Unknown,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
            Side::Unknown => "unknown",
        }
    }
}

/// A trade: price finite and > 0, size finite and > 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade<'a> {
    pub price: f64,
    pub size: f64,
    pub side: Side,
    /// The id's JSON token (`"5182005737"` with its quotes, or a bare number); empty when absent.
    pub trade_id: &'a [u8],
}

/// A quote: bid and ask finite and > 0, sizes finite and >= 0 where given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quote {
    pub bid: f64,
    pub ask: f64,
    pub bid_size: Option<f64>,
    pub ask_size: Option<f64>,
}

/// A level of a book: price finite and > 0, size finite and >= 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    pub price: f64,
    pub size: f64,
}

/// One side of a book, best first: the first levels and how many there were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookSide {
    levels: [Level; BOOK_LEVELS_MAX],
    /// Levels in the message; at most `BOOK_LEVELS_MAX` of them are kept.
    pub level_count: u32,
}

impl BookSide {
    pub fn levels(&self) -> &[Level] {
        &self.levels[..BOOK_LEVELS_MAX.min(self.level_count as usize)]
    }

    pub fn best(&self) -> Option<Level> {
        self.levels().first().copied()
    }

    pub fn clear(&mut self) {
        self.level_count = 0;
    }

    #[inline]
    pub fn push(&mut self, level: Level) {
        if let Some(place) = self.levels.get_mut(self.level_count as usize) {
            *place = level;
        }
        self.level_count = self.level_count.saturating_add(1);
    }

    pub fn copy_from(&mut self, other: &BookSide) {
        let kept = other.levels().len();
        self.levels[..kept].copy_from_slice(other.levels());
        self.level_count = other.level_count;
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub bids: BookSide,
    pub asks: BookSide,
}

/// What the payload holds beyond its origin. A book is large: its levels are in [`Decoder::book`](super::decode::Decoder).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    Trade(Trade<'a>),
    Quote(Quote),
    Book,
    Heartbeat,
}
