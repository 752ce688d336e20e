//! Events as the decoder gives them: borrowed from the payload, and valid.

use crate::engine::bounds::BOOK_LEVELS_MAX;
use crate::engine::time::UnixNanos;

/// Provider and times, which every type of event may have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Origin<'a> {
    /// The provider's name as the payload spells it (a JSON string's inside, escapes included); empty when absent.
    pub provider: &'a [u8],
    /// When it happened at the exchange.
    pub ts_exchange: Option<UnixNanos>,
    /// When the producer received it.
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
    /// The buyer took an ask.
    Buy,
    /// The seller took a bid.
    Sell,
    /// Not said, or not readable.
    #[default]
    Unknown,
}

impl Side {
    /// As documents name it.
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
    /// Of one unit.
    pub price: f64,
    /// Units.
    pub size: f64,
    /// The aggressor's.
    pub side: Side,
    /// The id's JSON token (`"5182005737"` with its quotes, or a bare number); empty when absent.
    pub trade_id: &'a [u8],
}

/// A quote: bid and ask finite and > 0, sizes finite and >= 0 where given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quote {
    /// Best price that is bid.
    pub bid: f64,
    /// Best price that is asked.
    pub ask: f64,
    /// Units that are bid at that price.
    pub bid_size: Option<f64>,
    /// Units that are asked at that price.
    pub ask_size: Option<f64>,
}

/// A level of a book: price finite and > 0, size finite and >= 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// Of one unit.
    pub price: f64,
    /// Units.
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
    /// Those that are kept, best first.
    pub fn levels(&self) -> &[Level] {
        &self.levels[..BOOK_LEVELS_MAX.min(self.level_count as usize)]
    }

    /// The first level; `None` where the side is empty.
    pub fn best(&self) -> Option<Level> {
        self.levels().first().copied()
    }

    /// Without a level.
    pub fn clear(&mut self) {
        self.level_count = 0;
    }

    /// Adds the next level; beyond the bound it is only counted.
    #[inline]
    pub fn push(&mut self, level: Level) {
        if let Some(place) = self.levels.get_mut(self.level_count as usize) {
            *place = level;
        }
        self.level_count = self.level_count.saturating_add(1);
    }

    /// As `clone_from`, without the levels that are not there.
    pub fn copy_from(&mut self, other: &BookSide) {
        let kept = other.levels().len();
        self.levels[..kept].copy_from_slice(other.levels());
        self.level_count = other.level_count;
    }
}

/// A book: both of its sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// Highest price first.
    pub bids: BookSide,
    /// Lowest price first.
    pub asks: BookSide,
}

/// What the payload holds beyond its origin. A book is large: its levels are in [`Decoder::book`](super::decode::Decoder).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// A trade.
    Trade(Trade<'a>),
    /// A quote.
    Quote(Quote),
    /// A book; its levels are the decoder's.
    Book,
    /// A provider's sign of life.
    Heartbeat,
}
