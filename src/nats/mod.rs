//! A client's connection to NATS servers.
//! In: bytes of a socket, the time, what is to be published. Out: bytes for the socket, wishes, a report.
//! `session` decides everything and owns no socket (`session/`: what serves, the successor of a lame duck, publications, the
//! stream that is read; `session/report`: whether it is ready, and why not, in words;
//! `session_io`: its settings and outputs); `attempt` is an attempt at a server, until it has logged in. Whether the end of a
//! connection looks like the cut of a slow consumer says `connection` of the crate `proto_nats`, why it ended its `reason`.
//! Sockets: `dialer` has those of attempts, `transport` is one, `tls_session` its TLS. What is sent, and what was not when a
//! connection ended: `send_buffer`; `refusals` (by the server).
//! Words: `error` and `tls_error` say what is wrong, `stream_words` that of a stream, `connection_log` when it is said.
//! `credentials`: logins and certificates.
//! `blocking_session` is all that on a thread that may block, for commands; `blocking_client` publishes with it for `feed`,
//! with its
//! `publish_ledger` of what is confirmed; `stored_ledger` is that where a stream stores it.
//! Invariant: what was not sent whole is known, and is sent again or counted; an error says who is at fault.
//! Imported by `service` and `commands`.

pub mod attempt;
pub(crate) mod blocking_client;
pub(crate) mod blocking_session;
pub(crate) mod connection_log;
pub mod credentials;
pub(crate) mod dialer;
pub mod error;
pub(crate) mod publish_ledger;
pub(crate) mod refusals;
pub mod send_buffer;
pub mod session;
pub(crate) mod session_io;
pub(crate) mod stored_ledger;
pub(crate) mod stream_words;
mod tls_error;
pub(crate) mod tls_session;
pub(crate) mod transport;
