//! Every setting and every command: flag, environment, `.env`, default, in that order.
//! In: the arguments, the environment, `./.env`. Out: checked values with notes, or one line that says what is wrong.
//! `settings` has them all (those of the NATS connection are in `nats_args`, of JetStream in `jetstream`), `values` reads
//! them, `dot_env` and `layers` find them, `names` knows what a wrong name may have meant.
//! `refusal` makes the line of an error, `shown` keeps secrets out of it; `notes` is what the start has to say; `files` are
//! named ones, read when
//! they are needed; `nats_url` is the setting of a list of servers (its addresses are read by `proto_nats::url`).
//! Invariant: nothing behind this room checks a setting again, and no line repeats what may be a secret.
//! Imported by every room above `engine`; imports `engine` for its bounds.

mod dot_env;
mod files;
mod jetstream;
mod layers;
mod names;
mod nats_args;
mod nats_url;
mod notes;
mod refusal;
mod settings;
mod shown;
mod values;

pub use files::{NamedFile, read_regular};
pub use jetstream::JetStreamArgs;
pub use nats_args::NatsArgs;
pub use nats_url::ServerList;
pub use notes::{InForce, Notes};
pub use refusal::Exit;
pub use settings::*;
pub use values::{LogFormat, ProviderList, ShardSpec, Speed, Symbols};
