//! What touches the world: glommio, files, the clock.

pub mod api;
pub mod bench;
pub mod broker;
pub mod broker_server;
pub mod clock;
pub mod demo;
pub mod documents;
pub mod feed;
pub mod http_message;
pub mod http_server;
pub mod market;
pub mod publisher;
pub mod query;
pub mod random;
pub mod rate;
pub mod rebase;
pub mod recording;
pub mod replay;
pub mod service;
pub mod shard;
pub mod socket;
pub mod stop;
pub mod wire;
