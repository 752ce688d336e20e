//! Why HTTP cannot listen, as one line that says what to do. The settings or the machine are at fault, never a peer.

use std::fmt;
use std::io;

use crate::runtime::log_text::plain;

/// Why HTTP cannot listen. Its `Display` is for the operator.
#[derive(Debug)]
pub enum ListenError {
    /// The resolver has no answer.
    Unresolved {
        /// The name.
        host: String,
        /// The resolver's.
        error: io::Error,
    },
    /// The resolver's answer is empty.
    NoAddress {
        /// The name.
        host: String,
    },
    /// Another process listens there.
    Taken {
        /// Address or name.
        host: String,
        /// The one that is taken.
        port: u16,
    },
    /// The port is for privileged users.
    NotAllowed {
        /// The one that is refused.
        port: u16,
    },
    /// The address is another machine's.
    NotHere {
        /// The address.
        host: String,
    },
    /// Something else.
    Failed {
        /// Address or name.
        host: String,
        /// The one that was asked for.
        port: u16,
        /// The system's.
        error: io::Error,
    },
}

const WHAT_TO_DO: &str = "set 127.0.0.1, 0.0.0.0 or another address of this machine";

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { host, error } => {
                write!(f, "HTTP_HOST {host} cannot be resolved ({}): {WHAT_TO_DO}", plain(error))
            }
            Self::NoAddress { host } => write!(f, "HTTP_HOST {host} has no address: {WHAT_TO_DO}"),
            Self::Taken { host, port } => write!(
                f,
                "HTTP_PORT {port} on {host} is taken by another process (ss -ltnp 'sport = :{port}' shows which): \
                 stop that one, or set another HTTP_PORT"
            ),
            Self::NotAllowed { port } => {
                write!(f, "HTTP_PORT {port} is not allowed for this user: set one from 1024 up")
            }
            Self::NotHere { host } => write!(
                f,
                "HTTP_HOST {host} is no address of this machine: set 127.0.0.1, 0.0.0.0 or one that `ip address` shows"
            ),
            Self::Failed { host, port, error } => {
                write!(f, "HTTP_HOST {host}, HTTP_PORT {port} cannot be listened on: {}", plain(error))
            }
        }
    }
}

/// For the commands, whose errors are lines.
impl From<ListenError> for String {
    fn from(error: ListenError) -> String {
        error.to_string()
    }
}
