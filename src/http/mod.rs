//! HTTP/1.1 on the reactor: connections, requests, responses, limits. It knows nothing of markets.
//! `server` accepts and limits connections, `connection` serves one peer and closes a slow one; `request` decodes a head (its
//! size, method and
//! parameters: 400, 405, 431), `response` encodes, bodies without an end (events) among them, `indent` makes JSON readable
//! for `?pretty=1`; `counts` counts what was not served, `listen_error` says why it cannot listen.
//! In: sockets and an answerer. Out: responses, in slices; counts of what was not served.
//! Invariant: connections, requests and unread bytes are bounded; a silent peer or one that does not read is closed and counted.
//! Imported by `api` and `commands`.

mod connection;
pub mod counts;
mod indent;
pub mod listen_error;
pub(crate) mod request;
pub mod response;
pub mod server;
