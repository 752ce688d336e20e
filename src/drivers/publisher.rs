//! A NATS connection that only publishes, on blocking sockets: for `feed`, which has nothing else to do.
//!
//! The caller writes; a thread reads and answers PINGs, so that the server keeps the connection however long the caller
//! takes between two batches. Both write whole frames under one lock.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proto_nats::{
    ConnectOptions, Decoded, Limits, ServerAddress, ServerError, ServerInfo, ServerOp, decode_server_op, encode,
};

/// Until a socket is connected; a server on another continent needs a tenth of it.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// For INFO and, after CONNECT, for the first PONG.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// For the server to take some bytes, and for the last PONG: more than a busy server takes for what sockets hold.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the reading thread has heard.
enum Heard {
    Pong,
    Error(ServerError),
    Closed,
}

pub struct Publisher {
    stream: Arc<Mutex<TcpStream>>,
    heard: Receiver<Heard>,
    reading: Option<JoinHandle<()>>,
    /// Where it is connected to, without credentials.
    pub server: String,
    /// Header and payload of a message, as the server says.
    pub payload_bytes_max: usize,
}

impl Publisher {
    /// Connects to the first server that can be reached. The error is one line with what each of them said.
    pub fn connect(servers: &[ServerAddress], client_name: &str) -> Result<Publisher, String> {
        let mut causes = Vec::new();
        for server in servers {
            match Publisher::connect_to(server, client_name) {
                Ok(publisher) => return Ok(publisher),
                Err(cause) => causes.push(format!("{server}: {cause}")),
            }
        }
        Err(format!("no NATS server can be used ({}); start one, or set NATS_URL", causes.join("; ")))
    }

    fn connect_to(server: &ServerAddress, client_name: &str) -> Result<Publisher, String> {
        let mut stream = open(server)?;
        let mut input = Input::default();
        let info = loop {
            match input.next(&mut stream)? {
                Answer::Info(info) => break info,
                Answer::Error(error) => return Err(error.to_string()),
                Answer::Ping | Answer::Pong | Answer::Other => {}
            }
        };
        if info.tls_required {
            return Err("it wants TLS, which this version does not speak".to_owned());
        }
        let mut options = ConnectOptions { name: client_name.to_owned(), ..ConnectOptions::default() };
        if let Some(credentials) = &server.credentials {
            credentials.apply(&info, &mut options);
        }
        let mut hello = Vec::new();
        encode::connect(&mut hello, &options);
        encode::ping(&mut hello);
        stream.write_all(&hello).map_err(|error| error.to_string())?;
        loop {
            match input.next(&mut stream)? {
                Answer::Pong => break,
                Answer::Error(error) => return Err(error.to_string()),
                Answer::Ping => stream.write_all(b"PONG\r\n").map_err(|error| error.to_string())?,
                Answer::Info(_) | Answer::Other => {}
            }
        }
        let limits = stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        let reader = limits.and_then(|()| stream.try_clone()).map_err(|error| error.to_string())?;
        let stream = Arc::new(Mutex::new(stream));
        let (sender, heard) = channel();
        let reading = std::thread::spawn({
            let stream = stream.clone();
            move || listen(reader, input, &stream, &sender)
        });
        let payload_bytes_max = usize::try_from(info.max_payload).unwrap_or(usize::MAX);
        Ok(Publisher { stream, heard, reading: Some(reading), server: server.to_string(), payload_bytes_max })
    }

    /// Writes whole PUB frames. The error is what ended the connection.
    pub fn publish(&self, frames: &[u8]) -> Result<(), String> {
        self.check()?;
        self.write(frames)
    }

    /// Whether the connection lives. The error is what ended it.
    pub fn check(&self) -> Result<(), String> {
        while let Ok(heard) = self.heard.try_recv() {
            self.judge(&heard)?;
        }
        Ok(())
    }

    /// Waits until the server has taken everything.
    pub fn flush(&self) -> Result<(), String> {
        self.write(b"PING\r\n")?;
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(Heard::Pong) => return Ok(()),
                Ok(heard) => self.judge(&heard)?,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{} has not confirmed within {} s", self.server, PATIENCE.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => self.judge(&Heard::Closed)?,
            }
        }
    }

    fn write(&self, frames: &[u8]) -> Result<(), String> {
        let written = self.stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(frames);
        written.map_err(|error| {
            // The server may have said why before it closed.
            let said = self.heard.try_iter().find_map(|heard| match heard {
                Heard::Error(error) => Some(error.to_string()),
                Heard::Pong | Heard::Closed => None,
            });
            format!("the connection to {} is lost: {}", self.server, said.unwrap_or_else(|| error.to_string()))
        })
    }

    fn judge(&self, heard: &Heard) -> Result<(), String> {
        match heard {
            Heard::Pong => Ok(()),
            Heard::Closed => Err(format!("{} has closed the connection", self.server)),
            Heard::Error(error @ ServerError::Other(_)) => {
                log::warn!("{}: {error}", self.server);
                Ok(())
            }
            Heard::Error(error) => Err(format!("{}: {error}", self.server)),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.stream.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

fn open(server: &ServerAddress) -> Result<TcpStream, String> {
    let addresses = (server.host.as_str(), server.port).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut cause = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(stream) => {
                let ready = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_read_timeout(Some(HANDSHAKE_MAX)))
                    .and_then(|()| stream.set_write_timeout(Some(HANDSHAKE_MAX)));
                return ready.map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) => cause = error.to_string(),
        }
    }
    Err(cause)
}

/// An operation of the server, as far as it matters here.
enum Answer {
    Info(Box<ServerInfo>),
    Error(ServerError),
    Ping,
    Pong,
    Other,
}

/// Bytes from the server that are not used yet.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    /// The next operation. The error is one for the user.
    fn next(&mut self, stream: &mut TcpStream) -> Result<Answer, String> {
        loop {
            let (answer, len) = match decode_server_op(&self.0, &Limits::default()) {
                Err(error) => return Err(error.to_string()),
                Ok(Decoded::NeedMore { .. }) => {
                    let mut bytes = [0; 4096];
                    match stream.read(&mut bytes) {
                        Ok(0) => return Err("it closed the connection".to_owned()),
                        Ok(len) => self.0.extend_from_slice(&bytes[..len]),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                            return Err(format!("no NATS answer within {} s", HANDSHAKE_MAX.as_secs()));
                        }
                        Err(error) => return Err(error.to_string()),
                    }
                    continue;
                }
                Ok(Decoded::Oversized { .. }) => return Err("it sent a message nobody subscribed to".to_owned()),
                Ok(Decoded::Op { op, len }) => {
                    let answer = match op {
                        ServerOp::Info(json) => match ServerInfo::from_json(json) {
                            Ok(info) => Answer::Info(Box::new(info)),
                            Err(error) => return Err(format!("INFO: {error}")),
                        },
                        ServerOp::Err(text) => Answer::Error(ServerError::parse(text)),
                        ServerOp::Ping => Answer::Ping,
                        ServerOp::Pong => Answer::Pong,
                        ServerOp::Msg(_) | ServerOp::Ok => Answer::Other,
                    };
                    (answer, len)
                }
            };
            self.0.drain(..len);
            return Ok(answer);
        }
    }
}

/// Reads until the end of the stream.
fn listen(mut reader: TcpStream, mut input: Input, stream: &Mutex<TcpStream>, sender: &Sender<Heard>) {
    loop {
        let heard = match input.next(&mut reader) {
            Ok(Answer::Ping) => {
                // A failure shows in the next read, too.
                let _ = stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(b"PONG\r\n");
                continue;
            }
            Ok(Answer::Pong) => Heard::Pong,
            Ok(Answer::Error(error)) => Heard::Error(error),
            Ok(Answer::Info(_) | Answer::Other) => continue,
            Err(_) => Heard::Closed,
        };
        let is_over = matches!(heard, Heard::Closed);
        if sender.send(heard).is_err() || is_over {
            return;
        }
    }
}
