//! What is to be published: in which order, and as which bytes.
//! In: snapshots and signals with their moments. Out: subject and payload, oldest moment first.
//! Invariant: bounded; what has to go is counted.
//! Imports `features` and `rules`.

pub mod encode;
pub mod outbox;
