//! Every capacity that is not a setting, each with why that number.

use crate::engine::time::NANOS_PER_SECOND;

/// The longest window that any feature has; a longer `ROLLING_WINDOW_SECONDS` means this one.
pub const ROLLING_WINDOW_MAX_NS: i64 = 60 * NANOS_PER_SECOND;
/// The short window of the features (`_10s`), unless the rolling window is shorter.
pub const SHORT_WINDOW_NS: i64 = 10 * NANOS_PER_SECOND;
/// Longest symbol, in bytes. Crypto pairs, equities and option symbols (OSI: 21) stay far below, legs and bridged tokens
/// reach 80; NATS would allow 4 KiB.
pub const SYMBOL_BYTES_MAX: usize = 128;
/// Longest name of a state: a symbol's, or with `PROVIDER_MODE=separate` `{symbol}@{provider}`.
pub const STATE_NAME_BYTES_MAX: usize = SYMBOL_BYTES_MAX + 1 + PROVIDER_BYTES_MAX;
/// Longest trade id kept, as its JSON token in bytes (a UUID with quotes has 38). A longer one is shown as null.
pub const TRADE_ID_BYTES_MAX: usize = 48;
/// Longest provider name kept, in bytes; what is longer counts as the provider `other`.
pub const PROVIDER_BYTES_MAX: usize = 64;
/// Providers told apart, the last of them being `other`: a metric label must not grow with hostile input.
pub const PROVIDERS_MAX: usize = 64;
/// Providers that `PROVIDERS` may list: all that are told apart, but for `unknown` and `other`.
pub const PROVIDERS_LISTED_MAX: usize = PROVIDERS_MAX - 2;
/// Trades with ids that may be remembered. With so many a different trade is taken for a duplicate with a chance of 5e-13.
pub const DEDUPLICATE_TRADES_MAX: usize = 1 << 23;
/// Book levels kept a side. Producers send 5 to 50; the features need one, `/state/latest` shows these.
pub const BOOK_LEVELS_MAX: usize = 20;
/// Deepest nesting that is skipped in unknown fields; one bit each in a `u128`.
pub const JSON_DEPTH_MAX: u32 = 128;
/// Trades a chunk of the window pool holds: 32 bytes each and a header make one KiB.
pub const CHUNK_TRADES: usize = 31;
/// Most trades the pool may be set to hold; the fixed-point sums have headroom for this many terms.
pub const WINDOW_TRADES_MAX: usize = 1 << 24;
/// Most symbols that may be set.
pub const SYMBOLS_MAX: usize = 1 << 20;
/// Signals that wait for the connection. At 10 s cooldown this is hours of a quiet market, minutes of a volatile one.
pub const SIGNALS_WAITING_MAX: usize = 4096;
/// Signals whose ids are remembered, so that none is given again: eighteen a second over the hour after which a silent symbol may
/// give up its place.
pub const GIVEN_SIGNALS_MAX: usize = 1 << 16;
/// Alerts of a kind that go out one by one in a second, firing and resolved together; those beyond are one, with their number.
pub const ALERTS_A_SECOND_MAX: usize = 20;
/// From this part of the receive buffer on, in percent, quotes, books and heartbeats are dropped, and there is an alert.
pub const QUEUE_SHED_PERCENT: usize = 90;
/// The same as a number from 0 to 1.
pub const QUEUE_SHED_FILL: f64 = QUEUE_SHED_PERCENT as f64 / 100.0;
/// Alerts that wait for the connection: more than four times what ten kinds give in a second at most.
pub const ALERTS_WAITING_MAX: usize = 1024;
/// The last alerts and the last signals, as `/alerts/latest` and `/signals/latest` show them.
pub const LATEST_MAX: usize = 100;
/// Alerts that fire, as `/stats` lists them: the last ones. Those beyond are in their number.
pub const ALERTS_FIRING_LISTED_MAX: usize = 100;
/// Slots of the latency window: SPEC lets the percentile window end up to 5 s early, so 60 s are cut into twelve.
pub const LATENCY_SLOTS: usize = 12;
/// Bucket rows of latencies (8 buckets over all slots, 448 bytes) for every symbol that may exist; a steady feed of
/// more than two events a second uses 4 to 20, a slower one none but for the minute after a burst.
pub const LATENCY_ROWS_PER_SYMBOL: usize = 24;
/// Bucket rows on top of these, so that a few symbols may have latencies of all magnitudes.
pub const LATENCY_ROWS_SPARE: usize = 4096;
/// Once at most this part of a pool is left, symbols that receive nothing are asked for the memory of their last windows.
pub const POOL_LOW_PART: usize = 8;
/// Symbols that are asked with one event. A symbol takes its first bucket row with its 121st sample of a minute: before that
/// 1,900 symbols are asked.
pub const RELEASE_ASKED_SYMBOLS: usize = 16;
/// Once so many rows and chunks have been given back with one event, the next symbol is asked with the next event, so that
/// an event takes microseconds. (A symbol's rows go at once; it seldom has more than 20, and never more than 604.)
pub const RELEASE_GIVEN_BACK: usize = 64;

const _: () = assert!(JSON_DEPTH_MAX == u128::BITS);
const _: () = assert!(PROVIDERS_MAX <= u8::MAX as usize);
const _: () = assert!(WINDOW_TRADES_MAX.is_power_of_two());
