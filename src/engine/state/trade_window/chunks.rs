//! The chunks of one window: taken from the pool as trades come, given back as they go.

use crate::engine::state::trade_pool::{ChunkId, NO_CHUNK, Position, TradePool};
use crate::engine::state::trade_window::late_trades::{hint_of, span_of};
use crate::engine::state::trade_window::{TradeWindow, WindowLengths};
use crate::engine::time::UnixNanos;

impl TradeWindow {
    /// Makes room at the tail for a trade of `t`: another chunk, taken from the oldest trades where none is free.
    #[inline(never)]
    pub(super) fn extend(&mut self, pool: &mut TradePool, t: UnixNanos) {
        loop {
            if let Some(id) = pool.take_shared() {
                self.link_after(pool, self.tail, id);
                let hint = &mut self.hints[hint_of(t)];
                // The first chunk of the span; a hint of an earlier span is outdated.
                if *hint == NO_CHUNK || span_of(pool.first_t(*hint)) != span_of(t) {
                    *hint = id;
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
    pub(super) fn compact_head(&mut self, pool: &mut TradePool) {
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

    pub(super) fn link_after(&mut self, pool: &mut TradePool, left: ChunkId, id: ChunkId) {
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

    /// Gives up the oldest trade: from here on the windows that held it are truncated.
    #[cold]
    pub(super) fn give_up_oldest(&mut self, pool: &mut TradePool) {
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

    pub(super) fn oldest(&self, pool: &TradePool) -> Position {
        Position { chunk: self.head, offset: pool.chunk(self.head).start }
    }

    /// Forgets all trades; all chunks but one go back to the pool.
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
    pub(super) fn forget_head(&mut self, pool: &mut TradePool) {
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
        for hint in &mut self.hints {
            if *hint == head {
                *hint = NO_CHUNK;
            }
        }
        pool.chunk_mut(next).previous = NO_CHUNK;
        pool.give_back_shared(head);
    }

    /// For when few chunks are left: where `now` has left both windows behind, all chunks but the newest go back, at most
    /// `count_max` with one call. Returns how many went, and whether none is left to go. Should `now` step back among their
    /// trades, `is_truncated` says so.
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
}
