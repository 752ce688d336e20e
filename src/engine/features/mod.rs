//! The features of a symbol at a moment, as one `snapshot`. A group of features is a file; the formulas over windows and prices
//! are in `state` (`trade_window`, `latency_window`, `best_prices`).
//! In: a symbol's state and a moment. Out: figures, or null where they cannot be computed.
//! Invariant: no figure is made from what is too old or too little.
//! Imports `state`. Imported by `rules`, `output` and what leads the engine.

pub mod snapshot;
