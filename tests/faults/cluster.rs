//! Two nodes; the service is told of one and learns of the other.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::publisher::{Login, QUICK_PACE, symbol};
use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::bus::{Bus, Inbox};
use crate::support::nats_server::{NatsServer, Release, unused_port};
use crate::support::{PATIENCE, eventually, holds, within};
use crate::tls;

/// An attempt at a server that is back is at most a second away; then there is the move itself.
const MOVE_LIMIT: Duration = Duration::from_secs(3);

/// The service on the first node, the publisher on the second.
struct Cluster {
    first: NatsServer,
    second: NatsServer,
}

impl Cluster {
    fn start(release: Release, more: &str) -> Cluster {
        let ports = [unused_port(), unused_port()];
        let configuration = |index: usize| {
            format!(
                "server_name: node{index}\nlame_duck_duration: 90s\nlame_duck_grace_period: 40s\n\
                 cluster {{ name: two, listen: \"127.0.0.1:{}\", routes: [\"nats://127.0.0.1:{}\"] }}\n{more}",
                ports[index],
                ports[1 - index],
            )
        };
        let cluster = Cluster {
            first: NatsServer::start_with(release, &configuration(0)),
            second: NatsServer::start_with(release, &configuration(1)),
        };
        for (node, other) in [(&cluster.first, &cluster.second), (&cluster.second, &cluster.first)] {
            eventually("the nodes know each other", || {
                let report = node.report("/varz");
                let urls = report["connect_urls"].to_string();
                holds(urls.contains(&other.port().to_string()), urls)
            });
        }
        cluster
    }

    /// And who hears the service's snapshots on the second node.
    fn stage(&self) -> (Stage, Inbox, Bus) {
        let bus = Bus::connect(&self.second.url());
        let inbox = bus.subscribe("senpai.features.>");
        bus.round_trip();
        let (url, publish_to) = (self.first.url(), self.second.port());
        (Stage::start_at_pace(&url, publish_to, Login::default(), &[], QUICK_PACE), inbox, bus)
    }
}

/// Each symbol has one event, so one snapshot. How many are missing; none comes twice.
#[track_caller]
fn missing_snapshots(stage: &Stage, mut inbox: Inbox) -> usize {
    let subject = |number: &usize| format!("senpai.features.{}", symbol(*number));
    let last = subject(stage.received.last().expect("events"));
    let messages = inbox.wait_until("the last snapshot", |messages| messages.iter().any(|m| m.subject == last));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        *counts.entry(&message.subject).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "some snapshot came twice: {counts:?}");
    stage.received.iter().filter(|number| !counts.contains_key(subject(number).as_str())).count()
}

pub fn a_node_dies(release: Release) -> Result<Report, &'static str> {
    let mut cluster = Cluster::start(release, "");
    let (mut stage, inbox, _bus) = cluster.stage();
    stage.note_break();
    let since = Instant::now();
    cluster.first.kill();
    let recovery = stage.wait_recovered(since, 1, RECOVERY_LIMIT);
    assert_eq!(cluster.second.connections_of(NAME, false).len(), 1);
    let mut report = stage.settle(vec![recovery], Loss::InHand, None);
    report.note = format!("{} snapshots died with the node", missing_snapshots(&stage, inbox));
    Ok(report)
}

/// The service knows the first node by name, learns the second's address from it, and asks that one for a certificate of
/// the name that it knows.
pub fn a_node_dies_behind_tls(release: Release) -> Result<Report, &'static str> {
    let authority = Authority::new();
    authority.issue("server", "localhost", false);
    let mut cluster = Cluster::start(release, &tls::configuration(&authority, "server", ""));
    let url = format!("tls://localhost:{}", cluster.first.port());
    let login = Login { tls: Some(authority.client(None)), certificate_name: Some("localhost"), ..Login::default() };
    let mut stage = Stage::start(&url, cluster.second.port(), login, &["--nats-ca", &authority.path("ca.pem")]);
    stage.note_break();
    let since = Instant::now();
    cluster.first.kill();
    let recovery = stage.wait_recovered(since, 1, RECOVERY_LIMIT);
    assert!(cluster.second.connections_of(NAME, false)[0]["tls_version"].is_string());
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
}

/// `NATS_DISCOVER=false`: it is told of the second node, and never goes there.
pub fn only_the_configured_server(release: Release) -> Result<Report, &'static str> {
    let mut cluster = Cluster::start(release, "");
    let (url, port) = (cluster.first.url(), cluster.first.port());
    let mut stage = Stage::start(&url, port, Login::default(), &["--nats-discover", "false"]);
    stage.note_break();
    cluster.first.kill();
    stage.wait_lost();
    stage.wait_trouble(&["connection refused"]);
    let back = cluster.first.start_again();
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    assert!(cluster.second.connections_of(NAME, true).is_empty(), "log:\n{}", stage.service.log());
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
}

/// A client that has not moved by the end of the grace period is cut off.
pub fn a_node_in_lame_duck_mode(release: Release) -> Result<Report, &'static str> {
    let cluster = Cluster::start(release, "");
    let (mut stage, inbox, _bus) = cluster.stage();
    stage.note_break();
    let since = Instant::now();
    cluster.first.signal("USR2");
    within(MOVE_LIMIT, "the service moves", || {
        let there = cluster.second.connections_of(NAME, false).len();
        holds(there == 1, format!("{there} connections on the second node; log:\n{}", stage.service.log()))
    });
    eventually("nothing is left on the first node", || {
        let here = cluster.first.connections_of(NAME, false);
        holds(here.is_empty(), format!("{here:?}"))
    });
    stage.service.wait_ready();
    stage.wait_flow(stage.received_count());
    let recovery = stage.end_break(since, RECOVERY_LIMIT);
    let log = stage.service.log();
    assert!(log.contains("lame duck"), "it says why it moves:\n{log}");
    Ok(settle_whole(stage, recovery, inbox))
}

/// The move has cost nothing: no event, no snapshot, and none came twice. The time is that from the signal on.
#[track_caller]
fn settle_whole(mut stage: Stage, took: Duration, inbox: Inbox) -> Report {
    assert_eq!(stage.reconnect_count(), 1, "one move; log:\n{}", stage.service.log());
    let mut report = stage.settle(vec![took], Loss::Nothing, None);
    assert_eq!(report.unheard, 0, "somebody was subscribed all the time; log:\n{}", stage.service.log());
    assert_eq!(missing_snapshots(&stage, inbox), 0, "every snapshot arrives");
    let repeated = &stage.service.stats()["events_repeated"];
    report.note = format!("{repeated} events came from both servers, and were taken once");
    report
}

/// The one neighbour is stopped: its kernel accepts, and nothing answers. Another address only accepts. The service stays
/// with the lame duck, and moves when the neighbour is awake.
pub fn a_lame_duck_among_hung_servers(release: Release) -> Result<Report, &'static str> {
    let cluster = Cluster::start(release, "");
    let open = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let urls = format!("{},nats://{}", cluster.first.url(), open.local_addr().expect("it is bound"));
    let bus = Bus::connect(&cluster.first.url());
    let inbox = bus.subscribe("senpai.features.>");
    bus.round_trip();
    let stage = Stage::start_at_pace(&urls, cluster.first.port(), Login::default(), &[], QUICK_PACE);
    eventually("the service is on the first node", || {
        let here = cluster.first.connections_of(NAME, false).len();
        holds(here == 1, format!("{here} connections"))
    });
    cluster.second.signal("STOP");
    cluster.first.signal("USR2");
    eventually("the service is told", || holds(stage.service.log().contains("lame duck"), stage.service.log()));
    // Longer than an attempt takes that nobody answers.
    let received = stage.received_count();
    let told = Instant::now();
    within(PATIENCE, "attempts fail", || {
        let log = stage.service.log();
        holds(told.elapsed() > Duration::from_secs(6) && log.contains("no other NATS server can be reached"), log)
    });
    assert!(stage.received_count() > received + 1_000, "events go on");
    stage.service.wait_ready();
    assert_eq!((stage.reconnect_count(), cluster.first.connections_of(NAME, false).len()), (0, 1), "it has stayed");
    cluster.second.signal("CONT");
    let since = Instant::now();
    within(PATIENCE, "the service moves", || {
        let there = cluster.second.connections_of(NAME, false).len();
        holds(there == 1, format!("{there} connections on the second node; log:\n{}", stage.service.log()))
    });
    eventually("nothing is left on the first node", || {
        let here = cluster.first.connections_of(NAME, false);
        holds(here.is_empty(), format!("{here:?}"))
    });
    let took = since.elapsed();
    Ok(settle_whole(stage, took, inbox))
}

/// The other node is down, and what the cluster calls the first node is only another name for it: the service stays, and
/// moves when there is somewhere to go.
pub fn a_node_in_lame_duck_mode_alone(release: Release) -> Result<Report, &'static str> {
    let mut cluster = Cluster::start(release, "");
    let port = cluster.first.port();
    let mut stage = Stage::start(&format!("nats://localhost:{port}"), port, Login::default(), &[]);
    cluster.second.terminate();
    cluster.first.signal("USR2");
    eventually("the service has looked around", || {
        let log = stage.service.log();
        holds(log.contains("no other NATS server can be reached"), log)
    });
    stage.wait_flow(stage.received_count() + 50);
    stage.service.wait_ready();
    assert_eq!(cluster.first.connections_of(NAME, false).len(), 1, "it has stayed");
    assert_eq!(stage.reconnect_count(), 0);

    stage.note_break();
    let back = cluster.second.start_again();
    within(MOVE_LIMIT, "the service moves", || {
        let there = cluster.second.connections_of(NAME, false).len();
        holds(there == 1, format!("{there} connections on the second node; log:\n{}", stage.service.log()))
    });
    let recovery = stage.wait_recovered(back, 1, MOVE_LIMIT);
    Ok(stage.settle(vec![recovery], Loss::InHand, None))
}
