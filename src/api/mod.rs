//! What HTTP answers: the endpoints and the documents behind them.
//! `endpoints` has the paths, `documents` the JSON of /health, /ready and /stats (it gathers what the cores report, and decides nothing), `metrics` the text of /metrics. `symbol_walk` asks the
//! shards for all symbols, `part_by_part` sends a long document, `prometheus_text` writes samples. (A symbol's documents come from its shard:
//! `engine::symbol_documents`.)
//! In: a request's path and query, and the reports of the shards. Out: documents, a page at a time.
//! Invariant: nothing here touches a shard's state; it asks, and each answer is one slice of a shard's work.
//! Imported by `commands`.

mod documents;
pub(crate) mod endpoints;
mod metrics;
mod part_by_part;
mod prometheus_text;
mod symbol_walk;
