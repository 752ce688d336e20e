//! The settings of JetStream.

use clap::{ArgAction, Args};

use crate::config::values;

/// Whether events come from a stream that keeps them.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "NATS")]
pub struct JetStreamArgs {
    /// Read the events from a stream of JetStream: the service starts warm, and a disconnection loses nothing
    #[arg(long, env, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1,
          action = ArgAction::Set, value_parser = values::boolean)]
    pub use_jetstream: bool,
    /// The stream's name
    #[arg(long, env, value_name = "NAME", default_value = "MD_EVENTS", value_parser = values::stream)]
    pub jetstream_stream: String,
    /// Make the stream where it is missing, in the server's memory, with JETSTREAM_MAX_BYTES
    #[arg(long, env, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1,
          action = ArgAction::Set, value_parser = values::boolean)]
    pub jetstream_create_stream: bool,
    /// Of a stream that is made: the oldest events leave it when it holds more bytes
    #[arg(long, env, value_name = "BYTES", default_value = "1073741824", value_parser = values::stream_bytes)]
    pub jetstream_max_bytes: u64,
    /// The JetStream domain of the stream (none: the server's own)
    #[arg(long, env, value_name = "NAME", value_parser = values::stream)]
    pub jetstream_domain: Option<String>,
}
