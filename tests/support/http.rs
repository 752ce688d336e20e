//! HTTP as a client sees it: one request on a connection of its own, or bytes of the test's choice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::PATIENCE;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Status and body.
pub fn get(address: &str, target: &str) -> (u16, String) {
    let reply = try_get(address, target).unwrap_or_else(|error| panic!("GET {address}{target}: {error}"));
    (reply.status, reply.body)
}

pub fn try_get(address: &str, target: &str) -> std::io::Result<Reply> {
    let mut connection = Connection::open(address)?;
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    connection.read_reply()
}

pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// A reply to GET: head, and as much body as Content-Length says.
    pub fn read_reply(&mut self) -> std::io::Result<Reply> {
        let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| wrong(&line))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: String::new() };
        let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.0.read_exact(&mut body)?;
            }
            None if reply.header("transfer-encoding") == Some("chunked") => self.read_chunks(&mut body)?,
            // The end of the stream is the end of the body.
            None if line.starts_with("HTTP/1.0 ") => _ = self.0.read_to_end(&mut body)?,
            None => return Err(wrong("no Content-Length")),
        }
        reply.body = String::from_utf8(body).map_err(|_| wrong("the body is no text"))?;
        Ok(reply)
    }

    /// The body of an answer that was made while it was sent, up to its last chunk.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let len = usize::from_str_radix(line.trim_end(), 16)
                .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("no chunk: {line:?}")))?;
            let start = body.len();
            // With the line end behind the chunk.
            body.resize(start + len + 2, 0);
            self.0.read_exact(&mut body[start..])?;
            body.truncate(start + len);
            if len == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the other side has ended the connection, with nothing left to read.
    pub fn is_at_end(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}
