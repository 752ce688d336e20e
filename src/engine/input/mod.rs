//! From bytes to events. `receive_buffer` is the queue; `subject` has types and symbols, `field` the names of each field,
//! `decode` which of them counts and what is malformed; `json` and `number` read the text.
//! `event` is what comes of it, `malformed` why nothing does. Parts of `decode`: `levels` (a book's side, its sizes and
//! order), `sides` (both, and
//! which marks make a book an update), `found` (which name is the first that can be read), `draft` (what has been read, what
//! it lacks, and the event it comes to: a side that nobody bids or asks), `last_values` (a
//! name given twice), `layouts` and `value_prefix` (what the last payloads looked like, for speed), `unescape`, `words`
//! (eight bytes at a time).
//! In: bytes of the socket. Out: an event of a symbol, or why there is none.
//! Invariant: no input is trusted, none allocates, none panics.
//! Imports nothing of the engine but `time` and `bounds`, and `memory` for the buffer.

pub mod decode;
mod draft;
pub mod event;
pub(crate) mod field;
mod found;
pub(crate) mod json;
mod last_values;
mod layouts;
mod levels;
pub mod malformed;
pub(crate) mod number;
pub mod receive_buffer;
mod sides;
pub mod subject;
pub(crate) mod unescape;
mod value_prefix;
pub(super) mod words;
