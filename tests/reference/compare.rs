//! Whether the engine published what the reference says it must.

use super::{FEATURES, Published, json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub snapshots: usize,
    pub signals: usize,
    /// Subjects that had anything published.
    pub subjects: usize,
    /// The largest relative error of any feature but the latencies.
    pub worst_error: f64,
    /// Whether the messages also came in the same order across the subjects.
    pub same_order: bool,
}

/// Pairs snapshots and signals by subject, in order. The first difference is the error, and says where and what.
/// Alerts are not looked at.
pub fn compare(expected: &[Published], actual: &[Published]) -> Result<Summary, String> {
    let actual: Vec<&Published> = actual.iter().filter(|message| message.subject != "senpai.alerts").collect();
    let mut by_subject: BTreeMap<&str, (Vec<&Published>, Vec<&Published>)> = BTreeMap::new();
    for message in expected {
        by_subject.entry(&message.subject).or_default().0.push(message);
    }
    for message in &actual {
        by_subject.entry(&message.subject).or_default().1.push(message);
    }
    let mut summary = Summary { subjects: by_subject.len(), ..Summary::default() };
    for (subject, (expected, actual)) in &by_subject {
        for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            let at = format!("{subject} #{index} (ts {})", text(&expected.payload, "ts"));
            compare_message(expected, actual, &mut summary).map_err(|difference| format!("{at}: {difference}"))?;
        }
        if expected.len() != actual.len() {
            let common = expected.len().min(actual.len());
            let (whose, extra) = match expected.get(common) {
                Some(missing) => ("missing", missing),
                None => ("unexpected", &actual[common]),
            };
            return Err(format!(
                "{subject}: expected {} messages, actual {}; #{common} is {whose}: {}",
                expected.len(),
                actual.len(),
                extra.payload
            ));
        }
    }
    let order = |message: &Published| (message.subject.clone(), text(&message.payload, "ts"));
    summary.same_order = expected.iter().map(order).eq(actual.iter().map(|message| order(message)));
    Ok(summary)
}

fn compare_message(expected: &Published, actual: &Published, summary: &mut Summary) -> Result<(), String> {
    let is_signal = expected.subject.starts_with("senpai.signals.");
    let (want, have) = (object(&expected.payload)?, object(&actual.payload)?);
    same_keys(want, have)?;
    for key in
        ["ts", "id", "symbol", "provider", "direction", "rule", "window_truncated", "trade_age_ms", "quote_age_ms"]
    {
        if want.get(key) != have.get(key) {
            return Err(format!("{key}: expected {:?}, actual {:?}", want.get(key), have.get(key)));
        }
    }
    if is_signal {
        summary.signals += 1;
        close("price", &want["price"], &have["price"], summary)?;
    } else {
        summary.snapshots += 1;
    }

    let (want, have) = (object(&want["features"])?, object(&have["features"])?);
    same_keys(want, have)?;
    for name in FEATURES.iter().filter(|name| !name.starts_with("latency_")) {
        close(name, &want[*name], &have[*name], summary)?;
    }
    compare_latency(expected, have)
}

fn compare_latency(expected: &Published, have: &Map<String, Value>) -> Result<(), String> {
    let window = expected.latency.as_ref().ok_or("the expected side must come from the reference")?;
    let (p50, p95) = (&have["latency_ms_p50"], &have["latency_ms_p95"]);
    let is_number_or_null = |value: &Value| value.is_null() || value.is_number();
    if is_number_or_null(p50) && is_number_or_null(p95) && window.accepts(p50.as_f64(), p95.as_f64()) {
        return Ok(());
    }
    Err(format!(
        "latency_ms_p50, latency_ms_p95: actual {p50}, {p95}; exact over 60 s {:?}; all acceptable (± 1 %) {:?}",
        window.percentiles(),
        window.latency_accept(),
    ))
}

/// Null for null, else equal to 1e-9 relative.
fn close(name: &str, expected: &Value, actual: &Value, summary: &mut Summary) -> Result<(), String> {
    let differs = || format!("{name}: expected {expected}, actual {actual}");
    let (want, have) = match (expected, actual) {
        (Value::Null, Value::Null) => return Ok(()),
        _ => (expected.as_f64().ok_or_else(differs)?, actual.as_f64().ok_or_else(differs)?),
    };
    // A return is p/p' - 1: near zero the 1 that cancels leaves an error of its own size's last digit (2e-16), whatever the result.
    // The volatility of nearly equal log returns likewise. 1e-12 is far below anything that either could mean.
    let floor = if matches!(name, "return_10s" | "realized_vol_60s") { 1e-12 } else { 0.0 };
    let error = (want - have).abs();
    if error > (1e-9 * want.abs()).max(floor) {
        return Err(format!("{} (relative error {:e})", differs(), error / want.abs()));
    }
    if error > floor {
        summary.worst_error = summary.worst_error.max(error / want.abs());
    }
    Ok(())
}

/// Whether a snapshot's or a signal's fields stand in SPEC's order, each once.
pub fn has_keys_in_order(payload: &[u8]) -> bool {
    let names = |value: &json::Value| match value {
        json::Value::Object(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    };
    let Some(document) = std::str::from_utf8(payload).ok().and_then(json::parse) else { return false };
    let all = match document.get("id") {
        Some(_) => &SIGNAL[..],
        None => &SNAPSHOT[..],
    };
    // A provider need not be there.
    let expected = all.iter().filter(|name| **name != "provider" || document.get(name).is_some());
    names(&document).iter().eq(expected) && document.get("features").is_some_and(|f| names(f) == FEATURES)
}

const SNAPSHOT: [&str; 7] =
    ["symbol", "provider", "ts", "features", "window_truncated", "trade_age_ms", "quote_age_ms"];
const SIGNAL: [&str; 10] =
    ["id", "symbol", "provider", "ts", "direction", "rule", "price", "features", "trade_age_ms", "quote_age_ms"];

fn same_keys(want: &Map<String, Value>, have: &Map<String, Value>) -> Result<(), String> {
    if want.keys().eq(have.keys()) {
        return Ok(());
    }
    let missing: Vec<_> = want.keys().filter(|key| !have.contains_key(*key)).collect();
    let extra: Vec<_> = have.keys().filter(|key| !want.contains_key(*key)).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    Err(format!("fields missing {missing:?}, unexpected {extra:?}"))
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("no object: {value}"))
}

fn text(payload: &Value, key: &str) -> String {
    payload.get(key).and_then(Value::as_str).unwrap_or("?").to_owned()
}
