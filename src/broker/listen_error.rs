//! Why the broker cannot listen, as one line that says what to do.

use std::fmt;
use std::io;

use crate::runtime::log_text::plain;

/// Why the broker cannot listen. Its `Display` is for the operator.
#[derive(Debug)]
pub enum ListenError {
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
    /// None from the first to the last port is free.
    AllTaken {
        /// Address or name.
        host: String,
        /// Of the ports that were tried.
        first: u16,
        /// Of the ports that were tried.
        last: u16,
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

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { host, port } => {
                write!(f, "port {port} on {host} is taken: stop what runs there, or use another")
            }
            Self::NotAllowed { port } => write!(f, "port {port} is not allowed for this user: use one from 1024 up"),
            Self::AllTaken { host, first, last } => write!(f, "the ports {first} to {last} on {host} are all taken"),
            Self::Failed { host, port, error } => {
                write!(f, "the broker cannot listen on {host}, port {port}: {}", plain(error))
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
