//! The texts of `-ERR`, by kind.
//!
//! ```text
//!   -ERR 'Authorization Violation'
//!   -ERR 'Permissions Violation for Subscription to "orders.>"'
//!   -ERR 'Permissions Violation for Publish to "senpai.features.X"'
//! ```
//!
//! The texts are nats-server's and no interface: they are compared in lower case, by what they start with (a refusal by what
//! it says before the subject, as much depends on it), and what is not known here is [`ServerError::Other`]. Whether the connection lives on is decided by the socket, not by the text;
//! [`ServerError::is_fatal`] says what to expect.

use std::fmt;

/// What a server complains about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerError {
    /// It did not understand what we sent.
    UnknownOperation,
    /// A publication was longer than its `max_payload`.
    MaxPayload,
    /// A control line was longer than its `max_control_line`.
    MaxControlLine,
    /// Wrong credentials, or none where some are wanted.
    AuthorizationViolation,
    /// The credentials were right and no longer are: expired or revoked.
    AuthenticationExpired,
    /// CONNECT did not come in time.
    AuthenticationTimeout,
    /// It wants TLS.
    TlsRequired,
    /// Our PONGs did not come.
    StaleConnection,
    /// It, or our account, has as many connections as it may.
    MaxConnections,
    /// This user may not do that. Everything else goes on.
    PermissionsViolation {
        /// Which of both.
        operation: Operation,
        /// As quoted by the server.
        subject: String,
    },
    /// One subscription too many; those before it live on.
    MaxSubscriptions,
    /// We read too slowly. (nats-server usually says nothing at all and closes.)
    SlowConsumer,
    /// Something else.
    Other(String),
}

/// What was not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// PUB, HPUB.
    Publish,
    /// SUB.
    Subscribe,
}

/// How much of an unknown text is kept.
const OTHER_BYTES_MAX: usize = 512;

impl ServerError {
    /// Reads the text of [`ServerOp::Err`](crate::ServerOp::Err).
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lower = text.to_ascii_lowercase();
        let starts = |start: &str| lower.starts_with(start);
        if let Some(operation) = refused_operation(&lower) {
            ServerError::PermissionsViolation { operation, subject: quoted(&text) }
        } else if starts("unknown protocol operation") || starts("parser error") {
            ServerError::UnknownOperation
        } else if starts("maximum payload") {
            ServerError::MaxPayload
        } else if starts("maximum control line") {
            ServerError::MaxControlLine
        } else if starts("authorization violation") {
            ServerError::AuthorizationViolation
        } else if starts("authentication timeout") || starts("authorization timeout") {
            ServerError::AuthenticationTimeout
        } else if lower.contains("authentication expired") || lower.contains("authentication revoked") {
            ServerError::AuthenticationExpired
        } else if starts("secure connection") {
            ServerError::TlsRequired
        } else if starts("stale connection") {
            ServerError::StaleConnection
        } else if starts("maximum connections") || starts("maximum account active connections") {
            ServerError::MaxConnections
        } else if starts("maximum subscriptions") {
            ServerError::MaxSubscriptions
        } else if starts("slow consumer") {
            ServerError::SlowConsumer
        } else {
            ServerError::Other(shortened(&text))
        }
    }

    /// Whether nats-server closes the connection after this.
    pub fn is_fatal(&self) -> bool {
        match self {
            ServerError::UnknownOperation
            | ServerError::MaxPayload
            | ServerError::MaxControlLine
            | ServerError::AuthorizationViolation
            | ServerError::AuthenticationExpired
            | ServerError::AuthenticationTimeout
            | ServerError::TlsRequired
            | ServerError::StaleConnection
            | ServerError::MaxConnections
            | ServerError::SlowConsumer => true,
            ServerError::PermissionsViolation { .. } | ServerError::MaxSubscriptions | ServerError::Other(_) => false,
        }
    }

    /// Whether it is about who we are: trying again soon won't help.
    pub fn is_authentication(&self) -> bool {
        matches!(self, ServerError::AuthorizationViolation | ServerError::AuthenticationExpired)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServerError::UnknownOperation => "the server did not understand what this client sent",
            ServerError::MaxPayload => "a publication was longer than the server's max_payload",
            ServerError::MaxControlLine => "a control line was longer than the server's max_control_line",
            ServerError::AuthorizationViolation => {
                "the server refused the login (authorization violation): check user, password, token, key or .creds"
            }
            ServerError::AuthenticationExpired => "the credentials have expired or were revoked",
            ServerError::AuthenticationTimeout => "the server waited too long for the login",
            ServerError::TlsRequired => "the server wants TLS",
            ServerError::StaleConnection => "the server missed this client's PONGs and gave the connection up",
            ServerError::MaxConnections => "the server has as many connections as it is allowed",
            ServerError::PermissionsViolation { operation, subject } => {
                let verb = match operation {
                    Operation::Publish => "publish to",
                    Operation::Subscribe => "subscribe to",
                };
                return write!(f, "this user may not {verb} {}", subject.escape_debug());
            }
            ServerError::MaxSubscriptions => "the server allows no more subscriptions",
            ServerError::SlowConsumer => "the server gave up on this client as a slow consumer",
            ServerError::Other(text) => return write!(f, "the server said: {}", text.escape_debug()),
        })
    }
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(OTHER_BYTES_MAX)].to_owned()
}

/// What a text refuses, if it does: what comes before the subject says so, in whatever words.
fn refused_operation(lower: &str) -> Option<Operation> {
    let (_, refused) = lower.split('"').next()?.split_once("permissions violation")?;
    match (refused.find("subscri"), refused.find("publish")) {
        (Some(at), publish) if publish.is_none_or(|publish| at < publish) => Some(Operation::Subscribe),
        (_, Some(_)) => Some(Operation::Publish),
        _ => None,
    }
}

/// The first text between double quotes, which nats-server writes as Go's `%q` does: a quote or a backslash has a backslash
/// before it. (What `%q` writes in other ways cannot be printed, and is left as it stands.) Without quotes all of it, so
/// that it can be shown.
fn quoted(text: &str) -> String {
    let mut subject = String::new();
    let Some((_, rest)) = text.split_once('"') else { return shortened(text) };
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => subject.push(characters.next_if(|next| matches!(next, '"' | '\\')).unwrap_or('\\')),
            _ => subject.push(character),
        }
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_nats_server() {
        let check = |text: &str, expected: ServerError, fatal: bool| {
            let error = ServerError::parse(text.as_bytes());
            assert_eq!(error, expected, "{text}");
            assert_eq!(error.is_fatal(), fatal, "{text}");
            assert_eq!(ServerError::parse(text.to_uppercase().as_bytes()).is_fatal(), fatal, "{text}");
        };
        let may_not =
            |operation, subject: &str| ServerError::PermissionsViolation { operation, subject: subject.into() };
        check("Unknown Protocol Operation", ServerError::UnknownOperation, true);
        check("Parser Error", ServerError::UnknownOperation, true);
        check("Maximum Payload Violation", ServerError::MaxPayload, true);
        check("maximum control line exceeded", ServerError::MaxControlLine, true);
        check("Authorization Violation", ServerError::AuthorizationViolation, true);
        check("Authentication Timeout", ServerError::AuthenticationTimeout, true);
        check("User Authentication Expired", ServerError::AuthenticationExpired, true);
        check("User Authentication Revoked", ServerError::AuthenticationExpired, true);
        check("Account Authentication Expired", ServerError::AuthenticationExpired, true);
        check("Secure Connection - TLS Required", ServerError::TlsRequired, true);
        check("Stale Connection", ServerError::StaleConnection, true);
        check("maximum connections exceeded", ServerError::MaxConnections, true);
        check("maximum account active connections exceeded", ServerError::MaxConnections, true);
        check("maximum subscriptions exceeded", ServerError::MaxSubscriptions, false);
        check("Slow Consumer", ServerError::SlowConsumer, true);
        check("Permissions Violation for Publish to \"a.b\"", may_not(Operation::Publish, "a.b"), false);
        check("Permissions Violation for Subscription to \"a.>\"", may_not(Operation::Subscribe, "a.>"), false);
        check(
            "Permissions Violation for Subscription to \"a.*\" using queue \"q\"",
            may_not(Operation::Subscribe, "a.*"),
            false,
        );
        let odd = r#"Permissions Violation for Subscription to "a.\"b\\c\u00ad\"" using queue "q""#;
        check(odd, may_not(Operation::Subscribe, r#"a."b\c\u00ad""#), false);
        check("Permissions Violation for Publish with Reply of \"r\"", may_not(Operation::Publish, "r"), false);
        // After the configuration was read again.
        check(
            "Permissions Violation for Subscription to \"a.>\" (sid \"7\")",
            may_not(Operation::Subscribe, "a.>"),
            false,
        );
        // In words that no release has used so far.
        check(
            "Permissions Violation: Subscription a.>",
            may_not(Operation::Subscribe, "Permissions Violation: Subscription a.>"),
            false,
        );
        check("User Permissions Violation for subscribing to \"a\"", may_not(Operation::Subscribe, "a"), false);
        check(
            "Permissions Violation for Publish to \"subscription\"",
            may_not(Operation::Publish, "subscription"),
            false,
        );
        check("Permissions Violation", ServerError::Other("Permissions Violation".into()), false);
        check("Invalid Subject", ServerError::Other("Invalid Subject".into()), false);
        check("", ServerError::Other(String::new()), false);
    }

    #[test]
    fn odd_texts_stay_short_and_on_one_line() {
        let long = ServerError::parse("é\r".repeat(10_000).as_bytes());
        let shown = long.to_string();
        assert!(shown.len() < 4 * OTHER_BYTES_MAX && !shown.contains('\r'));
        ServerError::parse(&[0xff; 100]);
        ServerError::parse(b"Permissions Violation for Publish to \"unclosed");
        ServerError::parse(b"Permissions Violation for Publish");
    }
}
