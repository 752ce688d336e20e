//! What the server's own limits do to the service.

use std::time::Instant;

use crate::publisher::{Login, QUICK_PACE};
use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::bus::Bus;
use crate::support::events::{Event, book};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::{PATIENCE, eventually, holds};

/// Snapshots are larger than the server allows: they are counted, /health names both sizes, the log has one line for all of a
/// minute, and nothing else happens. With a server that takes them all is well again.
pub fn a_small_max_payload(release: Release) -> Result<Report, &'static str> {
    let mut server = NatsServer::start_with(release, "max_payload: 200");
    let mut stage = Stage::on(&server, &[]);
    let withheld = |stage: &Stage| stage.service.metric("senpai_publish_dropped_total", &[("kind", "features")]);
    let before = withheld(&stage);
    assert!(before > 0.0, "the snapshots are too large");
    stage.wait_flow(stage.received_count() + 100);
    assert!(withheld(&stage) > before, "each is counted");
    assert_eq!(stage.reconnect_count(), 0, "the connection lives");
    assert_eq!(server.connections_of(NAME, true)[0]["in_msgs"], 0, "none was sent");
    stage.service.wait_ready();
    let health = stage.health();
    let trouble = health["troubles"][0].as_str().unwrap_or_default();
    let sizes: Vec<u64> =
        trouble.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    assert_eq!((&health["status"], sizes[0]), (&"degraded".into(), 200), "{health}");
    assert!(trouble.contains("max_payload") && sizes[1] > 200, "both sizes: {health}");
    let log = stage.service.log();
    assert_eq!(log.matches("max_payload)").count(), 1, "one line for all of a minute:\n{log}");

    stage.note_break();
    server.terminate();
    server.configure("");
    let back = server.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    // Where the end was taken for that of a slow consumer, that is a trouble for 5 s.
    eventually("all is well again", || {
        let health = stage.health();
        holds(health["status"] == "ok" && health["troubles"] == serde_json::json!([]), health)
    });
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
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
    let alerts = stage.service.document("/alerts/latest");
    let is_cut = |alert: &&serde_json::Value| alert["kind"] == "nats_slow_consumer" && alert["state"] == "firing";
    let alerts: Vec<_> = alerts["alerts"].as_array().expect("a list").iter().filter(is_cut).collect();
    assert!(matches!(alerts[..], [alert] if alert["severity"] == "critical"), "{alerts:?}");
    let books = stats["events_in_by_type"]["book_l2"].as_u64().expect("a count");
    let mut report = stage.settle(vec![recovery], Loss::InHand, None);
    report.note = format!("{books} of {published} books of the flood arrived");
    Ok(report)
}

/// Books that take longer to read than to send, twice as many bytes as a server holds for a client: what may be shed is
/// shed in time, the server cuts nothing, and every trade between them is in.
pub fn a_burst_of_large_books(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    let mut stage = Stage::start_at_pace(&server.url(), server.port(), Login::default(), &[], QUICK_PACE);
    let bus = Bus::connect(&server.url());
    let part = large_books(PART_BOOKS);
    let before = stage.received_count();
    (0..BURST_BOOKS / PART_BOOKS).for_each(|_| bus.publish(&part));
    bus.round_trip();
    let books_in = |stats: &serde_json::Value| stats["events_in_by_type"]["book_l2"].as_u64().unwrap_or(0);
    let stats = eventually("every book is taken or shed", || {
        let stats = stage.service.stats();
        holds(books_in(&stats) == BURST_BOOKS as u64, format!("{stats}\n{}", stage.service.log())).map(|()| stats)
    });
    let trades = stage.received_count() - before;
    assert_eq!((&stats["slow_consumer_cuts"], &stats["reconnects"]), (&0.into(), &0.into()), "{stats}");
    assert_eq!(server.report("/varz")["slow_consumers"], 0, "{}", server.log());
    let mut report = stage.settle(Vec::new(), Loss::Nothing, None);
    let shed = &stats["dropped"]["backpressure"]["book_l2"];
    report.note = format!("{shed} of {BURST_BOOKS} books shed, {trades} trades between them");
    Ok(report)
}

/// The server gives up on a service that reads all the while, only not fast enough: that is what it is taken for.
pub fn cut_while_reading(release: Release) -> Result<Report, &'static str> {
    // Two of the books are too many.
    let server = NatsServer::start_with(release, "max_payload: 500KB, max_pending: 500KB");
    let mut stage = Stage::on(&server, &[]);
    let bus = Bus::connect(&server.url());
    let burst = large_books(100);
    let cuts = |stage: &Stage| stage.service.stats()["slow_consumer_cuts"].as_u64().expect("a count");
    eventually("a cut", || {
        // Each of them may be several, and the last the one that counts.
        (0..CUTS_MAX).for_each(|_| stage.note_break());
        bus.publish(&burst);
        bus.round_trip();
        holds(server.report("/varz")["slow_consumers"] != 0, "the server takes everything")
    });
    let back = Instant::now();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let log = stage.service.log();
    let said = "as a slow consumer, most likely; events may be lost";
    assert!(log.contains(said), "it is said:\n{log}");
    let report = stage.settle(vec![recovery], Loss::InHand, None);
    let (cuts, reconnects) = (cuts(&stage), stage.reconnect_count());
    // A connection that is cut before it has left anything unread looks like any other end.
    assert!((1..=reconnects).contains(&cuts), "{cuts} of {reconnects} are counted:\n{}", stage.service.log());
    Ok(report)
}

/// 420 kB each, so that one read brings none of them as a whole.
fn large_books(count: usize) -> Vec<Event> {
    vec![book("LARGE", 1, 12_000); count]
}

/// Of one burst: the server has more of it when the service is back.
const CUTS_MAX: usize = 20;
/// 126 MB.
const BURST_BOOKS: usize = 300;
/// What is handed to the client at once.
const PART_BOOKS: usize = 10;
