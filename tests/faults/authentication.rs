//! Who the service says it is, in each way that NATS knows; and what it does when it is not believed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nkeys::KeyPair;
use senpai_md_consumer::runtime::log_text::date;

use crate::jwt::{Operator, now_s};
use crate::publisher::Login;
use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::{eventually, holds};

/// The longest wait between two attempts with credentials that were refused, and the recovery itself.
const REFUSED_RECOVERY_LIMIT: Duration = Duration::from_secs(12);
/// How long a JWT is valid that expires while it is in use: enough for the service to start and events to flow.
const USED_FOR_S: u64 = 15;
/// What may never be in a log or document.
const PASSWORD: &str = "hunter2-4711";

fn publisher() -> Login {
    Login { user: Some(("publisher", "other")), ..Login::default() }
}

fn users(service: &str) -> String {
    format!("authorization {{ users: [\n{{ {service} }}\n{{ user: publisher, password: other }}\n] }}")
}

fn refusals(server: &NatsServer) -> usize {
    server.log().matches("authentication error").count()
}

/// Refused: it says so, it tries again seldom, and it comes in when it is believed.
#[track_caller]
fn refused_then_admitted(server: &NatsServer, mut stage: Stage, admitting: &str) -> Report {
    stage.publish(server.port(), publisher());
    let refused = |count: usize| {
        eventually("the server refuses it", || {
            let seen = refusals(server);
            holds(seen >= count, format!("{seen} of {count}; the service's log:\n{}", stage.service.log()))
        })
    };
    refused(1);
    let first = Instant::now();
    stage.wait_trouble(&["authorization violation"]);
    refused(3);
    let took = first.elapsed();
    // Half of one second and half of two at least.
    assert!(took >= Duration::from_millis(1400), "the third attempt came {took:?} after the first");
    assert_eq!(stage.received_count(), 0);

    stage.note_break();
    server.configure(admitting);
    server.reload();
    let back = Instant::now();
    stage.service.wait_ready();
    stage.wait_flow(0);
    let recovery = stage.end_break(back, REFUSED_RECOVERY_LIMIT);
    let attempts = refusals(server);
    assert_eq!(stage.reconnect_count(), 0, "the first connection is no reconnect");
    let shown = stage.service.log() + &stage.service.get("/health").1 + &stage.service.get("/stats").1;
    assert!(!shown.contains(PASSWORD), "a password is shown:\n{shown}");
    let mut report = stage.settle(vec![recovery], Loss::Nothing, Some(server));
    report.note = format!("{attempts} refused attempts, three of them within {:.1} s", took.as_secs_f64());
    report
}

pub fn a_wrong_password(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, &users("user: service, password: another"));
    let flags = ["--nats-user", "service", "--nats-password", PASSWORD];
    let stage = Stage::begin(&server.url(), &flags);
    let admitting = users(&format!("user: service, password: \"{PASSWORD}\""));
    Ok(refused_then_admitted(&server, stage, &admitting))
}

/// In the URL, as most people have it.
pub fn a_wrong_password_in_the_url(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, &users("user: service, password: another"));
    let url = format!("nats://service:{PASSWORD}@127.0.0.1:{}", server.port());
    let stage = Stage::begin(&url, &[]);
    let admitting = users(&format!("user: service, password: \"{PASSWORD}\""));
    Ok(refused_then_admitted(&server, stage, &admitting))
}

/// Admitted, then sent away in mid-flight, then admitted again.
pub fn revoked(release: Release) -> Result<Report, &'static str> {
    let admitting = users(&format!("user: service, password: \"{PASSWORD}\""));
    let server = NatsServer::start_with(release, &admitting);
    let flags = ["--nats-user", "service", "--nats-password", PASSWORD];
    let mut stage = Stage::start(&server.url(), server.port(), publisher(), &flags);
    stage.note_break();
    server.configure(&users("user: service, password: another"));
    server.reload();
    stage.wait_lost();
    stage.wait_trouble(&["authorization violation"]);
    server.configure(&admitting);
    server.reload();
    let recovery = stage.wait_recovered(Instant::now(), 1, REFUSED_RECOVERY_LIMIT);
    Ok(stage.settle(vec![recovery], Loss::InHand, Some(&server)))
}

/// Admitted, and admitted again after a restart.
fn admitted(mut server: NatsServer, login: Login, flags: &[&str]) -> Report {
    let mut stage = Stage::start(&server.url(), server.port(), login, flags);
    stage.note_break();
    server.kill();
    stage.wait_lost();
    let back = server.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    assert_eq!(server.connections_of(NAME, false).len(), 1);
    assert_eq!(refusals(&server), 0, "{}", server.log());
    stage.settle(vec![recovery], Loss::InHand, None)
}

/// A server with a token has no users; the publisher has the token, too.
pub fn token(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, &format!("authorization {{ token: \"{PASSWORD}\" }}"));
    let login = Login { token: Some(PASSWORD), ..Login::default() };
    Ok(admitted(server, login, &["--nats-token", PASSWORD]))
}

fn file(directory: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("text").to_owned()
}

pub fn nkey(release: Release) -> Result<Report, &'static str> {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let key = KeyPair::new_user();
    let server = NatsServer::start_with(release, &users(&format!("nkey: {}", key.public_key())));
    let seed = file(&directory, "service.nk", &format!("{}\n", key.seed().expect("a private half")));
    Ok(admitted(server, publisher(), &["--nats-nkey", &seed]))
}

/// Operator, account and two users, all by JWT.
pub fn creds(release: Release) -> Result<Report, &'static str> {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let operator = Operator::new();
    let server = NatsServer::start_with(release, &operator.configuration());
    let creds = file(&directory, "service.creds", &operator.new_user("service").creds());
    let publisher = operator.new_user("publisher");
    let login = Login { jwt: Some((publisher.jwt, Arc::new(publisher.key))), ..Login::default() };
    Ok(admitted(server, login, &["--nats-creds", &creds]))
}

/// The JWT expires while the connection is in use, and the file that takes its place is not valid yet: both are said with their
/// dates, at the next attempt and when the server refuses it. With a good file it comes in, without a restart.
pub fn creds_out_of_date(release: Release) -> Result<Report, &'static str> {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let operator = Operator::new();
    let server = NatsServer::start_with(release, &operator.configuration());
    let publisher = operator.new_user("publisher");
    let login = Login { jwt: Some((publisher.jwt, Arc::new(publisher.key))), ..Login::default() };
    let write = |from, until| file(&directory, "service.creds", &operator.new_user_for("service", from, until).creds());

    let until = now_s() + USED_FOR_S;
    let creds = write(None, Some(until));
    let mut stage = Stage::start(&server.url(), server.port(), login, &["--nats-creds", &creds]);
    stage.note_break();
    let is_told = |stage: &Stage, words: &str| {
        stage.wait_trouble(&[words]);
        eventually("a line when it is read and one when it is refused", || {
            let log = stage.service.log();
            let mut lines = log.lines().filter(|line| line.contains(words)).map(|line| line.contains("trying again"));
            // Where the server's end of the connection comes as a reset, the line about the refusal is that one.
            let is_reset = log.contains("Connection reset by peer");
            let is_refused = lines.clone().any(|is_refused| is_refused) || is_reset;
            holds(is_refused && lines.any(|is_refused| !is_refused), log.clone())
        });
    };
    is_told(&stage, &format!("NATS_CREDS has expired at {}", date(until as i64)));

    let from = now_s() + 1_000_000;
    write(Some(from), None);
    is_told(&stage, &format!("NATS_CREDS is not valid before {}", date(from as i64)));

    write(None, None);
    let recovery = stage.wait_recovered(Instant::now(), 1, REFUSED_RECOVERY_LIMIT);
    Ok(stage.settle(vec![recovery], Loss::InHand, Some(&server)))
}
