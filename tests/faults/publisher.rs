//! Events on their way to the server, each with its fate.
//!
//! ```text
//!   PUB md.events.trade.E17 _INBOX.fates.17 …   ┐
//!   PUB md.events.trade.E18 _INBOX.fates.18 …   │ one batch
//!   PING                                        ┘
//!     ◄── HMSG _INBOX.fates.18 … NATS/1.0 503      there was no subscriber
//!     ◄── PONG                                     the server has dealt with all of them
//! ```
//!
//! Each event is the only one of its symbol, so the symbols that the service knows are the events that it has received.
//! The connection is the test's own and blocking: async-nats would hide what was lost between two connections.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::events::{now_ns, trade};

const BATCH: usize = 4;
/// Between two batches, ordinarily: the machine has other tests to run.
pub const PACE: Duration = Duration::from_millis(10);
/// Where a moment without a subscription must show.
pub const QUICK_PACE: Duration = Duration::from_millis(1);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(5);
/// Between two looks at whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// Who the publisher is, and whether it speaks TLS.
#[derive(Clone, Default)]
pub struct Login {
    pub user: Option<(&'static str, &'static str)>,
    pub token: Option<&'static str>,
    /// The user's JWT and key.
    pub jwt: Option<(String, Arc<KeyPair>)>,
    pub tls: Option<Arc<ClientConfig>>,
    /// What the server's certificate is for, where that is not 127.0.0.1.
    pub certificate_name: Option<&'static str>,
    /// TLS before INFO.
    pub tls_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The connection ended before the server's answer: it may or may not have taken it.
    Unknown,
    /// The server had a subscriber for it.
    Accepted,
    /// The server had no subscriber for it.
    Unheard,
}

#[derive(Clone, Copy, Debug)]
pub struct Published {
    pub fate: Fate,
    /// When its fate was known, or when it was written.
    pub at: Instant,
}

struct Shared {
    /// By event number.
    events: Mutex<Vec<Published>>,
    port: u16,
    is_over: AtomicBool,
}

/// Publishes on a thread of its own from start to [`finish`](Publisher::finish), over as many connections as it takes.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The symbol of an event.
pub fn symbol(number: usize) -> String {
    format!("E{number}")
}

impl Publisher {
    pub fn start(port: u16, login: Login, pace: Duration) -> Publisher {
        let shared = Arc::new(Shared { events: Mutex::default(), port, is_over: AtomicBool::new(false) });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    // Servers come and go; which events it costs is in their fates.
                    let _ = publish_until_the_end(&shared, &login, pace);
                    std::thread::sleep(RETRY);
                }
            }
        });
        Publisher { shared, thread: Some(thread) }
    }

    /// Ends the publishing, after a whole batch if there is a connection.
    pub fn finish(mut self) -> Vec<Published> {
        self.end();
        std::mem::take(&mut self.shared.events.lock().unwrap())
    }

    fn end(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the publisher panicked");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end();
    }
}

fn publish_until_the_end(shared: &Shared, login: &Login, pace: Duration) -> std::io::Result<()> {
    let mut connection = Connection::open(shared, login)?;
    connection.stream.write_all(b"SUB _INBOX.fates.* 1\r\n")?;
    while !shared.is_over.load(Ordering::Relaxed) {
        let first = {
            let mut events = shared.events.lock().unwrap();
            let first = events.len();
            events.extend([Published { fate: Fate::Unknown, at: Instant::now() }; BATCH]);
            first
        };
        let mut bytes = Vec::new();
        for number in first..first + BATCH {
            let (subject, payload) = trade(&symbol(number), now_ns(), 100.0);
            bytes.extend_from_slice(format!("PUB {subject} _INBOX.fates.{number} {}\r\n", payload.len()).as_bytes());
            bytes.extend_from_slice(&payload);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"PING\r\n");
        connection.stream.write_all(&bytes)?;
        let mut unheard = Vec::new();
        loop {
            match connection.next()? {
                Heard::NoResponders(number) => unheard.push(number),
                Heard::Pong => break,
                Heard::Other => {}
            }
        }
        let at = Instant::now();
        for (number, event) in shared.events.lock().unwrap().iter_mut().enumerate().skip(first) {
            let fate = if unheard.contains(&number) { Fate::Unheard } else { Fate::Accepted };
            *event = Published { fate, at };
        }
        std::thread::sleep(pace);
    }
    Ok(())
}

enum Heard {
    Pong,
    /// To the event of this number.
    NoResponders(usize),
    Other,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// A connection through its handshake.
struct Connection<'a> {
    shared: &'a Shared,
    stream: Stream,
    unread: Vec<u8>,
}

impl<'a> Connection<'a> {
    fn open(shared: &'a Shared, login: &Login) -> std::io::Result<Connection<'a>> {
        let socket = TcpStream::connect(("127.0.0.1", shared.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK * 100))?;
        let mut connection = Connection { shared, stream: Stream::Plain(socket), unread: Vec::new() };
        if login.tls_first {
            connection.start_tls(login)?;
        }
        let info = connection.read_line()?;
        let info: Value =
            info.strip_prefix("INFO ").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        if login.tls.is_some() && !login.tls_first {
            connection.start_tls(login)?;
        }
        let mut connect = json!({
            "verbose": false, "pedantic": false, "name": "publisher", "lang": "rust", "version": "0", "protocol": 1,
            "headers": true, "no_responders": true, "tls_required": login.tls.is_some(),
        });
        if let Some((user, password)) = login.user {
            connect["user"] = user.into();
            connect["pass"] = password.into();
        }
        if let Some(token) = login.token {
            connect["auth_token"] = token.into();
        }
        if let Some((jwt, key)) = &login.jwt {
            let nonce = info["nonce"].as_str().unwrap_or_default();
            let signature = key.sign(nonce.as_bytes()).expect("it has its private half");
            connect["jwt"] = jwt.as_str().into();
            connect["sig"] = BASE64URL_NOPAD.encode(&signature).into();
        }
        connection.stream.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes())?;
        loop {
            if let Heard::Pong = connection.next()? {
                return Ok(connection);
            }
        }
    }

    fn start_tls(&mut self, login: &Login) -> std::io::Result<()> {
        let Stream::Plain(socket) = &self.stream else { panic!("TLS starts once") };
        let config = login.tls.clone().expect("TLS has a configuration");
        let name = ServerName::try_from(login.certificate_name.unwrap_or("127.0.0.1")).expect("a name");
        let client = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        self.stream = Stream::Tls(Box::new(StreamOwned::new(client, socket.try_clone()?)));
        Ok(())
    }

    fn next(&mut self) -> std::io::Result<Heard> {
        let line = self.read_line()?;
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Ok(match words.first().copied() {
            Some("PONG") => Heard::Pong,
            Some("PING") => {
                self.stream.write_all(b"PONG\r\n")?;
                Heard::Other
            }
            Some("HMSG" | "MSG") => {
                let len: usize = words.last().and_then(|len| len.parse().ok()).expect("a length");
                while self.unread.len() < len + 2 {
                    self.read()?;
                }
                let message: Vec<u8> = self.unread.drain(..len + 2).collect();
                assert!(message.starts_with(b"NATS/1.0 503"), "{}", String::from_utf8_lossy(&message));
                let number = words[1].rsplit('.').next().and_then(|number| number.parse().ok());
                Heard::NoResponders(number.expect("its own inbox"))
            }
            _ => Heard::Other,
        })
    }

    fn read_line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut bytes = [0; 4096];
        let outcome = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut bytes),
            Stream::Tls(stream) => stream.read(&mut bytes),
        };
        match outcome {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.unread.extend_from_slice(&bytes[..len]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // A server that stands still is waited for, until the test is over.
                if self.shared.is_over.load(Ordering::Relaxed) { Err(error) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }
}
