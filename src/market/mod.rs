//! A made-up market for `demo`, `generate`, the tests and the benches.
//! `generator` has the events, `listing` what is traded, `price_levels` where prices move, `payload` the JSON.
//! In: a seed, a number of symbols. Out: events in the order of their times.
//! Invariant: one seed, one stream, byte for byte.
//! Imported by `commands`.

pub mod generator;
mod listing;
mod payload;
mod price_levels;
