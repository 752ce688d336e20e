//! Alerts (SPEC section 3): what an operator should know of, said when it begins and when it is over.
//!
//! ```text
//!           events, time ──► watch (a core's) ──► edge: begins? over? ──► board (the process's) ──► ring ──► outbox
//!                               provider_watch                              quota: 20 a second, then one
//!                               (the first core, of all cores' facts)
//! ```
//!
//! `alert` says what an alert is (`short_text` its names) and `words` how it reads; `edge` is the state machine that makes a
//! cause
//! that comes and goes one alert, `quota` the one that makes many alerts of a second one; `watch` knows the causes of one
//! engine and
//! when it must look again (`watched` its tables, `figures` what a symbol is judged by), `provider_watch` those that are
//! judged over
//! all cores, `senders` who sends a symbol; `board` is what the cores share, `ring` where alerts wait to be sent.
//! In: figures of symbols, when providers were heard, what was refused, and moments of engine time. Out: alerts in a ring.
//! Invariant: a function of its inputs, bounded; an alert fires once while its cause lasts, and resolves 5 s after it. (A
//! switch of
//! providers lasts for a moment: a further one fires again, though not within a second.)
//! Imports `state`. Imported by `output`, what leads the engine, and those outside who show alerts.
//!
//! **One board a process** (`board`), behind a lock that is taken when an alert fires or resolves, when providers are looked at,
//! which each core of several does four times a second, and by HTTP: so an alert about a provider or the process is one
//! however many cores there are, and the 20 of a
//! second are those of the process. Turned down: each core its own alerts (eight cores, eight alerts that NATS cut us off),
//! messages between cores (the first core would judge by what it heard last, and there is nobody to send them in a replay),
//! a lock per event.
//!
//! **Deadlines are lazy**: an event only stores when its provider was heard. When a deadline comes, what is known then is
//! looked at, and the deadline set anew. With one core they have the moment at which the cause begins or ends, in a replay
//! too; but
//! the end of a lag for want of events is looked for four times a second, and the figures of a symbol that fires, or whose window
//! holds a latency above the limit, once a second.
//! With several, the first core judges up to the moment of which all have told their facts: a quarter of a second ago while they
//! keep up, longer ago while one of them is behind.
//! Turned down: ticks (a replay over a silent year would take millions of them), a timer set by each event.

pub mod alert;
pub mod board;
mod edge;
pub(super) mod figures;
mod provider_watch;
mod quota;
pub(super) mod ring;
pub(super) mod senders;
pub(super) mod short_text;
pub(super) mod watch;
mod watched;
mod words;
