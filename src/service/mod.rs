//! A core at work: its shard of the market, its session with NATS, and what others may ask it.
//! In: market events from the socket, requests from HTTP. Out: features and signals to the socket, answers.
//! `shard` is the market's side, `worker` has the session beside it, `connection_loop` moves the bytes and measures the time
//! between two looks at the socket; `outputs` says what is
//! sent, sent again, expired and given up, `overlap` takes what two servers send during a move once. `shard` also measures
//! from read to outputs.
//! `requests` are what others ask, `report` what they are told (why a core is not ready: `nats::session::report`);
//! `event_rate` is events a second, `stream_watch` the log lines and alerts about a stream, `unreadable_times` a line in the
//! log,
//! `cache_warming` what a shard does while it waits.
//! Invariant: an event waits for one slice of other work at most.
//! Imported by `api` and `commands`.

pub mod cache_warming;
pub(crate) mod connection_loop;
pub(crate) mod event_rate;
pub(crate) mod outputs;
pub(crate) mod overlap;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod shard;
pub(crate) mod stream_watch;
pub(crate) mod unreadable_times;
pub mod worker;
