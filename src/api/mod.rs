//! What HTTP answers: the endpoints and the documents behind them.
//! In: a request's path and query, and the reports of the shards. Out: documents, a page at a time.
//! Invariant: nothing here touches a shard's state; it asks, and each answer is one slice of a shard's work.
//! Imported by `commands`.

mod documents;
pub(crate) mod endpoints;
mod prometheus_text;
mod symbol_walk;
