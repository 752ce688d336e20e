//! Connections that break between the service and its server, which lives on.

use std::time::{Duration, Instant};

use senpai_md_consumer::engine::random::Random;
use serde_json::json;

use crate::client::Operator;
use crate::producer::produce_at_once;
use crate::stage::{FLAGS, LIMIT, Report, Stage, Stream, account, held, server};
use crate::support::nats_server::Release;
use crate::support::proxy::{Direction, Plan, Proxy};
use crate::support::service::Service;
use crate::support::{holds, within};

const CUTS: u64 = 12;
/// Between two of them, at most.
const APART_MS: u64 = 400;

/// Longer than a wait for a message, by far.
const ANSWERS_FOR: Duration = Duration::from_millis(2500);

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

/// The past is half read when nothing comes any more, and then there is no server: time stands still meanwhile, but HTTP answers.
pub fn stalled_while_catching_up(release: Release) -> Result<Report, &'static str> {
    const EVENTS: usize = 20_000;
    let mut server = server(release);
    Operator::new(server.port()).make_stream(&json!({ "storage": "file" }));
    produce_at_once(server.port(), 0..EVENTS);
    let proxy = Proxy::start(server.port(), 1);
    // What was asked for of the newest of each symbol comes first, all of it where the server is fast: less than the buffer.
    proxy.plan(Plan::Swallow(Direction::ToClient, 2 << 20));
    let service = Service::start(&proxy.url(), &[&FLAGS[..], &["--queue-bytes", "1048576"]].concat());
    let has_features = || service.get("/features?symbol=E0").0 == 200;
    // What the proxy has let through is on its way first.
    within(LIMIT, "a part is read", || holds(proxy.tripped() == 1 && has_features(), service.get("/ready").1));
    let answers = |phase: &str| {
        let begun = Instant::now();
        while begun.elapsed() < ANSWERS_FOR {
            let (status, ready) = service.get("/ready");
            assert_eq!(status, 503, "{phase}: {ready}");
            assert!(has_features(), "{phase}");
        }
    };
    answers("nothing comes");
    assert!(service.get("/ready").1.contains("catching up"), "{}", service.get("/ready").1);
    server.kill();
    proxy.cut();
    answers("there is no server");
    server.start_again();
    within(LIMIT, "all is read", || {
        let (status, ready) = service.get("/ready");
        holds(status == 200, ready)
    });
    let operator = Operator::new(server.port());
    let truth = held(&operator);
    assert_eq!(truth.len(), EVENTS);
    within(LIMIT, "the last is applied", || {
        let stats = service.stats();
        holds(stats["events_in"] == EVENTS as u64, stats["cores"][0]["jetstream"].clone())
    });
    Ok(account(&[&service], &truth, Vec::new()))
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
