//! TLS: what is accepted, what is refused, and that nothing is ever said in clear text where TLS was asked for.

use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::publisher::Login;
use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::proxy::{Direction, Proxy};
use crate::support::{eventually, holds};

/// Of a server whose certificate was refused, or that had no TLS.
const REFUSED_RECOVERY_LIMIT: Duration = Duration::from_secs(12);
/// `handshake_first`.
const TLS_FIRST_SINCE: [u32; 3] = [2, 10, 4];
const PASSWORD: &str = "hunter2-4711";

pub fn configuration(authority: &Authority, certificate: &str, more: &str) -> String {
    format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", timeout: 2\n{more}\n}}\n",
        authority.path(&format!("{certificate}.pem")),
        authority.path(&format!("{certificate}-key.pem")),
    )
}

fn tls_url(port: u16) -> String {
    format!("tls://127.0.0.1:{port}")
}

/// Admitted, and admitted again after a restart.
fn admitted(mut server: NatsServer, url: &str, login: Login, flags: &[&str]) -> Report {
    let mut stage = Stage::start(url, server.port(), login, flags);
    stage.note_break();
    server.kill();
    stage.wait_lost();
    let back = server.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let connections = server.connections_of(NAME, false);
    assert!(connections[0]["tls_version"].is_string(), "through TLS: {connections:?}");
    stage.settle(vec![recovery], Loss::InHand, None)
}

/// By name, which is what the certificate is for.
pub fn own_authority(release: Release) -> Result<Report, &'static str> {
    let authority = Authority::new();
    authority.issue("server", "localhost", false);
    let server = NatsServer::start_with(release, &configuration(&authority, "server", ""));
    let login = Login { tls: Some(authority.client(None)), certificate_name: Some("localhost"), ..Login::default() };
    let url = format!("tls://localhost:{}", server.port());
    Ok(admitted(server, &url, login, &["--nats-ca", &authority.path("ca.pem")]))
}

/// The server asks for a certificate, too. Without one the service says what is missing.
pub fn mutual(release: Release) -> Result<Report, &'static str> {
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1", false);
    authority.issue("client", "service.example", false);
    let ca = authority.path("ca.pem");
    let more = format!("ca_file: \"{ca}\", verify: true");
    let server = NatsServer::start_with(release, &configuration(&authority, "server", &more));
    let login = Login { tls: Some(authority.client(Some("client"))), ..Login::default() };
    let url = tls_url(server.port());
    let without = Stage::begin(&url, &["--nats-ca", &ca]);
    without.wait_trouble(&["certificate"]);
    drop(without);
    let (certificate, key) = (authority.path("client.pem"), authority.path("client-key.pem"));
    Ok(admitted(server, &url, login, &["--nats-ca", &ca, "--nats-cert", &certificate, "--nats-key", &key]))
}

pub fn first(release: Release) -> Result<Report, &'static str> {
    if release.version() < TLS_FIRST_SINCE {
        return Err("handshake_first came with 2.10.4");
    }
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1", false);
    let server = NatsServer::start_with(release, &configuration(&authority, "server", "handshake_first: true"));
    let login = Login { tls: Some(authority.client(None)), tls_first: true, ..Login::default() };
    let (url, ca) = (tls_url(server.port()), authority.path("ca.pem"));
    let waiting = Stage::begin(&url, &["--nats-ca", &ca]);
    waiting.wait_trouble(&["handshake_first"]);
    drop(waiting);
    Ok(admitted(server, &url, login, &["--nats-ca", &ca, "--nats-tls-first", "true"]))
}

/// The certificate is for another name: refused and said, until the settings name it.
pub fn a_name_of_its_own(release: Release) -> Result<Report, &'static str> {
    let authority = Authority::new();
    authority.issue("server", "nats.example", false);
    let server = NatsServer::start_with(release, &configuration(&authority, "server", ""));
    let (url, ca) = (tls_url(server.port()), authority.path("ca.pem"));
    let login = Login { tls: Some(authority.client(None)), certificate_name: Some("nats.example"), ..Login::default() };
    Ok(admitted(server, &url, login, &["--nats-ca", &ca, "--nats-tls-server-name", "nats.example"]))
}

/// Refused, said, and never told who we are; then the server gets a certificate that is right.
fn refused_then_right(release: Release, issue_wrong: impl FnOnce(&Authority), words: &[&str]) -> Report {
    let authority = Authority::new();
    issue_wrong(&authority);
    authority.issue("right", "127.0.0.1", false);
    let login = Login { tls: Some(authority.client(None)), ..Login::default() };
    let mut server = NatsServer::start_with(release, &configuration(&authority, "wrong", ""));
    let flags = ["--nats-ca", &authority.path("ca.pem"), "--nats-user", "service", "--nats-password", PASSWORD];
    let mut stage = Stage::begin(&tls_url(server.port()), &flags);
    stage.wait_trouble(words);
    let attempts = || server.report("/varz")["total_connections"].as_u64().expect("a count");
    let (since, before) = (Instant::now(), attempts());
    eventually("more attempts", || holds(attempts() >= before + 3, format!("{} after {before}", attempts())));
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(150), "three attempts within {took:?}");
    assert!(server.connections_of(NAME, true).is_empty(), "it has never said its name");
    stage.note_break();
    server.terminate();
    server.configure(&configuration(&authority, "right", ""));
    let back = server.start_again();
    stage.publish(server.port(), login);
    stage.service.wait_ready();
    stage.wait_flow(0);
    let recovery = stage.end_break(back, REFUSED_RECOVERY_LIMIT);
    assert!(!stage.service.log().contains(PASSWORD));
    stage.settle(vec![recovery], Loss::Nothing, Some(&server))
}

pub fn a_wrong_name(release: Release) -> Result<Report, &'static str> {
    Ok(refused_then_right(
        release,
        |authority| authority.issue("wrong", "other.example", false),
        &["is not for 127.0.0.1"],
    ))
}

pub fn an_expired_certificate(release: Release) -> Result<Report, &'static str> {
    Ok(refused_then_right(release, |authority| authority.issue("wrong", "127.0.0.1", true), &["has expired at 2021-"]))
}

/// The server shows the certificate that should have signed its own.
pub fn the_certificate_of_an_authority(release: Release) -> Result<Report, &'static str> {
    let issue_wrong = |authority: &Authority| authority.show_own("wrong");
    Ok(refused_then_right(release, issue_wrong, &["is that of an authority: sign one for the server"]))
}

/// `tls://` and a server without TLS: not a byte is said, however often it is tried.
pub fn not_offered(release: Release) -> Result<Report, &'static str> {
    let authority = Authority::new();
    authority.issue("server", "127.0.0.1", false);
    let mut server = NatsServer::start_with(release, "");
    let proxy = Proxy::start(server.port(), 1);
    let flags = ["--nats-ca", &authority.path("ca.pem"), "--nats-user", "service", "--nats-password", PASSWORD];
    let login = Login { tls: Some(authority.client(None)), ..Login::default() };
    let mut stage = Stage::begin(&proxy.url().replace("nats://", "tls://"), &flags);
    stage.wait_trouble(&["tls"]);
    // An authority in the settings asks for TLS as well as the URL does.
    let by_authority = Stage::begin(&proxy.url(), &flags);
    by_authority.wait_trouble(&["tls"]);
    drop(by_authority);
    eventually("some attempts", || holds(proxy.accepted() >= 3, format!("{} so far", proxy.accepted())));
    assert_eq!(proxy.ever_passed(Direction::ToServer), b"", "something was said in clear text");
    assert!(server.connections_of(NAME, true).is_empty(), "it has said its name");
    stage.note_break();
    server.terminate();
    server.configure(&configuration(&authority, "server", ""));
    let back = server.start_again();
    stage.publish(server.port(), login);
    stage.service.wait_ready();
    stage.wait_flow(0);
    let recovery = stage.end_break(back, REFUSED_RECOVERY_LIMIT);
    let said = proxy.ever_passed(Direction::ToServer);
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains("CONNECT") && !said.contains(PASSWORD), "something was said in clear text: {said}");
    Ok(stage.settle(vec![recovery], Loss::Nothing, Some(&server)))
}
