//! The rules that give signals, a file each (`momentum`), and the `guards` that suppress one. (When they are asked, cooldown
//! and ids:
//! `engine::signalling`.)
//! In: figures of a symbol at a moment. Out: a direction, or none.
//! Invariant: equal inputs, equal signals.
//! Imports `features` and `state`. Imported by `output` and what leads the engine.

pub mod guards;
pub mod momentum;
