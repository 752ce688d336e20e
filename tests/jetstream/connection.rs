//! Connections that break between the service and its server, which lives on.

use std::time::{Duration, Instant};

use senpai_md_consumer::engine::random::Random;
use serde_json::json;

use crate::client::Operator;
use crate::stage::{LIMIT, Report, Stage, Stream, server};
use crate::support::nats_server::Release;
use crate::support::proxy::Proxy;
use crate::support::{holds, within};

const CUTS: u64 = 12;
/// Between two of them, at most.
const APART_MS: u64 = 400;

/// The pull requests that waited at the server are gone with their connection.
pub fn cut_while_pulls_wait(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let proxy = Proxy::start(server.port(), 1);
    Operator::new(server.port()).make_stream(&json!({}));
    let mut stage = Stage::start(&proxy.url(), server.port(), &[]);
    for _ in 0..3 {
        stage.pause();
        within(LIMIT, "all is read, and pulls wait", || {
            let stream = stage.jetstream();
            let is_idle = stage.events_in() >= stage.stored_count() as u64 && stream["pending"] == 0;
            holds(is_idle, stream)
        });
        let connections = proxy.accepted();
        proxy.cut();
        within(LIMIT, "another connection", || holds(proxy.accepted() > connections, "none"));
        let back = Instant::now();
        stage.produce();
        stage.wait_recovered(back);
    }
    Ok(stage.settle(Stream::Kept))
}

pub fn cut_at_random(release: Release) -> Result<Report, &'static str> {
    let seed = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_nanos() as u64;
    let mut random = Random::new(seed);
    let server = server(release);
    let proxy = Proxy::start(server.port(), 1);
    Operator::new(server.port()).make_stream(&json!({ "storage": "file" }));
    let mut stage = Stage::start(&proxy.url(), server.port(), &[]);
    for _ in 0..CUTS {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(random.below(APART_MS)));
    }
    stage.wait_recovered(Instant::now());
    let mut report = stage.settle(Stream::Kept);
    report.note = format!("{CUTS} cuts, seed {seed}");
    Ok(report)
}
