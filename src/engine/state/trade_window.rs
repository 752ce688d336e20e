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
//! Trades live in chunks of one pool. Each symbol has one of its own, from its first event on; the others are shared. A
//! late trade goes into its place; a full chunk is split for it. When no shared chunk is left the symbol gives up its own
//! oldest trades, and remembers up to when its windows lack them. So what is kept is always the newest: a late trade that
//! is older than one given up is given up, too.

use crate::engine::bounds::{CHUNK_TRADES, POOL_LOW_PART};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::fixed_point::{
    NotionalSum, ReturnQuanta, ReturnSums, SizeSum, log_return, return_quanta, weighted_mean,
};
use crate::engine::time::UnixNanos;

#[derive(Clone, Copy, Default)]
struct TradeRecord {
    t: UnixNanos,
    price: f64,
    size: f64,
    /// Log return from the trade before this one; 0 for the oldest of all.
    log_return: ReturnQuanta,
}

type ChunkId = u32;
const NO_CHUNK: ChunkId = ChunkId::MAX;

/// Holds `trades[start..end]`; only a symbol's first chunk has a start other than 0.
struct Chunk {
    previous: ChunkId,
    next: ChunkId,
    start: u32,
    end: u32,
    trades: [TradeRecord; CHUNK_TRADES],
}

const CHUNKS: Table = Table::new("the trades of the windows", "WINDOW_TRADES or MAX_SYMBOLS");

/// All chunks there will ever be: those that windows hold, those set aside for symbols still to come, and the shared
/// ones that are left. A window that holds n chunks holds one of its own and n - 1 shared ones, whichever they are.
pub struct TradePool {
    /// Those that have been in use; the others' memory is there as well, and untouched.
    chunks: Vec<Chunk>,
    /// Chunks that are in use no more, as a list through `next`.
    free: ChunkId,
    /// Set aside, one for each symbol still to come.
    own_left: usize,
    shared_left: usize,
    /// With no more shared ones left, silent symbols are asked for theirs.
    shared_low: usize,
    trade_count: u64,
}

/// Where a trade stands. `offset == end` of a chunk means the start of the next one, or the end of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Position {
    chunk: ChunkId,
    offset: u32,
}

impl TradePool {
    /// Room for `trades` trades over all symbols, and a chunk for each of `symbols` symbols whatever the others take.
    pub fn new(trades: usize, symbols: usize) -> Result<Self, NoMemory> {
        let shared = trades.div_ceil(CHUNK_TRADES);
        let chunks = CHUNKS.list(shared.saturating_add(symbols))?;
        let shared_low = shared / POOL_LOW_PART;
        Ok(TradePool { chunks, free: NO_CHUNK, own_left: symbols, shared_left: shared, shared_low, trade_count: 0 })
    }

    /// Trades held now, over all symbols.
    pub fn trade_count(&self) -> u64 {
        self.trade_count
    }

    /// Few chunks are left.
    #[inline]
    pub fn is_low(&self) -> bool {
        self.shared_left <= self.shared_low
    }

    /// The own chunk of a new symbol.
    fn take_own(&mut self) -> ChunkId {
        assert!(self.own_left > 0, "there are no more symbols than the pool was made for");
        self.own_left -= 1;
        self.take()
    }

    /// A chunk beyond a symbol's own, while one is left.
    fn take_shared(&mut self) -> Option<ChunkId> {
        self.shared_left = self.shared_left.checked_sub(1)?;
        Some(self.take())
    }

    fn take(&mut self) -> ChunkId {
        let id = self.free;
        if id != NO_CHUNK {
            let chunk = self.chunk_mut(id);
            let next = chunk.next;
            (chunk.previous, chunk.next, chunk.start, chunk.end) = (NO_CHUNK, NO_CHUNK, 0, 0);
            self.free = next;
            return id;
        }
        // The vector's memory is there from the start; a page of it costs nothing before it is written.
        self.chunks.push(Chunk {
            previous: NO_CHUNK,
            next: NO_CHUNK,
            start: 0,
            end: 0,
            trades: [TradeRecord::default(); CHUNK_TRADES],
        });
        (self.chunks.len() - 1) as ChunkId
    }

    /// A chunk of a window that has others.
    fn give_back_shared(&mut self, id: ChunkId) {
        let free = self.free;
        self.chunk_mut(id).next = free;
        self.free = id;
        self.shared_left += 1;
    }

    #[inline]
    fn chunk(&self, id: ChunkId) -> &Chunk {
        &self.chunks[id as usize]
    }

    #[inline]
    fn chunk_mut(&mut self, id: ChunkId) -> &mut Chunk {
        &mut self.chunks[id as usize]
    }

    /// The trade at `position`, moving the position into the next chunk where it stands at a chunk's end.
    #[inline]
    fn trade_at(&self, position: &mut Position) -> Option<&TradeRecord> {
        let mut chunk = self.chunk(position.chunk);
        if position.offset >= chunk.end {
            if chunk.next == NO_CHUNK {
                return None;
            }
            *position = Position { chunk: chunk.next, offset: 0 };
            chunk = self.chunk(position.chunk);
            debug_assert!(chunk.start == 0 && chunk.end > 0);
        }
        Some(&chunk.trades[position.offset as usize])
    }

    #[inline]
    fn before(&self, position: Position) -> Option<Position> {
        let chunk = self.chunk(position.chunk);
        if position.offset > chunk.start {
            return Some(Position { chunk: position.chunk, offset: position.offset - 1 });
        }
        let previous = chunk.previous;
        (previous != NO_CHUNK).then(|| Position { chunk: previous, offset: self.chunk(previous).end - 1 })
    }

    /// t of a chunk's first trade.
    #[inline]
    fn first_t(&self, id: ChunkId) -> UnixNanos {
        let chunk = self.chunk(id);
        chunk.trades[chunk.start as usize].t
    }

    #[inline]
    fn record(&self, position: Position) -> &TradeRecord {
        &self.chunk(position.chunk).trades[position.offset as usize]
    }
}

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

/// Fingers into the chunks of a symbol, each for 2^31 ns (2.1 s); together they span a window of 60 s.
const FINGERS: usize = 32;
const FINGER_NANOS_LOG2: u32 = 31;

/// The trades of one symbol. What every event asks for comes first, so that a window in which nothing moves is left
/// without a look at its trades.
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
    /// t of the newest trade that was given up for want of room. No trade that is kept is older.
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
    /// Where the search for a late trade's place starts: a chunk whose first trade lies in the finger's span of time.
    fingers: [ChunkId; FINGERS],
}

const NEVER: UnixNanos = UnixNanos(i64::MAX);

/// The number of a moment's span of 2^31 ns.
fn span_of(t: UnixNanos) -> i64 {
    t.0 >> FINGER_NANOS_LOG2
}

fn finger_of_span(span: i64) -> usize {
    span.rem_euclid(FINGERS as i64) as usize
}

fn finger_of(t: UnixNanos) -> usize {
    finger_of_span(span_of(t))
}

/// Lengths of the two windows, in ns.
#[derive(Clone, Copy, Debug)]
pub struct WindowLengths {
    pub long: i64,
    pub short: i64,
}

/// What the windows say at one `now`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradeFeatures {
    pub vwap_short: Option<f64>,
    pub vwap_long: Option<f64>,
    pub count_short: u32,
    pub volume_short: f64,
    pub realized_vol_long: Option<f64>,
}

impl TradeWindow {
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
            fingers: [NO_CHUNK; FINGERS],
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

    /// Looks again at what stands at the windows' edges.
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

    /// Makes room at the tail for a trade of `t`: another chunk, taken from the oldest trades where none is free.
    #[inline(never)]
    fn extend(&mut self, pool: &mut TradePool, t: UnixNanos) {
        loop {
            if let Some(id) = pool.take_shared() {
                self.link_after(pool, self.tail, id);
                let finger = &mut self.fingers[finger_of(t)];
                // The first chunk of the finger's span, unless that is another turn's.
                if *finger == NO_CHUNK || span_of(pool.first_t(*finger)) != span_of(t) {
                    *finger = id;
                }
                return;
            }
            if self.head == self.tail && pool.chunk(self.head).start > 0 {
                return self.compact_head(pool);
            }
            self.give_up_oldest(pool);
        }
    }

    /// Moves the head chunk's trades to its start, for room at its end.
    #[cold]
    fn compact_head(&mut self, pool: &mut TradePool) {
        let head = self.head;
        let chunk = pool.chunk_mut(head);
        let start = chunk.start;
        chunk.trades.copy_within(start as usize..chunk.end as usize, 0);
        (chunk.start, chunk.end) = (0, chunk.end - start);
        for cursor in [&mut self.long_first, &mut self.short_first] {
            if cursor.chunk == head {
                cursor.offset -= start;
            }
        }
    }

    fn link_after(&mut self, pool: &mut TradePool, left: ChunkId, id: ChunkId) {
        let right = pool.chunk(left).next;
        let chunk = pool.chunk_mut(id);
        (chunk.previous, chunk.next) = (left, right);
        pool.chunk_mut(left).next = id;
        if right == NO_CHUNK {
            self.tail = id;
        } else {
            pool.chunk_mut(right).previous = id;
        }
    }

    /// The oldest trade is lost, and its windows with it.
    #[cold]
    fn give_up_oldest(&mut self, pool: &mut TradePool) {
        let oldest = *pool.record(self.oldest(pool));
        self.lost = Some(oldest.t);
        if oldest.t > self.long_after {
            self.long_leave_first(pool);
        }
        if oldest.t > self.short_after {
            self.short_leave_first(pool);
        }
        self.forget_head(pool);
        self.note_edges(pool);
    }

    fn oldest(&self, pool: &TradePool) -> Position {
        Position { chunk: self.head, offset: pool.chunk(self.head).start }
    }

    /// As if no trade had ever come: all chunks go back but one.
    pub fn clear(&mut self, pool: &mut TradePool) {
        let own = self.tail;
        while self.head != own {
            let head = pool.chunk(self.head);
            let (held, next) = (head.end - head.start, head.next);
            pool.trade_count -= held as u64;
            pool.give_back_shared(self.head);
            self.head = next;
        }
        let chunk = pool.chunk_mut(own);
        let held = chunk.end - chunk.start;
        (chunk.previous, chunk.start, chunk.end) = (NO_CHUNK, 0, 0);
        pool.trade_count -= held as u64;
        *self = TradeWindow::over(own);
    }

    /// Removes the oldest trade, which no cursor covers any more. It is never the only one.
    #[inline]
    fn forget_head(&mut self, pool: &mut TradePool) {
        let head = self.head;
        let chunk = pool.chunk_mut(head);
        chunk.start += 1;
        let (emptied, next) = (chunk.start == chunk.end, chunk.next);
        pool.trade_count -= 1;
        if emptied {
            for cursor in [&mut self.long_first, &mut self.short_first] {
                if cursor.chunk == head {
                    *cursor = Position { chunk: next, offset: 0 };
                }
            }
            self.give_back_head(pool, next);
        }
    }

    /// Gives the first chunk back, of which nothing is needed; `next` is first then.
    fn give_back_head(&mut self, pool: &mut TradePool, next: ChunkId) {
        assert!(next != NO_CHUNK, "the newest trade is always retained");
        let head = std::mem::replace(&mut self.head, next);
        for finger in &mut self.fingers {
            if *finger == head {
                *finger = NO_CHUNK;
            }
        }
        pool.chunk_mut(next).previous = NO_CHUNK;
        pool.give_back_shared(head);
    }

    /// Few chunks are left: where `now` has left both windows behind, all but the newest go back, at most `count_max`
    /// with one call. Says how many went, and whether none is left to go. Should `now` step back among their trades,
    /// their loss is said.
    pub fn release_outrun(
        &mut self,
        pool: &mut TradePool,
        now: UnixNanos,
        lengths: WindowLengths,
        count_max: usize,
    ) -> (usize, bool) {
        if self.head == self.tail || self.newest_t > now.minus(lengths.long) {
            return (0, true);
        }
        // What `advance` comes to, without a walk: sums of no trade, cursors at the end.
        (self.long_after, self.short_after) = (now.minus(lengths.long), now.minus(lengths.short));
        (self.long, self.short, self.returns) = Default::default();
        (self.long_first, self.short_first) = (self.end(pool), self.end(pool));
        let mut count = 0;
        while self.head != self.tail && count < count_max {
            let chunk = pool.chunk(self.head);
            let (held, last, next) = (chunk.end - chunk.start, chunk.trades[chunk.end as usize - 1].t, chunk.next);
            pool.trade_count -= held as u64;
            self.lost = Some(last);
            self.give_back_head(pool, next);
            count += 1;
        }
        self.note_edges(pool);
        (count, self.head == self.tail)
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

    /// Where a late trade belongs: before the first trade that is later. The search goes from chunk to chunk, from the
    /// finger of its span of time or else of the next one that has a chunk. Late trades come in flocks, so the finger
    /// stays where the trade went.
    fn place_of(&mut self, pool: &TradePool, t: UnixNanos) -> Position {
        let spans = span_of(t)..=span_of(self.newest_t).min(span_of(t) + FINGERS as i64 - 1);
        let finger = spans
            .map(|span| (self.fingers[finger_of_span(span)], span))
            .find_map(|(finger, span)| (finger != NO_CHUNK && span_of(pool.first_t(finger)) == span).then_some(finger));
        let mut id = finger.unwrap_or(self.tail);
        while pool.first_t(id) > t && pool.chunk(id).previous != NO_CHUNK {
            id = pool.chunk(id).previous;
        }
        while pool.chunk(id).next != NO_CHUNK && pool.first_t(pool.chunk(id).next) <= t {
            id = pool.chunk(id).next;
        }
        if span_of(pool.first_t(id)) == span_of(t) {
            self.fingers[finger_of(t)] = id;
        }
        let chunk = pool.chunk(id);
        let held = &chunk.trades[chunk.start as usize..chunk.end as usize];
        let mut place = Position { chunk: id, offset: chunk.start + held.partition_point(|trade| trade.t <= t) as u32 };
        pool.trade_at(&mut place).expect("a later trade stands after a late one");
        place
    }

    #[inline(never)]
    fn insert(&mut self, pool: &mut TradePool, t: UnixNanos, price: f64, size: f64) {
        if self.lost.is_some_and(|lost| t < lost) {
            // Kept, it would answer for moments whose trades are gone.
            return;
        }
        let mut place = self.place_of(pool, t);
        while pool.chunk(place.chunk).end as usize == CHUNK_TRADES {
            if place == self.oldest(pool) && pool.chunk(place.chunk).start == 0 && pool.shared_left == 0 {
                // It would be the oldest itself: it is the one that is given up.
                self.lost = Some(t);
                return;
            }
            place = self.make_room_at(pool, place);
        }
        // Cursors that stand at a chunk's end step into the next chunk, so that each names the trade it means.
        pool.trade_at(&mut self.long_first);
        pool.trade_at(&mut self.short_first);
        let predecessor = pool.before(place).map(|before| pool.record(before).price);
        let trade = TradeRecord {
            t,
            price,
            size,
            log_return: predecessor.map_or(0, |previous| return_quanta(previous, price)),
        };
        let next = *pool.record(place);
        let next_return = return_quanta(price, next.price);
        pool.chunk_mut(place.chunk).trades[place.offset as usize].log_return = next_return;

        let in_long = t > self.long_after;
        if in_long {
            // Its successor is in the window too; whether its predecessor is decides which returns count.
            let is_first = match pool.before(place) {
                Some(before) => pool.record(before).t <= self.long_after,
                None => true,
            };
            if is_first {
                if self.long.count > 0 {
                    self.returns.add(next_return);
                }
            } else {
                self.returns.subtract(next.log_return);
                self.returns.add(trade.log_return);
                self.returns.add(next_return);
            }
            self.long.add(&trade);
        }
        let in_short = t > self.short_after;
        if in_short {
            self.short.add(&trade);
        }
        let chunk = pool.chunk_mut(place.chunk);
        chunk.trades.copy_within(place.offset as usize..chunk.end as usize, place.offset as usize + 1);
        chunk.trades[place.offset as usize] = trade;
        chunk.end += 1;
        pool.trade_count += 1;
        for (cursor, inside) in [(&mut self.long_first, in_long), (&mut self.short_first, in_short)] {
            if cursor.chunk == place.chunk && (cursor.offset > place.offset || cursor.offset == place.offset && !inside)
            {
                cursor.offset += 1;
            }
        }
        self.note_edges(pool);
    }

    /// Makes room in the full chunk at `place`; says where `place` is now.
    fn make_room_at(&mut self, pool: &mut TradePool, place: Position) -> Position {
        let start = pool.chunk(place.chunk).start;
        if start > 0 {
            self.compact_head(pool);
            return Position { chunk: place.chunk, offset: place.offset - start };
        }
        match pool.take_shared() {
            Some(id) => self.split(pool, place, id),
            None => {
                self.give_up_oldest(pool);
                place
            }
        }
    }

    /// Splits the full chunk at `place` into two halves, the second in chunk `id`; says where `place` is now.
    fn split(&mut self, pool: &mut TradePool, place: Position, id: ChunkId) -> Position {
        const HALF: u32 = CHUNK_TRADES as u32 / 2;
        let left = place.chunk;
        self.link_after(pool, left, id);
        let whole: [TradeRecord; CHUNK_TRADES] = pool.chunk(left).trades;
        let upper = &whole[HALF as usize..];
        let right = pool.chunk_mut(id);
        right.trades[..upper.len()].copy_from_slice(upper);
        right.end = upper.len() as u32;
        pool.chunk_mut(left).end = HALF;
        let moved = |position: Position| {
            if position.chunk == left && position.offset >= HALF {
                Position { chunk: id, offset: position.offset - HALF }
            } else {
                position
            }
        };
        self.long_first = moved(self.long_first);
        self.short_first = moved(self.short_first);
        moved(place)
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
        let value = self.newest_price / self.price_before_short? - 1.0;
        // Between extreme prices it may be more than an f64 holds, which is nothing to act upon.
        value.is_finite().then_some(value)
    }

    /// Size traded in the short window at the `now` of the last `advance`. It is never null: a sum that is more than an
    /// f64 holds is the largest one.
    #[inline]
    pub fn volume_short(&self, pool: &TradePool) -> f64 {
        let walked = || self.walk(pool, self.short_first).map(|trade| trade.size).sum::<f64>().min(f64::MAX);
        self.short.size.value().unwrap_or_else(walked)
    }

    /// Everything the windows say at the `now` of the last `advance`.
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

    /// Whether trades that were given up for want of room are missing: in the long window at `now`, the one of the last
    /// `advance`, or before the short one, where any of them would have answered for p(now - 10 s).
    #[inline]
    pub fn is_truncated(&self, now: UnixNanos, lengths: WindowLengths) -> bool {
        self.lost.is_some_and(|lost| lost > now.minus(lengths.long) || self.price_before_short.is_none())
    }
}
