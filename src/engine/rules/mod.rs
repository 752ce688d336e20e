//! The rules that give signals. A rule is a file. (When they are asked, cooldown and guards: `engine::engine`.)
//! In: figures of a symbol at a moment. Out: a direction, or none.
//! Invariant: equal inputs, equal signals.
//! Imports `features` and `state`. Imported by `output` and what leads the engine.

pub mod momentum;
