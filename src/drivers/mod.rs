//! What touches the world: glommio, files, the clock.

pub mod bench;
pub mod service;
pub mod query;
pub mod documents;
pub mod api;
pub mod wire;
pub mod socket;
pub mod shard;
pub mod rate;
pub mod broker;
pub mod broker_server;
pub mod random;
pub mod market;
pub mod rebase;
pub mod publisher;
pub mod feed;
pub mod demo;
pub mod clock;
pub mod http_message;
pub mod http_server;
pub mod recording;
pub mod replay;
pub mod stop;
