//! What is known of each symbol. `symbol_state`: watermark, `now`, which events are late, the latest trade, quote and book, the
//! top of market (a withdrawn side is none).
//! `trade_window`: sums over the windows, exact by `fixed_point`, and p(x), the price at a moment; its trades lie in the
//! `trade_pool`, buckets of
//! latencies in the `bucket_row_pool`; `latency_window`: percentiles, from its `list` or its `counts` by `latency_buckets`.
//! `best_prices`: mid and spread. `cooldowns`: its
//! last signals; `given_signals`: ids of the last of all. `symbol_table` finds symbols; `idle_symbols` says which gives up
//! its place when there is none for another one.
//! `provider` numbers providers, `primary_provider` says which one a symbol has, `recent_trades` knows trades that are sent
//! again (`recent_set`: what both remember them by).
//! `latest_trade` is one as it is shown, `symbol_names` how a symbol is written.
//! In: events. Out: figures of a moment.
//! Invariant: windows are exact; what does not fit is counted, and a window that lacks it says so.
//! Imports `input` for events and names. Imported by `features`, `rules`, `output` and what leads the engine.

pub(super) mod best_prices;
pub(super) mod bucket_row_pool;
pub(crate) mod cooldowns;
mod fixed_point;
pub(super) mod given_signals;
pub(super) mod idle_symbols;
mod latency_buckets;
pub(super) mod latency_window;
mod latest_trade;
pub mod primary_provider;
pub(crate) mod provider;
mod recent_set;
pub(super) mod recent_trades;
pub(crate) mod symbol_names;
pub(super) mod symbol_state;
pub mod symbol_table;
pub mod trade_pool;
pub mod trade_window;
