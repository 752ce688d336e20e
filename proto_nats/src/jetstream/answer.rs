//! What the JetStream API answers: JSON objects, of which a few fields are read. One that is missing or odd is as good as
//! absent, as they come and go with versions, but for those without which nothing can be decided.

use serde::Deserialize;

use super::time::parse_rfc3339;
use crate::json::{object, or_default};

/// An answer is a few KiB; thousands of subjects make it longer.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Of a server's text that is kept.
const DESCRIPTION_BYTES_MAX: usize = 256;

/// The server's refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// As of HTTP: 400, 404, 503 …
    pub code: u16,
    /// What is wrong, in JetStream's own numbers; 0: the server did not say.
    pub err_code: u32,
    /// What is wrong, in the server's words.
    pub description: String,
}

impl ApiError {
    /// There is no stream of this name.
    pub const STREAM_NOT_FOUND: u32 = 10_059;
    /// There is no consumer of this name.
    pub const CONSUMER_NOT_FOUND: u32 = 10_014;
    /// A stream of this name was made meanwhile, with another configuration.
    pub const STREAM_NAME_IN_USE: u32 = 10_058;
    /// What the consumer should filter by is nothing that the stream takes (before 2.10).
    pub const FILTER_NOT_IN_STREAM: u32 = 10_093;
    /// JetStream is off for this account.
    pub const NOT_ENABLED_FOR_ACCOUNT: u32 = 10_039;
    /// JetStream is off.
    pub const NOT_ENABLED: u32 = 10_076;
}

/// Why an answer is not the one that was hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerFault {
    /// It says no.
    Refused(ApiError),
    /// It is no JSON object, too long, or lacks what must be there.
    Unreadable,
}

/// When a message leaves the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// By age and size alone.
    Limits,
    /// When all consumers have acknowledged it.
    Interest,
    /// When one consumer has acknowledged it.
    WorkQueue,
}

/// Where messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In memory: gone when the server ends.
    Memory,
    /// In files.
    File,
}

/// A stream as STREAM.INFO describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAnswer {
    /// What it takes; empty: a mirror, or one that is filled from other streams.
    pub subjects: Vec<String>,
    /// An unknown one reads as limits.
    pub retention: Retention,
    /// An unknown one reads as file.
    pub storage: Storage,
    /// Unix ns of its making, which tells it from another one of its name. `None`: the server did not say.
    pub created_ns: Option<u64>,
    /// Of the first message that it holds, or will hold.
    pub first_sequence: u64,
    /// Of the last message that it has taken; 0: none so far.
    pub last_sequence: u64,
    /// When it stored the first one, in Unix ns. `None`: it holds none, or the server did not say.
    pub first_ns: Option<u64>,
    /// Messages leave it when they are so old. `None`: their age does not matter.
    pub max_age_ns: Option<u64>,
    /// So many it holds.
    pub messages: u64,
    /// So many between the first and the last are gone.
    pub deleted: u64,
    /// The sequence it began with, if that was not 1.
    pub began_with: u64,
    /// The server that leads it, in a cluster; else empty or always the same.
    pub leader: String,
    /// The server's time of this answer, in Unix ns. `None` before 2.10.
    pub server_ns: Option<u64>,
}

/// A consumer as CONSUMER.CREATE and CONSUMER.INFO describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerAnswer {
    /// Unix ns of its making, by the server's clock.
    pub created_ns: Option<u64>,
    /// So many messages it has delivered.
    pub delivered: u64,
    /// So far it has looked through the stream; of one just made: it starts behind that. `None`: the server did not say.
    pub stream_sequence: Option<u64>,
    /// So many it has still to deliver.
    pub pending: u64,
    /// So many pull requests it knows of.
    pub waiting: u64,
    /// It filters, by one subject or several. Not, though asked to: a server before 2.10, which knows no `filter_subjects`.
    pub is_filtered: bool,
    /// As of [`StreamAnswer::server_ns`].
    pub server_ns: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawAnswer {
    #[serde(deserialize_with = "or_default")]
    error: Option<RawError>,
    #[serde(deserialize_with = "or_default")]
    config: RawConfig,
    #[serde(deserialize_with = "or_default")]
    state: RawState,
    #[serde(deserialize_with = "or_default")]
    cluster: RawCluster,
    #[serde(deserialize_with = "or_default")]
    created: String,
    #[serde(deserialize_with = "or_default")]
    ts: String,
    #[serde(deserialize_with = "or_default")]
    delivered: RawDelivered,
    #[serde(deserialize_with = "or_default")]
    num_pending: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    num_waiting: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawError {
    #[serde(deserialize_with = "or_default")]
    code: u16,
    #[serde(deserialize_with = "or_default")]
    err_code: u32,
    #[serde(deserialize_with = "or_default")]
    description: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawConfig {
    #[serde(deserialize_with = "or_default")]
    subjects: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    retention: String,
    #[serde(deserialize_with = "or_default")]
    storage: String,
    #[serde(deserialize_with = "or_default")]
    first_seq: u64,
    #[serde(deserialize_with = "or_default")]
    max_age: u64,
    #[serde(deserialize_with = "or_default")]
    filter_subject: String,
    #[serde(deserialize_with = "or_default")]
    filter_subjects: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawState {
    #[serde(deserialize_with = "or_default")]
    messages: u64,
    #[serde(deserialize_with = "or_default")]
    first_seq: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    last_seq: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    first_ts: String,
    #[serde(deserialize_with = "or_default")]
    num_deleted: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawCluster {
    #[serde(deserialize_with = "or_default")]
    leader: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawDelivered {
    #[serde(deserialize_with = "or_default")]
    consumer_seq: u64,
    #[serde(deserialize_with = "or_default")]
    stream_seq: Option<u64>,
}

/// Reads an answer to STREAM.INFO.
pub fn decode_stream(text: &[u8]) -> Result<StreamAnswer, AnswerFault> {
    let raw = decode(text)?;
    let (Some(first_sequence), Some(last_sequence)) = (raw.state.first_seq, raw.state.last_seq) else {
        return Err(AnswerFault::Unreadable);
    };
    Ok(StreamAnswer {
        subjects: raw.config.subjects,
        retention: match raw.config.retention.as_str() {
            "interest" => Retention::Interest,
            "workqueue" => Retention::WorkQueue,
            _ => Retention::Limits,
        },
        storage: if raw.config.storage == "memory" { Storage::Memory } else { Storage::File },
        created_ns: parse_rfc3339(&raw.created),
        first_sequence,
        last_sequence,
        first_ns: parse_rfc3339(&raw.state.first_ts).filter(|_| raw.state.messages > 0),
        max_age_ns: Some(raw.config.max_age).filter(|&age_ns| age_ns > 0),
        messages: raw.state.messages,
        deleted: raw.state.num_deleted,
        began_with: raw.config.first_seq,
        leader: raw.cluster.leader,
        server_ns: parse_rfc3339(&raw.ts),
    })
}

/// Reads an answer to CONSUMER.CREATE or CONSUMER.INFO.
pub fn decode_consumer(text: &[u8]) -> Result<ConsumerAnswer, AnswerFault> {
    let raw = decode(text)?;
    Ok(ConsumerAnswer {
        created_ns: parse_rfc3339(&raw.created),
        delivered: raw.delivered.consumer_seq,
        stream_sequence: raw.delivered.stream_seq,
        pending: raw.num_pending.ok_or(AnswerFault::Unreadable)?,
        waiting: raw.num_waiting,
        is_filtered: !raw.config.filter_subject.is_empty() || !raw.config.filter_subjects.is_empty(),
        server_ns: parse_rfc3339(&raw.ts),
    })
}

/// Reads an answer of which only matters whether it is a refusal: to STREAM.CREATE.
pub fn decode_done(text: &[u8]) -> Result<(), AnswerFault> {
    decode(text).map(drop)
}

fn decode(text: &[u8]) -> Result<RawAnswer, AnswerFault> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err(AnswerFault::Unreadable);
    }
    let mut raw: RawAnswer = object(text).map_err(|_| AnswerFault::Unreadable)?;
    match raw.error.take() {
        None => Ok(raw),
        Some(RawError { code, err_code, mut description }) => {
            description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES_MAX));
            Err(AnswerFault::Refused(ApiError { code, err_code, description }))
        }
    }
}
