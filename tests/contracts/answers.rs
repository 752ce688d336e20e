//! What HTTP answers, held against the OpenAPI that the service itself serves.

use std::collections::{BTreeMap, BTreeSet};

use senpai_md_consumer::engine::bounds::LATEST_MAX;
use serde_json::Value;

use crate::contract::{Contract, document, name_of};
use crate::shapes::check_strict;
use crate::stage::Stage;
use crate::support::event_stream::EventStream;
use crate::support::events::{RISE_WARM_UP, rising_market};
use crate::support::http::{Connection, Reply};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::service::Service;
use crate::support::{eventually, holds, http};

/// The served document, and its schemas.
struct Served {
    openapi: Value,
    contract: Contract,
}

impl Served {
    fn by(service: &Service) -> Served {
        let openapi = service.document("/openapi.json");
        Served { contract: Contract::of(openapi.clone(), "/components/schemas"), openapi }
    }

    /// How a path's answer of that status is described.
    #[track_caller]
    fn response(&self, path: &str, status: u16) -> &Value {
        let response = &self.openapi["paths"][path]["get"]["responses"][status.to_string()];
        match response["$ref"].as_str() {
            Some(_) => &self.openapi["components"]["responses"][name_of(response)],
            None => response,
        }
    }

    /// The answer is as it is described; returns the schema's name, where it has one.
    #[track_caller]
    fn check(&self, path: &str, reply: &Reply) -> Option<String> {
        let response = self.response(path, reply.status);
        let content_type = reply.header("content-type").and_then(|it| it.split(';').next()).expect("a content type");
        let schema = &response["content"][content_type]["schema"];
        assert!(schema.is_object(), "{path}, {}: no {content_type} is described", reply.status);
        for field in response["headers"].as_object().into_iter().flatten().map(|(field, _)| field) {
            assert!(reply.header(&field.to_ascii_lowercase()).is_some(), "{path}: no {field}: {reply:?}");
        }
        if content_type != "application/json" {
            return None;
        }
        let body: Value = serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let any: Vec<&Value> = schema["anyOf"].as_array().map_or(vec![schema], |any| any.iter().collect());
        let names = any.into_iter().filter(|schema| !schema["$ref"].is_null()).map(name_of);
        let mut refusals = Vec::new();
        for name in names {
            match self.contract.refusal(name, &body) {
                None => return Some(name.to_owned()),
                Some(refusal) => refusals.push(refusal),
            }
        }
        assert!(refusals.is_empty(), "{path}, {}: {refusals:?}\n{body}", reply.status);
        None
    }
}

/// Targets, and the status of their answers.
const REQUESTS: [(&str, u16); 30] = [
    ("/", 200),
    ("/?symbol=%zz", 400),
    ("/health", 200),
    ("/health?pretty=1", 200),
    ("/health?%", 400),
    ("/ready", 200),
    ("/ready?%", 400),
    ("/metrics", 200),
    ("/metrics?%", 400),
    ("/stats", 200),
    ("/stats?%", 400),
    ("/state/latest?symbol=A", 200),
    ("/state/latest?symbol=RISE&pretty=1", 200),
    ("/state/latest", 400),
    ("/state/latest?symbol=NONE", 404),
    ("/features/latest?symbol=BTCUSDT", 200),
    ("/features/latest?symbol=", 400),
    ("/features/latest?symbol=NONE", 404),
    ("/features?symbol=A", 200),
    ("/features", 400),
    ("/features?symbol=NONE&pretty=1", 404),
    ("/signals/latest", 200),
    ("/signals/latest?symbol=RISE&limit=3", 200),
    ("/signals/latest?limit=99999999999999999999999999999999999999999", 200),
    ("/signals/latest?limit=0", 400),
    ("/alerts/latest?symbol=A&limit=1", 200),
    ("/alerts/latest", 200),
    ("/alerts/latest?limit=-1", 400),
    ("/openapi.json", 200),
    ("/openapi.json?%", 400),
];

#[test]
fn every_answer_is_as_it_is_described() {
    let mut stage = Stage::start("merged");
    stage.play();
    stage.published.wait_until("a signal and alerts", |messages| {
        let has = |kind: &str| messages.iter().any(|it| it.payload["kind"] == kind);
        messages.iter().any(|it| it.subject.starts_with("senpai.signals.")) && has("latency") && has("symbol_limit")
    });
    let (service, served) = (&stage.service, Served::by(&stage.service));
    let paths: BTreeSet<&str> =
        served.openapi["paths"].as_object().expect("paths").keys().map(String::as_str).collect();

    let mut seen: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::from([("/events", BTreeSet::from([200, 400]))]);
    for (target, status) in REQUESTS {
        let path = target.split('?').next().expect("a path");
        let reply = http::try_get(service.address(), target).unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        if let Some(name) = served.check(path, &reply)
            && name != "Error"
        {
            check_strict(&served.contract, &name, &serde_json::from_str(&reply.body).expect("it has been read"));
        }
        seen.entry(path).or_default().insert(status);
    }
    // What is described is there, and has been asked for.
    assert_eq!(paths, seen.keys().copied().collect());
    for path in &paths {
        let described = served.openapi["paths"][path]["get"]["responses"].as_object().expect("responses");
        let described: BTreeSet<u16> = described.keys().map(|status| status.parse().expect("a number")).collect();
        let everywhere = BTreeSet::from([405, 408, 431, 503]);
        assert_eq!(described, &seen[path] | &everywhere, "{path}");
    }
    // The list that a 404 has of them is the same.
    let (status, none) = service.get("/none");
    assert_eq!(status, 404);
    let listed: BTreeSet<&str> = none
        .split(|c: char| c.is_whitespace() || ",;()\"".contains(c))
        .filter(|word| word.starts_with('/'))
        .map(|word| word.split('?').next().expect("a path"))
        .collect();
    assert_eq!(listed, paths, "{none}");

    for path in &paths {
        let refused = |request: String, status: u16| {
            let mut connection = Connection::open(service.address()).expect("it listens");
            connection.send(request.as_bytes()).expect("it takes a request");
            let reply = connection.read_reply().expect("a reply");
            assert_eq!(reply.status, status, "{path}: {reply:?}");
            served.check(path, &reply);
        };
        refused(format!("POST {path} HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
        refused(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000)), 431);
    }
}

#[test]
fn events_are_as_they_are_described() {
    let stage = Stage::start("primary");
    let contract = Contract::read();
    let events = EventStream::open(stage.service.address(), "", None);
    assert_eq!(events.status, 200);
    let mut events = events;
    events.next_of("status");
    stage.play();
    let mut samples: BTreeMap<String, Value> = BTreeMap::new();
    let mut has_latency = false;
    events.until("one of each", |event| {
        let name = match event.name.as_str() {
            "features" => "FeaturesUpdate",
            "signal" => "Signal",
            "alert" => "Alert",
            "status" => "Status",
            "lost" => "Lost",
            other => panic!("{other} is not described"),
        };
        contract.check(name, &event.data);
        has_latency |= event.data["processing_latency_ms"]["p50"].is_number();
        samples.insert(name.to_owned(), event.data.clone());
        has_latency && ["FeaturesUpdate", "Signal", "Alert", "Status"].iter().all(|name| samples.contains_key(*name))
    });
    for (name, sample) in samples {
        check_strict(&contract, &name, &sample);
    }
    let described = document("openapi.json")["paths"]["/events"]["get"]["description"].to_string();
    for words in ["`features` is a FeaturesUpdate", "`signal` a Signal", "`alert` an Alert", "`status` a Status"] {
        assert!(described.contains(words), "{described}");
    }
}

/// A reader that comes back after more signals than are kept is told that it has lost some, however fast the machine is.
#[test]
fn what_is_lost_is_as_it_is_described() {
    const SIGNALS: usize = 2 * LATEST_MAX;
    let stage = Stage::start("primary");
    let mut events = EventStream::open(stage.service.address(), "", None);
    let before = events.until("a place", |event| !event.id.is_empty()).pop().expect("it is the last").id;
    stage.bus.publish(&rising_market("RISE", RISE_WARM_UP + SIGNALS));
    // The number in an id is that of signals and alerts.
    events.until("all signals", |event| {
        let number = event.id.rsplit_once('-').map(|(_, number)| number.parse::<usize>().expect("a number"));
        number >= Some(SIGNALS)
    });
    let lost = EventStream::open(stage.service.address(), "", Some(&before)).next_of("lost").data;
    check_strict(&Contract::read(), "Lost", &lost);
    assert!(lost["signals_and_alerts"].as_u64() > Some(0), "{lost}");
    let described = document("openapi.json")["paths"]["/events"]["get"]["description"].to_string();
    assert!(described.contains("`lost` a Lost"), "{described}");
}

#[test]
fn a_service_without_nats_is_as_it_is_described() {
    let mut stage = Stage::start("primary");
    let served = Served::by(&stage.service);
    stage.server.kill();
    let unready = eventually("/ready is 503", || {
        let reply = http::try_get(stage.service.address(), "/ready").map_err(|error| error.to_string())?;
        holds(reply.status == 503, &reply.body).map(|()| reply)
    });
    assert_eq!(served.check("/ready", &unready).as_deref(), Some("Ready"));
    for path in ["/health", "/stats"] {
        served.check(path, &http::try_get(stage.service.address(), path).expect("a reply"));
    }
    assert_eq!(stage.service.document("/health")["status"], "degraded");
}

/// With JetStream each core has a position.
#[test]
fn a_position_in_a_stream_is_as_it_is_described() {
    let store = tempfile::tempdir().expect("a directory for temporary files");
    let configuration = format!("jetstream {{ store_dir: {:?} }}", store.path());
    let server = NatsServer::start_with(Release::Current, &configuration);
    let flags = ["--use-jetstream=true", "--jetstream-create-stream=true"];
    let service = Service::start_ready(&server.url(), &flags);
    let stats = service.stats();
    assert!(stats["cores"][0]["jetstream"].is_object(), "{stats}");
    let contract = Contract::read();
    check_strict(&contract, "Stats", &stats);
    let status = EventStream::open(service.address(), "", None).next_of("status").data;
    assert!(status["jetstream"].is_object(), "{status}");
    contract.check("Status", &status);
}
