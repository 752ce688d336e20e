//! A blocking NATS client on a standard socket: the least that there can be between two ends and a server.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use proto_nats::{DecodeLimits, Decoded, ServerOp, decode_server_op, encode};

/// What does not come in this time does not come.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    stream: TcpStream,
    bytes: Vec<u8>,
    unread: Range<usize>,
    last_sid: u64,
}

pub struct Message<'a> {
    pub subject: &'a [u8],
}

enum Received {
    Message { subject: Range<usize> },
    Pong,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client { stream, bytes: vec![0; 1 << 20], unread: 0..0, last_sid: 0 };
        client.write(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n",
        )?;
        client.flush()?;
        Ok(client)
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// In effect when this returns.
    pub fn subscribe(&mut self, subject: &str) -> io::Result<()> {
        self.last_sid += 1;
        self.write(format!("SUB {subject} {}\r\n", self.last_sid).as_bytes())?;
        self.flush()
    }

    pub fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    pub fn publish(&mut self, subject: &str, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(1024);
        encode::publish(&mut frame, subject.as_bytes(), None, payload);
        self.write(&frame)
    }

    /// Returns when the server has dealt with everything that was written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write(b"PING\r\n")?;
        while !matches!(self.receive()?, Received::Pong) {}
        Ok(())
    }

    pub fn next_message(&mut self) -> io::Result<Message<'_>> {
        loop {
            if let Received::Message { subject } = self.receive()? {
                return Ok(Message { subject: &self.bytes[subject] });
            }
        }
    }

    /// Ends when the other end is gone, or nothing comes.
    fn receive(&mut self) -> io::Result<Received> {
        loop {
            match decode_server_op(&self.bytes[self.unread.clone()], &DecodeLimits::default()) {
                Ok(Decoded::Op { op, len }) => {
                    let received = match &op {
                        ServerOp::Msg(message) => {
                            let start = message.subject.as_ptr() as usize - self.bytes.as_ptr() as usize;
                            Some(Received::Message { subject: start..start + message.subject.len() })
                        }
                        ServerOp::Pong => Some(Received::Pong),
                        _ => None,
                    };
                    let is_ping = matches!(op, ServerOp::Ping);
                    self.unread.start += len;
                    if is_ping {
                        self.write(b"PONG\r\n")?;
                    }
                    if let Some(received) = received {
                        return Ok(received);
                    }
                }
                Ok(Decoded::NeedMore { .. }) => {
                    if self.unread.start > self.bytes.len() / 2 {
                        self.bytes.copy_within(self.unread.clone(), 0);
                        self.unread = 0..self.unread.len();
                    }
                    match self.stream.read(&mut self.bytes[self.unread.end..])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        len => self.unread.end += len,
                    }
                }
                _ => return Err(io::Error::other("the server sends what is no protocol")),
            }
        }
    }
}
