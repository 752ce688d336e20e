//! The core: bytes of a subject and a payload come in, messages to publish go out. A message's way reads from left to right:
//!
//! ```text
//!   input ──► state ──► features ──► rules ──► output        led by engine.rs
//!               └────────► alerts ───────────────┘
//! ```
//!
//! `intake` takes messages off the receive buffer, skips those that another shard owns (`ownership` tells which) and sheds where
//! the buffer is nearly full (`input::receive_buffer` says when; a stream's messages never are: `proto_nats::jetstream` asks
//! for no more than there is room for). `receipt` is when an event was received (`clock_step`: what a clock that is set
//! moves), `event_time` says at which time it counts, `admission` which events a state takes, `alerting` what alerts are
//! told, `signalling` when a signal is given, `engine` when a
//! snapshot is due (`deadlines` is only its queue), `counters` what is counted, `bounds` every capacity, `settings` what it
//! is built with.
//! `symbol_documents` are what HTTP asks of a symbol; `idle_memory` gives back what silent symbols hold; `memory` reserves it
//! all at start.
//! `published` is what became of outputs, `time` has moments and their text, `random` numbers by seed.
//! Invariant: a function of its inputs. Nothing here names a runtime, a socket or a clock; what is full is counted.
//! Imported by every room; imports `proto_nats`.

mod admission;
mod alerting;
pub mod alerts;
pub mod bounds;
mod clock_step;
pub mod counters;
mod deadlines;
#[allow(clippy::module_inception)]
pub mod engine;
mod event_time;
mod features;
mod idle_memory;
pub mod input;
pub mod intake;
pub mod memory;
mod output;
pub mod ownership;
pub mod published;
pub mod random;
pub mod receipt;
pub(crate) mod rules;
pub mod settings;
mod signalling;
pub mod state;
pub mod symbol_documents;
pub mod time;
