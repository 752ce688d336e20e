//! The eleven features (SPEC section 2), computed for one `now`.

use crate::engine::state::best_prices::BestPrices;
use crate::engine::state::bucket_row_pool::BucketRowPool;
use crate::engine::state::latency_window::LatencyPercentiles;
use crate::engine::state::provider::ProviderId;
use crate::engine::state::symbol_state::SymbolState;
use crate::engine::state::trade_pool::TradePool;
use crate::engine::state::trade_window::{TradeFeatures, WindowLengths};
use crate::engine::time::{NANOS_PER_MILLI, UnixNanos};

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
    /// Whose market it is; unknown where it is not one provider's.
    pub provider: ProviderId,
    pub features: Features,
    /// The windows lack trades or latencies for which the pools had no room.
    pub window_truncated: bool,
    /// Of the latest trade and of the top of market at `now`, in whole ms; `None` before there is one.
    pub trade_age_ms: Option<i64>,
    pub quote_age_ms: Option<i64>,
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
        let top = state.top_of_market();
        let age_ms = |t: UnixNanos| now.since(t).div_euclid(NANOS_PER_MILLI);
        Snapshot {
            now,
            provider: state.provider,
            features: Features {
                best: top.and_then(|(_, best)| best),
                trades: state.trades.features(trade_pool),
                return_short: state.trades.return_short(),
                latency,
            },
            window_truncated: state.trades.is_truncated(now, lengths) || state.latency.is_truncated(now, slot_ns),
            trade_age_ms: state.trade.as_ref().map(|(arrival, _)| age_ms(arrival.t)),
            quote_age_ms: top.map(|(t, _)| age_ms(t)),
        }
    }
}
