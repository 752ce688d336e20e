//! The responder under test, on an executor of its own, and a client by hand.

use std::cell::Cell;
use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use senpai_md_consumer::http::counts::{HttpCounts, Unserved};
use senpai_md_consumer::http::response::{EventReader, Parts};
use senpai_md_consumer::http::server::{HttpLimits, HttpServer, Request, Responder, Response};
use senpai_md_consumer::runtime::executor;
use senpai_md_consumer::runtime::stop::Stop;
use senpai_md_consumer::runtime::task;
use senpai_md_consumer::runtime::timeout::sleep;

/// No test waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// A limit that is to be run into.
pub const SHORT: Duration = Duration::from_millis(200);

/// Answers with what it was asked.
struct Echo {
    count: Cell<usize>,
    counts: Rc<HttpCounts>,
}

impl Responder for Echo {
    async fn respond(&self, request: Request) -> Response {
        self.count.set(self.count.get() + 1);
        match request.path.as_str() {
            "/echo" => Response::json(200, format!("{:?}", request.query)),
            "/symbol" => match request.parameter("symbol") {
                Some(symbol) => Response::text(200, "text/plain; charset=utf-8", symbol),
                None => Response::error(400, "symbol is missing"),
            },
            "/count" => Response::text(200, "text/plain; charset=utf-8", self.count.get().to_string()),
            "/unserved" => {
                let counts =
                    Unserved::ALL.map(|reason| (reason.name().to_owned(), self.counts.unserved(reason).into()));
                Response::json(200, serde_json::Value::Object(counts.into_iter().collect()).to_string())
            }
            "/parts" => {
                let parts = (0..200).map(|number| format!("{number:01000},").into_bytes());
                let parts: Parts = Box::pin(futures_lite::stream::iter(parts));
                Response::text(200, "text/plain; charset=utf-8", parts)
            }
            "/list" => {
                let numbers = (0..20_000).map(|number| format!("{}{number}", if number == 0 { "[" } else { "," }));
                let parts = numbers.chain(["]".to_owned()]).map(String::into_bytes);
                let parts: Parts = Box::pin(futures_lite::stream::iter(parts));
                Response::json(200, parts)
            }
            "/large" => Response::text(200, "text/plain; charset=utf-8", vec![b'x'; 4 << 20]),
            "/events" => Response::events(Endless { last: request.last_event_id }),
            "/later" => {
                sleep(Duration::from_millis(20)).await;
                Response::json(200, "{}")
            }
            "/never" => pending().await,
            "/panic" => panic!("as the test wants it"),
            _ => Response::error(404, "there is nothing here"),
        }
    }
}

/// Events without an end: what a reader asked to go on from, again and again.
struct Endless {
    last: Option<String>,
}

impl EventReader for Endless {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("data: {:<1000}\n\n", self.last.as_deref().unwrap_or("-")).as_bytes());
    }
}

/// A server on its own executor; stops, and must have stopped in good order, when dropped.
pub struct Server {
    pub address: SocketAddr,
    /// Dropping it is the stop signal.
    life: Option<async_channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start() -> Server {
        Server::with_limits(HttpLimits::default())
    }

    pub fn with_limits(limits: HttpLimits) -> Server {
        let server = HttpServer::bind("127.0.0.1", 0).expect("a free port").with_limits(limits);
        let address = server.local_addr();
        let (life, ended) = async_channel::bounded::<()>(1);
        let thread = std::thread::spawn(move || {
            executor::run("http", async move {
                let stop = Stop::new();
                let watched = stop.clone();
                let watcher = task::spawn(async move {
                    // Nothing is sent: it ends when the other side is dropped.
                    let _ = ended.recv().await;
                    watched.set();
                });
                let counts = Rc::<HttpCounts>::default();
                let echo = Echo { count: Cell::new(0), counts: counts.clone() };
                server.serve(Rc::new(echo), stop, Rc::default(), counts).await;
                watcher.await;
            })
            .expect("an executor can be started");
        });
        Server { address, life: Some(life), thread: Some(thread) }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Of a reason, by its name.
    pub fn unserved(&self, reason: &str) -> u64 {
        let counts: serde_json::Value = serde_json::from_str(&self.connect().get("/unserved").body).unwrap();
        counts[reason].as_u64().unwrap()
    }

    pub fn begin_stop(&mut self) {
        self.life = None;
    }

    pub fn join(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            if !std::thread::panicking() {
                joined.expect("the executor lives until it is told to stop");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

/// One connection, by hand.
pub struct Client {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: String,
    pub body: String,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields.lines();
        let found = lines.find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))?;
        Some(found.1)
    }

    pub fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, unread: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
    }

    /// One response with a body as long as it says; HEAD's has none.
    pub fn answer_to(&mut self, has_body: bool) -> Answer {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read() > 0, "the connection ended instead of an answer: {:?}", self.unread);
        };
        let fields = String::from_utf8(self.unread.drain(..head_end).collect()).unwrap();
        let status = fields.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect(&fields).parse().unwrap();
        let mut answer = Answer { status, fields, body: String::new() };
        let len: usize = answer.field("Content-Length").expect("every answer has a length").parse().unwrap();
        if has_body {
            while self.unread.len() < len {
                assert!(self.read() > 0, "the body is short of its Content-Length");
            }
            answer.body = String::from_utf8(self.unread.drain(..len).collect()).unwrap();
        }
        answer
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to(true)
    }

    pub fn read(&mut self) -> usize {
        let mut bytes = [0; 16 << 10];
        let len = self.stream.read(&mut bytes).expect("bytes or the end, not silence or a reset");
        self.unread.extend_from_slice(&bytes[..len]);
        len
    }

    pub fn assert_closed(&mut self) {
        assert_eq!(self.read(), 0, "{:?}", String::from_utf8_lossy(&self.unread));
        assert!(self.unread.is_empty());
    }

    pub fn assert_refused(&mut self, status: u16) {
        let answer = self.answer();
        assert_eq!((answer.status, answer.closes()), (status, true), "{answer:?}");
        assert_eq!(answer.field("Content-Type"), Some("application/json"));
        assert!(answer.body.starts_with("{\"error\":\""), "{answer:?}");
        self.assert_closed();
    }
}
