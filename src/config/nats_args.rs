//! The settings of the NATS connection: where the servers are, how to log in, TLS.

use clap::{ArgAction, Args};
use proto_nats::{Secret, ServerAddress};

use crate::config::files::NamedFile;
use crate::config::nats_url::ServerList;
use crate::config::values;
use crate::engine::time::NANOS_PER_SECOND;

/// Where NATS is and who this is.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "NATS")]
pub struct NatsArgs {
    /// Servers to connect to, a comma list: nats://[user:password@]host[:port], or tls:// for TLS and nothing else
    #[arg(long, env, value_name = "URLS", default_value = "nats://127.0.0.1:4222", value_parser = ServerList::parse)]
    pub nats_url: ServerList,
    /// The connection's name, as `nats-server` shows it in /connz
    #[arg(long, env, value_name = "NAME", default_value = "senpai-md-consumer", value_parser = values::name)]
    pub nats_name: String,
    /// User for servers whose address has none, with NATS_PASSWORD
    #[arg(long, env, value_name = "USER", value_parser = values::name)]
    pub nats_user: Option<String>,
    /// Its password; other users of this machine see flags, so set it in the environment or .env
    #[arg(long, env, value_name = "PASSWORD", value_parser = values::secret)]
    pub nats_password: Option<Secret>,
    /// Token, in the place of a user
    #[arg(long, env, value_name = "TOKEN", value_parser = values::secret)]
    pub nats_token: Option<Secret>,
    /// File with a user's nkey seed
    #[arg(long, env, value_name = "FILE", value_parser = values::file)]
    pub nats_nkey: Option<NamedFile>,
    /// .creds file: a user JWT and its seed
    #[arg(long, env, value_name = "FILE", value_parser = values::file)]
    pub nats_creds: Option<NamedFile>,
    /// PEM file of the authorities that sign the servers' certificates (none: those that this machine trusts)
    #[arg(long, env, value_name = "FILE", value_parser = values::file)]
    pub nats_ca: Option<NamedFile>,
    /// PEM file of the client's certificate, for servers that want one; with NATS_KEY
    #[arg(long, env, value_name = "FILE", value_parser = values::file)]
    pub nats_cert: Option<NamedFile>,
    /// PEM file of its private key
    #[arg(long, env, value_name = "FILE", value_parser = values::file)]
    pub nats_key: Option<NamedFile>,
    /// Name that the servers' certificates are for (none: the name in the address)
    #[arg(long, env, value_name = "NAME", value_parser = values::host)]
    pub nats_tls_server_name: Option<String>,
    /// Start TLS before the server says anything, for servers with handshake_first
    #[arg(long, env, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1,
          action = ArgAction::Set, value_parser = values::boolean)]
    pub nats_tls_first: bool,
    /// Use the other servers of the cluster as well, as servers advertise them; false: those of NATS_URL alone
    #[arg(long, env, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1,
          action = ArgAction::Set, value_parser = values::boolean)]
    pub nats_discover: bool,
    /// Between two PINGs to the server, in seconds; with two unanswered the connection is given up
    #[arg(long = "nats-ping-interval-seconds", env = "NATS_PING_INTERVAL_SECONDS", value_name = "S",
          default_value = "120", value_parser = values::ping_interval)]
    pub nats_ping_interval_ns: i64,
}

impl NatsArgs {
    /// A server that wants nothing but a name.
    pub fn open(server: ServerAddress, name: &str) -> NatsArgs {
        NatsArgs {
            nats_url: ServerList(vec![server]),
            nats_name: name.to_owned(),
            nats_user: None,
            nats_password: None,
            nats_token: None,
            nats_nkey: None,
            nats_creds: None,
            nats_ca: None,
            nats_cert: None,
            nats_key: None,
            nats_tls_server_name: None,
            nats_tls_first: false,
            nats_discover: true,
            nats_ping_interval_ns: 120 * NANOS_PER_SECOND,
        }
    }
}
