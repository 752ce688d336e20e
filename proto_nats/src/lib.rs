//! # The NATS client protocol, without sockets, clocks or a runtime
//!
//! Bytes and time go in; frames, events and bytes come out. Whoever owns the socket (a glommio task, a test, a fuzzer)
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
//! | [`server_op`] | bytes from a server into frames, borrowed from the input |
//! | [`client_op`] | the same for what a client sends (the embedded broker, tests) |
//! | [`encode`] | both directions, strictly |
//! | [`subject`] | which subjects are valid, and which patterns match them |
//!
//! Invariants:
//!
//! 1. No input makes a decoder panic, allocate, or look further than its limits say.
//! 2. A decoder asks for no more bytes than the frame has: a driver that reads exactly `at_least` never blocks on a
//!    frame that has already arrived.
//! 3. Reading is lenient, writing is strict.
//! 4. No secret appears in a `Debug`, a `Display` or an error.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod client_op;
pub mod connect;
pub mod encode;
pub mod error;
mod line;
pub mod server_op;
pub mod subject;

pub use client_op::{ClientOp, decode_client_op};
pub use connect::ConnectOptions;
pub use error::{Malformed, ProtocolError};
pub use server_op::{Decoded, Limits, Msg, ServerOp, decode_server_op};
