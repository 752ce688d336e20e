//! Recordings, read without the project's own reader.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::recording_files::Recording;
use super::{json, parse};

#[derive(Deserialize)]
struct Line {
    ts: Option<Box<RawValue>>,
    subject: String,
    payload: Box<RawValue>,
}

/// The events of a recording: receipt, subject, payload.
pub fn read(recording: &Recording) -> Vec<super::generator::Message> {
    let Recording { name, path } = recording;
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let input: Box<dyn Read> = match name.ends_with(".gz") {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    let record = |(index, line): (usize, Result<String, _>)| {
        let line = line.unwrap_or_else(|error| panic!("{name}: {error}"));
        let line: Line =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name}, line {}: {error}", index + 1));
        let receipt = line.ts.and_then(|ts| parse::any_timestamp(&json::parse(ts.get())?));
        (receipt, line.subject, line.payload.get().as_bytes().to_vec())
    };
    BufReader::new(input).lines().enumerate().map(record).collect()
}
