//! The reader of a stream: its parsers by tables, against a naive server in simulated time, and against real servers.

mod cases;
mod frame;
mod live;
mod model;
mod parsers;
mod patience;
#[path = "../common/random.rs"]
mod random;
#[path = "../../../tests/seeds/mod.rs"]
mod seeds;
mod servers;
mod simulation;
mod world;
