//! A client's connection to NATS servers.
//! In: bytes of a socket, the time, what is to be published. Out: bytes for the socket, wishes, a report.
//! `session` decides everything and owns no socket; `dialer` has the sockets of attempts, `transport` is one; `blocking_client` is
//! a loop around them.
//! Invariant: what was not sent whole is known, and is sent again or counted; an error says who is at fault.
//! Imported by `service` and `commands`.

pub mod attempt;
pub mod blocking_client;
pub(crate) mod connection_log;
pub mod credentials;
pub(crate) mod dialer;
pub mod error;
pub(crate) mod publish_ledger;
pub mod refusals;
pub mod send_buffer;
pub mod session;
pub mod session_io;
mod tls_error;
pub(crate) mod tls_session;
pub(crate) mod transport;
