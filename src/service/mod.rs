//! A shard at work: one core's engine with its NATS connection.
//! In: market events from the socket, questions from HTTP. Out: features and signals to the socket, answers.
//! Invariant: an event waits for one slice of other work at most.
//! Imported by `api` and `commands`.

pub mod cache_warming;
pub(crate) mod connection_loop;
pub(crate) mod event_rate;
pub(crate) mod report;
pub mod shard;
