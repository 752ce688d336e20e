//! The schemas themselves: they are whole, and refuse what is not of their shape.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::contract::{Contract, document, references};
use crate::stage::generated;

/// Each `$ref` of the documents leads somewhere.
#[test]
fn references_are_there() {
    let names = ["schemas.json", "openapi.json", "asyncapi.json"];
    let documents = names.map(|name| (name, document(name)));
    for (name, document) in &documents {
        let all = references(document);
        assert!(!all.is_empty(), "{name}");
        for reference in all {
            let (file, pointer) = reference.split_once('#').unwrap_or_else(|| panic!("{name}: {reference}"));
            let in_file = documents.iter().find(|(other, _)| *other == if file.is_empty() { *name } else { file });
            let target = in_file.and_then(|(_, document)| document.pointer(pointer));
            assert!(target.is_some(), "{name} refers to {reference}, which is not there");
        }
    }
}

/// All are used: by a message, an answer, an event of /events or another schema.
#[test]
fn no_schema_is_left_over() {
    let documents = ["schemas.json", "openapi.json", "asyncapi.json"].map(document);
    let named: BTreeSet<&str> =
        documents.iter().flat_map(references).filter_map(|reference| reference.rsplit('/').next()).collect();
    let events = documents[1]["paths"]["/events"]["get"]["description"].as_str().expect("it is described").to_owned();
    for name in Contract::read().names() {
        assert!(named.contains(name) || events.contains(name), "{name}");
    }
}

#[test]
fn the_version_is_that_of_the_service() {
    for name in ["openapi.json", "asyncapi.json"] {
        assert_eq!(document(name)["info"]["version"], env!("CARGO_PKG_VERSION"), "{name}");
    }
}

/// What a producer may send is not closed, as unknown fields are skipped; what it must have is said.
#[test]
fn events_of_the_generated_market_fit() {
    let contract = Contract::read();
    let schema = |kind: &str| match kind {
        "trade" => "TradeEvent",
        "quote" => "QuoteEvent",
        "book_l2" => "BookEvent",
        "heartbeat" => "HeartbeatEvent",
        other => panic!("{other}"),
    };
    let mut seen = BTreeSet::new();
    for (subject, payload) in generated(3000) {
        let kind = schema(subject.split('.').nth(2).expect("a kind"));
        contract.check(kind, &serde_json::from_slice(&payload).expect("JSON"));
        seen.insert(kind);
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    for (name, payload) in [
        ("TradeEvent", json!({"price": 1})),
        ("TradeEvent", json!({"price": [], "size": 1})),
        ("QuoteEvent", json!({"bid_size": 1})),
        ("BookEvent", json!({"bids": [[1, 2]]})),
        ("BookEvent", json!({"bids": [[1]], "asks": []})),
    ] {
        assert!(contract.refusal(name, &payload).is_some(), "{name} takes {payload}");
    }
}

/// The sample fits, and nothing that differs from it by a field.
#[track_caller]
pub fn check_strict(contract: &Contract, name: &str, sample: &Value) {
    contract.check(name, sample);
    for (what, mutant) in mutants(sample) {
        assert!(contract.refusal(name, &mutant).is_some(), "{name} takes a document with {what}: {mutant}");
    }
}

/// Fields that may be left out.
fn is_optional(path: &str) -> bool {
    let by_type = ["/dropped/", "/events_in_by_type/"].iter().any(|of| path.contains(of) && !path.ends_with("d/"));
    let is_reason = path.contains("/dropped/") && path.rsplit("/dropped/").next().is_some_and(|it| !it.contains('/'));
    path == "/provider" || path.ends_with("/0/provider") && path.contains("signals") || by_type && !is_reason
}

/// The document without each of its fields, with one more in each object, and with each value of another type. Of lists the
/// first item is tried.
fn mutants(sample: &Value) -> Vec<(String, Value)> {
    let mut mutants = Vec::new();
    for path in paths(sample, String::new()) {
        let mut put = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut mutant = sample.clone();
            change(mutant.pointer_mut(&path).expect("it is there"));
            mutants.push((format!("{what} at {path:?}"), mutant));
        };
        let value = sample.pointer(&path).expect("it is there");
        put("another type", &|value| *value = if value.is_object() { json!("text") } else { json!({"no": 1}) });
        if value.is_number() {
            put("text", &|value| *value = json!(value.to_string()));
        }
        for field in value.as_object().into_iter().flatten().map(|(field, _)| field) {
            if !is_optional(&format!("{path}/{field}")) {
                put(&format!("no {field}"), &|value| _ = value.as_object_mut().and_then(|it| it.remove(field)));
            }
        }
        if value.is_object() {
            put("one field more", &|value| value["unheard_of"] = json!(1));
        }
    }
    mutants
}

fn paths(value: &Value, path: String) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().take(1).map(|item| ("0".to_owned(), item)).collect(),
        _ => Vec::new(),
    };
    let inner = inner.into_iter().flat_map(|(name, value)| paths(value, format!("{path}/{name}"))).collect();
    [vec![path], inner].concat()
}
