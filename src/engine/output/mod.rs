//! What is to be published. `outbox` says in which order outputs leave (by moment; at one moment signals, alerts,
//! snapshots) and which snapshot takes the place of an unsent one; `encode` has their JSON. `latest_signals` are kept to be
//! looked at.
//! In: snapshots, signals and alerts with their moments. Out: subject and payload, oldest moment first.
//! Invariant: bounded; what is dropped is counted.
//! Imports `features`, `rules`, `alerts` and `state`. Imported by what leads the engine.

pub mod encode;
pub mod latest_signals;
pub mod outbox;
