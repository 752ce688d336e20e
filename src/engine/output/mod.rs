//! What is to be published. `outbox` says in which order outputs leave (by moment; at one moment signals go before snapshots)
//! and which snapshot takes the place of an unsent one; `encode` has their JSON.
//! In: snapshots and signals with their moments. Out: subject and payload, oldest moment first.
//! Invariant: bounded; what is dropped is counted.
//! Imports `features`, `rules` and `state`. Imported by what leads the engine.

pub mod encode;
pub mod outbox;
