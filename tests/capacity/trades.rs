//! The trades of one symbol, and the room they find.
//!
//! ```text
//!   oldest chunk                 newest chunk
//!   [ _ _ _ t t t t t t t t ]    [ t t t t t t . . . . . ]        31 places each
//!     left                                     free
//! ```
//!
//! 1. A chunk has 31 places. Each symbol has one chunk from its first event on; `WINDOW_TRADES` / 31 more, rounded up, are
//!    shared by all.
//! 2. Trades stand in the order of (t, arrival). They leave at the front of the oldest chunk, whose places there stay empty
//!    until it is given back, or its trades move up by rules 3 and 4.
//! 3. The newest trade goes behind the others. Where the newest chunk has no place behind them, the window takes a shared
//!    chunk; without one left the trades of an only chunk move up, if places before them are empty; else the window's oldest
//!    trade is given up, until there is a place.
//! 4. A late trade goes into the chunk of the trade after it. If that chunk has no place behind its trades, these move up;
//!    else a shared chunk takes all but the first 15; without one left the window's oldest trade is given up, until there is
//!    a place; where the late trade would be the oldest, it is the one that is given up.
//! 5. What is kept is the newest: a late trade that is older than one given up is given up.
//! 6. With each event of the symbol all trades at or before watermark - window are forgotten but the newest of them.
//! 7. A silent symbol whose newest trade has left the window gives up all chunks but the newest, when it is asked.

const CHUNK: usize = 31;
const KEPT_BY_A_SPLIT: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade {
    pub t: i64,
    pub price: f64,
    pub size: f64,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    left: usize,
    trades: Vec<Trade>,
}

impl Chunk {
    fn has_place_behind(&self) -> bool {
        self.left + self.trades.len() < CHUNK
    }
}

#[derive(Debug)]
pub struct Trades {
    chunks: Vec<Chunk>,
    /// t of the newest trade that was given up.
    lost: Option<i64>,
    /// All trades as SPEC has them, without a bound; those that no window can ask for are left out.
    history: Vec<Trade>,
}

impl Default for Trades {
    fn default() -> Self {
        Trades { chunks: vec![Chunk::default()], lost: None, history: Vec::new() }
    }
}

impl Trades {
    pub fn kept(&self) -> Vec<Trade> {
        self.chunks.iter().flat_map(|chunk| chunk.trades.iter().copied()).collect()
    }

    pub fn count(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.trades.len()).sum()
    }

    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn newest_t(&self) -> Option<i64> {
        Some(self.chunks.last()?.trades.last()?.t)
    }

    pub fn push(&mut self, shared_left: &mut usize, trade: Trade) {
        let place = self.history.partition_point(|other| other.t <= trade.t);
        self.history.insert(place, trade);
        if self.newest_t().is_none_or(|newest| trade.t >= newest) {
            self.push_newest(shared_left, trade);
        } else if self.lost.is_none_or(|lost| trade.t >= lost) {
            self.insert(shared_left, trade);
        }
    }

    fn push_newest(&mut self, shared_left: &mut usize, trade: Trade) {
        while !self.chunks[self.chunks.len() - 1].has_place_behind() {
            if *shared_left > 0 {
                *shared_left -= 1;
                self.chunks.push(Chunk::default());
            } else if self.chunks.len() == 1 && self.chunks[0].left > 0 {
                self.chunks[0].left = 0;
            } else {
                self.give_up_oldest(shared_left);
            }
        }
        let newest = self.chunks.len() - 1;
        self.chunks[newest].trades.push(trade);
    }

    fn insert(&mut self, shared_left: &mut usize, trade: Trade) {
        loop {
            let later = |chunk: &Chunk| chunk.trades.iter().position(|other| other.t > trade.t);
            let (index, place) =
                (0..).zip(&self.chunks).find_map(|(index, chunk)| Some((index, later(chunk)?))).expect("it is late");
            let chunk = &mut self.chunks[index];
            if chunk.has_place_behind() {
                return chunk.trades.insert(place, trade);
            }
            if chunk.left > 0 {
                chunk.left = 0;
            } else if *shared_left > 0 {
                *shared_left -= 1;
                let upper = chunk.trades.split_off(KEPT_BY_A_SPLIT);
                self.chunks.insert(index + 1, Chunk { left: 0, trades: upper });
            } else if (index, place) == (0, 0) {
                self.lost = Some(trade.t);
                return;
            } else {
                self.give_up_oldest(shared_left);
            }
        }
    }

    fn give_up_oldest(&mut self, shared_left: &mut usize) {
        self.lost = Some(self.remove_oldest(shared_left).t);
    }

    fn remove_oldest(&mut self, shared_left: &mut usize) -> Trade {
        let oldest = self.chunks[0].trades.remove(0);
        self.chunks[0].left += 1;
        if self.chunks[0].trades.is_empty() {
            assert!(self.chunks.len() > 1, "a window that has traded keeps a trade");
            self.chunks.remove(0);
            *shared_left += 1;
        }
        oldest
    }

    /// Rule 6.
    pub fn forget(&mut self, shared_left: &mut usize, before: i64) {
        while self.chunks.iter().flat_map(|chunk| &chunk.trades).nth(1).is_some_and(|second| second.t <= before) {
            self.remove_oldest(shared_left);
        }
        let outside = self.history.partition_point(|trade| trade.t <= before);
        self.history.drain(..outside.saturating_sub(1));
    }

    /// Rule 7: at most `count_max` chunks go; says how many, and whether the window has no more to give.
    pub fn release(&mut self, shared_left: &mut usize, before: i64, count_max: usize) -> (usize, bool) {
        if self.newest_t().is_none_or(|newest| newest > before) {
            return (0, true);
        }
        let count = count_max.min(self.chunks.len() - 1);
        for chunk in self.chunks.drain(..count) {
            self.lost = chunk.trades.last().map(|trade| trade.t);
            *shared_left += 1;
        }
        (count, self.chunks.len() == 1)
    }

    /// As if none had ever come.
    pub fn clear(&mut self, shared_left: &mut usize) {
        *shared_left += self.chunks.len() - 1;
        *self = Trades::default();
    }

    /// The features over what is kept, in the order of [`NAMES`], and whether these lack a trade that they ask for. Where
    /// they do not, they are those over everything.
    pub fn features(&self, now: i64, long: i64, short: i64) -> ([Option<f64>; NAMES.len()], bool) {
        let kept = self.kept();
        let (missing, rest) = self.history.split_at(self.history.len() - kept.len());
        assert_eq!(rest, kept, "what is kept is the newest");
        let base = self.history.partition_point(|trade| trade.t <= now - short).checked_sub(1);
        let is_truncated =
            missing.iter().any(|trade| trade.t > now - long) || base.is_some_and(|base| base < missing.len());
        let features = features(&kept, now, long, short);
        assert!(is_truncated || features == self::features(&self.history, now, long, short), "nothing is amiss");
        (features, is_truncated)
    }
}

pub const NAMES: [&str; 6] =
    ["trade_vwap_10s", "trade_vwap_60s", "trade_count_10s", "trade_volume_10s", "return_10s", "realized_vol_60s"];

fn features(trades: &[Trade], now: i64, long: i64, short: i64) -> [Option<f64>; NAMES.len()] {
    let inside = |length: i64| &trades[trades.partition_point(|trade| trade.t <= now - length)..];
    let vwap = |trades: &[Trade]| {
        let notional: f64 = trades.iter().map(|trade| trade.price * trade.size).sum();
        (!trades.is_empty()).then(|| notional / trades.iter().map(|trade| trade.size).sum::<f64>())
    };
    let base = trades.iter().rev().find(|trade| trade.t <= now - short);
    let newest = trades.last();
    [
        vwap(inside(short)),
        vwap(inside(long)),
        Some(inside(short).len() as f64),
        Some(inside(short).iter().fold(0.0, |sum, trade| sum + trade.size)),
        newest.zip(base).map(|(newest, base)| newest.price / base.price - 1.0),
        deviation(inside(long).windows(2).map(|pair| (pair[1].price / pair[0].price).ln()).collect()),
    ]
}

fn deviation(returns: Vec<f64>) -> Option<f64> {
    let count = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / count;
    let squares: f64 = returns.iter().map(|value| (value - mean) * (value - mean)).sum();
    (returns.len() >= 2).then(|| (squares / (count - 1.0)).sqrt())
}
