//! Whether the service of this machine works: asks its `/health`. For what watches over it (`check --health`), and where the port is
//! taken.
//!
//! In: the host and port that the service listens on. Out: one line, or an error that says what did not answer.
//! Invariant: once `HTTP_HOST` is resolved it ends within [`CONNECT_LIMIT`] and twice [`ANSWER_LIMIT`], whatever answers. A
//! shard's loop that hangs answers nothing, so it is found here.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::config::HttpArgs;
use crate::http::listen_error::ListenError;
use crate::http::response::SERVER;
use crate::http::server::resolve;
use crate::runtime::clock::Clock;
use crate::runtime::log_text::plain;

/// For the connection; the service is on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// For the whole answer. Container engines give a check some seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;
/// What is read of an answer: its head has no more.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// Why the service counts as not working.
#[derive(Debug)]
pub enum HealthError {
    /// `HTTP_HOST` cannot be resolved.
    Host(ListenError),
    /// Nothing listens there, or it does not answer in time.
    NoAnswer(SocketAddr, io::Error),
    /// Something else than 200, or no HTTP.
    Refused(SocketAddr, String),
    /// 200, but not of this service.
    Another(SocketAddr),
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => write!(f, "{error}"),
            Self::NoAnswer(address, error) => {
                write!(f, "http://{address}/health does not answer ({}): is the service running there?", plain(error))
            }
            Self::Refused(address, status) => {
                write!(f, "http://{address}/health answers {status:?}: is it this service that has the port?")
            }
            Self::Another(address) => {
                write!(f, "http://{address}/health answers 200, but not as {SERVER}: another program has the port")
            }
        }
    }
}

/// Asks `/health` of the service that listens as `http` says; the address that answered with 200.
pub fn health(http: &HttpArgs) -> Result<SocketAddr, HealthError> {
    let mut address = resolve(&http.http_host, http.http_port).map_err(HealthError::Host)?;
    address.set_ip(reachable(address.ip()));
    let answer = ask(address).map_err(|error| HealthError::NoAnswer(address, error))?;
    let status = &answer[..answer.len().min(STATUS_BYTES)];
    match status {
        b"HTTP/1.1 200" if is_ours(&answer) => Ok(address),
        b"HTTP/1.1 200" => Err(HealthError::Another(address)),
        _ => Err(HealthError::Refused(address, String::from_utf8_lossy(status).into_owned())),
    }
}

fn is_ours(answer: &[u8]) -> bool {
    let head = String::from_utf8_lossy(answer).to_ascii_lowercase();
    head.lines().any(|line| line.strip_prefix("server:").is_some_and(|server| server.trim() == SERVER))
}

/// Where a service that listens on `ip` is reached from this machine: all addresses are none to connect to.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// HEAD, as the document itself may be long. The answer is read to its end, so that the service does not count a peer
/// that did not read.
fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    // At once: a peer that answers the first part and closes would reset the connection at the second.
    let request = format!("HEAD /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (clock, mut answer, mut len) = (Clock::start(), vec![0; ANSWER_BYTES_MAX], 0);
    while len < answer.len() {
        let left = ANSWER_LIMIT.saturating_sub(Duration::from_nanos(clock.elapsed_ns()));
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut answer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            // Of a signal that woke an executor: with a time limit the kernel does not go on by itself.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // What a socket's time limit gives on Linux.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
    answer.truncate(len);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What comes of a peer on loopback that answers with `answer`, and then closes.
    fn health_of(answer: &'static str) -> Result<SocketAddr, HealthError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let http_port = listener.local_addr().expect("it is bound").port();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it is asked");
            let mut request = [0; 256];
            let length = stream.read(&mut request).expect("a request");
            assert!(request[..length].starts_with(b"HEAD /health HTTP/1.1\r\n"));
            // It may have been given up by then.
            let _ = stream.write_all(answer.as_bytes());
        });
        let health = health(&HttpArgs { http_host: "0.0.0.0".into(), http_port });
        peer.join().expect("the peer was asked");
        health
    }

    #[test]
    fn answers() {
        let check = |answer, expected: Option<&str>| match (health_of(answer), expected) {
            (Ok(address), None) => assert!(address.ip().is_loopback()),
            (Err(error), Some(expected)) => {
                let said = error.to_string();
                assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
            }
            (health, _) => panic!("{answer:?}: {health:?}"),
        };
        check("HTTP/1.1 200 OK\r\nserver:Senpai-MD-Consumer \r\n\r\n", None);
        check(
            "HTTP/1.1 200 OK\r\nServer: nginx\r\nX: senpai-md-consumer\r\n\r\n",
            Some("another program has the port"),
        );
        check("HTTP/1.1 200", Some("another program has the port"));
        check("HTTP/1.1 404 Not Found\r\n\r\n", Some("\"HTTP/1.1 404\""));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some("\"HTTP/1.1 503\""));
        check("HTTP/1.1 20", Some("\"HTTP/1.1 20\""));
        check("INFO {\"server_id\":\"\n", Some("is it this service"));
        check("", Some("is it this service"));
    }

    #[test]
    fn a_peer_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let http_port = listener.local_addr().expect("it is bound").port();
        let http = HttpArgs { http_host: "127.0.0.1".into(), http_port };
        let said = health(&http).expect_err("it is never accepted").to_string();
        assert!(said.contains("does not answer (timed out)"), "{said}");
    }

    #[test]
    fn nobody_there() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let http_port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let http = HttpArgs { http_host: "127.0.0.1".into(), http_port };
        let said = health(&http).expect_err("nobody listens").to_string();
        assert!(said.contains("does not answer (Connection refused)"), "{said}");
        let http = HttpArgs { http_host: "no such host.invalid".into(), http_port: 1 };
        assert!(health(&http).expect_err("it has no address").to_string().starts_with("HTTP_HOST "));
    }
}
