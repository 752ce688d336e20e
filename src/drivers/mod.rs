//! What touches the world: glommio, files, the clock.

pub mod clock;
pub mod http_message;
pub mod http_server;
pub mod recording;
pub mod replay;
pub mod stop;
