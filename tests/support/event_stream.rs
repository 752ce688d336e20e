//! A reader of `/events`, by hand: chunks of HTTP, then events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::PATIENCE;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    /// Empty where it has none.
    pub id: String,
    pub data: Value,
}

pub struct EventStream {
    stream: BufReader<TcpStream>,
    pub status: u16,
    pub head: String,
    text: String,
}

impl EventStream {
    /// `query` begins with `?` or is empty.
    pub fn open(address: &str, query: &str, last_event_id: Option<&str>) -> EventStream {
        EventStream::over(TcpStream::connect(address).expect("it listens"), query, last_event_id)
    }

    /// One for which the kernel keeps little: what is not read backs up at the service.
    pub fn open_narrow(address: &str) -> EventStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("it can be small");
        let address: SocketAddr = address.parse().expect("an address");
        socket.connect(&address.into()).expect("it listens");
        EventStream::over(socket.into(), "", None)
    }

    fn over(mut stream: TcpStream, query: &str, last_event_id: Option<&str>) -> EventStream {
        stream.set_read_timeout(Some(PATIENCE)).expect("it can have a limit");
        let id = last_event_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /events{query} HTTP/1.1\r\nHost: a\r\n{id}\r\n").expect("it takes a request");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).expect("a head") > 0, "it ended: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        EventStream { stream, status, head, text: String::new() }
    }

    /// The next event; `None`: the stream has ended.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parse(event);
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a chunk, in time");
            let len = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
            if len == 0 {
                return None;
            }
            let mut chunk = vec![0; len + 2];
            self.stream.read_exact(&mut chunk).expect("the whole chunk");
            self.text += std::str::from_utf8(&chunk[..len]).expect("whole events of text");
        }
    }

    /// The events up to the first for which this holds, that among them.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_meant: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let start = Instant::now();
        let mut events = Vec::new();
        loop {
            assert!(start.elapsed() < PATIENCE, "{what}: not in time, after {} events", events.len());
            let event = self.next().unwrap_or_else(|| panic!("{what}: the stream has ended"));
            let is_last = is_meant(&event);
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// The next event of that name.
    #[track_caller]
    pub fn next_of(&mut self, name: &str) -> Event {
        self.until(name, |event| event.name == name).pop().expect("it is the last")
    }

    /// The body of an answer that is no stream.
    pub fn body(&mut self) -> String {
        let length = self.head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.stream.read_exact(&mut body).expect("the whole body");
        String::from_utf8(body).expect("text")
    }
}

/// `None`: a comment, or no more than how soon to come again.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?;
    let data = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    Some(Event { name: field("event: ")?.to_owned(), id: field("id: ").unwrap_or_default().to_owned(), data })
}
