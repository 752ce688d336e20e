//! What happens to a stream and its consumer while the service reads.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Operator, STREAM};
use crate::stage::{LIMIT, NOTICED_LIMIT, Report, Stage, Stream, server};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::{holds, within};

pub fn consumer_deleted(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let mut stage = Stage::on(&server, &json!({}));
    for _ in 0..3 {
        let names = stage.operator.consumers();
        assert!(!names.is_empty(), "there is a consumer");
        for name in names {
            // Another one may have taken its place by now.
            stage.operator.ask(&format!("CONSUMER.DELETE.{STREAM}.{name}"), &Value::Null);
        }
        stage.wait_recovered(Instant::now());
    }
    let report = stage.settle(Stream::Kept);
    assert!(report.told[2] >= 1, "{report:?}");
    within(LIMIT, "one consumer is left", || {
        let names = stage.operator.consumers();
        holds(names.len() == 1, format!("{names:?}"))
    });
    Ok(report)
}

/// The service is stopped meanwhile, so that there is something that it has not read.
pub fn purged(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    Operator::new(server.port()).make_stream(&json!({}));
    let mut stage = Stage::start(&server.url(), server.port(), &["--queue-bytes", "1048576"]);
    stage.pause();
    stage.service.signal("STOP");
    stage.produce_at_once(10_000);
    stage.operator.must(&format!("STREAM.PURGE.{STREAM}"), &Value::Null);
    stage.service.signal("CONT");
    let back = Instant::now();
    stage.produce();
    stage.wait_recovered(back);
    let report = stage.settle(Stream::Lost);
    // Some were on their way when it was stopped.
    assert!(report.missed > 1_000, "{report:?}");
    assert_eq!(report.told[0] as usize, report.missed, "all that is missed is told; log:\n{}", stage.service.log());
    stage.wait_alert("will not be seen");
    assert!(stage.service.log().contains("are missed"), "{}", stage.service.log());
    Ok(report)
}

pub fn made_anew(release: Release) -> Result<Report, &'static str> {
    let server = server(release);
    let mut stage = Stage::on(&server, &json!({}));
    stage.pause();
    let stored = stage.stored_count() as u64;
    stage.wait_flow(stored - 1);
    stage.operator.delete_stream();
    stage.operator.make_stream(&json!({}));
    let back = Instant::now();
    stage.produce();
    stage.wait_recovered(back);
    stage.wait_log(NOTICED_LIMIT, "was deleted and made anew");
    // The consumer is gone first.
    stage.wait_alert("another one is made");
    let report = stage.settle(Stream::Lost);
    assert_eq!((report.missed, report.told[1]), (0, 1), "{report:?}");
    Ok(report)
}

/// The folder is put back to what it was some time ago.
pub fn went_back(release: Release) -> Result<Report, &'static str> {
    restored(release, 0)
}

/// And the stream has grown past the place that the service had read to before that looks at it again.
pub fn went_back_and_grew(release: Release) -> Result<Report, &'static str> {
    restored(release, 1_000)
}

fn restored(release: Release, grown: usize) -> Result<Report, &'static str> {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let mut server = stored_in(release, &folder);
    let mut stage = Stage::on(&server, &json!({ "storage": "file" }));
    let all_applied = |stage: &mut Stage| {
        stage.pause();
        let stored = stage.stored_count() as u64;
        stage.wait_flow(stored - 1);
    };
    all_applied(&mut stage);
    server.terminate();
    copy(&folder.path().join("store"), &folder.path().join("older"));
    let back = server.start_again();
    stage.produce();
    stage.wait_recovered(back);
    stage.wait_flow(stage.events_in() + 100);
    all_applied(&mut stage);
    server.terminate();
    std::fs::remove_dir_all(folder.path().join("store")).expect("it is there");
    copy(&folder.path().join("older"), &folder.path().join("store"));
    if grown > 0 {
        stage.service.signal("STOP");
    }
    let back = server.start_again();
    if grown > 0 {
        Operator::new(server.port()).info(&json!({}));
        stage.produce_at_once(grown);
        stage.service.signal("CONT");
    }
    stage.produce();
    stage.wait_recovered(back);
    stage.wait_log(NOTICED_LIMIT, "it went back");
    stage.wait_alert("has lost its newest messages");
    let mut report = stage.settle(Stream::Lost);
    assert_eq!((report.missed, report.told[1]), (0, 1), "{report:?}; log:\n{}", stage.service.log());
    report.note = format!("noticed while {grown} more were there");
    Ok(report)
}

fn stored_in(release: Release, folder: &TempDir) -> NatsServer {
    let store = folder.path().join("store");
    NatsServer::start_with(release, &format!("jetstream {{ store_dir: \"{}\" }}", store.display()))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("room");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("room");
        }
    }
}
