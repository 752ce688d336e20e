//! What HTTP answers: the endpoints and the documents behind them.
//! `endpoints` has the paths, `documents` the JSON of /health, /ready and /stats, and what makes /health degraded (no event
//! since the start; why a core is not ready its session says), `metrics` the text of /metrics. `symbol_walk` asks the
//! shards for all symbols, `shard_reports` for what they count, `part_by_part` sends a long document, `prometheus_text`
//! writes samples. (A symbol's documents come from its shard:
//! `engine::symbol_documents`.)
//! `contract` is /openapi.json. `page` is the live page at `/`. /events: `event_rounds` asks the shards each 250 ms for all
//! readers together, `event_hub` bounds how many readers there are, holds what they are sent
//! and counts what they lose, `status` is the state of the service.
//! In: a request's path and query, and the reports of the shards. Out: documents, a page at a time.
//! Invariant: nothing here touches a shard's state; it asks, and each answer is one slice of a shard's work.
//! Imported by `commands`.

mod contract;
mod documents;
pub(crate) mod endpoints;
mod event_hub;
mod event_rounds;
mod metrics;
mod page;
mod part_by_part;
mod prometheus_text;
mod shard_reports;
mod status;
mod symbol_walk;
