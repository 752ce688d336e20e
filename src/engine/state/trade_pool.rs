//! The trades of all windows, in chunks of one pool.
//!
//! ```text
//!   chunk   [ . . . . . . ]     trades[start..end], in time order
//!             previous ◄─ ─► next
//! ```
//!
//! Each symbol has a chunk of its own, from its first event on; the others are shared. When no shared chunk is left, the
//! window gives up its own oldest trades.

use crate::engine::bounds::{CHUNK_TRADES, POOL_LOW_PART};
use crate::engine::memory::{NoMemory, Table};
use crate::engine::state::fixed_point::ReturnQuanta;
use crate::engine::time::UnixNanos;

#[derive(Clone, Copy, Default)]
pub(super) struct TradeRecord {
    pub t: UnixNanos,
    pub price: f64,
    pub size: f64,
    /// Log return from the trade before this one; 0 for the oldest of all.
    pub log_return: ReturnQuanta,
}

pub(super) type ChunkId = u32;
pub(super) const NO_CHUNK: ChunkId = ChunkId::MAX;

/// Holds `trades[start..end]`; only a symbol's first chunk has a start other than 0.
pub(super) struct Chunk {
    pub previous: ChunkId,
    pub next: ChunkId,
    pub start: u32,
    pub end: u32,
    pub trades: [TradeRecord; CHUNK_TRADES],
}

const CHUNKS: Table = Table::new("the trades of the windows", "WINDOW_TRADES or MAX_SYMBOLS");

/// All chunks there will ever be: those that windows hold, those reserved for symbols still to come, and the shared
/// ones that are left. A window that holds n chunks holds one of its own and n - 1 shared ones, whichever they are.
pub struct TradePool {
    /// Those that have been in use; the others' memory is reserved and untouched.
    chunks: Vec<Chunk>,
    /// Free chunks, as a list through `next`.
    free: ChunkId,
    /// Reserved, one for each symbol still to come.
    own_left: usize,
    pub(super) shared_left: usize,
    /// With so few shared ones left, symbols that receive nothing are asked for theirs.
    shared_low: usize,
    pub(super) trade_count: u64,
}

/// Where a trade stands. `offset == end` of a chunk means the start of the next one, or the end of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub chunk: ChunkId,
    pub offset: u32,
}

impl TradePool {
    /// Room for `trades` trades over all symbols, and one chunk more for each of `symbols` symbols.
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
    pub(super) fn take_own(&mut self) -> ChunkId {
        assert!(self.own_left > 0, "there are no more symbols than the pool was made for");
        self.own_left -= 1;
        self.take()
    }

    /// A chunk beyond a symbol's own, while one is left.
    pub(super) fn take_shared(&mut self) -> Option<ChunkId> {
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
        // The vector's memory is reserved; a page of it costs nothing before it is written.
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
    pub(super) fn give_back_shared(&mut self, id: ChunkId) {
        let free = self.free;
        self.chunk_mut(id).next = free;
        self.free = id;
        self.shared_left += 1;
    }

    #[inline]
    pub(super) fn chunk(&self, id: ChunkId) -> &Chunk {
        &self.chunks[id as usize]
    }

    #[inline]
    pub(super) fn chunk_mut(&mut self, id: ChunkId) -> &mut Chunk {
        &mut self.chunks[id as usize]
    }

    /// The trade at `position`, moving the position into the next chunk where it stands at a chunk's end.
    #[inline]
    pub(super) fn trade_at(&self, position: &mut Position) -> Option<&TradeRecord> {
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
    pub(super) fn before(&self, position: Position) -> Option<Position> {
        let chunk = self.chunk(position.chunk);
        if position.offset > chunk.start {
            return Some(Position { chunk: position.chunk, offset: position.offset - 1 });
        }
        let previous = chunk.previous;
        (previous != NO_CHUNK).then(|| Position { chunk: previous, offset: self.chunk(previous).end - 1 })
    }

    /// t of a chunk's first trade.
    #[inline]
    pub(super) fn first_t(&self, id: ChunkId) -> UnixNanos {
        let chunk = self.chunk(id);
        chunk.trades[chunk.start as usize].t
    }

    #[inline]
    pub(super) fn record(&self, position: Position) -> &TradeRecord {
        &self.chunk(position.chunk).trades[position.offset as usize]
    }
}
