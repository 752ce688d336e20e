//! Recorded market data, read from `../shared/data` beside the project. Its records have no receipt times of their own.

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The events of a recording: receipt, subject, payload. A file that is missing fails the test.
pub fn read(name: &str) -> Vec<super::generator::Message> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(MultiGzDecoder::new(file)).lines();
    lines
        .map(|line| {
            let record: Value = serde_json::from_str(&line.expect("readable gzip")).expect("one record a line");
            let receipt = record.get("ts").and_then(super::parse::timestamp);
            let subject = record["subject"].as_str().expect("a subject").to_owned();
            (receipt, subject, record["payload"].to_string().into_bytes())
        })
        .collect()
}
