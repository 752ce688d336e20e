//! HTTP/1.1 on the reactor: connections, requests, responses, limits. It knows nothing of markets.
//! In: sockets and an answerer. Out: responses, in slices; counts of what was not served.
//! Invariant: connections, requests and unread bytes are bounded; a silent peer or one that does not read is closed and counted.
//! Imported by `api` and `commands`.

#![warn(missing_docs)]

mod connection;
pub mod counts;
pub mod listen_error;
pub(crate) mod request;
pub mod response;
pub mod server;
