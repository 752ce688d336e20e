//! From bytes to events: the receive buffer, subjects, JSON, decoding.
//! In: bytes of the socket. Out: an event of a symbol, or why there is none.
//! Invariant: no input is trusted, none allocates, none panics.
//! Imports nothing of the engine but `time` and `bounds`.

pub mod decode;
pub mod event;
pub mod field;
pub mod json;
pub mod layouts;
pub mod malformed;
pub mod number;
pub mod receive_buffer;
pub mod subject;
pub mod unescape;
pub mod value_prefix;
pub mod words;
