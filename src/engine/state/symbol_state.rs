//! What is known of one symbol: its watermark and `now`, the latest trade, quote and book, which events are late, and its
//! windows.

use crate::engine::bounds::STATE_NAME_BYTES_MAX;
use crate::engine::input::event::{Book, BookSide, Quote, Trade};
use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::cooldowns::Cooldowns;
use crate::engine::state::latency_window::LatencyWindow;
use crate::engine::state::latest_trade::LatestTrade;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::TradeWindow;
use crate::engine::time::UnixNanos;

/// Time and provider of a latest event.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub t: UnixNanos,
    pub provider: ProviderId,
    pub ts_exchange: Option<UnixNanos>,
    pub ts_recv: Option<UnixNanos>,
}

/// How much of its name a symbol's state holds; longer ones are rare.
pub(super) const NAME_START_BYTES: usize = 23;

/// The state of one symbol. The fields that every event touches come first and side by side, in as few cache lines as
/// they fit.
#[repr(C)]
pub struct SymbolState {
    pub(super) name_len: u8,
    pub(super) name_start: [u8; NAME_START_BYTES],
    /// The largest t so far.
    watermark: UnixNanos,
    /// Local time when the watermark last moved.
    watermark_local: UnixNanos,
    pub last_publication: Option<UnixNanos>,
    /// Something has arrived since the last publication.
    pub is_publication_pending: bool,
    /// Whose market it is; unknown where it is not one provider's, or that is not known yet.
    pub provider: ProviderId,
    /// Local time of that provider's last event of the symbol,
    pub provider_heard: UnixNanos,
    /// and of the last event that the state took.
    pub last_event: UnixNanos,
    pub cooldowns: Cooldowns,
    /// The best prices of the latest book, where both sides have one.
    book_best: Option<(UnixNanos, Option<BestPrices>)>,
    pub quote: Option<(Arrival, Quote)>,
    pub latency: LatencyWindow,
    pub trades: TradeWindow,
    pub trade: Option<(Arrival, LatestTrade)>,
    pub features_published: u64,
    pub signals_emitted: [u64; 2],
    book_arrival: Option<Arrival>,
    book: Book,
}

impl SymbolState {
    pub(super) fn new(name: &str, latency: LatencyWindow, trade_pool: &mut TradePool) -> Self {
        SymbolState {
            name_len: name.len() as u8,
            name_start: start_of(name),
            watermark: UnixNanos(i64::MIN),
            watermark_local: UnixNanos(0),
            last_publication: None,
            is_publication_pending: false,
            provider: ProviderId::UNKNOWN,
            provider_heard: UnixNanos(0),
            last_event: UnixNanos(0),
            cooldowns: Cooldowns::default(),
            book_best: None,
            quote: None,
            trades: TradeWindow::new(trade_pool),
            latency,
            trade: None,
            features_published: 0,
            signals_emitted: [0; 2],
            book_arrival: None,
            book: Book::default(),
        }
    }

    /// The symbol's now: its watermark and the time that has passed since that last moved.
    #[inline]
    pub fn now(&self, local: UnixNanos) -> UnixNanos {
        self.watermark.plus(local.since(self.watermark_local))
    }

    #[inline]
    pub fn watermark(&self) -> UnixNanos {
        self.watermark
    }

    /// The clock was stepped: local moments are shifted by `step_ns`. Where the events carry no times of their own and the
    /// step went back, all events to come would be late. Such a symbol's state is cleared: null is better than figures that
    /// no event can replace.
    pub fn handle_clock_step(&mut self, step_ns: i64, trade_pool: &mut TradePool, row_pool: &mut BucketRowPool) {
        let is_locally_timed = self.watermark == self.watermark_local;
        if is_locally_timed && step_ns < 0 {
            self.watermark = self.watermark.plus(step_ns);
            self.cooldowns = Cooldowns::default();
            self.clear_market(trade_pool, row_pool);
        }
        self.watermark_local = self.watermark_local.plus(step_ns);
        self.provider_heard = self.provider_heard.plus(step_ns);
        self.last_event = self.last_event.plus(step_ns);
        self.last_publication = self.last_publication.map(|moment| moment.plus(step_ns));
    }

    fn clear_market(&mut self, trade_pool: &mut TradePool, row_pool: &mut BucketRowPool) {
        (self.book_best, self.quote, self.trade, self.book_arrival) = (None, None, None, None);
        self.trades.clear(trade_pool);
        self.latency.clear(row_pool);
    }

    /// The symbol is another provider's from now on: its market begins anew. What is about its outputs goes on, as their
    /// rate and their cooldowns are the symbol's.
    pub fn begin_anew(&mut self, trade_pool: &mut TradePool, row_pool: &mut BucketRowPool) {
        self.watermark = UnixNanos(i64::MIN);
        self.clear_market(trade_pool, row_pool);
    }

    /// The place is another symbol's from now on.
    pub(super) fn give_place(&mut self, name: &str, trade_pool: &mut TradePool, row_pool: &mut BucketRowPool) {
        self.begin_anew(trade_pool, row_pool);
        (self.name_len, self.name_start) = (name.len() as u8, start_of(name));
        (self.last_publication, self.is_publication_pending) = (None, false);
        self.cooldowns = Cooldowns::default();
        (self.features_published, self.signals_emitted) = (0, [0; 2]);
    }

    /// Whether the interval since the last publication ends at `deadline`.
    #[inline]
    pub fn is_interval_end(&self, deadline: UnixNanos, interval: i64) -> bool {
        self.last_publication.is_some_and(|last| last.plus(interval) == deadline)
    }

    /// Moves the watermark to `t` if that is later; says whether `t` is more than `window` behind it.
    #[inline]
    pub fn observe(&mut self, t: UnixNanos, local: UnixNanos, window: i64) -> bool {
        self.last_event = local;
        if t > self.watermark {
            self.watermark = t;
            self.watermark_local = local;
            return false;
        }
        self.watermark.since(t) > window
    }

    #[inline]
    pub fn apply_quote(&mut self, arrival: Arrival, quote: Quote) {
        if self.quote.is_none_or(|(latest, _)| arrival.t >= latest.t) {
            self.quote = Some((arrival, quote));
        }
    }

    /// Replaces the latest trade, unless that is newer. Does not touch the window.
    #[inline]
    pub fn apply_trade(&mut self, arrival: Arrival, trade: &Trade<'_>) {
        if self.trade.is_none_or(|(latest, _)| arrival.t >= latest.t) {
            self.trade = Some((arrival, LatestTrade::new(trade)));
        }
    }

    pub fn apply_book(&mut self, arrival: Arrival, book: &Book) {
        if self.book_arrival.is_none_or(|latest| arrival.t >= latest.t) {
            let best = |side: &BookSide| side.best().map(|level| level.price);
            self.book_best = Some((arrival.t, BestPrices::of(best(&book.bids), best(&book.asks))));
            self.book_arrival = Some(arrival);
            self.book.bids.copy_from(&book.bids);
            self.book.asks.copy_from(&book.asks);
        }
    }

    pub fn book(&self) -> Option<(Arrival, &Book)> {
        self.book_arrival.map(|arrival| (arrival, &self.book))
    }

    /// t, bid and ask of the newest of the last quote and the last book; a quote wins a tie. Without prices where it lacks a
    /// side: what has been withdrawn is not looked for in the older one.
    #[inline]
    pub fn top_of_market(&self) -> Option<(UnixNanos, Option<BestPrices>)> {
        match (&self.quote, &self.book_best) {
            (Some((arrival, _)), Some((t, best))) if *t > arrival.t => Some((*t, *best)),
            (Some((arrival, quote)), _) => Some((arrival.t, BestPrices::of(quote.bid, quote.ask))),
            (None, book) => *book,
        }
    }

    /// Bid and ask at the top of the market, where it has both.
    #[inline]
    pub fn best_prices(&self) -> Option<BestPrices> {
        self.top_of_market()?.1
    }
}

fn start_of(name: &str) -> [u8; NAME_START_BYTES] {
    let mut start = [0; NAME_START_BYTES];
    let kept = name.len().min(NAME_START_BYTES);
    start[..kept].copy_from_slice(&name.as_bytes()[..kept]);
    start
}

const _: () = assert!(STATE_NAME_BYTES_MAX <= u8::MAX as usize);
