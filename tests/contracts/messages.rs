//! What the service publishes, held against AsyncAPI.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contract::{Contract, document, name_of};
use crate::shapes::check_strict;
use crate::stage::{MARKET_SYMBOLS, Stage};

/// The schema's name for what the service sends on a subject.
fn schema(asyncapi: &Value, subject: &str) -> String {
    let sends = |channel: &str| {
        let operations = asyncapi["operations"].as_object().expect("operations").values();
        let channel = format!("#/channels/{channel}");
        operations.into_iter().any(|of| of["action"] == "send" && of["channel"]["$ref"] == channel)
    };
    let is_of = |address: &str| match address.split_once('{') {
        Some((start, _)) => subject.len() > start.len() && subject.starts_with(start),
        None => subject == address,
    };
    let channels = asyncapi["channels"].as_object().expect("channels").iter();
    let mut found = channels.filter(|(name, channel)| {
        sends(name) && is_of(channel["address"].as_str().unwrap_or_else(|| panic!("{name}: no address")))
    });
    let (name, channel) = found.next().unwrap_or_else(|| panic!("no channel is for {subject}"));
    let messages = channel["messages"].as_object().expect("messages");
    let message = messages.values().next().unwrap_or_else(|| panic!("{name}: no message"));
    let message = &asyncapi["components"]["messages"][name_of(message)];
    name_of(&message["payload"]).to_owned()
}

/// Each kind of message, and each alert, that the market brings.
fn published_in(mode: &str, alerts: &[&str]) {
    let (contract, asyncapi) = (Contract::read(), document("asyncapi.json"));
    let mut stage = Stage::start(mode);
    stage.play();
    let published = stage.published.wait_until("features, signals and alerts", |messages| {
        let of = |prefix: &str| messages.iter().filter(|it| it.subject.starts_with(prefix)).count();
        let fires = |kind: &&str| messages.iter().any(|it| it.payload["kind"] == *kind);
        of("senpai.features.") > MARKET_SYMBOLS
            && of("senpai.signals.") > 0
            && alerts.iter().all(fires)
            && messages.iter().any(|it| it.payload["state"] == "resolved")
    });
    let mut samples: BTreeMap<String, &Value> = BTreeMap::new();
    for message in published {
        let name = schema(&asyncapi, &message.subject);
        contract.check(&name, &message.payload);
        samples.insert(name, &message.payload);
        if let Some(symbol) = message.payload["symbol"].as_str().filter(|_| message.subject != "senpai.alerts") {
            let named = message.subject.splitn(3, '.').nth(2).expect("a name");
            assert_eq!(named.split('@').next(), Some(symbol), "{message:?}");
        }
    }
    assert_eq!(samples.keys().collect::<Vec<_>>(), ["Alert", "Features", "Signal"]);
    for (name, sample) in samples {
        check_strict(&contract, &name, sample);
    }
    let has_provider = published.iter().any(|it| it.payload["provider"].is_string() && it.payload["kind"].is_null());
    assert_eq!(has_provider, mode != "merged");
}

#[test]
fn messages_of_the_mode_merged() {
    published_in("merged", &["mixed_providers", "latency", "symbol_limit", "clock_skew"]);
}

#[test]
fn messages_of_the_mode_separate() {
    published_in("separate", &["clock_skew"]);
}

#[test]
fn messages_of_the_mode_primary() {
    published_in("primary", &["latency", "symbol_limit"]);
}

/// The kinds of alerts are those that are counted.
#[test]
fn kinds_of_alerts() {
    let stage = Stage::start("primary");
    let (_, metrics) = stage.service.get("/metrics");
    let counted = metrics.lines().filter_map(|line| line.strip_prefix("senpai_alerts_total{kind=\""));
    let mut counted: Vec<Value> = counted.filter_map(|rest| Some(json!(rest.split_once('"')?.0))).collect();
    let schemas = document("schemas.json");
    let mut named = schemas["$defs"]["Alert"]["properties"]["kind"]["enum"].as_array().expect("a list").clone();
    counted.sort_by_key(Value::to_string);
    named.sort_by_key(Value::to_string);
    assert_eq!(counted, named);
}
