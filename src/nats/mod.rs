//! A connection to a NATS server: what `proto_nats` leaves to a driver.
//! In: bytes of a socket, the time, what is to be published. Out: bytes for the socket, wishes, a report.
//! Invariant: what was not sent whole is known, and is sent again or counted.
//! Imported by `service` and `commands`.

pub(crate) mod blocking_client;
pub(crate) mod connection_log;
pub mod credentials;
pub(crate) mod failover;
pub(crate) mod send_buffer;
pub(crate) mod tls_session;
pub(crate) mod transport;
