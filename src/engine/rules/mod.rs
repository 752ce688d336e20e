//! What becomes a signal.
//! In: a snapshot. Out: at most one signal, and none while its symbol's last one cools down.
//! Invariant: equal inputs, equal signals.
//! Imports `features`.

pub mod momentum;
