//! The server goes and comes back, or stands still.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stage::{LIMIT, Report, Stage, Stream, server};
use crate::support::nats_server::Release;
use crate::support::{holds, within};

/// Longer than the heartbeats of an idle consumer, twice.
const STANDSTILL: Duration = Duration::from_secs(12);

pub fn killed_with_file_storage(release: Release) -> Result<Report, &'static str> {
    let mut server = server(release);
    let mut stage = Stage::on(&server, &json!({ "storage": "file" }));
    for _ in 0..3 {
        server.kill();
        let back = server.start_again();
        stage.wait_recovered(back);
    }
    // What it had acknowledged and not written yet it may have lost, and the service may have it.
    let report = stage.settle(Stream::Lost);
    assert_eq!(report.missed, 0, "{report:?}");
    Ok(report)
}

/// The stream is gone with its server.
pub fn killed_with_memory_storage(release: Release) -> Result<Report, &'static str> {
    let mut server = server(release);
    let mut stage = Stage::on(&server, &json!({ "storage": "memory" }));
    stage.pause();
    let stored = stage.stored_count() as u64;
    stage.wait_flow(stored - 1);
    server.kill();
    server.start_again();
    stage.wait_trouble(&["MD_EVENTS", "there is no such stream", "nats stream add MD_EVENTS", "md.events.>"]);
    stage.wait_alert("is not read");
    stage.operator.make_stream(&json!({}));
    let back = Instant::now();
    stage.produce();
    stage.wait_recovered(back);
    let mut report = stage.settle(Stream::Lost);
    assert_eq!((report.missed, report.told[1]), (0, 1), "{report:?}");
    assert!(stage.service.log().contains("was deleted and made anew"), "{}", stage.service.log());
    report.note = "the stream was missed until it was made again".to_owned();
    Ok(report)
}

pub fn killed_and_made_anew(release: Release) -> Result<Report, &'static str> {
    let mut server = server(release);
    let mut stage = Stage::start(&server.url(), server.port(), &["--jetstream-create-stream=true"]);
    stage.pause();
    let stored = stage.stored_count() as u64;
    stage.wait_flow(stored - 1);
    server.kill();
    let back = server.start_again();
    stage.produce();
    stage.wait_recovered(back);
    stage.wait_alert("made anew");
    let log = stage.service.log();
    assert_eq!(log.matches("it was missing and has been made").count(), 2, "{log}");
    let config = &stage.operator.info(&json!({}))["config"];
    assert!(config["storage"] == "memory" && config["subjects"] == json!(["md.events.>"]), "{config}");
    let report = stage.settle(Stream::Lost);
    assert_eq!((report.missed, report.told[1]), (0, 1), "{report:?}");
    Ok(report)
}

/// The connection lives on, and neither messages nor heartbeats come.
pub fn stands_still(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let mut stage = Stage::on(&server, &json!({}));
    let stopped = Instant::now();
    server.signal("STOP");
    within(LIMIT, "the standstill is told", || {
        let (status, body) = stage.service.get("/ready");
        holds(status == 503, format!("{status} {body}"))
    });
    let noticed = stopped.elapsed();
    std::thread::sleep(STANDSTILL.saturating_sub(stopped.elapsed()));
    server.signal("CONT");
    let back = Instant::now();
    stage.wait_recovered(back);
    let mut report = stage.settle(Stream::Kept);
    report.note = format!("not ready {:.1} s after it stopped", noticed.as_secs_f64());
    Ok(report)
}
