//! From bytes to events: the receive buffer, subjects, JSON, decoding.
//! In: bytes of the socket. Out: an event of a symbol, or why there is none.
//! Invariant: no input is trusted, none allocates, none panics.
//! Imports nothing of the engine but `time` and `bounds`, and `memory` for the buffer.

pub mod decode;
pub mod event;
pub(crate) mod field;
pub(crate) mod json;
mod layouts;
pub mod malformed;
pub(crate) mod number;
pub mod receive_buffer;
pub mod subject;
pub(crate) mod unescape;
mod value_prefix;
pub(super) mod words;
