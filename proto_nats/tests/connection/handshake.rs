//! From the open socket to Ready, and everything that can go wrong on the way.

use super::*;

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
        assert_eq!(client.connection.state(), ConnectionState::AwaitTls);
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
    check("", "", ConnectionState::AwaitInfo);
    check("INFO {\"tls_required\":true}\r\n", "", ConnectionState::AwaitTls);
    check(PLAIN, "PING\r\nINFO {}\r\n", ConnectionState::AwaitPong);
    check(PLAIN, "PONG\r\nPING\r\n", ConnectionState::AwaitConfirmation);
}

#[test]
fn the_end_of_the_stream_during_the_handshake() {
    let check = |settings: ConnectionSettings, bytes: &str, expected: Reason, shown: &str| {
        assert_eq!(expected.to_string(), shown);
        let mut client = client_with(settings, &["a"]);
        client.receive(bytes);
        client.connection.handle_end_of_stream(client.now_ns);
        client.ends(expected);
    };
    check(
        ConnectionSettings::default(),
        "",
        Reason::ClosedBeforeInfo { secured: false },
        "the server closed the connection without INFO: it may have handshake_first, which wants TLS before INFO",
    );
    check(
        tls(Tls::First),
        "",
        Reason::ClosedInHandshake { state: ConnectionState::AwaitTls },
        "the server closed the connection before the end of the TLS handshake",
    );
    check(
        ConnectionSettings::default(),
        PLAIN,
        Reason::ClosedInHandshake { state: ConnectionState::AwaitPong },
        "the server closed the connection before the answer to CONNECT",
    );
    check(
        ConnectionSettings::default(),
        &format!("{PLAIN}PONG\r\n"),
        Reason::ClosedInHandshake { state: ConnectionState::AwaitConfirmation },
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
    let check =
        |settings: ConnectionSettings, bytes: &str, error: ServerError, with_credentials, cause, shown: &str| {
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
        ConnectionSettings::default(),
        &violation,
        ServerError::AuthorizationViolation,
        false,
        Cause::Refused,
        "the server wants credentials (authorization violation), and none are set",
    );
    check(
        ConnectionSettings::default(),
        "-ERR 'maximum connections exceeded'\r\n",
        ServerError::MaxConnections,
        false,
        Cause::Trouble,
        "the server has as many connections as it is allowed",
    );
}

/// By the JWT's own claims and the time at which it was read.
#[test]
fn refused_jwts() {
    let seed = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, [7; 32]).unwrap().seed().unwrap();
    let settings = |read_at_s: i64| {
        let claims = data_encoding::BASE64URL_NOPAD.encode(br#"{"nbf":100,"exp":200}"#);
        let creds =
            format!("---BEGIN NATS USER JWT---\neyJ0.{claims}.c2ln\n---\n---BEGIN USER NKEY SEED---\n{seed}\n---\n");
        let credentials = Credentials::from_creds_text(&creds, read_at_s).unwrap();
        ConnectionSettings { credentials, ..ConnectionSettings::default() }
    };
    let (violation, expired) = (ServerError::AuthorizationViolation, ServerError::AuthenticationExpired);
    let check = |read_at_s: i64, text: &str, expected: Reason| {
        assert_eq!(expected.cause(), Cause::Refused);
        client_with(settings(read_at_s), &[]).receive(&format!("{PLAIN}-ERR '{text}'\r\n")).ends(expected);
    };
    let invalid = |error: &ServerError, fault| Reason::InvalidJwt { error: error.clone(), fault };
    let (over, early) = (JwtFault::Expired { since_s: 200 }, JwtFault::NotYetValid { from_s: 100 });
    check(250, "Authorization Violation", invalid(&violation, over));
    check(50, "Authorization Violation", invalid(&violation, early));
    check(150, "Authorization Violation", Reason::Refused { error: violation, with_credentials: true });
    check(150, "User Authentication Expired", invalid(&expired, over));

    // It expires while the connection is in use.
    let mut client = client_with(settings(150), &[]);
    client.receive(PLAIN).receive("PONG\r\n").receive("PONG\r\n").receive("-ERR 'User Authentication Expired'\r\n");
    client.connection.handle_end_of_stream(client.now_ns);
    client.ends(invalid(&expired, over));
}

#[test]
fn no_nats_server() {
    client(&[]).receive("INFO nonsense\r\n").ends(Reason::UnreadableInfo);
    let error = decode_server_op(b"HTTP/1.1 400 Bad Request\r\n", &DecodeLimits::default()).unwrap_err();
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
