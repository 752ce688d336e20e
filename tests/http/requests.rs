//! Requests and answers: what is understood, what is refused, and in which order.

use std::io::Write;
use std::net::Shutdown;
use std::process::Command;

use crate::stage::Server;

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
fn what_cannot_be_understood_is_answered_and_closed() {
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

/// The client that operators use.
#[test]
fn curl() {
    let server = Server::start();
    let run = |args: &[&str]| {
        let done = Command::new("curl").args(["--silent", "--show-error", "--max-time", "10"]).args(args).output();
        let done = done.expect("curl is there: install it");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let url = |target: &str| format!("http://{}{target}", server.address);

    let headed = run(&["-I", &url("/echo")]);
    assert!(headed.starts_with("HTTP/1.1 200 OK\r\n") && headed.contains("Content-Length: 2\r\n"), "{headed}");
    let both = run(&["-w", " %{num_connects}\n", &url("/symbol?symbol=A"), &url("/symbol?symbol=B")]);
    assert_eq!(both, "A 1\nB 0\n", "the second request has no connection of its own");
    let encoded = run(&["-G", "--data-urlencode", "symbol=BTC/USD", &url("/symbol")]);
    assert_eq!(encoded, "BTC/USD");
    let posted = run(&["-i", "-d", "a=1", &url("/echo")]);
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("Allow: GET, HEAD\r\n"), "{posted}");
    let old = run(&["-0", &url("/symbol?symbol=A")]);
    assert_eq!(old, "A");
    assert_eq!(run(&["-o", "/dev/null", "-w", "%{size_download}", &url("/large")]), "4194304");
}

/// `?pretty=1` indents every document, also one that is made while it is sent, and errors; it changes nothing else.
#[test]
fn documents_are_indented_where_that_is_asked_for() {
    let server = Server::start();
    let mut client = server.connect();
    let check = |plain: &str, pretty: &str| {
        let value: serde_json::Value = serde_json::from_str(plain).expect("JSON");
        assert_eq!(pretty, serde_json::to_string_pretty(&value).expect("JSON"));
    };
    // Of more than one chunk.
    let listed = |target: &str| {
        let url = format!("http://{}{target}", server.address);
        let output = Command::new("curl").args(["-sSi", "--max-time", "10", &url]).output().expect("curl");
        let answer = String::from_utf8(output.stdout).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
        body.to_owned()
    };
    check(&listed("/list"), &listed("/list?pretty=1"));
    let (plain, pretty) = (client.get("/none"), client.get("/none?a=b&pretty=1"));
    assert_eq!(pretty.status, 404);
    check(&plain.body, &pretty.body);
    assert_eq!(client.get("/symbol?pretty=1").body, "{\n  \"error\": \"symbol is missing\"\n}");
    assert_eq!(client.get("/later?pretty=1").body, "{}");
    for target in ["/none?pretty=0", "/none?pretty", "/none?pretty=true"] {
        assert_eq!(client.get(target).body, r#"{"error":"there is nothing here"}"#, "{target}");
    }
    assert_eq!(client.get("/symbol?symbol={[&pretty=1").body, "{[", "that is no JSON");
}
