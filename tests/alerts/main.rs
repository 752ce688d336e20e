//! Alerts of the engine (SPEC section 3): each kind fires and resolves at the border of its bound; what flaps is one alert; over
//! several cores one and not many. (Against a real NATS server: `tests/live/alerts.rs`.)

mod cores;
mod providers;
mod stage;
mod storms;
mod symbols;
