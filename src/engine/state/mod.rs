//! What is known of each symbol: the latest events, the windows of trades, the counts of latencies.
//! In: events. Out: figures of a moment.
//! Invariant: windows are exact, and what does not fit is counted.
//! Imports `input` for events and names.

pub mod best_prices;
pub mod bucket_row_pool;
pub mod cooldowns;
pub mod fixed_point;
pub mod latency_buckets;
pub mod latency_window;
pub mod latest_trade;
pub mod provider;
pub mod symbol_names;
pub mod symbol_state;
pub mod symbol_table;
pub mod trade_pool;
pub mod trade_window;
