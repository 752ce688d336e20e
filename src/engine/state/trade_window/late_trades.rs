//! Trades that come late: each goes into its place in time.

use crate::engine::bounds::CHUNK_TRADES;
use crate::engine::state::fixed_point::return_quanta;
use crate::engine::state::trade_pool::{ChunkId, NO_CHUNK, Position, TradePool, TradeRecord};
use crate::engine::state::trade_window::TradeWindow;
use crate::engine::time::UnixNanos;

/// A hint says where to start the search for a place in time: a chunk whose first trade lies in its span of 2^31 ns
/// (2.1 s). Together the hints span a window of 60 s.
pub(super) const HINTS: usize = 32;
const SPAN_NANOS_LOG2: u32 = 31;

/// The number of a moment's span of 2^31 ns.
pub(super) fn span_of(t: UnixNanos) -> i64 {
    t.0 >> SPAN_NANOS_LOG2
}

fn hint_of_span(span: i64) -> usize {
    span.rem_euclid(HINTS as i64) as usize
}

pub(super) fn hint_of(t: UnixNanos) -> usize {
    hint_of_span(span_of(t))
}

impl TradeWindow {
    /// Where a late trade belongs: before the first trade that is later. The search goes from chunk to chunk, from the hint
    /// of its span of time or else of the next span that has a chunk. Late trades mostly come many at a time, so the
    /// hint is moved to where the trade went.
    fn place_of(&mut self, pool: &TradePool, t: UnixNanos) -> Position {
        let spans = span_of(t)..=span_of(self.newest_t).min(span_of(t) + HINTS as i64 - 1);
        let hint = spans
            .map(|span| (self.hints[hint_of_span(span)], span))
            .find_map(|(hint, span)| (hint != NO_CHUNK && span_of(pool.first_t(hint)) == span).then_some(hint));
        let mut id = hint.unwrap_or(self.tail);
        while pool.first_t(id) > t && pool.chunk(id).previous != NO_CHUNK {
            id = pool.chunk(id).previous;
        }
        while pool.chunk(id).next != NO_CHUNK && pool.first_t(pool.chunk(id).next) <= t {
            id = pool.chunk(id).next;
        }
        if span_of(pool.first_t(id)) == span_of(t) {
            self.hints[hint_of(t)] = id;
        }
        let chunk = pool.chunk(id);
        let held = &chunk.trades[chunk.start as usize..chunk.end as usize];
        let mut place = Position { chunk: id, offset: chunk.start + held.partition_point(|trade| trade.t <= t) as u32 };
        pool.trade_at(&mut place).expect("a later trade stands after a late one");
        place
    }

    #[inline(never)]
    pub(super) fn insert(&mut self, pool: &mut TradePool, t: UnixNanos, price: f64, size: f64) {
        if self.lost.is_some_and(|lost| t < lost) {
            // Kept, it would answer for moments whose trades are gone.
            return;
        }
        let mut place = self.place_of(pool, t);
        while pool.chunk(place.chunk).end as usize == CHUNK_TRADES {
            if place == self.oldest(pool) && pool.chunk(place.chunk).start == 0 && pool.shared_left == 0 {
                // It would be the oldest, so it is the one that is given up.
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
}
