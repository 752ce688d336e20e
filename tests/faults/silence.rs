//! The server is there, or seems to be, and nothing is heard.

use std::time::{Duration, Instant};

use crate::publisher::Login;
use crate::stage::{Loss, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::proxy::{Direction, Proxy};
use crate::support::{eventually, holds};

const STANDSTILL: Duration = Duration::from_secs(15);
const NOTICED_LIMIT: Duration = Duration::from_secs(10);

/// SIGSTOP: the sockets stay open, the kernel even takes new connections.
pub fn a_server_that_stands_still(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    let mut stage = Stage::on(&server, &[]);
    stage.note_break();
    let since = Instant::now();
    server.signal("STOP");
    stage.wait_told(NOTICED_LIMIT);
    let noticed = since.elapsed();
    while since.elapsed() < STANDSTILL {
        assert_eq!(stage.service.get("/ready").0, 503, "the server does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    let back = Instant::now();
    server.signal("CONT");
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let mut report = stage.settle(vec![recovery], Loss::InHand, Some(&server));
    report.note = format!("noticed within {:.1} s", noticed.as_secs_f64());
    Ok(report)
}

/// A firewall has forgotten the connection: what the server sends is gone. It would take another connection at once.
pub fn a_network_that_forgets(release: Release) -> Result<Report, &'static str> {
    muted(release, Direction::ToClient, &[])
}

/// Events come in, and nothing of what the service sends arrives, PINGs least of all.
pub fn a_server_that_does_not_hear(release: Release) -> Result<Report, &'static str> {
    muted(release, Direction::ToServer, &["--nats-ping-interval-seconds", "1"])
}

fn muted(release: Release, direction: Direction, flags: &[&str]) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    let proxy = Proxy::start(server.port(), 1);
    let mut stage = Stage::start(&proxy.url(), server.port(), Login::default(), flags);
    stage.note_break();
    let since = Instant::now();
    proxy.mute(direction);
    let connections = proxy.accepted();
    eventually("another connection", || {
        let log = stage.service.log();
        holds(proxy.accepted() > connections, format!("none; log:\n{log}"))
    });
    let noticed = since.elapsed();
    assert!(noticed <= NOTICED_LIMIT, "noticed only after {noticed:?}");
    let recovery = stage.wait_recovered(since + noticed, 1, RECOVERY_LIMIT);
    let mut report = stage.settle(vec![recovery], Loss::InHand, Some(&server));
    report.note = format!("noticed within {:.1} s", noticed.as_secs_f64());
    Ok(report)
}
