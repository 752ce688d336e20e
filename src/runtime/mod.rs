//! What touches the machine: executors, tasks, timers, sockets, clocks, signals, the log, limits of the kernel, threads that
//! may block.
//! In: calls of the rooms above. Out: time, wake-ups, connections, log lines; [`MachineError`] where the machine refuses.
//! Invariant: only this room names glommio, only `unsafe_calls` has unsafe code, only `clock` reads a clock, and a log line
//! never blocks and never fails.
//! Imported by every room above `engine`.

#![warn(missing_docs)]

pub(crate) mod acceptor;
pub(crate) mod bell;
pub(crate) mod blocking;
pub mod clock;
pub mod executor;
pub mod kernel;
pub(crate) mod log_limit;
mod log_sink;
pub mod log_text;
pub mod logging;
mod machine_error;
pub mod signals;
pub(crate) mod socket;
pub mod stop;
pub mod task;
pub mod timeout;
pub(crate) mod turns;
#[allow(unsafe_code)]
mod unsafe_calls;

pub use machine_error::MachineError;
