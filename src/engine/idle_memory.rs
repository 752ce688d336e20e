//! Memory of symbols that receive nothing any more, given back to the pools.
//!
//! Such a symbol keeps the chunks and rows of its last windows. While a pool is low, every event asks some of the symbols
//! for theirs; a round over all symbols starts once a slot at most. Only events ask: which trades a symbol still holds must
//! not depend on how often the engine was told the time, as that differs from live to replay.

use crate::engine::bounds::{RELEASE_ASKED_SYMBOLS, RELEASE_GIVEN_BACK};
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::symbol_table::SymbolTable;
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::WindowLengths;
use crate::engine::time::UnixNanos;

/// A round over all symbols.
#[derive(Default)]
pub(super) struct ReleaseRound {
    began: UnixNanos,
    /// Number of the symbol that comes next; as many as there are symbols where the round is over.
    next: usize,
}

impl ReleaseRound {
    /// One event's share of the round.
    #[cold]
    pub fn advance(
        &mut self,
        symbols: &mut SymbolTable,
        trade_pool: &mut TradePool,
        row_pool: &mut BucketRowPool,
        local: UnixNanos,
        lengths: WindowLengths,
        slot_ns: i64,
    ) {
        if self.next == symbols.len() {
            if local.since(self.began) < slot_ns {
                return;
            }
            *self = ReleaseRound { began: local, next: 0 };
        }
        let mut given_back = 0;
        for state in symbols.states_mut(self.next..).take(RELEASE_ASKED_SYMBOLS) {
            let now = state.now(local);
            given_back += state.latency.release_outrun(row_pool, now, slot_ns);
            let chunks_max = RELEASE_GIVEN_BACK.saturating_sub(given_back);
            let (chunks, is_done) = state.trades.release_outrun(trade_pool, now, lengths, chunks_max);
            given_back += chunks;
            if !is_done {
                break;
            }
            self.next += 1;
        }
    }

    /// The clock was stepped: moments have other names from now on.
    pub fn handle_clock_step(&mut self, step_ns: i64) {
        self.began = self.began.plus(step_ns);
    }
}
