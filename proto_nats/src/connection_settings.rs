//! What a connection is made with: credentials, TLS, times, subscriptions.

use crate::SECOND_NS;
use crate::auth::Credentials;
use crate::connect::ConnectOptions;
use crate::encode;
use crate::subject::is_valid_pattern;

/// nats-server's `write_deadline`: it cuts a client that has not taken anything for so long, so an end of the stream
/// within this time of bytes that were left unread may well be that.
pub const SLOW_CONSUMER_NS: u64 = 10 * SECOND_NS;

/// An `-ERR` so shortly before the end of the stream is its cause.
pub const ERROR_EXPLAINS_END_NS: u64 = 5 * SECOND_NS;

/// What stays the same from one connection to the next.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// CONNECT without the credentials.
    pub connect: ConnectOptions,
    /// Of the server's address, else of the settings.
    pub credentials: Credentials,
    /// Whether there has to be TLS.
    pub tls: Tls,
    /// From the socket being open to Ready.
    pub handshake_limit_ns: u64,
    /// Between two PINGs.
    pub ping_interval_ns: u64,
    /// PINGs that may be without an answer when the next is due.
    pub pings_outstanding_max: u32,
    /// Silence before a PING, and after it.
    pub silence_ns: u64,
    /// No more comes than was asked for (JetStream), so that no server ends the connection as that of a slow consumer.
    pub is_paced: bool,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        ConnectionSettings {
            connect: ConnectOptions::default(),
            credentials: Credentials::None,
            tls: Tls::WhenAsked,
            handshake_limit_ns: 5 * SECOND_NS,
            ping_interval_ns: 120 * SECOND_NS,
            pings_outstanding_max: 2,
            silence_ns: 4 * SECOND_NS,
            is_paced: false,
        }
    }
}

/// Whether there has to be TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// If the server requires it (`nats://`).
    WhenAsked,
    /// Always, starting right after INFO (`tls://`, or a CA in the settings).
    Required,
    /// Always, and before INFO: the server has `handshake_first`.
    First,
}

/// What to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Comes back with every message.
    pub sid: u64,
    /// With or without wildcards.
    pub subject: String,
    /// Each message goes to one member of the group.
    pub queue_group: Option<String>,
}

impl Subscription {
    /// Asserts that subject and group are valid: they come from the settings, where they have been checked.
    pub fn new(sid: u64, subject: impl Into<String>, queue_group: Option<String>) -> Self {
        let subject = subject.into();
        assert!(is_valid_pattern(subject.as_bytes()), "{subject:?} is a valid subject");
        assert!(
            queue_group.as_ref().is_none_or(|group| is_valid_pattern(group.as_bytes())),
            "{queue_group:?} is a valid group"
        );
        Subscription { sid, subject, queue_group }
    }

    /// The SUB that makes it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode::subscribe(out, self.subject.as_bytes(), self.queue_group.as_ref().map(String::as_bytes), self.sid);
    }
}

/// A subscription, and whether the server has refused it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub subscription: Subscription,
    pub refused: bool,
}

impl Tracked {
    pub fn new(subscription: Subscription) -> Self {
        Tracked { subscription, refused: false }
    }
}
