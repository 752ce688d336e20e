//! What is known of each symbol, and the table that finds it by name.

use std::slice::SliceIndex;

use hashbrown::HashTable;
use serde_json::value::RawValue;

use crate::engine::bounds::{SYMBOL_BYTES_MAX, TRADE_ID_BYTES_MAX};
use crate::engine::input::event::{Book, Quote, Side, Trade};
use crate::engine::memory::{NoMemory, Table, joined};
use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::cooldowns::Cooldowns;
use crate::engine::state::latency_window::LatencyWindow;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::TradeWindow;
use crate::engine::time::UnixNanos;

/// A symbol's number: its place in the table, for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymbolId(pub u32);

/// When and whence a latest event came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub t: UnixNanos,
    pub provider: ProviderId,
    pub ts_exchange: Option<UnixNanos>,
    pub ts_recv: Option<UnixNanos>,
}

#[derive(Clone, Copy, Debug)]
pub struct LatestTrade {
    pub price: f64,
    pub size: f64,
    pub side: Side,
    trade_id: [u8; TRADE_ID_BYTES_MAX],
    trade_id_len: u8,
}

impl LatestTrade {
    pub fn new(trade: &Trade<'_>) -> Self {
        let kept = if trade.trade_id.len() <= TRADE_ID_BYTES_MAX { trade.trade_id } else { b"" };
        let mut trade_id = [0; TRADE_ID_BYTES_MAX];
        trade_id[..kept.len()].copy_from_slice(kept);
        LatestTrade { price: trade.price, size: trade.size, side: trade.side, trade_id, trade_id_len: kept.len() as u8 }
    }

    /// The id's JSON token; `null` when there was none, one too long to keep, or one that the decoder let pass though
    /// JSON has no such token (a padded number, a raw control character).
    pub fn trade_id(&self) -> &[u8] {
        let token = &self.trade_id[..self.trade_id_len as usize];
        if serde_json::from_slice::<&RawValue>(token).is_ok() { token } else { b"null" }
    }
}

/// How much of its name a symbol's state holds; longer ones are rare.
const NAME_START_BYTES: usize = 23;

/// The state of one symbol. The fields that every event touches come first and side by side, in as few cache lines as
/// they fit.
#[repr(C)]
pub struct SymbolState {
    name_len: u8,
    name_start: [u8; NAME_START_BYTES],
    /// The largest t so far.
    watermark: UnixNanos,
    /// Local time when the watermark last moved.
    watermark_local: UnixNanos,
    pub last_publication: Option<UnixNanos>,
    /// Something has arrived since the last publication.
    pub is_publication_pending: bool,
    pub cooldowns: Cooldowns,
    /// Top of the last two-sided book, which may be older than the latest book.
    two_sided: Option<(UnixNanos, BestPrices)>,
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
    fn new(name: &str, latency: LatencyWindow, trade_pool: &mut TradePool) -> Self {
        let mut name_start = [0; NAME_START_BYTES];
        let kept = name.len().min(NAME_START_BYTES);
        name_start[..kept].copy_from_slice(&name.as_bytes()[..kept]);
        SymbolState {
            name_len: name.len() as u8,
            name_start,
            watermark: UnixNanos(i64::MIN),
            watermark_local: UnixNanos(0),
            last_publication: None,
            is_publication_pending: false,
            cooldowns: Cooldowns::default(),
            two_sided: None,
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

    /// Local time is called differently from now on: what is kept in it moves along. Where the events themselves took
    /// their time from it, and it went back, those to come would all be late: what is known of such a symbol is forgotten,
    /// as null is better than what no event can replace.
    pub fn handle_clock_step(&mut self, step_ns: i64, trade_pool: &mut TradePool, row_pool: &mut BucketRowPool) {
        let is_locally_timed = self.watermark == self.watermark_local;
        if is_locally_timed && step_ns < 0 {
            self.watermark = self.watermark.plus(step_ns);
            self.cooldowns = Cooldowns::default();
            (self.two_sided, self.quote, self.trade, self.book_arrival) = (None, None, None, None);
            self.trades.clear(trade_pool);
            self.latency.clear(row_pool);
        }
        self.watermark_local = self.watermark_local.plus(step_ns);
        self.last_publication = self.last_publication.map(|moment| moment.plus(step_ns));
    }

    /// Moves the watermark to `t` if that is later; says whether `t` is more than `window` behind it.
    #[inline]
    pub fn observe(&mut self, t: UnixNanos, local: UnixNanos, window: i64) -> bool {
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

    /// Replaces the latest trade, unless that is newer; the window is the caller's.
    #[inline]
    pub fn apply_trade(&mut self, arrival: Arrival, trade: &Trade<'_>) {
        if self.trade.is_none_or(|(latest, _)| arrival.t >= latest.t) {
            self.trade = Some((arrival, LatestTrade::new(trade)));
        }
    }

    pub fn apply_book(&mut self, arrival: Arrival, book: &Book) {
        if let (Some(bid), Some(ask)) = (book.bids.best(), book.asks.best())
            && self.two_sided.is_none_or(|(t, _)| arrival.t >= t)
        {
            self.two_sided = Some((arrival.t, BestPrices { bid: bid.price, ask: ask.price }));
        }
        if self.book_arrival.is_none_or(|latest| arrival.t >= latest.t) {
            self.book_arrival = Some(arrival);
            self.book.bids.copy_from(&book.bids);
            self.book.asks.copy_from(&book.asks);
        }
    }

    pub fn book(&self) -> Option<(Arrival, &Book)> {
        self.book_arrival.map(|arrival| (arrival, &self.book))
    }

    /// Bid and ask from the newer of the last quote and the last two-sided book; a quote wins a tie.
    #[inline]
    pub fn best_prices(&self) -> Option<BestPrices> {
        match (&self.quote, &self.two_sided) {
            (Some((arrival, _)), Some((t, best))) if *t > arrival.t => Some(*best),
            (Some((_, quote)), _) => Some(BestPrices { bid: quote.bid, ask: quote.ask }),
            (None, Some((_, best))) => Some(*best),
            (None, None) => None,
        }
    }
}

/// What stands before the symbol in the subject of its snapshots,
pub const FEATURES_PREFIX: &str = "senpai.features.";
/// and of its signals.
pub const SIGNALS_PREFIX: &str = "senpai.signals.";

/// How a symbol is written: resolved once, when it is first seen.
pub struct SymbolNames {
    pub name: Box<str>,
    /// The name as a JSON string, with its quotes.
    pub json: Box<[u8]>,
    pub features_subject: Box<[u8]>,
    pub signals_subject: Box<[u8]>,
}

impl SymbolNames {
    /// `None` when there is no memory for it.
    fn new(name: &str) -> Option<Self> {
        // A symbol has no control characters, so that what is escaped in it takes two bytes.
        let mut place = [0; 2 * SYMBOL_BYTES_MAX + 2];
        let mut rest = &mut place[..];
        serde_json::to_writer(&mut rest, name).expect("a symbol fits, and text is always representable");
        let unused = rest.len();
        let json = std::str::from_utf8(&place[..place.len() - unused]).expect("JSON is text");
        Some(SymbolNames {
            name: joined(&[name])?,
            json: joined(&[json])?.into(),
            features_subject: joined(&[FEATURES_PREFIX, name])?.into(),
            signals_subject: joined(&[SIGNALS_PREFIX, name])?.into(),
        })
    }
}

const STATES: Table = Table::new("the symbols", "MAX_SYMBOLS");

/// All symbols, found by name and kept by number.
pub struct SymbolTable {
    /// Numbers alone, so that it stays in the caches; a name is compared where its symbol's state begins, which is needed
    /// next.
    by_name: HashTable<SymbolId>,
    /// For lists of all of them, which are made a page at a time.
    in_order: Vec<SymbolId>,
    hasher: ahash::RandomState,
    states: Vec<SymbolState>,
    names: Vec<SymbolNames>,
    symbol_capacity: usize,
}

impl SymbolTable {
    pub fn new(symbol_capacity: usize) -> Result<Self, NoMemory> {
        let mut by_name = HashTable::new();
        let nothing_moves = |_: &SymbolId| unreachable!("it is empty");
        by_name.try_reserve(symbol_capacity, nothing_moves).map_err(|_| STATES.missing::<SymbolId>(symbol_capacity))?;
        Ok(SymbolTable {
            by_name,
            in_order: STATES.list(symbol_capacity)?,
            hasher: ahash::RandomState::new(),
            states: STATES.list(symbol_capacity)?,
            names: STATES.list(symbol_capacity)?,
            symbol_capacity,
        })
    }

    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<SymbolId> {
        self.by_name.find(self.hasher.hash_one(name), |id| self.is_named(*id, name)).copied()
    }

    #[inline]
    fn is_named(&self, id: SymbolId, name: &[u8]) -> bool {
        let state = self.state(id);
        let start = name.len().min(NAME_START_BYTES);
        state.name_len as usize == name.len()
            && state.name_start[..start] == name[..start]
            && (start == name.len() || self.names(id).name.as_bytes() == name)
    }

    /// Takes a new symbol in; `None` when the table is full, or there is no memory for the name.
    #[cold]
    pub fn add(&mut self, name: &str, trade_pool: &mut TradePool) -> Option<SymbolId> {
        if self.states.len() == self.symbol_capacity {
            return None;
        }
        let id = SymbolId(self.states.len() as u32);
        let (names, latency) = (SymbolNames::new(name)?, LatencyWindow::new()?);
        self.states.push(SymbolState::new(name, latency, trade_pool));
        let place = self.in_order.partition_point(|known| *self.names(*known).name < *name);
        self.in_order.insert(place, id);
        self.names.push(names);
        let hash_of = |name: &[u8]| self.hasher.hash_one(name);
        self.by_name
            .insert_unique(hash_of(name.as_bytes()), id, |id| hash_of(self.names[id.0 as usize].name.as_bytes()));
        Some(id)
    }

    #[inline]
    pub fn state(&self, id: SymbolId) -> &SymbolState {
        &self.states[id.0 as usize]
    }

    #[inline]
    pub fn state_mut(&mut self, id: SymbolId) -> &mut SymbolState {
        &mut self.states[id.0 as usize]
    }

    /// Those with numbers in `ids`.
    pub fn states_mut(
        &mut self,
        ids: impl SliceIndex<[SymbolState], Output = [SymbolState]>,
    ) -> impl Iterator<Item = &mut SymbolState> {
        self.states[ids].iter_mut()
    }

    pub fn names(&self, id: SymbolId) -> &SymbolNames {
        &self.names[id.0 as usize]
    }

    /// Those whose names come after `name`, in the order of their names; all of them after `None`.
    pub fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &SymbolState)> {
        let start = name.map_or(0, |name| self.in_order.partition_point(|id| *self.names(*id).name <= *name));
        self.in_order[start..].iter().map(|id| (&*self.names(*id).name, self.state(*id)))
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

const _: () = assert!(SYMBOL_BYTES_MAX <= u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_told_apart_by_every_byte_of_their_names() {
        let long = "x".repeat(SYMBOL_BYTES_MAX);
        let lengths = [1, NAME_START_BYTES - 1, NAME_START_BYTES, NAME_START_BYTES + 1, SYMBOL_BYTES_MAX];
        let same = lengths.map(|length| long[..length].to_owned());
        let other_ends = lengths.map(|length| format!("{}y", &long[..length - 1]));
        let names: Vec<String> = same.into_iter().chain(other_ends).collect();
        let mut trade_pool = TradePool::new(0, names.len()).expect("there is memory");
        let mut table = SymbolTable::new(names.len()).expect("there is memory");
        for name in &names {
            assert_eq!(table.find(name.as_bytes()), None, "{name} is not there yet");
            let id = table.add(name, &mut trade_pool);
            assert!(id.is_some() && table.find(name.as_bytes()) == id, "{name}");
        }
        let found: Vec<u32> = names.iter().filter_map(|name| Some(table.find(name.as_bytes())?.0)).collect();
        assert_eq!(found, (0..names.len() as u32).collect::<Vec<_>>());
        let mut sorted = names.clone();
        sorted.sort();
        for start in 0..=sorted.len() {
            let last = start.checked_sub(1).map(|index| sorted[index].as_str());
            let listed: Vec<&str> = table.after(last).map(|(name, _)| name).collect();
            assert_eq!(listed, sorted[start..], "after {last:?}");
        }
        assert_eq!(table.add("one more", &mut trade_pool), None);
        assert_eq!(table.find(b"x".repeat(300).as_slice()), None, "longer than any symbol");
    }

    #[test]
    fn a_trade_id_is_a_json_token() {
        let check = |trade_id: &str, expected: &str| {
            let trade = Trade { price: 1.0, size: 1.0, side: Side::Buy, trade_id: trade_id.as_bytes() };
            assert_eq!(LatestTrade::new(&trade).trade_id(), expected.as_bytes(), "{trade_id}");
        };
        check("", "null");
        check("7", "7");
        check("123456789012345678901234567890", "123456789012345678901234567890");
        check(r#""a\"\u0041""#, r#""a\"\u0041""#);
        check(&format!("\"{}\"", "x".repeat(46)), &format!("\"{}\"", "x".repeat(46)));
        check(&format!("\"{}\"", "x".repeat(47)), "null");
        check("007", "null");
        check("\"a\nb\"", "null");
    }
}
