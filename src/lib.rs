//! # The map of the house
//!
//! `senpai-md-consumer` turns market events that arrive over NATS into features and signals.
//! Data goes one way:
//!
//! ```text
//!  socket ──► receive buffer ──► frame ──► subject ──► event ──► state ──► features ──► rules ──► outbox ──► socket
//!  (service)   (engine/input)  (proto_nats)  (engine/input)     └─────────────── engine ───────────────┘    (service)
//! ```
//!
//! From the top; each room's `mod.rs` says what flows in and out, and `tests/map.rs` has the table of who may import whom:
//!
//! | room | what it is |
//! |---|---|
//! | [`commands`] | `run`, `replay`, `feed`, `record`, `generate`, `bench`, `check`, `demo`: a file each |
//! | [`api`] | what HTTP answers: endpoints, documents, metrics, events as they come and the live page that shows them |
//! | [`service`] | a core at work: its shard of the market, its session with NATS, and what others may ask it |
//! | [`nats`] | a client of NATS servers: [`nats::session`] decides and owns no socket; `attempt` and `dialer` connect, transport, TLS, credentials are beside them |
//! | [`http`] | an HTTP/1.1 responder that knows nothing of markets |
//! | [`broker`] | a small NATS server for `demo` and the tests |
//! | [`market`] | a made-up market |
//! | [`recording`] | recordings: reader, writer, rebase, looped frames |
//! | [`runtime`] | what touches the machine: executors, clock, signals, log, limits |
//! | [`config`] | every setting: flag, environment, `.env`, default |
//! | [`engine`] | the core, a function of its inputs. `engine::engine` leads: what an event does, when a snapshot is due; `signalling` says when a signal is given; `intake` takes messages off the receive buffer, skips those that another shard owns (`ownership` tells which) and sheds where `input::receive_buffer` is nearly full (never a stream's: `proto_nats::jetstream` asks for no more than there is room for); `event_time` says at which time an event counts |
//! | `engine/input` | from bytes to events: receive buffer, subjects, the tolerant decoder, why a payload is malformed |
//! | `engine/state` | what is known of a symbol: watermark, latest trade, quote and book, windows of trades and of latencies, cooldowns |
//! | `engine/features` | which features there are, computed for a moment |
//! | `engine/rules` | the rules that give signals |
//! | `engine/alerts` | what an operator should know of: when it begins and when it is over; what the cores of a process share of that |
//! | `engine/output` | outputs in the order in which they leave: by moment, at one moment signals, alerts, snapshots; and their JSON |
//! | `proto_nats` (crate) | the NATS protocol, both directions: bytes and time in, frames and bytes out; no socket, no clock. `pool`: which server next; `discovery`: which advertised one is trusted |
//!
//! Invariants (the first four are checked by `tests/map.rs`, and that no file has more than 500 lines without a reason):
//!
//! 1. No room imports one that stands above it.
//! 2. Only `runtime/` names glommio, and unsafe code stands in one file of it.
//! 3. Only `runtime/clock.rs` reads a clock.
//! 4. Only [`runtime::logging`] and its sink write to standard error, and nothing waits for them or fails with them.
//! 5. The receive buffer is the queue: nothing else holds unread events, and its fill is `senpai_queue_fill_ratio`.
//! 6. Everything is bounded: the engine's bounds are in `engine::bounds`, those of sockets and HTTP at the head of their
//!    file; what happens when one is reached is counted.
//! 7. After start nothing on the path of an event allocates, locks, formats a log line or reads a clock. (A new symbol's
//!    name does allocate; where there is no memory for it, it is not taken in. What begins or ends an alert takes the lock of
//!    `alerts::board` for microseconds, as does a look at the providers.)
//! 8. The start is one transaction: what the kernel, the memory or the port refuse is one line and exit 1, before anything
//!    is said to work.
//!
//! ## Design, and what was turned down
//!
//! * **Exact windows.** A term (size, price x size, squared return) is a deterministic function of its trade, turned
//!   once into a fixed-point `i128`; a sum adds it when the trade enters and subtracts the same integer when it leaves,
//!   so nothing can drift. A term outside the fixed-point range is counted, and while a window holds one that window
//!   is summed by walking it. Turned down: compensated floats (an outlier leaves its error behind), two-stack queues
//!   (no late events), big superaccumulators (ten times the memory for prices that do not occur).
//! * **`now` may step back** (the watermark plus elapsed time, then a later event moves the watermark to less than
//!   that), so each window is a cursor over the retained trades that moves both ways; trades are forgotten by the
//!   watermark alone, which never steps back.
//! * **Trades live in chunks from one pool**, so quiet symbols cost one chunk and a busy one takes what is free; turned
//!   down: a ring per symbol (gigabytes for 10,000 symbols).
//! * **Latency percentiles** are log-linear counts (1 % wide) in twelve slots of 5 s; a quantile reads the totals. A symbol
//!   with two samples a second at most has them on a short list instead, which is selected from; turned down: counts for
//!   all (each sample touches three cold cache lines when symbols are many), lists for all (120,000 samples a window).
//! * **Symbols are found by a table of numbers** that compares names where the states begin, so that finding one touches
//!   nothing that the event would not touch anyway; turned down: a map from names, each a box of its own.
//! * **A shard that waits keeps its code warm** with a made-up trade through an engine of its own, as a lone trade's time is
//!   that of fetching the code; turned down: prefetching (unsafe, gains less), spinning (a core; there as `--busy-poll`).
//! * **What a stream brings late gathers** in the socket for milliseconds, as a busy server brings it in small pieces and each wake-up
//!   costs what a hundred events do; turned down: to gather whatever comes in a flood (latency where it counts), what comes before the
//!   service has caught up at its start (it would take longer), `SO_RCVLOWAT` (what is asked for may be less, and then time ends the wait).
//! * **A session owns no socket and reads no clock** (`nats::session`): attempts, handshake, liveness, lame duck, drain, what is
//!   sent and sent again are one state machine, and the service's loop, `nats::blocking_session` (`feed`, `record`, `check`) and the simulation in `tests/session.rs` are
//!   loops around it that move bytes and grant wishes. Several attempts may be under way (`nats::attempt`; their sockets are
//!   the `nats::dialer`'s), one connection serves; a lame duck's successor is made and confirmed before that is drained, is not
//!   read until then, and what both bring is told by its content (`service::overlap`). The send buffer marks where each publication ends and what it is
//!   about, so that unsent ones are judged without decoding frames again. It takes operations, not bytes, as messages go
//!   from the receive buffer straight to the engine. Turned down: futures for each step of a connection (they hide the state
//!   that must be reported, and cannot be run in simulated time), a copy of each unsent output (memory for the rare case).
//! * **A stream's events count by when it stored them** (`engine::receipt`): local time is theirs, so that windows, lateness, skew and
//!   ids are the same whenever they are read; the moment of outputs is the server's present, by which rates, ages and alerts go.
//!   The reader of the stream is a part of the session (`nats::session`), its requests are control frames: lost with a connection,
//!   asked again. Turned down: receipt by this machine's clock (a backlog would be a market that stood still, then ran), a
//!   durable consumer with acknowledgements (its progress is of no use to windows that are rebuilt at each start), a second
//!   connection for the stream.
//! * **HTTP takes its turns between two passes of the shard, one slice of work each** (`runtime::turns`): a document over
//!   all symbols is made and sent a page at a time, and a bell (`runtime::bell`, an epoll beside the NATS socket in `poll(2)`)
//!   says when there is something to do. Turned down: whole documents (tens of milliseconds with 50,000 symbols), a thread
//!   for HTTP (the engine would need locks), one answer kept for all (memory for those who do not read).
//! * **/events holds the newest of each symbol once, not a queue for each reader** (`api::event_hub`): a reader is a place in it, so that
//!   one that is slow costs no memory and gets the newest as soon as it reads; what it has not had by then it has lost, and is told. The shards are
//!   asked every 250 ms for what has changed, by the time of a symbol's last event, which the engine has anyway. Turned down: handing each snapshot to HTTP
//!   (work for each event, a lock or a queue that fills), WebSocket (its own framing, no gain for one direction), a framework for the page (a build
//!   between what is written and what is served).
//! * **The NATS socket is read with `recv` and waited for in `poll(2)`**; io_uring has HTTP, timers and what lies between
//!   tasks. Turned down: waiting in glommio's reactor (10 to 60 us more at the median, twice the CPU), a ring of the
//!   shard's own (as fast as `poll(2)`, no faster: a second ring and unsafe code for nothing that shows).
//! * **Outputs wait as values, not bytes, in the order of their moments** (`engine::output::outbox`): signals and alerts in rings, snapshots
//!   in a list; while the socket takes no more, the newest snapshot of a symbol takes the slot of its unsent one and moves
//!   to the end. Moments never step back, so each queue is sorted and taking one compares two heads; turned down: a heap,
//!   a ring with dead entries (compacting 10,000 of them takes milliseconds of an event's path).
//!   Deadlines need no heap either: the interval is one constant, so a FIFO is sorted.
//! * **A recording is read once, its payloads not at all** (`recording::reader`): they are found by their brackets and go
//!   byte for byte to the one decoder, so that what is taken live can be recorded and replayed; turned down: a JSON parser
//!   over the whole line, which refuses what the decoder takes (`NaN`, `.5`, 128 levels).

pub mod api;
pub mod broker;
pub mod commands;
pub mod config;
pub mod engine;
pub mod http;
pub mod market;
pub mod nats;
pub mod recording;
pub mod runtime;
pub mod service;
