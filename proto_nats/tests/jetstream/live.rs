//! A driver of the reader as plain as can be (one blocking socket), and real servers for it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use proto_nats::jetstream::{Delivery, Notice, ReaderSettings, StreamReader};
use proto_nats::{
    Action, Connection, ConnectionSettings, ConnectionState, DecodeLimits, Decoded, SECOND_NS, ServerError, ServerOp,
    Subscription, decode_server_op, encode,
};
use serde_json::Value;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);
const INBOX_SID: u64 = 1;

/// Which nats-server. `scripts/nats-server.sh` knows where they are.
#[derive(Clone, Copy, Debug)]
pub enum Release {
    Current,
    Old,
}

impl Release {
    /// Those that this machine has; `SENPAI_SKIP` names what it cannot have.
    pub fn all(test: &str) -> Vec<Release> {
        let skipped = std::env::var("SENPAI_SKIP").unwrap_or_default();
        let is_there = |release: &Release| {
            let name = format!("nats-server-{}", release.name());
            let is_skipped = skipped.split(',').any(|skipped| skipped == name);
            if is_skipped {
                let _ = writeln!(std::io::stderr(), "SKIPPED {test}: there is no {name}");
            }
            !is_skipped
        };
        [Release::Current, Release::Old].into_iter().filter(is_there).collect()
    }

    fn name(self) -> &'static str {
        ["current", "old"][self as usize]
    }

    fn binary(self) -> PathBuf {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/nats-server.sh");
        let found = Command::new(script).args([self.name(), "--find"]).output().expect("the script runs");
        let name = self.name();
        assert!(found.status.success(), "the {name} nats-server is missing: run scripts/nats-server.sh {name}");
        PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
    }
}

/// A nats-server on a port of its own, gone with its folder when this is.
pub struct NatsServer {
    binary: PathBuf,
    process: Option<Child>,
    pub port: u16,
    folder: PathBuf,
}

impl NatsServer {
    pub fn start(release: Release, configuration: &str) -> NatsServer {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("proto_nats-jetstream-{}-{step}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        // Below those that other tests use, and those that the system gives to clients.
        let mut port = 10_000 + (std::process::id() as u16 % 19) * 100 + step % 100;
        while std::net::TcpListener::bind(("127.0.0.1", port)).is_err() {
            port += 1;
        }
        let configuration = configuration.replace("STORE", &folder.join("store").to_string_lossy());
        std::fs::write(folder.join("configuration"), configuration).expect("a file");
        let mut server = NatsServer { binary: release.binary(), process: None, port, folder };
        server.start_again();
        server
    }

    pub fn with_jetstream(release: Release) -> NatsServer {
        NatsServer::start(release, "jetstream {store_dir: \"STORE\"}")
    }

    pub fn start_again(&mut self) {
        let port = self.port.to_string();
        let process = Command::new(&self.binary)
            .args(["-a", "127.0.0.1", "-p", &port, "-c"])
            .arg(self.folder.join("configuration"))
            .arg("-l")
            .arg(self.folder.join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.expect("nats-server starts"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "nats-server does not start: {log}");
            std::thread::yield_now();
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One connection: what comes is handed to `on_op`, beside what the connection itself wants to know.
struct Link {
    socket: TcpStream,
    connection: Connection,
    /// Bytes that arrived and were not handled yet are in front.
    received: Vec<u8>,
    received_len: usize,
    out: Vec<u8>,
}

impl Link {
    fn open(port: u16, inbox: String, now_ns: u64) -> Option<Link> {
        let socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("an option");
        let subscriptions = vec![Subscription::new(INBOX_SID, inbox, None)];
        let connection = Connection::new(ConnectionSettings::default(), subscriptions, now_ns);
        Some(Link { socket, connection, received: vec![0; 1 << 20], received_len: 0, out: Vec::new() })
    }

    /// Sends, reads once, and handles all that is whole; `false`: the connection has ended.
    fn turn(&mut self, now_ns: u64, mut on_op: impl FnMut(&ServerOp<'_>)) -> bool {
        self.connection.handle_time(now_ns, &mut self.out);
        if self.socket.write_all(&self.out).is_err() {
            return false;
        }
        self.out.clear();
        let read = self.socket.read(&mut self.received[self.received_len..]);
        let count = match read {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
            Err(_) => return false,
        };
        self.received_len += count;
        let mut handled = 0;
        loop {
            match decode_server_op(&self.received[handled..self.received_len], &DecodeLimits::default()) {
                Ok(Decoded::Op { op, len }) => {
                    self.connection.handle_op(&op, now_ns, &mut self.out);
                    self.connection.begin_subscribing(&mut self.out);
                    on_op(&op);
                    handled += len;
                }
                Ok(Decoded::NeedMore { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
        self.received.copy_within(handled..self.received_len, 0);
        self.received_len -= handled;
        true
    }
}

/// A reader with its connection, connected again when that ends.
pub struct Client {
    pub reader: StreamReader,
    port: u16,
    link: Option<Link>,
    is_ready: bool,
    begun: Instant,
    /// Told as room.
    pub room: usize,
    pub applied: Vec<(String, Delivery)>,
    pub notices: Vec<Notice>,
    pub keeps: bool,
    pub applied_count: u64,
}

impl Client {
    pub fn new(server: &NatsServer, settings: ReaderSettings) -> Client {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        Client {
            reader: StreamReader::new(settings, seed ^ u64::from(server.port)),
            port: server.port,
            link: None,
            is_ready: false,
            begun: Instant::now(),
            room: 4 << 20,
            applied: Vec::new(),
            notices: Vec::new(),
            keeps: true,
            applied_count: 0,
        }
    }

    pub fn now_ns(&self) -> u64 {
        SECOND_NS + self.begun.elapsed().as_nanos() as u64
    }

    pub fn turn(&mut self) {
        let now_ns = self.now_ns();
        let Some(link) = &mut self.link else {
            self.link = Link::open(self.port, self.reader.inbox(), now_ns);
            return std::thread::yield_now();
        };
        let reader = &mut self.reader;
        let (applied, keeps, applied_count) = (&mut self.applied, self.keeps, &mut self.applied_count);
        let is_open = link.turn(now_ns, |op| match op {
            ServerOp::Msg(msg) => {
                if let Some(delivery) = reader.handle_msg(msg, now_ns) {
                    *applied_count += 1;
                    if keeps {
                        applied.push((String::from_utf8_lossy(msg.payload).into_owned(), delivery));
                    }
                }
            }
            ServerOp::Err(text) => {
                if let ServerError::PermissionsViolation { operation, subject } = ServerError::parse(text) {
                    reader.handle_refusal(operation, &subject, now_ns);
                }
            }
            _ => {}
        });
        while let Some(action) = link.connection.poll_action() {
            if matches!(action, Action::Ready { .. }) {
                self.is_ready = true;
                reader.handle_connected(now_ns);
            }
        }
        if !is_open || link.connection.state() == ConnectionState::Closed {
            self.link = None;
            if std::mem::take(&mut self.is_ready) {
                reader.handle_disconnected();
            }
            return;
        }
        reader.note_room(self.room);
        reader.handle_time(now_ns);
        while let Some(publication) = reader.poll_request(now_ns) {
            let reply_to = publication.reply_to.map(str::as_bytes);
            encode::publish(&mut link.out, publication.subject.as_bytes(), reply_to, publication.payload);
        }
        self.notices.extend(std::iter::from_fn(|| reader.poll_notice()));
    }

    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_reached: impl FnMut(&Client) -> bool) -> Duration {
        let begun = Instant::now();
        while !is_reached(self) {
            let (report, trouble) = (self.reader.report(self.now_ns()), self.reader.trouble());
            assert!(begun.elapsed() < PATIENCE, "{what}: {report:?} {trouble:?} {:?} {:?}", self.notices, self.texts());
            self.turn();
        }
        begun.elapsed()
    }

    #[track_caller]
    pub fn until_applied(&mut self, count: usize) -> Duration {
        self.until("messages are applied", |client| client.applied.len() >= count)
    }

    pub fn texts(&self) -> Vec<&str> {
        self.applied.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// An operator, and a producer.
pub struct Operator {
    link: Link,
    begun: Instant,
    asked: u64,
}

impl Operator {
    pub fn new(server: &NatsServer) -> Operator {
        let mut link = Link::open(server.port, "_INBOX.operator.*".to_owned(), SECOND_NS).expect("a connection");
        while link.connection.state() != ConnectionState::Ready {
            assert!(link.turn(SECOND_NS, |_| ()), "the operator logs in");
        }
        Operator { link, begun: Instant::now(), asked: 0 }
    }

    pub fn publish(&mut self, subject: &str, text: &str) {
        encode::publish(&mut self.link.out, subject.as_bytes(), None, text.as_bytes());
        if self.link.out.len() > 64 << 10 {
            self.link.socket.write_all(&self.link.out).expect("it is sent");
            self.link.out.clear();
        }
    }

    /// Published, and stored by the time that it returns.
    pub fn store(&mut self, subject: &str, text: &str) {
        let answer = self.request(subject, text);
        assert!(answer["seq"].is_u64(), "{answer}");
    }

    /// JetStream's answer; that of a server which is still starting is asked for again.
    pub fn request(&mut self, subject: &str, payload: &str) -> Value {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no answer to {subject}");
            if let Some(answer) = self.try_request(subject, payload) {
                return answer;
            }
        }
    }

    fn try_request(&mut self, subject: &str, payload: &str) -> Option<Value> {
        self.asked += 1;
        let reply_to = format!("_INBOX.operator.{}", self.asked);
        encode::publish(&mut self.link.out, subject.as_bytes(), Some(reply_to.as_bytes()), payload.as_bytes());
        let begun = Instant::now();
        let mut answer = None;
        let mut has_failed = false;
        while answer.is_none() && !has_failed && begun.elapsed() < Duration::from_secs(5) {
            let now_ns = SECOND_NS + self.begun.elapsed().as_nanos() as u64;
            let is_open = self.link.turn(now_ns, |op| match op {
                ServerOp::Msg(msg) if msg.subject == reply_to.as_bytes() => {
                    has_failed = msg.payload.is_empty();
                    answer = serde_json::from_slice(msg.payload).ok();
                }
                _ => {}
            });
            assert!(is_open, "the server ended the operator's connection");
        }
        answer
    }

    pub fn api(&mut self, subject: &str, payload: &str) -> Value {
        self.request(&format!("$JS.API.{subject}"), payload)
    }

    pub fn make_stream(&mut self, more: &str) {
        let config = format!(r#"{{"name":"MD","subjects":["md.events.>"]{more}}}"#);
        let answer = self.api("STREAM.CREATE.MD", &config);
        assert!(answer.get("error").is_none(), "{answer}");
    }
}
