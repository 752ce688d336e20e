//! The eleven features (SPEC section 2), computed for one `now`.

use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::latency_window::LatencyPercentiles;
use crate::engine::state::symbol_state::SymbolState;
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::{TradeFeatures, WindowLengths};
use crate::engine::time::UnixNanos;

/// The features; `None` is JSON null: it cannot be computed yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Features {
    pub best: Option<BestPrices>,
    pub trades: TradeFeatures,
    pub return_short: Option<f64>,
    pub latency: LatencyPercentiles,
}

/// Features and the moment they hold for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    pub now: UnixNanos,
    pub features: Features,
    /// The windows lack trades or latencies for which the pools had no room.
    pub window_truncated: bool,
}

impl Snapshot {
    /// All features of a symbol at `now`, to which its trade windows have been advanced.
    pub fn of(
        state: &mut SymbolState,
        now: UnixNanos,
        trade_pool: &TradePool,
        row_pool: &mut BucketRowPool,
        lengths: WindowLengths,
        slot_ns: i64,
    ) -> Snapshot {
        let latency = state.latency.percentiles(row_pool, now, slot_ns);
        Snapshot {
            now,
            features: Features {
                best: state.best_prices(),
                trades: state.trades.features(trade_pool),
                return_short: state.trades.return_short(),
                latency,
            },
            window_truncated: state.trades.is_truncated(now, lengths) || state.latency.is_truncated(now, slot_ns),
        }
    }
}
