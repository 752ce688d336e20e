//! The core, in the order of the data: bytes of a subject and a payload come in, messages to publish go out.
//! Nothing here names a runtime, a socket or a clock.

pub mod bounds;
pub mod intake;
pub mod memory;
pub mod queue;

pub mod decode;
pub mod event;
pub mod json;
pub mod number;
pub mod provider;
pub mod subject;
pub mod time;

pub mod latency;
pub mod sums;
pub mod symbol;
pub mod trades;

pub mod encode;
pub mod features;
pub mod outbox;
pub mod signal;

pub mod counters;
#[allow(clippy::module_inception)]
pub mod engine;
