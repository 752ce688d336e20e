//! # The NATS client protocol, without sockets, clocks or a runtime
//!
//! Bytes and time go in; frames, events and bytes come out. The owner of the socket (a glommio task, a test, a fuzzer)
//! drives it, so all of them run the same code.
//!
//! ```text
//!            bytes                    ServerOp                      Action (start TLS, ready, disconnect ...)
//!  socket ──────────► server_op ───┬──────────────► connection ───┬────────────────────────────────────────► driver
//!                                  │ MSG, HMSG                    │ bytes (CONNECT, SUB, PING, PONG, UNSUB)
//!                                  └──────────────► the engine    └────────────────────────────────────────► socket
//! ```
//!
//! | file | job |
//! |---|---|
//! | [`error`] | what a peer can get wrong, and which peer it was |
//! | `line` | control lines: where they end, their tokens, their numbers |
//! | `digits` | numbers, eight digits at a time |
//! | [`server_op`] | bytes from a server into frames, borrowed from the input |
//! | [`client_op`] | the same for what a client sends (the embedded broker, tests) |
//! | [`encode`] | both directions, strictly |
//! | [`subject`] | which subjects are valid, and which patterns match them |
//! | [`headers`] | the header block of HMSG and HPUB |
//! | [`info`], [`connect`] | what both sides say of themselves |
//! | [`secret`], [`auth`] | passwords, tokens, keys, `.creds`; signing a nonce |
//! | [`jwt`], [`json`] | when a user's JWT is valid; reading JSON without a document |
//! | [`server_error`] | the texts of `-ERR`, by kind |
//! | [`url`], [`pool`], [`discovery`] | lists of addresses, and which of them is wrong and why; which server to try next, and when; which advertised ones are trusted |
//! | `random` | what spreads the attempts of many clients |
//! | [`connection`] | one connection from INFO to its end, and whether that end looks like the cut of a slow consumer |
//! | [`reason`] | why a connection ended, in words |
//! | `connection_settings`, `connection_action` | what it is made with; what it asks of its driver |
//! | [`jetstream`] | a room of its own: a stream, read in order, over a connection |
//!
//! Invariants:
//!
//! 1. No input makes a decoder panic, allocate, or look further than its limits say.
//! 2. A decoder asks for no more bytes than the frame has: a driver that reads exactly `at_least` never blocks on a
//!    frame that has already arrived.
//! 3. Reading is lenient, writing is strict.
//! 4. No secret appears in a `Debug`, a `Display` or an error.
#![forbid(unsafe_code)]

pub mod auth;
pub mod client_op;
pub mod connect;
pub mod connection;
mod connection_action;
mod connection_settings;
mod digits;
pub mod discovery;
pub mod encode;
pub mod error;
pub mod headers;
pub mod info;
pub mod jetstream;
pub mod json;
pub mod jwt;
mod line;
pub mod pool;
mod random;
pub mod reason;
pub mod secret;
pub mod server_error;
pub mod server_op;
pub mod subject;
pub mod url;

pub use auth::{Credentials, CredentialsError, UserSeed};
pub use client_op::{ClientOp, decode_client_op};
pub use connect::ConnectOptions;
pub use connection::{Action, Connection, ConnectionSettings, ConnectionState, Subscription, Tls};
pub use discovery::Origin;
pub use error::{Malformed, ProtocolError};
pub use headers::{HeaderError, Headers, decode_headers, encode_headers};
pub use info::ServerInfo;
pub use jwt::{JwtFault, JwtValidity};
pub use pool::{Cause, Merged, Next, ServerKey, ServerPool};
pub use reason::Reason;
pub use secret::Secret;
pub use server_error::{Operation, ServerError};
pub use server_op::{DecodeLimits, Decoded, Msg, ServerOp, decode_server_op};
pub use url::{ServerAddress, UrlError, parse_servers};

/// A millisecond in ns, as all times here are.
pub const MILLISECOND_NS: u64 = 1_000_000;
/// A second in ns.
pub const SECOND_NS: u64 = 1_000 * MILLISECOND_NS;
