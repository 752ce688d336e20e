//! What the client says of itself in CONNECT.
use serde::Serialize;

/// The fields of CONNECT.
#[derive(Clone, Serialize)]
pub struct ConnectOptions {
    /// `+OK` for everything.
    pub verbose: bool,
}

impl ConnectOptions {
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("plain strings and booleans serialise");
    }
}
