//! What the fuzz targets run, and the smoke test on stable Rust as well: any bytes, no panic, and what must hold holds.

use proto_nats::connection::NOTICES_MAX;
use proto_nats::{
    Action, ClientOp, ConnectOptions, Connection, ConnectionSettings, ConnectionState, Credentials, DecodeLimits,
    Decoded, Msg, ProtocolError, Reason, Secret, ServerError, ServerInfo, ServerOp, Subscription, Tls,
    decode_client_op, decode_headers, decode_server_op, encode, parse_servers,
};

#[path = "../../tests/common/naive.rs"]
mod naive;

#[path = "jetstream.rs"]
mod jetstream;

pub use jetstream::jetstream;

/// Small, so that short inputs reach them.
const LIMITS: DecodeLimits = DecodeLimits { control_line: 96, payload: 200 };

/// For what was encoded again: CONNECT gets every field.
const REENCODED: DecodeLimits = DecodeLimits { control_line: 1 << 20, payload: 200 };

/// Takes any bytes; panics where something is wrong.
pub type Entry = fn(&[u8]);

/// Every entry by the name of its corpus folder.
pub const ENTRIES: [(&str, Entry); 5] = [
    ("server_bytes", server_bytes),
    ("client_bytes", client_bytes),
    ("connection_ops", connection_ops),
    ("texts", texts),
    ("jetstream", jetstream),
];

/// Bytes of a server: the decoder agrees with its naive twin, and with itself on every shorter input.
pub fn server_bytes(data: &[u8]) {
    let mut rest = data;
    loop {
        let decoded = decode_server_op(rest, &LIMITS);
        assert_eq!(decoded.map_err(drop), naive::server_op(rest, &LIMITS));
        check_shorter_inputs(rest, |input| decode_server_op(input, &LIMITS));
        let Some((op, len)) = consumed(decoded, rest.len()) else { return };
        match op {
            Some(ServerOp::Msg(msg)) => handle_msg(&msg, &rest[..len]),
            Some(ServerOp::Info(json)) => {
                if let Ok(info) = ServerInfo::from_json(json) {
                    assert_eq!(ServerInfo::from_json(&info.to_json()), Ok(info));
                }
            }
            Some(ServerOp::Err(text)) => assert!(!ServerError::parse(text).to_string().contains('\n')),
            _ => {}
        }
        rest = &rest[len..];
    }
}

fn handle_msg(msg: &Msg<'_>, frame: &[u8]) {
    if let Some(Ok(headers)) = msg.headers.map(decode_headers) {
        headers
            .iter()
            .for_each(|(name, _)| assert!(headers.value(&String::from_utf8_lossy(name)).is_some() || !name.is_ascii()));
    }
    let mut out = Vec::new();
    encode::msg(&mut out, msg.subject, msg.sid.to_string().as_bytes(), msg.reply_to, msg.headers, msg.payload);
    // A line that ended in LF alone gets its CR.
    assert!(out.len() <= frame.len() + 1, "strict is no longer than lenient");
    let expected = Ok(Decoded::Op { op: ServerOp::Msg(*msg), len: out.len() });
    assert_eq!(decode_server_op(&out, &REENCODED), expected);
}

/// Bytes of a client: as above, and what is encoded again decodes to the same.
pub fn client_bytes(data: &[u8]) {
    let mut rest = data;
    loop {
        let decoded = decode_client_op(rest, &LIMITS);
        assert_eq!(decoded.map_err(drop), naive::client_op(rest, &LIMITS));
        check_shorter_inputs(rest, |input| decode_client_op(input, &LIMITS));
        let Some((op, len)) = consumed(decoded, rest.len()) else { return };
        let mut out = Vec::new();
        match op {
            Some(ClientOp::Pub { subject, reply_to, headers: None, payload }) => {
                encode::publish(&mut out, subject, reply_to, payload);
            }
            Some(ClientOp::Pub { subject, reply_to, headers: Some(headers), payload }) => {
                encode::publish_with_headers(&mut out, subject, reply_to, headers, payload);
            }
            Some(ClientOp::Connect(json)) => {
                if let Ok(options) = ConnectOptions::from_json(json) {
                    encode::connect(&mut out, &options);
                    match decode_client_op(&out, &REENCODED) {
                        Ok(Decoded::Op { op: ClientOp::Connect(json), .. }) => {
                            assert_eq!(ConnectOptions::from_json(json), Ok(options));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                out.clear();
            }
            _ => {}
        }
        if let (Some(op), false) = (op, out.is_empty()) {
            assert_eq!(decode_client_op(&out, &REENCODED), Ok(Decoded::Op { op, len: out.len() }));
        }
        rest = &rest[len..];
    }
}

/// The operation and its length, or none if the input is at its end.
fn consumed<T>(decoded: Result<Decoded<'_, T>, ProtocolError>, available: usize) -> Option<(Option<T>, usize)> {
    match decoded {
        Ok(Decoded::Op { op, len }) => {
            assert!(0 < len && len <= available);
            Some((Some(op), len))
        }
        Ok(Decoded::Oversized { skip, .. }) => (skip <= available).then_some((None, skip)),
        Ok(Decoded::NeedMore { at_least }) => {
            assert!(at_least > available);
            None
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// A shorter input gives "need more", by no more than there is, until it gives exactly what the longer one does.
fn check_shorter_inputs<'a, T: PartialEq + std::fmt::Debug>(
    input: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<Decoded<'a, T>, ProtocolError>,
) {
    let whole = decode(input);
    let whole_len = match &whole {
        Ok(Decoded::Op { len, .. }) => *len,
        Ok(Decoded::NeedMore { at_least }) => *at_least,
        Ok(Decoded::Oversized { skip, .. }) => *skip,
        Err(_) => usize::MAX,
    };
    let mut cut = 0;
    while cut < input.len() {
        match decode(&input[..cut]) {
            Ok(Decoded::NeedMore { at_least }) => {
                assert!(at_least > cut && at_least <= whole_len, "{at_least} of {whole_len} at {cut}");
                cut = at_least;
            }
            early => {
                assert_eq!(early, whole, "at {cut}");
                break;
            }
        }
    }
}

/// Operations into the connection: each byte is one of them, sometimes with an argument.
pub fn connection_ops(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next();
    let Some(first) = next() else { return };
    let tls = [Tls::WhenAsked, Tls::Required, Tls::First][usize::from(first % 3)];
    let credentials = match first & 4 {
        0 => Credentials::None,
        _ => Credentials::UserPassword { user: "bob".into(), password: Secret::new("hunter2") },
    };
    let settings = ConnectionSettings { tls, credentials, ..ConnectionSettings::default() };
    let mut sid = u64::from(first >> 4);
    let subscriptions = (0..sid).map(|sid| Subscription::new(sid, format!("s.{sid}"), None)).collect();
    let mut now_ns = 1_000;
    let mut connection = Connection::new(settings, subscriptions, now_ns);
    let mut watch = Watch { tls, tls_started: false, connects: 0, readies: 0, ended: false, paused: false };
    let mut out = Vec::new();

    while let Some(byte) = next() {
        let mut timed = false;
        match byte % 20 {
            0 => {
                let step = u64::from(next().unwrap_or(0));
                now_ns += step * step * 1_000_000;
                connection.handle_time(now_ns, &mut out);
                timed = true;
            }
            1 => {
                now_ns = now_ns.max(connection.next_deadline().unwrap_or(0));
                connection.handle_time(now_ns, &mut out);
                timed = true;
            }
            2 => {
                let flags = next().unwrap_or(0);
                let info = ServerInfo {
                    tls_required: flags & 1 != 0,
                    tls_available: flags & 2 != 0,
                    lame_duck_mode: flags & 4 != 0,
                    nonce: (flags & 8 != 0).then(|| "nonce".into()),
                    connect_urls: vec!["a:1".into(); usize::from(flags >> 4)],
                    ..ServerInfo::default()
                };
                connection.handle_op(&ServerOp::Info(&info.to_json()), now_ns, &mut out);
            }
            3 => connection.handle_op(&ServerOp::Pong, now_ns, &mut out),
            4 => connection.handle_op(&ServerOp::Ping, now_ns, &mut out),
            5 => {
                let texts = [
                    "Authorization Violation",
                    "Stale Connection",
                    "maximum subscriptions exceeded",
                    "Permissions Violation for Subscription to \"s.1\"",
                    "Permissions Violation for Subscription to \"s.\\\"1\"",
                    "Permissions Violation for Publish to \"x\"",
                    "User Authentication Expired",
                    "Something new",
                ];
                let text = texts[usize::from(next().unwrap_or(0)) % texts.len()];
                connection.handle_op(&ServerOp::Err(text.as_bytes()), now_ns, &mut out);
            }
            6 => {
                let msg = Msg { subject: b"a", sid: 1, reply_to: None, headers: None, payload: b"" };
                let is_asked = connection.takes_messages();
                connection.handle_op(&ServerOp::Msg(msg), now_ns, &mut out);
                assert!(is_asked || connection.state() == ConnectionState::Closed, "a message without a subscription");
            }
            7 => connection.handle_op(&ServerOp::Ok, now_ns, &mut out),
            8 => {
                watch.tls_started |= connection.state() == ConnectionState::AwaitTls;
                connection.handle_tls_started(now_ns, &mut out);
            }
            9 => {
                watch.paused = true;
                connection.handle_reading_paused(now_ns);
            }
            10 => {
                watch.paused = false;
                connection.handle_reading_resumed(now_ns);
            }
            11 => connection.handle_end_of_stream(now_ns),
            12 => {
                sid += 1;
                connection.subscribe(Subscription::new(sid, format!("s.{sid}"), Some("q".into())), &mut out);
            }
            13 => connection.unsubscribe(u64::from(next().unwrap_or(0)), &mut out),
            14 => connection.begin_drain(now_ns, u64::from(next().unwrap_or(0)) * 100_000_000, &mut out),
            15 => connection.note_received(now_ns),
            18 => connection.begin_subscribing(&mut out),
            17 => connection.handle_unusable(Reason::DataBeforeTls),
            16 => connection.handle_op(&ServerOp::Info(&[next().unwrap_or(0)]), now_ns, &mut out),
            _ => {
                if let Err(error) = decode_server_op(b"nonsense", &LIMITS) {
                    connection.handle_unusable(Reason::Malformed(error));
                }
            }
        }
        watch.check(&mut connection, &mut out);
        if timed {
            // Otherwise the driver would spin. A drain without any time ends at the next call.
            let due_ns = connection.next_deadline();
            assert!(due_ns.is_none_or(|due_ns| due_ns > now_ns), "{due_ns:?} at {now_ns}: {connection:?}");
        }
    }
}

struct Watch {
    tls: Tls,
    tls_started: bool,
    connects: usize,
    readies: usize,
    ended: bool,
    paused: bool,
}

impl Watch {
    fn check(&mut self, connection: &mut Connection, out: &mut Vec<u8>) {
        assert!(!self.ended || out.is_empty(), "bytes after the end");
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            let (op, len) = match decode_client_op(rest, &DecodeLimits::default()) {
                Ok(Decoded::Op { op, len }) => (op, len),
                other => panic!("{other:?}"),
            };
            if let ClientOp::Connect(_) = op {
                self.connects += 1;
                assert!(self.tls == Tls::WhenAsked || self.tls_started, "credentials in clear text");
            }
            assert!(self.connects == 1, "CONNECT comes first, and once");
            rest = &rest[len..];
        }
        out.clear();

        let mut notices = 0;
        while let Some(action) = connection.poll_action() {
            assert!(!self.ended, "{action:?} after the end");
            notices += 1;
            match action {
                Action::Ready { .. } => {
                    self.readies += 1;
                    assert!(self.readies == 1 && self.connects == 1);
                }
                Action::Disconnect(reason) => {
                    self.ended = true;
                    assert!(!reason.to_string().contains("hunter2"));
                    if let Reason::Stale { .. } | Reason::PingsUnanswered { .. } = reason {
                        assert!(!self.paused, "silence while reading is paused");
                    }
                }
                Action::DrainComplete { .. } => self.ended = true,
                _ => {}
            }
        }
        assert!(notices <= NOTICES_MAX + 4);
        assert_eq!(self.ended, connection.state() == ConnectionState::Closed);
        assert!(!connection.is_ready() || self.readies == 1);
        let watched = connection.next_deadline().is_some();
        assert!(self.ended || self.paused || watched, "nothing would notice silence: {connection:?}");
    }
}

/// Texts of operators: addresses, seeds, `.creds`.
pub fn texts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse_servers(&text) {
        Ok(servers) => {
            for server in servers {
                // What is shown reads as the same place.
                let again = parse_servers(&server.to_string()).expect("a shown address is right");
                assert!(again[0].is_same_endpoint(&server) && again[0].tls == server.tls);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = Credentials::from_creds_text(&text, 0);
    let _ = Credentials::from_seed_text(&text);
    let _ = decode_headers(data).map(|headers| headers.iter().count());
}
