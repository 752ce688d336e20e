//! The connection as a driver sees it: what a server sends, when, and what comes out.

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{
    Action, Cause, Connection, Credentials, Decoded, Limits, Operation, Reason, Secret, ServerError, Settings, State,
    Subscription, Tls, decode_server_op,
};

const SECOND_NS: u64 = 1_000_000_000;
const PLAIN: &str = "INFO {\"proto\":1,\"max_payload\":1048576}\r\n";

/// A connection, its clock and its socket.
struct Client {
    connection: Connection,
    now_ns: u64,
    out: Vec<u8>,
}

fn client_with(settings: Settings, subjects: &[&str]) -> Client {
    let subscription = |(index, subject): (usize, &&str)| Subscription::new(index as u64 + 1, *subject, None);
    let subscriptions = subjects.iter().enumerate().map(subscription).collect();
    let now_ns = 1_000 * SECOND_NS;
    Client { connection: Connection::new(settings, subscriptions, now_ns), now_ns, out: Vec::new() }
}

fn client(subjects: &[&str]) -> Client {
    client_with(Settings::default(), subjects)
}

fn tls(tls: Tls) -> Settings {
    let credentials = Credentials::UserPassword { user: "bob".into(), password: Secret::new("hunter2") };
    Settings { tls, credentials, ..Settings::default() }
}

/// One that has come through its handshake.
fn ready_client(subjects: &[&str]) -> Client {
    let mut client = client(subjects);
    client.receive(PLAIN).receive("PONG\r\n").receive("PONG\r\n");
    assert_eq!(client.connection.state(), State::Ready);
    client.out.clear();
    while client.connection.poll_action().is_some() {}
    client
}

impl Client {
    fn receive(&mut self, bytes: &str) -> &mut Self {
        let mut rest = bytes.as_bytes();
        while !rest.is_empty() {
            match decode_server_op(rest, &Limits::default()) {
                Ok(Decoded::Op { op, len }) => {
                    self.connection.handle_op(&op, self.now_ns, &mut self.out);
                    rest = &rest[len..];
                }
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        self
    }

    /// Time passes, as a driver lets it: every deadline is met.
    fn pass(&mut self, milliseconds: u64) -> &mut Self {
        let end_ns = self.now_ns + milliseconds * 1_000_000;
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
        self.now_ns += milliseconds * 1_000_000;
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
        assert_eq!(self.connection.state(), State::Closed);
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
fn handshake() {
    let mut client = client(&["md.events.>", "senpai.control"]);
    client.sent("").actions(&[]);
    client.receive(PLAIN).sent_connect().actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").sent("SUB md.events.> 1\r\nSUB senpai.control 2\r\nPING\r\n").actions(&[]);
    assert!(!client.connection.is_ready());
    client.receive("PONG\r\n").sent("").actions(&[READY]);
    assert!(client.connection.is_ready());
}

#[test]
fn handshake_with_another_info_right_behind_the_pong() {
    let mut client = client(&["a"]);
    client.receive(PLAIN).sent_connect().actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\nINFO {\"max_payload\":500,\"connect_urls\":[\"b:1\"]}\r\n");
    client.sent("SUB a 1\r\nPING\r\n").actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").actions(&[READY]);
    assert_eq!(client.connection.max_payload(), 500);
    assert_eq!(client.connection.info().connect_urls, ["b:1"]);
}

#[test]
fn messages_before_the_confirmation_and_pings_at_any_time_do_no_harm() {
    let mut client = client(&["a"]);
    client.receive("PING\r\n+OK\r\nPONG\r\n").sent("");
    client.receive(PLAIN).sent_connect().receive("+OK\r\nPING\r\n").sent("PONG\r\n");
    client.receive("PONG\r\nMSG a 1 1\r\nx\r\nPING\r\n").sent("SUB a 1\r\nPING\r\nPONG\r\n");
    client.receive("PONG\r\nMSG a 1 1\r\nx\r\n").actions(&[INFO_RECEIVED, READY]);
}

#[test]
fn credentials_reach_connect() {
    let mut client = client_with(tls(Tls::WhenAsked), &[]);
    client.receive(PLAIN);
    let sent = String::from_utf8(std::mem::take(&mut client.out)).unwrap();
    assert!(
        sent.contains("\"user\":\"bob\",\"pass\":\"hunter2\"") && sent.contains("\"tls_required\":false"),
        "{sent}"
    );
    assert!(!format!("{:?}", client.connection).contains("hunter2"));
}

#[test]
fn tls_after_info() {
    let offers = ["INFO {\"tls_required\":true}\r\n", "INFO {\"tls_available\":true}\r\n"];
    for (mode, info) in [(Tls::WhenAsked, offers[0]), (Tls::Required, offers[0]), (Tls::Required, offers[1])] {
        let mut client = client_with(tls(mode), &["a"]);
        client.receive(info).sent("").actions(&[INFO_RECEIVED, Action::StartTls]);
        assert_eq!(client.connection.state(), State::AwaitTls);
        client.connection.handle_tls_started(client.now_ns, &mut client.out);
        client.sent_connect().receive("PONG\r\nPONG\r\n").actions(&[READY]);
        client.receive("INFO {}\r\n").actions(&[Action::InfoReceived { secured: true }]);
    }
}

#[test]
fn tls_is_not_started_where_nobody_asks_for_it() {
    let mut client = client_with(tls(Tls::WhenAsked), &[]);
    client.receive("INFO {\"tls_available\":true}\r\n").sent_connect().actions(&[INFO_RECEIVED]);
}

#[test]
fn tls_before_info() {
    let mut client = client_with(tls(Tls::First), &[]);
    client.sent("").actions(&[Action::StartTls]);
    client.connection.handle_tls_started(client.now_ns, &mut client.out);
    client.sent("").actions(&[]);
    client.receive("INFO {\"tls_required\":true}\r\n").sent_connect();
    client.actions(&[Action::InfoReceived { secured: true }]);
    assert!(client.connection.is_secured());
}

#[test]
fn no_credentials_in_clear_text_where_tls_was_asked_for() {
    let mut client = client_with(tls(Tls::Required), &[]);
    client.receive(PLAIN).sent("").ends(Reason::TlsNotOffered);
    assert_eq!(Reason::TlsNotOffered.cause(), Cause::Refused);
}

#[test]
fn nothing_can_be_slipped_in_before_tls() {
    for injected in ["INFO {}\r\n", "PONG\r\n", "PING\r\n", "-ERR 'x'\r\n", "MSG a 1 1\r\nx\r\n"] {
        let mut client = client_with(tls(Tls::Required), &[]);
        client.receive("INFO {\"tls_required\":true}\r\n").receive(injected).sent("").ends(Reason::DataBeforeTls);
        let mut first = client_with(tls(Tls::First), &[]);
        first.receive(injected).sent("").ends(Reason::DataBeforeTls);
    }
    // What the driver finds behind the INFO and cannot even decode.
    let mut client = client_with(tls(Tls::Required), &[]);
    client.receive("INFO {\"tls_required\":true}\r\n");
    client.connection.handle_unusable(Reason::DataBeforeTls);
    client.ends(Reason::DataBeforeTls);
}

#[test]
fn each_step_of_the_handshake_has_a_time_limit() {
    let check = |info: &str, rest: &str, state| {
        let mut client = client(&["a"]);
        client.receive(info).receive(rest).pass(4_999);
        assert_eq!(client.connection.state(), state);
        client.pass(1).ends(Reason::HandshakeTimeout { state });
    };
    check("", "", State::AwaitInfo);
    check("INFO {\"tls_required\":true}\r\n", "", State::AwaitTls);
    check(PLAIN, "PING\r\nINFO {}\r\n", State::AwaitPong);
    check(PLAIN, "PONG\r\nPING\r\n", State::AwaitConfirmation);
}

#[test]
fn the_end_of_the_stream_during_the_handshake() {
    let check = |settings: Settings, bytes: &str, expected: Reason, shown: &str| {
        assert_eq!(expected.to_string(), shown);
        let mut client = client_with(settings, &["a"]);
        client.receive(bytes);
        client.connection.handle_end_of_stream(client.now_ns);
        client.ends(expected);
    };
    check(
        Settings::default(),
        "",
        Reason::ClosedBeforeInfo { secured: false },
        "the server closed the connection without INFO: it may have handshake_first, which wants TLS before INFO",
    );
    check(
        tls(Tls::First),
        "",
        Reason::ClosedInHandshake { state: State::AwaitTls },
        "the server closed the connection before the end of the TLS handshake",
    );
    check(
        Settings::default(),
        PLAIN,
        Reason::ClosedInHandshake { state: State::AwaitPong },
        "the server closed the connection before the answer to CONNECT",
    );
    check(
        Settings::default(),
        &format!("{PLAIN}PONG\r\n"),
        Reason::ClosedInHandshake { state: State::AwaitConfirmation },
        "the server closed the connection before the confirmation of the subscriptions",
    );
    let mut client = client_with(tls(Tls::First), &["a"]);
    client.connection.handle_tls_started(client.now_ns, &mut client.out);
    client.connection.handle_end_of_stream(client.now_ns);
    let reason = Reason::ClosedBeforeInfo { secured: true };
    assert_eq!(reason.to_string(), "the server closed the connection without INFO: it may not have handshake_first");
    client.ends(reason);
}

#[test]
fn refused_logins() {
    let check = |settings: Settings, bytes: &str, error: ServerError, with_credentials, cause, shown: &str| {
        let expected = Reason::Refused { error, with_credentials };
        assert_eq!((expected.cause(), expected.to_string().as_str()), (cause, shown));
        client_with(settings, &[]).receive(bytes).ends(expected);
    };
    let violation = format!("{PLAIN}-ERR 'Authorization Violation'\r\n");
    check(
        tls(Tls::WhenAsked),
        &violation,
        ServerError::AuthorizationViolation,
        true,
        Cause::Refused,
        "the server refused the login (authorization violation): check user, password, token, key or .creds",
    );
    check(
        Settings::default(),
        &violation,
        ServerError::AuthorizationViolation,
        false,
        Cause::Refused,
        "the server wants credentials (authorization violation), and none are set",
    );
    check(
        Settings::default(),
        "-ERR 'maximum connections exceeded'\r\n",
        ServerError::MaxConnections,
        false,
        Cause::Trouble,
        "the server has as many connections as it is allowed",
    );
}

#[test]
fn no_nats_server() {
    client(&[]).receive("INFO nonsense\r\n").ends(Reason::UnreadableInfo);
    let error = decode_server_op(b"HTTP/1.1 400 Bad Request\r\n", &Limits::default()).unwrap_err();
    let mut client = client(&[]);
    client.connection.handle_unusable(Reason::Malformed(error));
    client.ends(Reason::Malformed(error));
}

#[test]
fn info_at_any_time() {
    let mut client = ready_client(&["a"]);
    client.receive("INFO {\"max_payload\":9}\r\n").actions(&[INFO_RECEIVED]);
    assert_eq!(client.connection.max_payload(), 9);
    client.receive("INFO [oops\r\n").actions(&[Action::UnreadableInfo]);
    assert!(client.connection.is_ready() && client.connection.max_payload() == 9);
}

#[test]
fn lame_duck_is_said_once() {
    let mut client = ready_client(&["a"]);
    client.receive("INFO {\"ldm\":true}\r\nINFO {\"ldm\":true}\r\n");
    client.actions(&[INFO_RECEIVED, Action::LameDuck, INFO_RECEIVED]);
    assert!(client.connection.is_ready());
}

#[test]
fn silence_is_noticed_within_ten_seconds() {
    let mut client = ready_client(&["a"]);
    client.pass(3_999).sent("").pass(1).sent("PING\r\n").pass(3_999).sent("").actions(&[]);
    client.pass(1).sent("").ends(Reason::Stale { silent_ns: 8 * SECOND_NS });
}

#[test]
fn anything_at_all_breaks_the_silence() {
    let mut client = ready_client(&["a"]);
    for bytes in ["PONG\r\n", "MSG a 1 1\r\nx\r\n", "PING\r\n", "+OK\r\n", "INFO {}\r\n"] {
        client.pass(7_999).receive(bytes);
    }
    client.pass(7_999);
    client.connection.note_received(client.now_ns);
    client.pass(7_999);
    assert!(client.connection.is_ready());
}

#[test]
fn a_stall_of_our_own_is_not_taken_for_silence() {
    let mut client = ready_client(&["a"]);
    client.pass(4_000).sent("PING\r\n");
    // The PONG waits in the socket while the process is stopped; the clock is looked at first.
    client.stall(60_000).sent("PING\r\n").actions(&[]).receive("PONG\r\n").pass(3_000);
    assert!(client.connection.is_ready());
    // And a server that is really gone is still found out.
    client.pass(1_000).sent("PING\r\n").stall(30_000).sent("PING\r\n").actions(&[]);
    client.stall(30_000).ends(Reason::Stale { silent_ns: 64 * SECOND_NS });
}

#[test]
fn pings_go_out_whatever_else_arrives() {
    let mut client = ready_client(&["a"]);
    let mut pings = 0;
    for _ in 0..365 {
        client.receive("MSG a 1 1\r\nx\r\n").pass(1_000);
        pings += client.out.len() / "PING\r\n".len();
        client.out.clear();
        if client.connection.state() == State::Closed {
            break;
        }
    }
    assert_eq!(pings, 2, "outstanding at most");
    client.ends(Reason::PingsUnanswered { count: 2 });
}

#[test]
fn answered_pings_go_on_forever() {
    let mut client = ready_client(&["a"]);
    let mut pings = 0;
    for _ in 0..3_600 {
        client.receive("MSG a 1 1\r\nx\r\n").pass(1_000);
        if !client.out.is_empty() {
            client.sent("PING\r\n").receive("PONG\r\n");
            pings += 1;
        }
    }
    assert_eq!(pings, 30, "in an hour");
    assert!(client.connection.is_ready());
}

#[test]
fn while_nobody_reads_silence_means_nothing() {
    let mut client = ready_client(&["a"]);
    client.connection.handle_reading_paused(client.now_ns);
    assert_eq!(client.connection.next_deadline(), None);
    client.pass(300_000).stall(1).sent("").actions(&[]);
    client.connection.handle_reading_resumed(client.now_ns);
    client.pass(3_999).sent("").pass(1).sent("PING\r\n").receive("PONG\r\n");
    assert!(client.connection.is_ready());
}

#[test]
fn a_pause_during_the_handshake_stretches_its_limit() {
    let mut client = client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n").pass(4_000);
    client.connection.handle_reading_paused(client.now_ns);
    client.pass(20_000);
    client.connection.handle_reading_resumed(client.now_ns);
    client.pass(999).receive("PONG\r\n");
    assert!(client.connection.is_ready());
}

#[test]
fn the_end_of_a_ready_connection() {
    let check = |expected: Reason, prepare: &dyn Fn(&mut Client)| {
        let mut client = ready_client(&["a"]);
        prepare(&mut client);
        client.connection.handle_end_of_stream(client.now_ns);
        client.ends(expected);
    };
    let closed = |after| Reason::Closed { after };
    let pause = |client: &mut Client, pause_ms, then_ms| {
        client.connection.handle_reading_paused(client.now_ns);
        client.pass(pause_ms);
        client.connection.handle_reading_resumed(client.now_ns);
        client.pass(then_ms);
    };
    check(closed(None), &|_| {});
    check(closed(Some(ServerError::StaleConnection)), &|client| {
        client.receive("-ERR 'Stale Connection'\r\n");
    });
    check(closed(Some(ServerError::MaxPayload)), &|client| {
        client.receive("-ERR 'Maximum Payload Violation'\r\n-ERR 'Permissions Violation for Publish to \"x\"'\r\n");
    });
    // A complaint long ago explains nothing, and one that ends nothing neither.
    check(closed(None), &|client| {
        client.receive("-ERR 'Stale Connection'\r\n").pass(5_001);
    });
    check(closed(None), &|client| {
        client.receive("-ERR 'Something new'\r\n");
    });
    check(Reason::ClosedAsSlowConsumer { paused_ns: 12 * SECOND_NS }, &|client| pause(client, 12_000, 500));
    check(Reason::ClosedAsSlowConsumer { paused_ns: 0 }, &|client| {
        client.connection.handle_reading_paused(client.now_ns);
    });
    check(closed(None), &|client| {
        pause(client, 1_000, 3_000);
        client.receive("PING\r\n").pass(3_000).receive("PING\r\n").pass(3_000).receive("PING\r\n").pass(1_001);
    });
    check(closed(Some(ServerError::StaleConnection)), &|client| {
        pause(client, 1_000, 0);
        client.receive("-ERR 'Stale Connection'\r\n");
    });
    assert_eq!(closed(Some(ServerError::AuthenticationExpired)).cause(), Cause::Refused);
    assert_eq!(closed(Some(ServerError::StaleConnection)).cause(), Cause::Trouble);
}

#[test]
fn the_socket_is_the_truth_not_the_text() {
    let mut client = ready_client(&["a"]);
    client.receive("-ERR 'Stale Connection'\r\n").actions(&[Action::Complaint(ServerError::StaleConnection)]);
    client.receive("MSG a 1 1\r\nx\r\n").pass(3_000);
    assert!(client.connection.is_ready());
}

#[test]
fn a_refused_subscription_is_named_and_the_rest_lives_on() {
    let refusal = "-ERR 'Permissions Violation for Subscription to \"secret.>\"'\r\n";
    let refused = Action::SubscriptionRefused { subject: "secret.>".into() };
    let mut client = client(&["a", "secret.>"]);
    client.receive(PLAIN).receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive(refusal).receive("PONG\r\n").actions(&[refused.clone(), Action::Ready { refused: 1 }]);
    assert_eq!(client.connection.state(), State::Ready);
    assert!(!client.connection.is_ready(), "a service without one of its subjects is not ready");
    let names: Vec<_> = client.connection.refused_subscriptions().map(|refused| refused.subject.as_str()).collect();
    assert_eq!(names, ["secret.>"]);

    let mut later = ready_client(&["a", "secret.>"]);
    later.receive(refusal).actions(&[refused]);
    assert!(!later.connection.is_ready());
    later.out.clear();
    later.connection.begin_drain(later.now_ns, SECOND_NS, &mut later.out);
    later.sent("UNSUB 1\r\nPING\r\n");
}

#[test]
fn a_refusal_that_matches_nothing() {
    let refusal = "-ERR 'Permissions Violation for Subscription to \"other.>\"'\r\n";
    let subject = "other.>".to_owned();
    let mut client = client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n").receive(refusal).receive("PONG\r\n");
    let refused = Action::SubscriptionRefused { subject: subject.clone() };
    client.actions(&[INFO_RECEIVED, refused, Action::Ready { refused: 1 }]);
    assert!(!client.connection.is_ready(), "it is about one of ours, whatever it is called");

    let mut later = ready_client(&["a"]);
    let error = ServerError::PermissionsViolation { operation: Operation::Subscribe, subject };
    later.receive(refusal).actions(&[Action::Complaint(error)]);
    assert!(later.connection.is_ready(), "ours are confirmed");
}

#[test]
fn messages_that_nobody_has_asked_for() {
    const MSG: &str = "MSG a 1 1\r\nx\r\n";
    client(&["a"]).receive(MSG).ends(Reason::UnaskedMessage);
    let mut logging_in = client(&["a"]);
    logging_in.receive(PLAIN).actions(&[INFO_RECEIVED]);
    assert!(!logging_in.connection.takes_messages());
    logging_in.receive(MSG).ends(Reason::UnaskedMessage);
    let mut subscribed = client(&["a"]);
    subscribed.receive(PLAIN).receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    assert!(subscribed.connection.takes_messages(), "the first may come before the confirmation");
    subscribed.receive(MSG).receive("PONG\r\n").actions(&[Action::Ready { refused: 0 }]);

    let mut first = client_with(tls(Tls::First), &["a"]);
    first.actions(&[Action::StartTls]).receive(MSG).ends(Reason::DataBeforeTls);
    let mut required = client_with(tls(Tls::Required), &["a"]);
    required.receive("INFO {\"tls_available\":true}\r\n").actions(&[INFO_RECEIVED, Action::StartTls]);
    assert!(!required.connection.takes_messages());
    required.receive(MSG).ends(Reason::DataBeforeTls);
}

#[test]
fn one_subscription_too_many() {
    let mut client = client(&["a", "b"]);
    client.receive(PLAIN).receive("PONG\r\n-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");
    let complaint = Action::Complaint(ServerError::MaxSubscriptions);
    client.actions(&[INFO_RECEIVED, complaint, Action::Ready { refused: 1 }]);
    assert!(!client.connection.is_ready());
}

#[test]
fn a_refused_publication_is_only_a_complaint() {
    let mut client = ready_client(&["a"]);
    let error = ServerError::PermissionsViolation { operation: Operation::Publish, subject: "senpai.alerts".into() };
    assert_eq!(error.to_string(), "this user may not publish to senpai.alerts");
    client.receive("-ERR 'Permissions Violation for Publish to \"senpai.alerts\"'\r\n");
    client.actions(&[Action::Complaint(error)]);
    assert!(client.connection.is_ready());
}

#[test]
fn a_flood_of_complaints_stays_bounded_and_hides_no_end() {
    let mut client = ready_client(&["a"]);
    client.receive(&"-ERR 'Permissions Violation for Publish to \"x\"'\r\n".repeat(10_000));
    client.connection.handle_end_of_stream(client.now_ns);
    let actions: Vec<_> = std::iter::from_fn(|| client.connection.poll_action()).collect();
    assert_eq!(actions.len(), NOTICES_MAX + 1);
    assert_eq!(actions.last(), Some(&Action::Disconnect(Reason::Closed { after: None })));
}

#[test]
fn subscribing_later() {
    let mut client = client(&["a"]);
    client.connection.subscribe(Subscription::new(2, "b", None), &mut client.out);
    client.sent("").receive(PLAIN).sent_connect();
    client.receive("PONG\r\n").sent("SUB a 1\r\nSUB b 2\r\nPING\r\n");
    // One more while the others wait for their confirmation: Ready means all three.
    client.connection.subscribe(Subscription::new(3, "c.*", Some("q".into())), &mut client.out);
    client.sent("SUB c.* q 3\r\nPING\r\n").receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").actions(&[READY]);

    client.connection.subscribe(Subscription::new(4, "d", None), &mut client.out);
    client.sent("SUB d 4\r\nPING\r\n");
    assert!(!client.connection.is_ready());
    client.receive("PONG\r\n").actions(&[Action::Confirmed]);
    assert!(client.connection.is_ready());

    client.connection.unsubscribe(2, &mut client.out);
    client.connection.unsubscribe(99, &mut client.out);
    client.sent("UNSUB 2\r\n");
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nUNSUB 3\r\nUNSUB 4\r\nPING\r\n");
}

#[test]
fn a_probe_in_flight_confirms_nothing_sent_after_it() {
    let mut client = ready_client(&["a"]);
    client.pass(4_000).sent("PING\r\n");
    client.connection.subscribe(Subscription::new(2, "b", None), &mut client.out);
    client.receive("PONG\r\n").actions(&[]);
    client.receive("PONG\r\n").actions(&[Action::Confirmed]);
    client.pass(4_000);
    client.out.clear();
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.receive("PONG\r\n").actions(&[]);
    client.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}

#[test]
fn a_pong_that_nobody_asked_for_confirms_nothing() {
    let mut client = client(&["a"]);
    client.receive("PONG\r\nPONG\r\nPONG\r\n").receive(PLAIN);
    assert_eq!(client.connection.state(), State::AwaitPong);
    let mut ready = ready_client(&["a"]);
    ready.receive("PONG\r\nPONG\r\nPONG\r\n");
    ready.connection.begin_drain(ready.now_ns, SECOND_NS, &mut ready.out);
    assert_eq!(ready.connection.state(), State::Draining);
    ready.actions(&[]);

    // Nor is it put by for later: the probe's PONG is not the drain's.
    let mut ready = ready_client(&["a"]);
    ready.receive("PONG\r\nPONG\r\nPONG\r\n").pass(4_000).sent("PING\r\n");
    ready.connection.begin_drain(ready.now_ns, SECOND_NS, &mut ready.out);
    ready.receive("PONG\r\n").actions(&[]);
    ready.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}

#[test]
fn drain() {
    let mut client = ready_client(&["a", "b"]);
    client.connection.begin_drain(client.now_ns, 3 * SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nUNSUB 2\r\nPING\r\n").actions(&[]);
    assert!(!client.connection.is_ready());
    client.receive("MSG a 1 1\r\nx\r\nPING\r\n").sent("PONG\r\n").pass(2_000);
    client.receive("PONG\r\n").sent("").actions(&[Action::DrainComplete { confirmed: true }]);
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn drain_has_a_time_limit_even_while_nobody_reads() {
    let mut client = ready_client(&["a"]);
    client.connection.handle_reading_paused(client.now_ns);
    client.connection.begin_drain(client.now_ns, 3 * SECOND_NS, &mut client.out);
    client.pass(2_999).actions(&[]).pass(1).actions(&[Action::DrainComplete { confirmed: false }]);
    assert_eq!(client.connection.state(), State::Closed);
}

#[test]
fn drain_before_anything_was_subscribed_is_over_at_once() {
    for bytes in ["", PLAIN, "INFO {\"tls_required\":true}\r\n"] {
        let mut client = client(&["a"]);
        client.receive(bytes);
        client.out.clear();
        while client.connection.poll_action().is_some() {}
        client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
        client.sent("").actions(&[Action::DrainComplete { confirmed: true }]);
    }
}

#[test]
fn drain_during_the_confirmation() {
    let mut client = client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n");
    client.out.clear();
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nPING\r\n").receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}

#[test]
fn no_reason_is_a_debug_dump() {
    let all = [
        Reason::HandshakeTimeout { state: State::AwaitInfo },
        Reason::HandshakeTimeout { state: State::AwaitTls },
        Reason::HandshakeTimeout { state: State::AwaitPong },
        Reason::HandshakeTimeout { state: State::AwaitConfirmation },
        Reason::UnreadableInfo,
        Reason::TlsNotOffered,
        Reason::DataBeforeTls,
        Reason::Stale { silent_ns: 8 * SECOND_NS },
        Reason::PingsUnanswered { count: 2 },
        Reason::Closed { after: Some(ServerError::SlowConsumer) },
        Reason::ClosedAsSlowConsumer { paused_ns: SECOND_NS },
    ];
    for reason in all {
        let shown = reason.to_string();
        let is_sentence = shown.contains(' ') && !shown.contains(['{', '\n']) && !shown.ends_with('.');
        assert!(is_sentence && !shown.contains("Await"), "{shown}");
    }
}
