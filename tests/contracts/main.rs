//! The contracts in `ops/schemas`, held against the running service, so that neither can change without the other.
//!
//! ```text
//!   schemas.json ◄── asyncapi.json: what is published ──┐
//!        ▲                                              ├──► held against a live service, its messages and its answers
//!        └────────── openapi.json: what HTTP answers ───┘
//! ```
//!
//! `shapes` tries the schemas themselves: each refuses what lacks a field, has one more, or one of another type. `asyncapi` tries
//! that document. `messages` and `answers` validate what a live service publishes and serves. `tools` are those that others would
//! use (openapi-spec-validator, schemathesis, promtool), and `examples` runs `ops/examples` by the `commands` that the README and their heads have. What they need is found by
//! `scripts/python-tools.sh` and `scripts/promtool.sh`; where `SENPAI_SKIP` names `python-tools` or `promtool` it is skipped.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod asyncapi;
mod commands;
mod contract;
mod examples;
mod messages;
mod shapes;
mod stage;
mod tools;
