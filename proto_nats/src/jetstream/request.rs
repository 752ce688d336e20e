//! Requests to the JetStream API: subjects and JSON.

use serde::Serialize;

use super::Start;
use super::pulls::PullRequest;
use super::settings::ReaderSettings;
use super::time::format_rfc3339;
use super::trouble::api_prefix;

/// Nobody pulls for so long: the server deletes the consumer by itself.
const INACTIVE_THRESHOLD_NS: u64 = 30 * crate::SECOND_NS;

/// Subjects of the API for one stream.
#[derive(Debug)]
pub struct Api {
    prefix: String,
    stream: String,
}

impl Api {
    pub fn new(settings: &ReaderSettings) -> Api {
        Api { prefix: api_prefix(settings.domain.as_deref()), stream: settings.stream.clone() }
    }

    pub fn stream_info(&self) -> String {
        format!("{}.STREAM.INFO.{}", self.prefix, self.stream)
    }

    pub fn stream_create(&self) -> String {
        format!("{}.STREAM.CREATE.{}", self.prefix, self.stream)
    }

    /// `verb`: CREATE, INFO, DELETE, MSG.NEXT
    pub fn consumer(&self, verb: &str, name: &str) -> String {
        format!("{}.CONSUMER.{verb}.{}.{name}", self.prefix, self.stream)
    }

    /// Whether requests are published there, by any of these names.
    pub fn is_asked_at(&self, subject: &str) -> bool {
        subject.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }
}

#[derive(Serialize)]
struct StreamConfig<'a> {
    name: &'a str,
    subjects: &'a [String],
    retention: &'static str,
    storage: &'static str,
    discard: &'static str,
    max_age: u64,
    max_bytes: i64,
    num_replicas: u32,
}

pub fn stream_config(settings: &ReaderSettings) -> Vec<u8> {
    to_json(&StreamConfig {
        name: &settings.stream,
        subjects: &settings.subjects,
        retention: "limits",
        storage: "memory",
        discard: "old",
        max_age: settings.max_age_ns,
        max_bytes: i64::try_from(settings.max_bytes).unwrap_or(i64::MAX),
        num_replicas: 1,
    })
}

#[derive(Serialize)]
struct ConsumerCreate<'a> {
    stream_name: &'a str,
    action: &'static str,
    config: ConsumerConfig<'a>,
}

#[derive(Serialize)]
struct ConsumerConfig<'a> {
    name: &'a str,
    description: &'a str,
    deliver_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_time: Option<String>,
    ack_policy: &'static str,
    replay_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    filter_subjects: &'a [String],
    inactive_threshold: u64,
    num_replicas: u32,
    mem_storage: bool,
}

/// What a consumer takes of the stream.
#[derive(Debug, Clone, Copy)]
pub enum Filters<'a> {
    All,
    One(&'a str),
    /// From 2.10 on.
    Several(&'a [String]),
}

pub fn consumer_create(settings: &ReaderSettings, name: &str, start: Start, filters: Filters<'_>) -> Vec<u8> {
    let (filter_subject, filter_subjects) = match filters {
        Filters::All => (None, &[][..]),
        Filters::One(filter) => (Some(filter), &[][..]),
        Filters::Several(filters) => (None, filters),
    };
    let (deliver_policy, opt_start_seq, opt_start_time) = match start {
        Start::NewestOfEach => ("last_per_subject", None, None),
        Start::First => ("all", None, None),
        Start::Since(unix_ns) => ("by_start_time", None, Some(format_rfc3339(unix_ns))),
        Start::From(sequence) | Start::At { sequence, .. } => ("by_start_sequence", Some(sequence), None),
    };
    to_json(&ConsumerCreate {
        stream_name: &settings.stream,
        action: "create",
        config: ConsumerConfig {
            name,
            description: &settings.description,
            deliver_policy,
            opt_start_seq,
            opt_start_time,
            ack_policy: "none",
            replay_policy: "instant",
            filter_subject,
            filter_subjects,
            inactive_threshold: INACTIVE_THRESHOLD_NS,
            num_replicas: 1,
            mem_storage: true,
        },
    })
}

#[derive(Serialize)]
struct Next {
    batch: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<usize>,
    expires: u64,
    idle_heartbeat: u64,
}

pub fn next(request: &PullRequest, heartbeat_ns: u64) -> Vec<u8> {
    let &PullRequest { batch, max_bytes, expires_ns } = request;
    to_json(&Next { batch, max_bytes, expires: expires_ns, idle_heartbeat: heartbeat_ns })
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and booleans serialise")
}
