//! The HTTP responder on real sockets, and with curl as its client. What SPEC section 5 says about requests in general;
//! what the endpoints answer is tested where they are.

use std::cell::Cell;
use std::future::pending;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use senpai_md_consumer::http::counts::{HttpCounts, Unserved};
use senpai_md_consumer::http::response::Parts;
use senpai_md_consumer::http::server::{HttpServer, Limits, Request, Responder, Response};
use senpai_md_consumer::runtime::executor;
use senpai_md_consumer::runtime::stop::Stop;
use senpai_md_consumer::runtime::task;
use senpai_md_consumer::runtime::timeout::sleep;

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(10);
/// A limit that is to be run into.
const SHORT: Duration = Duration::from_millis(200);

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
            "/large" => Response::text(200, "text/plain; charset=utf-8", vec![b'x'; 4 << 20]),
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

/// A server on its own executor; stops, and must have stopped in good order, when dropped.
struct Server {
    address: SocketAddr,
    /// Dropping it is the stop signal.
    life: Option<async_channel::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Server {
        Server::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Server {
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

    fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Of a reason, by its name.
    fn unserved(&self, reason: &str) -> u64 {
        let counts: serde_json::Value = serde_json::from_str(&self.connect().get("/unserved").body).unwrap();
        counts[reason].as_u64().unwrap()
    }

    fn begin_stop(&mut self) {
        self.life = None;
    }

    fn join(&mut self) {
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
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    fields: String,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.fields.lines();
        let found = lines.find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))?;
        Some(found.1)
    }

    fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

impl Client {
    fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, unread: Vec::new() }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).answer()
    }

    /// One response with a body as long as it says; HEAD's has none.
    fn answer_to(&mut self, has_body: bool) -> Answer {
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

    fn answer(&mut self) -> Answer {
        self.answer_to(true)
    }

    fn read(&mut self) -> usize {
        let mut bytes = [0; 16 << 10];
        let len = self.stream.read(&mut bytes).expect("bytes or the end, not silence or a reset");
        self.unread.extend_from_slice(&bytes[..len]);
        len
    }

    fn assert_closed(&mut self) {
        assert_eq!(self.read(), 0, "{:?}", String::from_utf8_lossy(&self.unread));
        assert!(self.unread.is_empty());
    }

    fn assert_refused(&mut self, status: u16) {
        let answer = self.answer();
        assert_eq!((answer.status, answer.closes()), (status, true), "{answer:?}");
        assert_eq!(answer.field("Content-Type"), Some("application/json"));
        assert!(answer.body.starts_with("{\"error\":\""), "{answer:?}");
        self.assert_closed();
    }
}

#[test]
fn a_connection_answers_one_request_after_another() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.get("/symbol?symbol=BTC%2FUSD");
        assert_eq!((answer.status, answer.body.as_str()), (200, "BTC/USD"));
        assert_eq!(answer.field("Connection"), None);
        assert_eq!(answer.field("Cache-Control"), Some("no-store"));
        assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    assert_eq!(client.get("/symbol").status, 400);
    assert_eq!(client.get("/none").body, r#"{"error":"there is nothing here"}"#);
    assert_eq!(client.get("/later").status, 200);
    assert_eq!(client.get("/symbol?symbol=A&symbol=B").body, "A");
    assert_eq!(client.get("http://proxied:1/symbol?symbol=A").body, "A");
    assert_eq!(client.get("/symbol?symbol=%zz").status, 400);
    assert_eq!(client.get("/symbol?symbol=%FF").status, 400);
    assert_eq!(client.get("/count").body, "9", "what is malformed does not reach the responder");
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start();
    let mut client = server.connect();
    for target in ["/echo?a=1", "/none", "/large", "/symbol?symbol=%zz"] {
        let got = client.get(target);
        let headed = client.send(format!("HEAD {target} HTTP/1.1\r\n\r\n")).answer_to(false);
        assert_eq!(headed.fields, got.fields);
    }
    assert_eq!(client.get("/symbol?symbol=A").body, "A", "and nothing is left in between");
}

#[test]
fn keep_alive_is_as_the_versions_say() {
    let server = Server::start();
    let check = |head: &str, connection: Option<&str>| {
        let mut client = server.connect();
        let answer = client.send(head).answer();
        assert_eq!((answer.status, answer.field("Connection")), (404, connection), "{head:?}");
        match connection {
            Some("close") => client.assert_closed(),
            _ => assert_eq!(client.send(head).answer().status, 404),
        }
    };
    check("GET / HTTP/1.1\r\n\r\n", None);
    check("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", Some("close"));
    check("GET / HTTP/1.0\r\n\r\n", Some("close"));
    check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("keep-alive"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect();
    let requests: String = (0..200)
        .map(|i| match i % 3 {
            0 => format!("GET /symbol?symbol={i} HTTP/1.1\r\n\r\n"),
            // The first one waits, the next must not overtake it.
            1 => "GET /later HTTP/1.1\r\n\r\n".to_owned(),
            _ => format!("GET /symbol?symbol={i} HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /"),
        })
        .collect();
    client.send(requests);
    for i in 0..200 {
        let expected = if i % 3 == 1 { "{}".to_owned() } else { i.to_string() };
        assert_eq!(client.answer().body, expected);
    }
    client.send("GET /count HTTP/1.1\r\nConnection: close\r\n\r\nGET /count HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().body, "201");
    client.assert_closed();
}

#[test]
fn a_peer_may_stop_sending_and_still_be_answered() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("GET /later HTTP/1.1\r\n\r\nGET /symbol?symbol=A HTTP/1.1\r\n\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().body, "{}");
    assert_eq!(client.answer().body, "A");
    client.assert_closed();

    let mut client = server.connect();
    client.send("GET /later HT").stream.shutdown(Shutdown::Write).unwrap();
    client.assert_refused(400);
}

#[test]
fn a_request_may_be_split_anywhere() {
    let server = Server::start();
    let request = b"GET /symbol?symbol=BTC%2FUSD HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let mut client = server.connect();
    for cut in 1..request.len() {
        client.send(&request[..cut]);
        // Until the server has read the first part. With a second connection's answer it has had its turn.
        assert_eq!(server.connect().get("/").status, 404);
        client.send(&request[cut..]);
        assert_eq!(client.answer().body, "BTC/USD", "cut at {cut}");
    }
    for byte in request {
        client.send([*byte]);
    }
    assert_eq!(client.answer().body, "BTC/USD");
}

#[test]
fn other_methods_are_refused_and_the_connection_lives() {
    let server = Server::start();
    let mut client = server.connect();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let answer = client.send(format!("{method} /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nGET ")).answer();
        assert_eq!((answer.status, answer.field("Allow")), (405, Some("GET, HEAD")));
        assert!(answer.body.starts_with("{\"error\":"));
    }
    assert_eq!(client.get("/count").body, "1");
}

#[test]
fn what_cannot_be_understood_is_told_and_closed() {
    let server = Server::start();
    let check = |request: &str, status: u16| {
        // The second request must not be answered: where it begins is unknown.
        let mut client = server.connect();
        client.send(request).send("GET /symbol?symbol=smuggled HTTP/1.1\r\n\r\n").assert_refused(status);
    };
    check("nonsense\r\n\r\n", 400);
    check("GET / HTTP/3\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nNo Colon\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    check("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400);
    check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501);
    check("POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", 413);
    check("POST / HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n", 417);
}

#[test]
fn a_refused_body_does_not_reset_the_refusal() {
    let server = Server::start();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n");
    let _ = client.stream.write_all(&vec![b'x'; 300_000]);
    client.assert_refused(413);
}

#[test]
fn a_head_over_8_kib_is_refused() {
    let server = Server::start();
    let of_len = |len: usize| {
        let frame = "GET /echo HTTP/1.1\r\nA: \r\n\r\n".len();
        format!("GET /echo HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(len - frame))
    };
    let mut client = server.connect();
    assert_eq!(client.send(of_len(8192)).answer().status, 200);
    assert_eq!(client.send(of_len(8192)).answer().status, 200);
    client.send(of_len(8193)).assert_refused(431);
    server.connect().send("GET /").send(vec![b'x'; 8192]).assert_refused(431);
    let many = "A: b\r\n".repeat(65);
    server.connect().send(format!("GET / HTTP/1.1\r\n{many}\r\n")).assert_refused(431);
}

#[test]
fn slow_requests_are_told_and_closed() {
    let server = Server::with_limits(Limits { request: SHORT, ..Limits::default() });
    let silent = "";
    let in_the_head = "GET / HTTP/1.1\r\nHost:";
    let in_the_body = "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc";
    let mut clients = [silent, in_the_head, in_the_body].map(|begun| {
        let mut client = server.connect();
        client.send(begun);
        client
    });
    for client in &mut clients {
        client.assert_refused(408);
    }

    // A byte now and then does not move the deadline, nor do the requests before it.
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 404);
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut bytes = [0; 1024];
    client.send("GET /");
    let len = loop {
        match client.stream.read(&mut bytes) {
            Ok(len) => break len,
            Err(_) => drop(client.stream.write_all(b"x")),
        }
    };
    assert!(bytes[..len].starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&bytes[..len]));
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let server = Server::with_limits(Limits { idle: SHORT, ..Limits::default() });
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 404);
    client.assert_closed();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::with_limits(Limits { connections: 8, respond: PATIENCE, ..Limits::default() });
    let mut busy: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send("GET /never HTTP/1.1\r\n\r\n");
    }
    // A newcomer may take the place of one that has not been read yet: until eight are being answered, one more asks.
    let mut told = loop {
        let mut client = server.connect();
        let answer = client.send("GET /echo HTTP/1.1\r\n\r\n").answer();
        if answer.status == 503 {
            break client;
        }
        busy.push(server.connect());
        busy.last_mut().expect("it was pushed").send("GET /never HTTP/1.1\r\n\r\n");
    };
    told.assert_closed();
}

#[test]
fn a_responder_may_fail_or_be_late_without_harm() {
    let server = Server::with_limits(Limits { respond: SHORT, ..Limits::default() });
    let mut client = server.connect();
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/never").status, 503);
    assert_eq!(client.get("/echo").body, "[]");
}

#[test]
fn silent_peers_keep_nobody_out() {
    let server = Server::start();
    let mut known = server.connect();
    assert_eq!(known.get("/echo").status, 200);
    let mut silent: Vec<Client> = (0..300).map(|_| server.connect()).collect();
    // A byte now and then is no request.
    for client in silent.iter_mut().skip(100) {
        client.send("G");
    }
    let mut client = server.connect();
    assert_eq!(client.get("/echo").status, 200, "while 300 are silent");
    // Those that came first have been silent longest.
    known.assert_closed();
    silent[..45].iter_mut().for_each(Client::assert_closed);
    // Asking makes a connection the last to go.
    assert_eq!(client.get("/echo").status, 200);
    let mut more: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    assert_eq!(more[99].get("/echo").status, 200);
    assert_eq!(client.get("/echo").status, 200);
    let closed = server.unserved("silent");
    assert!((146..=148).contains(&closed), "{closed}");
}

#[test]
fn a_thousand_silent_peers_cost_no_answer() {
    let server = Server::start();
    let mut silent = Vec::new();
    for number in 0..1_000 {
        silent.push(server.connect());
        if number % 100 == 0 {
            assert_eq!(server.connect().get("/echo").status, 200, "after {number}");
        }
    }
    assert_eq!(server.connect().get("/echo").status, 200);
    assert_eq!(server.unserved("busy"), 0, "none is told that there is no place");
}

#[test]
fn answers_that_nobody_reads_keep_nobody_waiting() {
    let server = Server::with_limits(Limits { write: SHORT, ..Limits::default() });
    let mut unread: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    for client in &mut unread {
        client.send("GET /large HTTP/1.1\r\n\r\n");
    }
    assert_eq!(server.connect().get("/echo").status, 200, "while 50 answers are on their way");
    // They are closed, and counted.
    while server.unserved("unread") < 50 {}
    for client in &mut unread {
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(rest.len() < 4 << 20, "it was cut off");
    }
}

#[test]
fn an_answer_in_parts_is_whole_in_each_version() {
    let server = Server::start();
    let expected: String = (0..200).map(|number| format!("{number:01000},")).collect();
    let url = format!("http://{}/parts", server.address);
    for version in ["--http1.1", "--http1.0"] {
        let output = Command::new("curl").args(["-sS", version, &url]).output().expect("curl");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{version}");
    }
    let head = Command::new("curl").args(["-sSI", &url]).output().expect("curl");
    assert!(head.status.success() && head.stdout.starts_with(b"HTTP/1.1 200"), "{head:?}");
}

#[test]
fn a_peer_that_takes_nothing_is_dropped() {
    let server = Server::with_limits(Limits { write: SHORT, connections: 1, ..Limits::default() });
    let mut reader = server.connect();
    assert_eq!(reader.get("/large").body.len(), 4 << 20);
    drop(reader);
    let mut stalled = loop {
        let mut client = server.connect();
        // Until the server has seen the reader's end.
        if client.get("/").status == 404 {
            break client;
        }
    };
    for _ in 0..16 {
        stalled.send("GET /large HTTP/1.1\r\n\r\n");
    }
    // Its place becomes free.
    while server.connect().get("/").status != 404 {}
}

/// In a process of its own, since the limit is the process's.
#[test]
fn running_out_of_descriptors_keeps_nobody_waiting() {
    const CHILD: &str = "HTTP_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let done = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "running_out_of_descriptors_keeps_nobody_waiting", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let server = Server::start();
    assert_eq!(server.connect().get("/").status, 404);
    let mut clients = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.address) {
        clients.push(Client::new(stream));
    }
    // Client and server shared what there was: a silent connection's descriptor serves for the last, or it is told.
    let mut last = clients.pop().expect("some fit");
    let status = last.send("GET / HTTP/1.1\r\n\r\n").answer().status;
    assert!(status == 404 || status == 503, "{status}");
    drop(clients);
    assert_eq!(server.connect().get("/").status, 404);
}

#[test]
fn the_port_is_taken_by_one_alone() {
    let server = Server::start();
    let port = server.address.port();
    let error = HttpServer::bind("127.0.0.1", port).unwrap_err();
    assert!(error.contains(&format!("HTTP_PORT {port} on 127.0.0.1 is taken")), "{error}");
    assert!(error.contains("set another HTTP_PORT") && !error.contains('\n'), "{error}");

    let error = HttpServer::bind("203.0.113.1", 0).unwrap_err();
    assert!(error.contains("HTTP_HOST 203.0.113.1 is no address of this machine"), "{error}");
    let error = HttpServer::bind("no host", 0).unwrap_err();
    assert!(error.contains("HTTP_HOST no host cannot be resolved"), "{error}");
    HttpServer::bind("localhost", 0).unwrap();
}

#[test]
fn stopping_closes_what_is_idle_and_finishes_what_is_not() {
    let mut server = Server::with_limits(Limits { drain: PATIENCE, ..Limits::default() });
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 404);
    let mut fresh = server.connect();
    let mut begun = server.connect();
    begun.send("GET /echo HT");
    let mut busy = server.connect();
    busy.send("GET /later HTTP/1.1\r\n\r\nGET /later HTTP/1.1\r\n\r\n");
    assert_eq!(server.connect().get("/count").status, 200);

    server.begin_stop();
    idle.assert_closed();
    fresh.assert_closed();
    begun.assert_closed();
    let answer = busy.answer();
    assert_eq!(answer.status, 200);
    if !answer.closes() {
        assert!(busy.answer().closes());
    }
    busy.assert_closed();
    server.join();
    // The port is free again, for everybody.
    TcpListener::bind(server.address).unwrap();
}

#[test]
fn stopping_does_not_wait_for_what_never_ends() {
    let mut server = Server::with_limits(Limits { drain: SHORT, respond: PATIENCE, ..Limits::default() });
    let mut stuck = server.connect();
    stuck.send("GET /never HTTP/1.1\r\n\r\n");
    assert_eq!(server.connect().get("/").status, 404);
    server.join();
    stuck.assert_closed();
}

/// What people will use.
#[test]
fn curl() {
    let server = Server::start();
    let run = |args: &[&str]| {
        let done = Command::new("curl").args(["--silent", "--show-error", "--max-time", "10"]).args(args).output();
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "curl: {error}");
                return None;
            }
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(String::from_utf8(done.stdout).unwrap())
    };
    let url = |target: &str| format!("http://{}{target}", server.address);

    let Some(headed) = run(&["-I", &url("/echo")]) else { return };
    assert!(headed.starts_with("HTTP/1.1 200 OK\r\n") && headed.contains("Content-Length: 2\r\n"), "{headed}");
    let both = run(&["-w", " %{num_connects}\n", &url("/symbol?symbol=A"), &url("/symbol?symbol=B")]).unwrap();
    assert_eq!(both, "A 1\nB 0\n", "the second request has no connection of its own");
    let encoded = run(&["-G", "--data-urlencode", "symbol=BTC/USD", &url("/symbol")]).unwrap();
    assert_eq!(encoded, "BTC/USD");
    let posted = run(&["-i", "-d", "a=1", &url("/echo")]).unwrap();
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("Allow: GET, HEAD\r\n"), "{posted}");
    let old = run(&["-0", &url("/symbol?symbol=A")]).unwrap();
    assert_eq!(old, "A");
    assert_eq!(run(&["-o", "/dev/null", "-w", "%{size_download}", &url("/large")]).unwrap(), "4194304");
}
