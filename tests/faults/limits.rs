//! What the server's own limits do to the service.

use std::time::Instant;

use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::bus::Bus;
use crate::support::events::book;
use crate::support::nats_server::{NatsServer, Release};
use crate::support::{PATIENCE, eventually, holds};

/// Snapshots are larger than the server allows: they are counted, nothing else happens.
pub fn a_small_max_payload(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "max_payload: 200");
    let mut stage = Stage::on(&server, &[]);
    let withheld = |stage: &Stage| stage.service.metric("senpai_publish_dropped_total", &[("kind", "features")]);
    let before = withheld(&stage);
    assert!(before > 0.0, "the snapshots are too large");
    stage.wait_flow(stage.received_count() + 100);
    assert!(withheld(&stage) > before, "each is counted");
    assert_eq!(stage.reconnect_count(), 0, "the connection lives");
    assert_eq!(server.connections_of(NAME, true)[0]["in_msgs"], 0, "none was sent");
    stage.service.wait_ready();
    Ok(stage.settle(Vec::new(), Loss::Nothing, Some(&server)))
}

/// The service is stopped in a flood until the server gives it up, without a word.
pub fn cut_as_slow_consumer(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "max_pending: 1MB\nwrite_deadline: 1s");
    let mut stage = Stage::on(&server, &[]);
    let bus = Bus::connect(&server.url());
    let flood = vec![book("FLOOD", 1, 500); 100];
    stage.note_break();
    stage.service.signal("STOP");
    let deadline = Instant::now() + PATIENCE;
    let mut published = 0;
    while server.report("/varz")["slow_consumers"] == 0 {
        assert!(Instant::now() < deadline, "the server takes everything: {published} books");
        bus.publish(&flood);
        bus.round_trip();
        published += flood.len();
    }
    eventually("the cut", || {
        let open = server.connections_of(NAME, false);
        holds(open.is_empty(), format!("{open:?}"))
    });
    let back = Instant::now();
    stage.service.signal("CONT");
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let stats = stage.service.stats();
    let log = stage.service.log();
    assert_eq!(stats["slow_consumer_cuts"], 1, "it is counted as what it was: {stats}\n{log}");
    assert!(log.contains("slow consumer"), "it is said:\n{log}");
    let books = stats["events_in_by_type"]["book_l2"].as_u64().expect("a count");
    let mut report = stage.settle(vec![recovery], Loss::InHand, None);
    report.note = format!("{books} of {published} books of the flood arrived");
    Ok(report)
}
