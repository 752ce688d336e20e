//! Those who read a part of the stream, or one that is elsewhere.

use std::collections::BTreeSet;

use serde_json::json;

use crate::client::{Client, Operator};
use crate::producer::{produce_at_once, symbol};
use crate::stage::{FLAGS, LIMIT, Report, Stage, account, held, server};
use crate::support::events::{now_ns, trade};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::service::Service;
use crate::support::{holds, within};

/// Before the start, and after it.
const EVENTS: usize = 2_000;

fn start(server: &NatsServer, flags: &[&str]) -> Service {
    Service::start(&server.url(), &[&FLAGS, flags].concat())
}

/// Ready on what was there, and then all of `wanted` is applied.
#[track_caller]
fn check(server: &NatsServer, services: &[&Service], wanted: impl Fn(usize) -> bool) -> Report {
    for service in services {
        service.wait_ready();
    }
    produce_at_once(server.port(), EVENTS..2 * EVENTS);
    let truth: BTreeSet<usize> =
        held(&Operator::new(server.port())).into_iter().filter(|number| wanted(*number)).collect();
    within(LIMIT, "all is applied", || {
        let counts = services.iter().map(|service| service.stats()["events_in"].as_u64().expect("a count") as usize);
        let applied: usize = counts.sum();
        holds(applied >= truth.len(), format!("{applied} of {}", truth.len()))
    });
    let report = account(services, &truth, Vec::new());
    assert_eq!((report.missed, report.applied, report.told[0]), (0, truth.len(), 0), "{report:?}");
    report
}

fn filled(release: Release) -> NatsServer {
    let server = server(release);
    Operator::new(server.port()).make_stream(&json!({}));
    produce_at_once(server.port(), 0..EVENTS);
    server
}

pub fn two_cores(release: Release) -> Result<Report, &'static str> {
    let server = filled(release);
    let service = start(&server, &["--cores", "2"]);
    let mut report = check(&server, &[&service], |_| true);
    let cores: Vec<String> =
        service.stats()["cores"].as_array().unwrap().iter().map(|core| core["events_in"].to_string()).collect();
    report.note = format!("by core: {}", cores.join(", "));
    Ok(report)
}

pub fn two_shards(release: Release) -> Result<Report, &'static str> {
    let server = filled(release);
    let (one, other) = (start(&server, &["--shard", "0/2"]), start(&server, &["--shard", "1/2"]));
    let mut report = check(&server, &[&one, &other], |_| true);
    report.note = format!("by shard: {}, {}", one.stats()["events_in"], other.stats()["events_in"]);
    Ok(report)
}

/// By filters of the consumer where the server knows several (2.10), else by passing over.
pub fn symbols(release: Release) -> Result<Report, &'static str> {
    let server = filled(release);
    let wanted = |number: usize| number % 50 == 7;
    let names: Vec<String> = (0..2 * EVENTS).filter(|number| wanted(*number)).map(symbol).collect();
    let service = start(&server, &["--symbols", &names.join(",")]);
    let mut report = check(&server, &[&service], wanted);
    let operator = Operator::new(server.port());
    let name = &operator.consumers()[0];
    let info = operator.must(&format!("CONSUMER.INFO.{}.{name}", crate::client::STREAM), &json!({}));
    let filters = info["config"]["filter_subjects"].as_array().map_or(0, Vec::len);
    assert_eq!(filters > 0, release.version() >= [2, 10, 0], "{info}");
    report.note = format!("{filters} filters");
    Ok(report)
}

pub fn prefix_and_domain(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "jetstream { store_dir: \"store\", domain: hub }");
    Operator::new(server.port()).make_stream(&json!({ "name": "MD_EVENTS", "subjects": ["other.events.>"] }));
    let prefix = ["--subject-prefix", "other.events"];
    let elsewhere = [&prefix[..], &["--jetstream-domain", "nowhere"]].concat();
    let astray = Stage::begin(&server.url(), server.port(), &elsewhere);
    astray.wait_trouble(&["the server has no JetStream"]);
    let service = start(&server, &[&prefix[..], &["--jetstream-domain", "hub"]].concat());
    service.wait_ready();
    let mut client = Client::open(server.port(), None, "_INBOX.none").expect("a server");
    for number in 0..EVENTS {
        let (_, payload) = trade(&symbol(number), now_ns(), 100.0);
        client.publish(&format!("other.events.trade.{}", symbol(number)), "", &payload);
    }
    client.flush().expect("the server takes it");
    service.wait_events_in(EVENTS);
    let report = account(&[&service], &held(&Operator::new(server.port())), Vec::new());
    assert_eq!(report.missed, 0, "{report:?}");
    Ok(report)
}
