//! What is to be published: in which order, and as which bytes.
//! In: snapshots and signals with their moments. Out: subject and payload, oldest moment first.
//! Invariant: bounded; what is dropped is counted.
//! Imports `features`, `rules` and `state`. Imported by what leads the engine.

pub mod encode;
pub mod outbox;
