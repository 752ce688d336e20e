//! The connection as a driver sees it: what a server sends, when, and what comes out.

mod drain;
mod ending;
mod handshake;
mod liveness;
mod subscriptions;

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{
    Action, Cause, Connection, ConnectionSettings, ConnectionState, Credentials, DecodeLimits, Decoded, JwtFault,
    MILLISECOND_NS, Operation, Reason, SECOND_NS, Secret, ServerError, Subscription, Tls, decode_server_op,
};

const PLAIN: &str = "INFO {\"proto\":1,\"max_payload\":1048576}\r\n";

/// A connection, its clock and its socket.
struct Client {
    connection: Connection,
    now_ns: u64,
    out: Vec<u8>,
}

fn client_with(settings: ConnectionSettings, subjects: &[&str]) -> Client {
    let subscription = |(index, subject): (usize, &&str)| Subscription::new(index as u64 + 1, *subject, None);
    let subscriptions = subjects.iter().enumerate().map(subscription).collect();
    let now_ns = 1_000 * SECOND_NS;
    Client { connection: Connection::new(settings, subscriptions, now_ns), now_ns, out: Vec::new() }
}

fn client(subjects: &[&str]) -> Client {
    client_with(ConnectionSettings::default(), subjects)
}

fn tls(tls: Tls) -> ConnectionSettings {
    let credentials = Credentials::UserPassword { user: "bob".into(), password: Secret::new("hunter2") };
    ConnectionSettings { tls, credentials, ..ConnectionSettings::default() }
}

/// One that has come through its handshake.
fn ready_client(subjects: &[&str]) -> Client {
    let mut client = client(subjects);
    client.receive(PLAIN).receive("PONG\r\n").receive("PONG\r\n");
    assert_eq!(client.connection.state(), ConnectionState::Ready);
    client.out.clear();
    while client.connection.poll_action().is_some() {}
    client
}

impl Client {
    fn receive(&mut self, bytes: &str) -> &mut Self {
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            match decode_server_op(rest, &DecodeLimits::default()) {
                Ok(Decoded::Op { op, len }) => {
                    self.connection.handle_op(&op, self.now_ns, &mut self.out);
                    self.connection.begin_subscribing(&mut self.out);
                    rest = &rest[len..];
                }
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        self
    }

    /// Time passes, as a driver lets it: every deadline is met.
    fn pass(&mut self, milliseconds: u64) -> &mut Self {
        let end_ns = self.now_ns + milliseconds * MILLISECOND_NS;
        while let Some(due_ns) = self.connection.next_deadline()
            && due_ns <= end_ns
        {
            self.now_ns = due_ns;
            self.connection.handle_time(due_ns, &mut self.out);
        }
        self.now_ns = end_ns;
        self
    }

    /// The process was stopped: one late call.
    fn stall(&mut self, milliseconds: u64) -> &mut Self {
        self.now_ns += milliseconds * MILLISECOND_NS;
        self.connection.handle_time(self.now_ns, &mut self.out);
        self
    }

    fn sent(&mut self, expected: &str) -> &mut Self {
        assert_eq!(String::from_utf8_lossy(&std::mem::take(&mut self.out)), expected);
        self
    }

    fn sent_connect(&mut self) -> &mut Self {
        let sent = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        assert!(sent.starts_with("CONNECT {\"verbose\":false,") && sent.ends_with("}\r\nPING\r\n"), "{sent}");
        self
    }

    fn actions(&mut self, expected: &[Action]) -> &mut Self {
        let actions: Vec<_> = std::iter::from_fn(|| self.connection.poll_action()).collect();
        assert_eq!(actions, expected);
        self
    }

    fn ends(&mut self, expected: Reason) -> &mut Self {
        let mut actions: Vec<_> = std::iter::from_fn(|| self.connection.poll_action()).collect();
        assert_eq!(actions.pop(), Some(Action::Disconnect(expected)));
        assert_eq!(self.connection.state(), ConnectionState::Closed);
        // The end is the end.
        self.out.clear();
        self.receive(PLAIN).receive("PING\r\nPONG\r\n-ERR 'x'\r\n").pass(1_000_000).sent("").actions(&[]);
        self.connection.handle_end_of_stream(self.now_ns);
        self.connection.begin_drain(self.now_ns, 1, &mut self.out);
        self.connection.handle_tls_started(self.now_ns, &mut self.out);
        self.sent("").actions(&[])
    }
}

const INFO_RECEIVED: Action = Action::InfoReceived { secured: false };
const READY: Action = Action::Ready { refused: 0 };

#[test]
fn no_reason_is_a_debug_dump() {
    let all = [
        Reason::HandshakeTimeout { state: ConnectionState::AwaitInfo },
        Reason::HandshakeTimeout { state: ConnectionState::AwaitTls },
        Reason::HandshakeTimeout { state: ConnectionState::AwaitPong },
        Reason::HandshakeTimeout { state: ConnectionState::AwaitConfirmation },
        Reason::UnreadableInfo,
        Reason::TlsNotOffered,
        Reason::DataBeforeTls,
        Reason::Stale { silent_ns: 8 * SECOND_NS },
        Reason::PingsUnanswered { count: 2 },
        Reason::Closed { after: Some(ServerError::SlowConsumer), was_behind: false },
        Reason::Closed { after: Some(ServerError::StaleConnection), was_behind: true },
        Reason::Closed { after: None, was_behind: true },
        Reason::InvalidJwt { error: ServerError::AuthorizationViolation, fault: JwtFault::Expired { since_s: 1 } },
        Reason::InvalidJwt { error: ServerError::AuthenticationExpired, fault: JwtFault::NotYetValid { from_s: 1 } },
    ];
    for reason in all {
        let shown = reason.to_string();
        let is_sentence = shown.contains(' ') && !shown.contains(['{', '\n']) && !shown.ends_with('.');
        assert!(is_sentence && !shown.contains("Await"), "{shown}");
    }
}
