//! The service's binary over a real nats-server, with ordinary clients around it: async-nats, curl, raw sockets.
//!
//! ```text
//!   test ── async-nats ──► nats-server ──► senpai-md-consumer ──► nats-server ──► async-nats ── test
//!                                                 └──► HTTP ──► curl, sockets ─────────────────┘
//! ```
//!
//! What the engine computes is held against the naive reference in `recordings`; the other rooms are about what only a
//! live service has: connections that break, several cores and instances, floods, signals, HTTP.
//! The nats-server is found by `scripts/nats-server.sh`; without one the tests fail. Faults are in `tests/faults`.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod connection;
mod counting;
mod endpoints;
mod events;
mod intake;
mod providers;
mod recordings;
mod sharing;
mod stopping;
mod strangers;
