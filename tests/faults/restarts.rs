//! The server goes, and is back on the same port.

use std::time::Duration;

use senpai_md_consumer::engine::random::Random;

use crate::stage::{Loss, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};

/// As an operator does it.
pub fn stopped_and_started(release: Release) -> Result<Report, &'static str> {
    once(release, NatsServer::terminate)
}

pub fn killed(release: Release) -> Result<Report, &'static str> {
    once(release, NatsServer::kill)
}

fn once(release: Release, stop: fn(&mut NatsServer)) -> Result<Report, &'static str> {
    let mut server = NatsServer::start_with(release, "");
    let mut stage = Stage::on(&server, &[]);
    stage.note_break();
    stop(&mut server);
    stage.wait_lost();
    // What is known is still shown.
    let known = stage.service.document("/health")["symbols"][0].as_str().expect("a symbol").to_owned();
    stage.service.document(&format!("/state/latest?symbol={known}"));
    let back = server.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    assert_eq!(stage.reconnect_count(), 1);
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
}

/// Another name, another version, another max_payload: the snapshots, too large for the first, go out with the second.
pub fn replaced_by_another(release: Release) -> Result<Report, &'static str> {
    let other = if release == Release::Current { Release::Old } else { Release::Current };
    let mut server = NatsServer::start_with(release, "server_name: first\nmax_payload: 200");
    let mut stage = Stage::on(&server, &[]);
    let withheld = |stage: &Stage| stage.service.stats()["publish_dropped"]["features"].as_u64().expect("a count");
    assert!(withheld(&stage) > 0, "the snapshots are too large: {}", stage.service.stats());
    stage.note_break();
    server.kill();
    stage.wait_lost();
    server.configure("server_name: second\nmax_payload: 2MB");
    server.replace_by(other);
    let back = server.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let before = withheld(&stage);
    stage.wait_flow(stage.received_count());
    assert_eq!(withheld(&stage), before, "the new server's max_payload holds");
    let log = stage.service.log();
    assert!(log.contains("second") && log.contains(&other.to_string()), "it names the new server:\n{log}");
    let mut report = stage.settle(vec![recovery], Loss::InHand, None);
    report.note = format!("replaced by {other}");
    Ok(report)
}

/// `RESTARTS` of them, killed or stopped, away for as long as chance will have it.
pub fn many_at_random(release: Release) -> Result<Report, &'static str> {
    let count: u64 = match std::env::var("RESTARTS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("RESTARTS is {text}; it must be a number")),
        Err(_) => 5,
    };
    let seed = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_nanos() as u64;
    eprintln!("restarts_at_random, {release}: seed {seed}");
    let mut random = Random::new(seed);
    let mut server = NatsServer::start_with(release, "");
    let mut stage = Stage::on(&server, &[]);
    let mut recoveries = Vec::new();
    for restart in 1..=count {
        stage.note_break();
        if random.below(2) == 0 {
            server.kill()
        } else {
            server.terminate()
        }
        let away = Duration::from_millis(random.below(1500));
        std::thread::sleep(away);
        let back = server.start_again();
        recoveries.push(stage.wait_recovered(back, restart, RECOVERY_LIMIT));
        // Then it runs for a while.
        std::thread::sleep(Duration::from_millis(random.below(300)));
    }
    assert_eq!(stage.reconnect_count(), count);
    let mut report = stage.settle(recoveries, Loss::InHand, None);
    report.note = format!("{count} restarts, seed {seed}");
    Ok(report)
}
