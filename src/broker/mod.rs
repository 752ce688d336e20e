//! A NATS server for `demo` and the tests: subjects and subscriptions, no cluster, no persistence.
//! In: clients' bytes. Out: the bytes for each client. `router` owns no socket; `server` is its sockets.
//! `client` is what the router keeps of one, `subscriptions` who gets a message, `listen_error` why it cannot listen.
//! Invariant: every buffer of a client is bounded, and a client that does not read is cut off.
//! Imported by `commands`.

mod client;
pub mod listen_error;
mod router;
pub mod server;
mod subscriptions;

pub use client::ClientId;
pub use router::{Broker, BrokerLimits, Output};
