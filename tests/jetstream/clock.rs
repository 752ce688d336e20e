//! The server's clock is an hour before the host's, or behind it. Both run on this machine, so a proxy between them moves
//! every time that the server says, and every time that it is asked for.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_nats::jetstream::time::{format_rfc3339, parse_rfc3339};
use proto_nats::{ClientOp, DecodeLimits, Decoded, ServerOp, decode_client_op, decode_server_op, encode};
use serde_json::{Value, json};

use crate::client::Operator;
use crate::market::{self, Market};
use crate::reference::SECOND;
use crate::stage::{FLAGS, LIMIT, Report, server};
use crate::support::bus::Bus;
use crate::support::nats_server::Release;
use crate::support::service::Service;
use crate::support::{holds, within};

const HOUR_NS: i64 = 3600 * SECOND;
/// Of the market before the service starts, and beside it.
const BEFORE: Duration = Duration::from_secs(6);
const BESIDE: Duration = Duration::from_secs(8);
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// The market goes by the server's clock. Nothing is rejected, nothing is stale, and all outputs are those of the twin.
pub fn an_hour_before(release: Release) -> Result<Report, &'static str> {
    check(release, HOUR_NS)
}

pub fn an_hour_behind(release: Release) -> Result<Report, &'static str> {
    check(release, -HOUR_NS)
}

fn check(release: Release, shift_ns: i64) -> Result<Report, &'static str> {
    let server = server(release);
    let operator = Operator::new(server.port());
    operator.make_stream(&json!({}));
    let proxy = Shifted::start(server.port(), shift_ns);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.>");
    bus.round_trip();
    let market = Market::start(server.port(), shift_ns);
    market.pass(BEFORE);
    let service =
        Service::start_ready(&format!("nats://127.0.0.1:{}", proxy.port), &[&FLAGS[..], &market::FLAGS].concat());
    market.pass(BESIDE);
    drop(market);

    let mut messages = operator.messages();
    messages.iter_mut().for_each(|message| message.stored_ns += shift_ns);
    let count = messages.len();
    within(LIMIT, "the last event is applied", || {
        let stream = service.stats()["cores"][0]["jetstream"].take();
        holds(stream["sequence"] == count, stream)
    });
    let stats = service.stats();
    assert_eq!(stats["events_in"], count, "what was there before is read as well");
    assert_eq!(stats["timestamps_rejected"], 0, "{stats}");
    assert_eq!(stats["signals_suppressed"]["stale"], 0, "{stats}");
    assert_eq!(service.document("/alerts/latest")["alerts"], json!([]));
    service.wait_ready();
    bus.round_trip();
    let received = inbox.take_arrived();
    let expected = market::signals(&messages);
    let signals = market::check_signals(received, &expected).len();
    let snapshots = market::check_snapshots(received, &messages);
    assert!(snapshots > 500 && signals > 2, "{snapshots} snapshots and {signals} signals prove little");
    let note = format!("{snapshots} snapshots and {signals} signals agree");
    Ok(Report { published: count, applied: count, note, ..Report::default() })
}

/// A proxy before a server whose clock is moved. It takes one connection after another.
struct Shifted {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl Shifted {
    fn start(server: u16, shift_ns: i64) -> Shifted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        listener.set_nonblocking(true).expect("an option");
        let is_over = Arc::new(AtomicBool::new(false));
        std::thread::spawn({
            let is_over = is_over.clone();
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    let Ok((client, _)) = listener.accept() else {
                        std::thread::sleep(LOOK);
                        continue;
                    };
                    client.set_nonblocking(false).expect("an option");
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                    let ways = [(client.try_clone(), server.try_clone(), true), (Ok(server), Ok(client), false)];
                    for (from, to, is_to_server) in ways {
                        let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                        let is_over = is_over.clone();
                        std::thread::spawn(move || {
                            let _ = pump(from, to, &is_over, |frames, out| match is_to_server {
                                true => to_server(frames, shift_ns, out),
                                false => to_client(frames, shift_ns, out),
                            });
                        });
                    }
                }
            }
        });
        Shifted { port, is_over }
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// `shift` says how many bytes of the frames it has taken.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    is_over: &AtomicBool,
    shift: impl Fn(&[u8], &mut Vec<u8>) -> usize,
) -> std::io::Result<()> {
    from.set_read_timeout(Some(LOOK))?;
    to.set_nodelay(true)?;
    let (mut unread, mut bytes, mut out) = (Vec::new(), vec![0; 64 << 10], Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => unread.extend_from_slice(&bytes[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let taken = shift(&unread, &mut out);
        unread.drain(..taken);
        to.write_all(&out)?;
        out.clear();
    }
    to.shutdown(std::net::Shutdown::Both)
}

fn to_client(frames: &[u8], shift_ns: i64, out: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    loop {
        match decode_server_op(&frames[taken..], &DecodeLimits::default()) {
            Ok(Decoded::Op { op, len }) => {
                match op {
                    ServerOp::Msg(msg) => {
                        let reply_to = msg.reply_to.map(|reply_to| shifted_ack(reply_to, shift_ns));
                        let payload = shifted_json(msg.payload, &["/ts", "/created"], shift_ns);
                        let (sid, reply_to) = (msg.sid.to_string(), reply_to.as_deref());
                        encode::msg(out, msg.subject, sid.as_bytes(), reply_to, msg.headers, &payload);
                    }
                    _ => out.extend_from_slice(&frames[taken..taken + len]),
                }
                taken += len;
            }
            Ok(_) => return taken,
            Err(error) => panic!("the server sends what is no protocol: {error:?}"),
        }
    }
}

fn to_server(frames: &[u8], shift_ns: i64, out: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    loop {
        match decode_client_op(&frames[taken..], &DecodeLimits::default()) {
            Ok(Decoded::Op { op, len }) => {
                match op {
                    ClientOp::Pub { subject, reply_to, headers: None, payload } if subject.starts_with(b"$JS.API.") => {
                        let payload = shifted_json(payload, &["/config/opt_start_time"], -shift_ns);
                        encode::publish(out, subject, reply_to, &payload);
                    }
                    _ => out.extend_from_slice(&frames[taken..taken + len]),
                }
                taken += len;
            }
            Ok(_) => return taken,
            Err(error) => panic!("the service sends what is no protocol: {error:?}"),
        }
    }
}

/// The time is the last token but one.
fn shifted_ack(reply_to: &[u8], shift_ns: i64) -> Vec<u8> {
    let text = String::from_utf8_lossy(reply_to).into_owned();
    if !text.starts_with("$JS.ACK.") {
        return text.into_bytes();
    }
    let mut tokens: Vec<String> = text.split('.').map(str::to_owned).collect();
    let place = tokens.len() - 2;
    tokens[place] = (tokens[place].parse::<i64>().expect("a time") + shift_ns).to_string();
    tokens.join(".").into_bytes()
}

/// Of an answer of the API; an event has none of these.
fn shifted_json(payload: &[u8], places: &[&str], shift_ns: i64) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<Value>(payload) else { return payload.to_vec() };
    let mut is_changed = false;
    for place in places {
        let Some(value) = json.pointer_mut(place) else { continue };
        let Some(ns) = value.as_str().and_then(parse_rfc3339) else { continue };
        *value = format_rfc3339(ns.saturating_add_signed(shift_ns)).into();
        is_changed = true;
    }
    if is_changed { json.to_string().into_bytes() } else { payload.to_vec() }
}
