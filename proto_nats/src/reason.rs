//! Why a connection ended: one line for the user, and what the pool makes of it.

use crate::MILLISECOND_NS;
use crate::SECOND_NS;
use crate::auth::Credentials;
use crate::connection::ConnectionState;
use crate::error::ProtocolError;
use crate::jwt::JwtFault;
use crate::pool::Cause;
use crate::server_error::ServerError;
use std::fmt;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The handshake took too long.
    HandshakeTimeout {
        /// What was missing.
        state: ConnectionState,
    },
    /// The end of the stream before INFO.
    ClosedBeforeInfo {
        /// TLS came first.
        secured: bool,
    },
    /// The end of the stream during the handshake, without a word.
    ClosedInHandshake {
        /// What was missing.
        state: ConnectionState,
    },
    /// The first INFO is no JSON object: this is no NATS server.
    UnreadableInfo,
    /// We want TLS, the server doesn't.
    TlsNotOffered,
    /// Something came in clear text where TLS was to start: an attempt to slip in an operation.
    DataBeforeTls,
    /// A message came before anything was subscribed to.
    UnaskedMessage,
    /// The server refused us.
    Refused {
        /// In its words.
        error: ServerError,
        /// We had shown any credentials.
        with_credentials: bool,
    },
    /// The server refused us, or sent us away, and our JWT is not valid at this time.
    InvalidJwt {
        /// In its words.
        error: ServerError,
        /// Why it is not.
        fault: JwtFault,
    },
    /// Nothing at all came back.
    Stale {
        /// Since anything arrived.
        silent_ns: u64,
    },
    /// Something may arrive, but PINGs stay without answer.
    PingsUnanswered {
        /// How many.
        count: u32,
    },
    /// The end of the stream.
    Closed {
        /// What the server had complained about right before.
        after: Option<ServerError>,
        /// Bytes were left unread in the socket then, or shortly before: the server may have given up on a slow consumer.
        was_behind: bool,
    },
    /// Bytes that are not the NATS protocol.
    Malformed(ProtocolError),
    /// The driver's queue is full, and no frame in it is whole.
    QueueTooSmall,
    /// The driver's answers to PING pile up, as the server does not read them.
    AnswersUnread,
    /// The server takes nothing of what there is to send.
    TakesNothing {
        /// Since it last did.
        for_ns: u64,
    },
}

impl Reason {
    /// The same, told more exactly by the credentials that were shown; a possible loss is the more important thing to tell.
    pub(crate) fn about(self, credentials: &Credentials) -> Reason {
        let (
            Reason::Refused { error, .. } | Reason::Closed { after: Some(error), was_behind: false },
            Credentials::Jwt { validity, .. },
        ) = (&self, credentials)
        else {
            return self;
        };
        let fault = match error {
            ServerError::AuthenticationExpired => validity.expired(),
            error if error.is_authentication() => validity.fault(),
            _ => None,
        };
        match fault {
            Some(fault) => Reason::InvalidJwt { error: error.clone(), fault },
            None => self,
        }
    }

    /// What the pool makes of it.
    pub fn cause(&self) -> Cause {
        match self {
            Reason::Refused { error, .. } | Reason::Closed { after: Some(error), .. } if error.is_authentication() => {
                Cause::Refused
            }
            Reason::TlsNotOffered | Reason::InvalidJwt { .. } => Cause::Refused,
            _ => Cause::Trouble,
        }
    }

    /// The server has given up on this client as a slow consumer, or may have: what it had not sent by then is lost.
    pub fn is_slow_consumer_cut(&self) -> bool {
        matches!(
            self,
            Reason::Closed { was_behind: true, .. } | Reason::Closed { after: Some(ServerError::SlowConsumer), .. }
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = |state: &ConnectionState| match state {
            ConnectionState::AwaitInfo => "INFO",
            ConnectionState::AwaitTls => "the end of the TLS handshake",
            ConnectionState::AwaitPong => "the answer to CONNECT",
            ConnectionState::LoggedIn => "the decision to use it",
            _ => "the confirmation of the subscriptions",
        };
        match self {
            Reason::HandshakeTimeout { state: ConnectionState::AwaitInfo } => f.write_str(
                "the server sent no INFO in time: it may be no NATS server, or one with handshake_first, which wants \
                 TLS before INFO",
            ),
            Reason::HandshakeTimeout { state } => {
                write!(f, "the handshake took too long: {} did not come", missing(state))
            }
            Reason::ClosedBeforeInfo { secured: false } => f.write_str(
                "the server closed the connection without INFO: it may have handshake_first, which wants TLS before INFO",
            ),
            Reason::ClosedBeforeInfo { secured: true } => {
                f.write_str("the server closed the connection without INFO: it may not have handshake_first")
            }
            Reason::ClosedInHandshake { state } => {
                write!(f, "the server closed the connection before {}", missing(state))
            }
            Reason::UnreadableInfo => f.write_str("the server sent an INFO that is not a JSON object"),
            Reason::TlsNotOffered => {
                f.write_str("TLS is required by the settings, and the server does not offer it: nothing was sent")
            }
            Reason::DataBeforeTls => f.write_str(
                "the server sent something in clear text where TLS had to start; if TLS was to come before INFO, it may \
                 not have handshake_first",
            ),
            Reason::UnaskedMessage => f.write_str(
                "the server sent a message before anything was subscribed to: it may not be the server that it seems to be",
            ),
            Reason::Refused { error: ServerError::AuthorizationViolation, with_credentials: false } => {
                f.write_str("the server wants credentials (authorization violation), and none are set")
            }
            Reason::Refused { error, .. } => error.fmt(f),
            Reason::InvalidJwt { error, fault: JwtFault::Expired { .. } } => {
                write!(f, "{error}: the user JWT has expired")
            }
            Reason::InvalidJwt { error, fault: JwtFault::NotYetValid { .. } } => {
                write!(f, "{error}: the user JWT is not valid yet")
            }
            Reason::Stale { silent_ns } => {
                write!(f, "the server is silent: no answer to PING, nothing for {} ms", silent_ns / MILLISECOND_NS)
            }
            Reason::PingsUnanswered { count } => {
                write!(f, "the server has left {count} PINGs in a row without an answer")
            }
            Reason::Closed { after, was_behind } => {
                f.write_str("the server closed the connection")?;
                match (after, was_behind) {
                    (Some(error), _) => write!(f, ": {error}")?,
                    (None, true) => f.write_str(" while this client was behind with reading: as a slow consumer, most likely")?,
                    (None, false) => {}
                }
                match self.is_slow_consumer_cut() {
                    true => f.write_str("; events may be lost"),
                    false => Ok(()),
                }
            }
            Reason::Malformed(error) => error.fmt(f),
            Reason::QueueTooSmall => {
                f.write_str("the queue is too small for what the server sends: raise QUEUE_BYTES")
            }
            Reason::TakesNothing { for_ns } => {
                write!(f, "the server has taken nothing of what was to be sent for {} s", for_ns / SECOND_NS)
            }
            Reason::AnswersUnread => f.write_str("the server sends PING after PING and does not read the answers"),
        }
    }
}
