//! What a peer may take: bytes, time, connections, descriptors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use senpai_md_consumer::http::server::HttpLimits;

use crate::stage::{Client, PATIENCE, SHORT, Server};

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
fn slow_requests_are_answered_and_closed() {
    let server = Server::with_limits(HttpLimits { request: SHORT, ..HttpLimits::default() });
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
fn idle_connections_are_closed_without_an_answer() {
    let server = Server::with_limits(HttpLimits { idle: SHORT, ..HttpLimits::default() });
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 404);
    client.assert_closed();
}

#[test]
fn one_connection_too_many_is_rejected() {
    let server = Server::with_limits(HttpLimits { connections: 8, respond: PATIENCE, ..HttpLimits::default() });
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
    let server = Server::with_limits(HttpLimits { respond: SHORT, ..HttpLimits::default() });
    let mut client = server.connect();
    assert_eq!(client.get("/panic").status, 500);
    assert_eq!(client.get("/never").status, 503);
    assert_eq!(client.get("/echo").body, "[]");
}

#[test]
fn silent_peers_keep_no_other_out() {
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
    // Both ends are this process's, and a user's limit is often 1024 where it may be more.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a limit can be raised to its maximum");
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
fn answers_that_are_not_read_delay_no_other_peer() {
    let server = Server::with_limits(HttpLimits { write: SHORT, ..HttpLimits::default() });
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
fn a_reader_of_events_has_its_time_and_delays_no_other_peer() {
    let server = Server::with_limits(HttpLimits { event: SHORT, write: PATIENCE, ..HttpLimits::default() });
    let mut unread: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut unread {
        client.send("GET /events HTTP/1.1\r\n\r\n");
    }
    let mut reader = server.connect();
    reader.send("GET /events HTTP/1.0\r\nLast-Event-ID: a-7\r\n\r\n");
    let mut text = vec![0; 1 << 20];
    reader.stream.read_exact(&mut text).expect("it goes on for as long as it is read");
    let text = String::from_utf8(text).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Connection: close\r\n"), "{}", &text[..300]);
    assert!(text.contains("\r\n\r\ndata: a-7 "), "of HTTP/1.0 there are no chunks: {}", &text[..300]);
    assert_eq!(server.connect().get("/echo").status, 200);
    drop(reader);
    // The others are closed, and counted; that one has only left.
    let start = std::time::Instant::now();
    while server.unserved("unread") < 20 {
        assert!(start.elapsed() < PATIENCE, "{} of 20 are closed", server.unserved("unread"));
    }
    assert_eq!(server.unserved("unread"), 20);
}

#[test]
fn a_peer_that_takes_nothing_is_dropped() {
    let server = Server::with_limits(HttpLimits { write: SHORT, connections: 1, ..HttpLimits::default() });
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
fn running_out_of_descriptors_delays_no_peer() {
    const CHILD: &str = "HTTP_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let done = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "limits::running_out_of_descriptors_delays_no_peer", "--nocapture"])
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
