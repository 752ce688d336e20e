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
    /// A time was there, and under none of its names could it be read.
    pub is_time_unreadable: bool,
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

/// Prices are > 0 and below it, in every event.
pub const PRICE_END: f64 = 1e15;
/// Sizes are >= 0 and below it, those of trades > 0.
pub const SIZE_END: f64 = 1e18;

/// A trade.
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

/// A quote. Where there is no bid nobody bids, and it has no size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quote {
    /// Best price that is bid.
    pub bid: Option<f64>,
    /// Best price that is asked.
    pub ask: Option<f64>,
    /// Units that are bid at that price.
    pub bid_size: Option<f64>,
    /// Units that are asked at that price.
    pub ask_size: Option<f64>,
}

/// A level of a book; its size is > 0.
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

    /// Takes a level of the bids (else of the asks) to its place, behind those of the same price. Most come in order.
    #[inline]
    pub fn push<const BIDS: bool>(&mut self, level: Level) {
        let kept = BOOK_LEVELS_MAX.min(self.level_count as usize);
        if kept > 0 && is_better::<BIDS>(level, self.levels[kept - 1]) {
            self.insert::<BIDS>(level, kept);
        } else if let Some(place) = self.levels.get_mut(kept) {
            *place = level;
        }
        self.level_count = self.level_count.saturating_add(1);
    }

    #[inline(never)]
    fn insert<const BIDS: bool>(&mut self, level: Level, kept: usize) {
        let place = self.levels[..kept].partition_point(|other| !is_better::<BIDS>(level, *other));
        let end = BOOK_LEVELS_MAX.min(kept + 1);
        self.levels[place..end].rotate_right(1);
        self.levels[place] = level;
    }

    /// As `clone_from`, without the levels that are not there.
    pub fn copy_from(&mut self, other: &BookSide) {
        let kept = other.levels().len();
        self.levels[..kept].copy_from_slice(other.levels());
        self.level_count = other.level_count;
    }
}

#[inline]
fn is_better<const BIDS: bool>(level: Level, other: Level) -> bool {
    if BIDS { level.price > other.price } else { level.price < other.price }
}

/// Both sides of a book.
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
