//! The trades of each symbol, in time order, and the sums over the windows that end now.
//!
//! ```text
//!   base   retained (t > watermark - W60)                        newest
//!   [ b ][ . . . . ][ . . . . . . ][ . . . . . . . . . . . . . . . . ]
//!          ^ long.first               ^ short.first
//! ```
//!
//! `long` and `short` are cursors: the first trade inside the 60 s and the 10 s window at the last `now` asked for, and
//! sums over everything from there on. `now` may step back (see the map), so cursors move both ways; what is retained
//! depends on the watermark alone. `b`, the newest trade that has left the window, is kept because it still answers
//! for p(now - 10 s).
//!
//! A late trade goes into its place; a full chunk is split for it. When the pool has no shared chunk left the symbol gives
//! up its own oldest trades, and remembers up to when its windows lack them. So the newest trades are kept: a late trade
//! that is older than one given up is given up, too.

mod chunks;
mod late_trades;

use crate::engine::bounds::CHUNK_TRADES;
use crate::engine::state::fixed_point::{NotionalSum, ReturnSums, SizeSum, log_return, return_quanta, weighted_mean};
use crate::engine::state::trade_pool::{ChunkId, NO_CHUNK, Position, TradePool, TradeRecord};
use crate::engine::state::trade_window::late_trades::HINTS;
use crate::engine::time::UnixNanos;

/// Count, size and price times size over one window.
#[derive(Clone, Copy, Default)]
struct VolumeSums {
    count: u32,
    size: SizeSum,
    notional: NotionalSum,
}

impl VolumeSums {
    #[inline]
    fn add(&mut self, trade: &TradeRecord) {
        self.count += 1;
        self.size.add(trade.size);
        self.notional.add(trade.price * trade.size);
    }

    #[inline]
    fn subtract(&mut self, trade: &TradeRecord) {
        self.count -= 1;
        self.size.subtract(trade.size);
        self.notional.subtract(trade.price * trade.size);
    }
}

/// The trades of one symbol. What every event asks for comes first, so that a window in which nothing moves is decided
/// without touching its trades.
#[repr(C)]
pub struct TradeWindow {
    /// Where the cursors stand: first trade later than this.
    long_after: UnixNanos,
    short_after: UnixNanos,
    /// t of the first trade in each window, the next one to leave; `NEVER` without one.
    long_first_t: UnixNanos,
    short_first_t: UnixNanos,
    /// t of the second trade retained: when the window has passed it, the oldest is of no use. `NEVER` without one.
    second_t: UnixNanos,
    newest_price: f64,
    newest_t: UnixNanos,
    /// Price of the trade before the short window, for p(now - 10 s).
    price_before_short: Option<f64>,
    /// t of the newest trade that was given up because no chunk was left. No trade that is kept is older.
    lost: Option<UnixNanos>,
    head: ChunkId,
    tail: ChunkId,
    /// First trade with t > now - long window, and the sums from there on.
    long_first: Position,
    /// First trade with t > now - short window.
    short_first: Position,
    long: VolumeSums,
    short: VolumeSums,
    /// Over the trades of the long window but its first, whose predecessor is outside.
    returns: ReturnSums,
    /// Where the search for a late trade's place starts, by span of time.
    hints: [ChunkId; HINTS],
}

const NEVER: UnixNanos = UnixNanos(i64::MAX);

/// Lengths of the two windows, in ns.
#[derive(Clone, Copy, Debug)]
pub struct WindowLengths {
    /// Of the features named `_60s`.
    pub long: i64,
    /// Of the features named `_10s`.
    pub short: i64,
}

/// The figures of the windows at one `now`; `None` where there are too few trades.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradeFeatures {
    /// `trade_vwap_10s`
    pub vwap_short: Option<f64>,
    /// `trade_vwap_60s`
    pub vwap_long: Option<f64>,
    /// `trade_count_10s`
    pub count_short: u32,
    /// `trade_volume_10s`
    pub volume_short: f64,
    /// `realized_vol_60s`
    pub realized_vol_long: Option<f64>,
}

impl TradeWindow {
    /// Without a trade, over a chunk of its own.
    pub fn new(pool: &mut TradePool) -> Self {
        Self::over(pool.take_own())
    }

    /// Without a trade, over its one chunk.
    fn over(chunk: ChunkId) -> Self {
        let first = Position { chunk, offset: 0 };
        TradeWindow {
            long_after: UnixNanos(i64::MIN),
            short_after: UnixNanos(i64::MIN),
            long_first_t: NEVER,
            short_first_t: NEVER,
            second_t: NEVER,
            newest_price: 0.0,
            newest_t: UnixNanos(i64::MIN),
            price_before_short: None,
            lost: None,
            head: chunk,
            tail: chunk,
            long_first: first,
            short_first: first,
            long: VolumeSums::default(),
            short: VolumeSums::default(),
            returns: ReturnSums::default(),
            hints: [NO_CHUNK; HINTS],
        }
    }

    /// Puts a trade into its place: after all that are not later.
    #[inline]
    pub fn push(&mut self, pool: &mut TradePool, t: UnixNanos, price: f64, size: f64) {
        if t < self.newest_t {
            return self.insert(pool, t, price, size);
        }
        let is_first = self.newest_t.0 == i64::MIN;
        let log_return = if is_first { 0 } else { return_quanta(self.newest_price, price) };
        let trade = TradeRecord { t, price, size, log_return };
        if pool.chunk(self.tail).end as usize == CHUNK_TRADES {
            self.extend(pool, t);
        }
        let chunk = pool.chunk_mut(self.tail);
        chunk.trades[chunk.end as usize] = trade;
        chunk.end += 1;
        pool.trade_count += 1;
        (self.newest_t, self.newest_price) = (t, price);
        if !is_first {
            // Where there was one trade, this is the second.
            self.second_t = self.second_t.min(t);
        }
        if t > self.long_after {
            if self.long.count > 0 {
                self.returns.add(log_return);
            }
            self.long.add(&trade);
            self.long_first_t = self.long_first_t.min(t);
        } else {
            self.long_first = self.end(pool);
        }
        if t > self.short_after {
            self.short.add(&trade);
            self.short_first_t = self.short_first_t.min(t);
        } else {
            self.short_first = self.end(pool);
            self.price_before_short = Some(price);
        }
    }

    /// Notes anew which trades stand at the edges of the windows.
    fn note_edges(&mut self, pool: &TradePool) {
        self.long_first_t = pool.trade_at(&mut self.long_first).map_or(NEVER, |trade| trade.t);
        self.short_first_t = pool.trade_at(&mut self.short_first).map_or(NEVER, |trade| trade.t);
        self.price_before_short = pool.before(self.short_first).map(|before| pool.record(before).price);
        self.second_t = self.second(pool).map_or(NEVER, |trade| trade.t);
    }

    /// The second trade retained.
    #[inline]
    fn second<'p>(&self, pool: &'p TradePool) -> Option<&'p TradeRecord> {
        let mut second = self.oldest(pool);
        second.offset += 1;
        pool.trade_at(&mut second)
    }

    fn end(&self, pool: &TradePool) -> Position {
        Position { chunk: self.tail, offset: pool.chunk(self.tail).end }
    }

    #[inline]
    fn long_leave_first(&mut self, pool: &TradePool) {
        let trade = *pool.trade_at(&mut self.long_first).expect("a trade in the window is retained");
        self.long.subtract(&trade);
        self.long_first.offset += 1;
        if self.long.count > 0 {
            let second = pool.trade_at(&mut self.long_first).expect("the window has another trade");
            self.returns.subtract(second.log_return);
        }
    }

    #[inline]
    fn short_leave_first(&mut self, pool: &TradePool) {
        let trade = *pool.trade_at(&mut self.short_first).expect("a trade in the window is retained");
        self.short.subtract(&trade);
        self.short_first.offset += 1;
    }

    /// Moves the windows so that they end at `now`.
    #[inline]
    pub fn advance(&mut self, pool: &TradePool, now: UnixNanos, lengths: WindowLengths) {
        let (long_after, short_after) = (now.minus(lengths.long), now.minus(lengths.short));
        let is_moving =
            long_after < self.long_after || self.long_first_t <= long_after || self.short_first_t <= short_after;
        if is_moving {
            self.move_cursors(pool, long_after, short_after);
        }
        (self.long_after, self.short_after) = (long_after, short_after);
    }

    #[inline(never)]
    fn move_cursors(&mut self, pool: &TradePool, long_after: UnixNanos, short_after: UnixNanos) {
        while let Some(trade) = pool.trade_at(&mut self.long_first) {
            if trade.t > long_after {
                break;
            }
            self.long_leave_first(pool);
        }
        if long_after < self.long_after {
            self.step_long_back(pool, long_after);
        }
        while let Some(trade) = pool.trade_at(&mut self.short_first) {
            if trade.t > short_after {
                break;
            }
            self.short_leave_first(pool);
        }
        if short_after < self.short_after {
            self.step_short_back(pool, short_after);
        }
        self.note_edges(pool);
    }

    #[cold]
    fn step_long_back(&mut self, pool: &TradePool, long_after: UnixNanos) {
        while let Some(before) = pool.before(self.long_first) {
            let trade = *pool.record(before);
            if trade.t <= long_after {
                return;
            }
            if self.long.count > 0 {
                let first = pool.trade_at(&mut self.long_first).expect("the window has a first trade");
                self.returns.add(first.log_return);
            }
            self.long.add(&trade);
            self.long_first = before;
        }
    }

    #[cold]
    fn step_short_back(&mut self, pool: &TradePool, short_after: UnixNanos) {
        while let Some(before) = pool.before(self.short_first) {
            let trade = *pool.record(before);
            if trade.t <= short_after {
                return;
            }
            self.short.add(&trade);
            self.short_first = before;
        }
    }

    /// Forgets what no `now` from `watermark` on can ask for: all but the newest of the trades at or before
    /// `watermark - long`. The cursors must stand at or after that point (`advance` to the watermark first).
    #[inline]
    pub fn forget(&mut self, pool: &mut TradePool, watermark: UnixNanos, lengths: WindowLengths) {
        let before = watermark.minus(lengths.long);
        while self.second_t <= before {
            self.forget_head(pool);
            self.second_t = self.second(pool).map_or(NEVER, |trade| trade.t);
        }
    }
    /// p(now): the newest trade's price.
    #[inline]
    pub fn newest_price(&self) -> Option<f64> {
        (self.newest_t.0 != i64::MIN).then_some(self.newest_price)
    }

    /// p(now) / p(now - short) - 1 at the `now` of the last `advance`; p(now - short) is the trade right before the
    /// short window. Null when there is none.
    #[inline]
    pub fn return_short(&self) -> Option<f64> {
        let before = self.price_before_short?;
        // Of close prices the difference is exact, and the quotient is not.
        let value = (self.newest_price - before) / before;
        // Between extreme prices it may be more than an f64 holds: that is null.
        value.is_finite().then_some(value)
    }

    /// How much older the trade that answers for p(now - short) is than that moment, at the `now` of the last `advance`; 0 where
    /// there is none.
    pub fn gap(&self, pool: &TradePool) -> i64 {
        pool.before(self.short_first).map_or(0, |before| self.short_after.since(pool.record(before).t))
    }

    /// Size traded in the short window at the `now` of the last `advance`. It is never null: a sum that is more than an
    /// f64 holds is the largest one.
    #[inline]
    pub fn volume_short(&self, pool: &TradePool) -> f64 {
        let walked = || self.walk(pool, self.short_first).map(|trade| trade.size).sum::<f64>().min(f64::MAX);
        self.short.size.value().unwrap_or_else(walked)
    }

    /// The figures at the `now` of the last `advance`.
    pub fn features(&self, pool: &TradePool) -> TradeFeatures {
        TradeFeatures {
            vwap_short: self.vwap(pool, &self.short, self.short_first),
            vwap_long: self.vwap(pool, &self.long, self.long_first),
            count_short: self.short.count,
            volume_short: self.volume_short(pool),
            realized_vol_long: self.realized_vol(pool),
        }
    }

    /// sum(price x size) / sum(size); null without a trade.
    fn vwap(&self, pool: &TradePool, sums: &VolumeSums, first: Position) -> Option<f64> {
        if sums.count == 0 {
            return None;
        }
        Some(match (sums.notional.value(), sums.size.value()) {
            (Some(notional), Some(size)) => notional / size,
            _ => weighted_mean(self.walk(pool, first).map(|trade| (trade.price, trade.size))),
        })
    }

    fn realized_vol(&self, pool: &TradePool) -> Option<f64> {
        let count = self.returns.count();
        if count < 2 {
            return None;
        }
        self.returns.sample_deviation().or_else(|| {
            let returns = || {
                let prices = self.walk(pool, self.long_first).map(|trade| trade.price);
                prices.clone().skip(1).zip(prices).map(|(price, previous)| log_return(previous, price))
            };
            let mean = returns().sum::<f64>() / count as f64;
            let squares = returns().map(|value| (value - mean) * (value - mean)).sum::<f64>();
            Some((squares / (count - 1) as f64).sqrt())
        })
    }

    /// The trades from `position` on. Only windows that hold an extreme term are ever walked.
    fn walk<'p>(&self, pool: &'p TradePool, position: Position) -> impl Iterator<Item = &'p TradeRecord> + Clone {
        let mut position = position;
        std::iter::from_fn(move || {
            let trade = pool.trade_at(&mut position)?;
            position.offset += 1;
            Some(trade)
        })
    }

    /// Whether trades that were given up are missing: in the long window at `now`, the one of the last
    /// `advance`, or before the short one, where any of them would have answered for p(now - 10 s).
    #[inline]
    pub fn is_truncated(&self, now: UnixNanos, lengths: WindowLengths) -> bool {
        self.lost.is_some_and(|lost| lost > now.minus(lengths.long) || self.price_before_short.is_none())
    }
}
