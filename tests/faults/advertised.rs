//! A server that advertises addresses at which nothing answers, and one that lets the service in and ends the connection.
//!
//! ```text
//!   service ──► front ──► nats-server        the front adds "connect_urls" to INFO, closes, and opens again
//!      └──────► 127.x.y.z: mute
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::publisher::Login;
use crate::stage::{Loss, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release, unused_port};
use crate::support::{PATIENCE, holds, within};

/// How long the configured server is away: attempts at mute ones fail after 5 s.
const AWAY: Duration = Duration::from_secs(12);
/// In all that time, and that is less than a minute.
const LINES_MAX: usize = 20;

/// What listens at the configured address, in front of the server.
struct Front {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    port: u16,
    server: u16,
    /// Put into INFO.
    urls: String,
    /// Each connection is ended as soon as its subscriptions are confirmed.
    flaps: bool,
    accepted: AtomicUsize,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Front {
    fn open(port: u16, server: u16, urls: &[String], flaps: bool) -> Front {
        // A process that another test starts at this moment may still hold the listener that was dropped, until its exec.
        let listener = within(PATIENCE, "the port is free", || {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
        let shared = Arc::new(Shared {
            port,
            server,
            urls: urls.join(","),
            flaps,
            accepted: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                for client in listener.incoming() {
                    if shared.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (shared, client) = (shared.clone(), client.expect("a connection"));
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    std::thread::spawn(move || shared.pass(client));
                }
            }
        });
        Front { shared, thread: Some(thread) }
    }

    fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accept.
        let _ = TcpStream::connect(("127.0.0.1", self.shared.port));
        let _ = self.thread.take().expect("it is dropped once").join();
    }
}

impl Shared {
    /// Until either side ends; an error is such an end.
    fn pass(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.server)) else { return };
        self.open.lock().unwrap().extend([&client, &server].map(|stream| stream.try_clone().expect("a descriptor")));
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let _ = self.answer(&client, server);
        let _ = client.shutdown(Shutdown::Both);
        let _ = up.join();
    }

    fn answer(&self, mut client: &TcpStream, server: TcpStream) -> std::io::Result<()> {
        let mut server = BufReader::new(server);
        let mut info = String::new();
        server.read_line(&mut info)?;
        if !self.urls.is_empty() {
            info = info.replacen('{', &format!("{{\"connect_urls\":[{}],", self.urls), 1);
        }
        client.write_all(info.as_bytes())?;
        let (mut bytes, mut seen) = ([0; 4096], Vec::new());
        loop {
            let len = server.read(&mut bytes)?;
            client.write_all(&bytes[..len])?;
            seen.extend_from_slice(&bytes[..len]);
            let pongs = seen.windows(6).filter(|window| window == b"PONG\r\n").count();
            if len == 0 || self.flaps && pongs >= 2 {
                return Ok(());
            }
            if !self.flaps {
                seen.clear();
            }
        }
    }
}

/// Lines of the service's log that say more than that all is well.
fn warnings(stage: &Stage) -> usize {
    stage.service.log().lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count()
}

pub fn none(release: Release) -> Result<Report, &'static str> {
    advertised(release, 0)
}

pub fn ten(release: Release) -> Result<Report, &'static str> {
    advertised(release, 10)
}

pub fn many(release: Release) -> Result<Report, &'static str> {
    advertised(release, 256)
}

pub fn a_flood(release: Release) -> Result<Report, &'static str> {
    advertised(release, 20_000)
}

/// The configured server goes and comes back; `count` others that it has advertised never answer.
fn advertised(release: Release, count: u32) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    // All of 127.0.0.0/8 leads here, and nobody accepts.
    let mute = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let mute_port = mute.local_addr().expect("it is bound").port();
    let address =
        |number: u32| format!("127.{}.{}.{}:{mute_port}", 1 + number / 62_500, number / 250 % 250, 1 + number % 250);
    let urls: Vec<String> = (0..count).map(address).collect();
    let port = unused_port();
    let front = Front::open(port, server.port(), &urls, false);
    let mut stage = Stage::start(&format!("nats://127.0.0.1:{port}"), server.port(), Login::default(), &[]);
    let before = warnings(&stage);
    stage.note_break();
    drop(front);
    stage.wait_lost();
    std::thread::sleep(AWAY);
    let back = Instant::now();
    let _front = Front::open(port, server.port(), &urls, false);
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let lines = warnings(&stage) - before;
    assert!(lines < LINES_MAX, "{lines} lines:\n{}", stage.service.log());
    let mut report = stage.settle(vec![recovery], Loss::InHand, None);
    report.note = format!("{lines} lines in {} s", AWAY.as_secs());
    Ok(report)
}

/// With credentials and without TLS, an address of another network is not told them: it is not used, and that is said.
pub fn untrusted(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "authorization { user: bob, password: hunter2 }");
    let port = unused_port();
    let urls = ["192.0.2.1:4222".to_owned(), format!("127.0.0.2:{}", unused_port())];
    let front = Front::open(port, server.port(), &urls, false);
    let login = Login { user: Some(("bob", "hunter2")), ..Login::default() };
    let mut stage = Stage::start(&format!("nats://bob:hunter2@127.0.0.1:{port}"), server.port(), login, &[]);
    let log = stage.service.log();
    let said = log.lines().find(|line| line.contains("of other networks, which are not used")).expect(&log);
    assert!(said.contains("advertises 1 servers"), "one of the two: {said}");
    stage.note_break();
    drop(front);
    stage.wait_lost();
    // The one of this network is tried.
    within(PATIENCE, "it is tried", || holds(stage.service.log().contains("127.0.0.2"), stage.service.log()));
    let back = Instant::now();
    let _front = Front::open(port, server.port(), &urls, false);
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    assert!(!stage.service.log().contains("192.0.2.1"), "{}", stage.service.log());
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
}

/// Each connection ends as soon as it is ready: the service comes back less and less often, and does not flood the log.
pub fn flapping(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    let port = unused_port();
    let front = Front::open(port, server.port(), &[], false);
    let stage = Stage::start(&format!("nats://127.0.0.1:{port}"), server.port(), Login::default(), &[]);
    let before = warnings(&stage);
    drop(front);
    let front = Front::open(port, server.port(), &[], true);
    std::thread::sleep(AWAY);
    let attempts = front.accepted();
    // 50, 100, ... 6,400 ms: half of that at least.
    assert!((3..=12).contains(&attempts), "{attempts} attempts in {AWAY:?}; log:\n{}", stage.service.log());
    drop(front);
    let front = Front::open(port, server.port(), &[], false);
    within(PATIENCE, "it is used again", || {
        let accepted = front.accepted();
        holds(accepted > 0, format!("{accepted} connections"))
    });
    stage.service.wait_ready();
    stage.wait_flow(stage.received_count() + 10);
    let log = stage.service.log();
    let lines = log.lines().count() - before;
    assert!(lines < LINES_MAX, "{lines} lines:\n{log}");
    Ok(Report { note: format!("{attempts} attempts and {lines} lines in {} s", AWAY.as_secs()), ..Report::default() })
}
