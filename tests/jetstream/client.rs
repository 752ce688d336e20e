//! A blocking NATS client, so plain that nothing is sent again or lost unseen between two connections. And an operator, who
//! asks JetStream's API with it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{eventually, holds};

/// For one read: the caller's own limit is looked at in between.
const LOOK: Duration = Duration::from_millis(50);
/// For an answer; then it is asked again, on another connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub struct Client {
    socket: TcpStream,
    out: Vec<u8>,
    unread: Vec<u8>,
    /// Up to here it has been handled.
    position: usize,
    /// For what comes next.
    pub patience: Duration,
}

pub struct Message {
    pub subject: String,
    /// Empty: none.
    pub reply_to: String,
    pub payload: Vec<u8>,
}

impl Client {
    /// Through its handshake, subscribed to `inbox`. The user has no password.
    pub fn open(port: u16, user: Option<&str>, inbox: &str) -> std::io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(ANSWER_LIMIT))?;
        let mut client = Client { socket, out: Vec::new(), unread: Vec::new(), position: 0, patience: ANSWER_LIMIT };
        let mut connect = json!({
            "verbose": false, "pedantic": false, "name": "test", "lang": "rust", "version": "0", "protocol": 1,
            "headers": true, "no_responders": true,
        });
        if let Some(user) = user {
            connect["user"] = user.into();
            connect["pass"] = "".into();
        }
        client.out.extend_from_slice(format!("CONNECT {connect}\r\nSUB {inbox} 1\r\nPING\r\n").as_bytes());
        client.flush()?;
        client.wait_pong()?;
        Ok(client)
    }

    /// Written with the next [`flush`](Self::flush).
    pub fn publish(&mut self, subject: &str, reply_to: &str, payload: &[u8]) {
        self.out.extend_from_slice(format!("PUB {subject} {reply_to} {}\r\n", payload.len()).as_bytes());
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    pub fn unsent_bytes(&self) -> usize {
        self.out.len()
    }

    pub fn flush(&mut self) -> std::io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next message; `None`: a PONG came first.
    pub fn next(&mut self) -> std::io::Result<Option<Message>> {
        let deadline = Instant::now() + self.patience;
        loop {
            let line = self.line(deadline)?;
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.first().copied() {
                Some("PONG") => return Ok(None),
                Some("PING") => {
                    self.out.extend_from_slice(b"PONG\r\n");
                    self.flush()?;
                }
                Some(verb @ ("MSG" | "HMSG")) => {
                    let number = |word: &str| word.parse::<usize>().expect("a length");
                    let total = number(words[words.len() - 1]);
                    let headers = if verb == "HMSG" { number(words[words.len() - 2]) } else { 0 };
                    while self.unread.len() - self.position < total + 2 {
                        self.read(deadline)?;
                    }
                    let payload = self.unread[self.position + headers..self.position + total].to_vec();
                    self.position += total + 2;
                    let lengths = if verb == "HMSG" { 2 } else { 1 };
                    let reply_to = if words.len() > 3 + lengths { words[3] } else { "" };
                    let (subject, reply_to) = (words[1].to_owned(), reply_to.to_owned());
                    return Ok(Some(Message { subject, reply_to, payload }));
                }
                _ => {}
            }
        }
    }

    fn wait_pong(&mut self) -> std::io::Result<()> {
        while self.next()?.is_some() {}
        Ok(())
    }

    fn line(&mut self, deadline: Instant) -> std::io::Result<String> {
        loop {
            let unread = &self.unread[self.position..];
            if let Some(end) = unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..end]).into_owned();
                self.position += end + 2;
                return Ok(line);
            }
            self.read(deadline)?;
        }
    }

    fn read(&mut self, deadline: Instant) -> std::io::Result<()> {
        self.unread.drain(..std::mem::take(&mut self.position));
        let mut bytes = [0; 64 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.unread.extend_from_slice(&bytes[..len]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if Instant::now() > deadline { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
            }
            Err(error) => Err(error),
        }
    }
}

/// A message of the stream.
pub struct Stored {
    pub stored_ns: i64,
    pub subject: String,
    pub payload: Vec<u8>,
}

/// Asks JetStream's API, again until there is an answer.
pub struct Operator {
    pub port: u16,
    user: Option<&'static str>,
}

impl Operator {
    pub fn new(port: u16) -> Operator {
        Operator { port, user: None }
    }

    pub fn as_user(port: u16, user: &'static str) -> Operator {
        Operator { port, user: Some(user) }
    }

    /// The answer, an error of the API included. A server that is still starting, or a cluster without a leader, is asked
    /// again.
    #[track_caller]
    pub fn ask(&self, subject: &str, payload: &Value) -> Value {
        let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        eventually(&format!("the answer to {subject}"), || {
            let mut client =
                Client::open(self.port, self.user, "_INBOX.operator").map_err(|error| error.to_string())?;
            client.publish(&format!("$JS.API.{subject}"), "_INBOX.operator", &payload);
            client.flush().map_err(|error| error.to_string())?;
            let answer = client.next().map_err(|error| error.to_string())?.ok_or("a PONG")?;
            let answer: Value = serde_json::from_slice(&answer.payload).map_err(|_| "no responders".to_owned())?;
            let error = &answer["error"];
            let is_early = error["code"] == 503 || error["err_code"] == NO_PEERS;
            holds(!is_early, format!("{answer}")).map(|()| answer)
        })
    }

    /// An answer without an error.
    #[track_caller]
    pub fn must(&self, subject: &str, payload: &Value) -> Value {
        let answer = self.ask(subject, payload);
        assert!(answer.get("error").is_none(), "{subject}: {answer}");
        answer
    }

    /// The stream of the service's default name, with more of its configuration in `more`.
    #[track_caller]
    pub fn make_stream(&self, more: &Value) {
        let mut config = json!({ "name": STREAM, "subjects": ["md.events.>"], "storage": "memory" });
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        self.must(&format!("STREAM.CREATE.{STREAM}"), &config);
    }

    #[track_caller]
    pub fn delete_stream(&self) {
        self.must(&format!("STREAM.DELETE.{STREAM}"), &Value::Null);
    }

    #[track_caller]
    pub fn info(&self, question: &Value) -> Value {
        self.must(&format!("STREAM.INFO.{STREAM}"), question)
    }

    /// All that the stream holds, in its order, with the moments at which it was stored.
    #[track_caller]
    pub fn messages(&self) -> Vec<Stored> {
        let count = self.info(&json!({}))["state"]["messages"].as_u64().expect("a count");
        let mut client = Client::open(self.port, self.user, "_INBOX.all").expect("a server");
        let config = json!({ "deliver_subject": "_INBOX.all", "deliver_policy": "all", "ack_policy": "none" });
        self.must(&format!("CONSUMER.CREATE.{STREAM}"), &json!({ "stream_name": STREAM, "config": config }));
        let next = |_| {
            let message = client.next().expect("a message of the stream").expect("no PONG");
            // $JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<ns>.<pending>
            let stored_ns = message.reply_to.rsplit('.').nth(1).and_then(|ns| ns.parse().ok());
            Stored { stored_ns: stored_ns.expect("a time"), subject: message.subject, payload: message.payload }
        };
        (0..count).map(next).collect()
    }

    /// The names of the stream's consumers.
    #[track_caller]
    pub fn consumers(&self) -> Vec<String> {
        let names = self.must(&format!("CONSUMER.NAMES.{STREAM}"), &Value::Null);
        let names = names["consumers"].as_array().cloned().unwrap_or_default();
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    }
}

/// The nodes of a cluster do not know each other's resources yet.
const NO_PEERS: u64 = 10005;
/// The service's default.
pub const STREAM: &str = "MD_EVENTS";
