//! The core, in the order of the data: bytes of a subject and a payload come in, messages to publish go out.
//! Nothing here names a runtime, a socket or a clock.

pub mod bounds;
pub mod queue;
pub mod intake;

pub mod subject;
pub mod number;
pub mod time;
pub mod json;
pub mod event;
pub mod decode;
pub mod provider;

pub mod symbol;
pub mod sums;
pub mod trades;
pub mod latency;

pub mod features;
pub mod signal;
pub mod outbox;
pub mod encode;

pub mod counters;
#[allow(clippy::module_inception)]
pub mod engine;
