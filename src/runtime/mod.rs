//! What touches the machine: executors, tasks, timers, sockets, clocks, signals, the log, limits of the kernel, threads that
//! may block.
//! Running: `executor` (threads, turns of the reactor), `task`, `turns` (of what runs beside a shard), `bell` (wakes a
//! shard), `stop`,
//! `timeout`, `blocking` (off the reactor), `signals` (SIGTERM and its like), `supervisor` (tells systemd). Sockets:
//! `socket`, `acceptor` (accept loop, limits).
//! The log: `logging` makes lines, text or JSON; `log_sink` writes them and counts the lost ones; `log_limit` says how often
//! a line may
//! come; `log_text` makes texts of peers printable; `progress` is the line of work that takes long. The machine: `kernel`
//! (io_uring, limits, at start), `machine_error`.
//! In: calls of the rooms above. Out: time, wake-ups, connections, log lines; [`MachineError`] where the machine refuses.
//! Invariant: only this room names glommio, only `unsafe_calls` has unsafe code, only `clock` reads a clock, and a log line
//! never blocks and never fails.
//! Imported by every room above `engine`.

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
pub(crate) mod progress;
pub mod signals;
pub(crate) mod socket;
pub mod stop;
pub mod supervisor;
pub mod task;
pub mod timeout;
pub(crate) mod turns;
#[allow(unsafe_code)]
mod unsafe_calls;

pub use machine_error::MachineError;
