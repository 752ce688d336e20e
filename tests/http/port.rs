//! Taking the port, and giving it back at the stop.

use std::io::Read;
use std::net::TcpListener;
use std::time::Instant;

use senpai_md_consumer::http::server::{HttpLimits, HttpServer};

use crate::stage::{PATIENCE, SHORT, Server};

#[test]
fn the_port_is_taken_by_one_alone() {
    let server = Server::start();
    let port = server.address.port();
    let error = HttpServer::bind("127.0.0.1", port).unwrap_err().to_string();
    assert!(error.contains(&format!("HTTP_PORT {port} on 127.0.0.1 is taken")), "{error}");
    assert!(error.contains("set another HTTP_PORT") && !error.contains('\n'), "{error}");

    let error = HttpServer::bind("203.0.113.1", 0).unwrap_err().to_string();
    assert!(error.contains("HTTP_HOST 203.0.113.1 is no address of this machine"), "{error}");
    let error = HttpServer::bind("no host", 0).unwrap_err().to_string();
    assert!(error.contains("HTTP_HOST no host cannot be resolved"), "{error}");
    HttpServer::bind("localhost", 0).unwrap();
}

#[test]
fn stopping_closes_what_is_idle_and_finishes_what_is_not() {
    let mut server = Server::with_limits(HttpLimits { drain: PATIENCE, ..HttpLimits::default() });
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
    // The port is free again, for any process; one that another test starts at this moment may hold it until its exec.
    let begin = Instant::now();
    while let Err(error) = TcpListener::bind(server.address) {
        assert!(begin.elapsed() < PATIENCE, "the port is not free: {error}");
        std::thread::sleep(SHORT);
    }
}

#[test]
fn stopping_ends_events_in_good_order() {
    let mut server = Server::with_limits(HttpLimits { drain: PATIENCE, ..HttpLimits::default() });
    let mut reader = server.connect();
    reader.send("GET /events HTTP/1.1\r\n\r\n");
    let mut text = vec![0; 10_000];
    reader.stream.read_exact(&mut text).expect("events");
    server.begin_stop();
    reader.stream.read_to_end(&mut text).expect("an end, and no reset");
    assert!(text.ends_with(b"\r\n0\r\n\r\n"), "{}", text[text.len() - 50..].escape_ascii());
    server.join();
}

#[test]
fn stopping_does_not_wait_for_what_never_ends() {
    let mut server = Server::with_limits(HttpLimits { drain: SHORT, respond: PATIENCE, ..HttpLimits::default() });
    let mut stuck = server.connect();
    stuck.send("GET /never HTTP/1.1\r\n\r\n");
    assert_eq!(server.connect().get("/").status, 404);
    server.join();
    stuck.assert_closed();
}
