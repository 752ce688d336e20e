//! What a server says about a pull request, apart from messages: a header block with a status, to the request's inbox.
//!
//! ```text
//!   100 Idle Heartbeat, FlowControl Request        the pull goes on
//!   404, 408                                       over: nothing there, time is up
//!   409 Batch Completed, Message Size Exceeds MaxBytes, Leadership Change, Server Shutdown, Exceeded MaxRequest…
//!   409 Consumer Deleted, Consumer is push based   over, and so is the consumer
//!   423 Nats-Wrong-Pin-Id, 400, 412, 503           likewise: it is made anew
//! ```
//!
//! Sources: ADR-9, ADR-13, ADR-42; the texts of nats-server 2.9 to 2.15. The text decides for 409 alone, where it must.

use crate::headers::{Headers, decode_headers};

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// The consumer lives and has nothing to deliver.
    IdleHeartbeat {
        /// The last message that it has delivered, by its own count.
        consumer_sequence: Option<u64>,
        /// How far it has looked through the stream.
        stream_sequence: Option<u64>,
    },
    /// It wants an empty answer to the message's reply subject before it goes on.
    FlowControl,
    /// The pull is over.
    Over {
        /// Why.
        end: PullEnd,
        /// Of its `max_bytes`, so much was not used. `None`: not said.
        left_bytes: Option<u64>,
    },
}

/// Why a pull is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullEnd {
    /// Its time is up, or there is nothing.
    Expired,
    /// It has brought as many messages as it asked for.
    BatchCompleted,
    /// The next message is longer than what it asked for, or has left of that.
    ExceedsMaxBytes,
    /// It asked for more than this consumer or account may: so much is allowed, where the server said it.
    ExceedsLimit(Limit, Option<u64>),
    /// Another server leads the consumer from now on.
    LeadershipChange,
    /// The server goes.
    ServerShutdown,
    /// The consumer is gone: deleted, or there is none of this name (503).
    NoConsumer,
    /// The consumer is no pull consumer, or gives to another client, or did not understand the request.
    Refused(u16),
    /// Something new.
    Unknown(u16),
}

/// What a pull request may have too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `batch`
    Batch,
    /// `max_bytes`
    MaxBytes,
    /// `expires`
    Expires,
    /// Pull requests at a time.
    Waiting,
}

/// What is to be done when a pull is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterPull {
    /// Ask again.
    AskAgain,
    /// All pulls are over, not this one alone: ask again.
    AskAllAgain,
    /// The consumer is to be made anew.
    MakeAnew,
}

impl PullEnd {
    /// What is to be done then.
    pub fn after(self) -> AfterPull {
        match self {
            PullEnd::Expired | PullEnd::BatchCompleted | PullEnd::ExceedsMaxBytes | PullEnd::ExceedsLimit(..) => {
                AfterPull::AskAgain
            }
            // Something new: should nothing come of asking again, then the consumer is made anew for that.
            PullEnd::Unknown(_) => AfterPull::AskAgain,
            PullEnd::LeadershipChange | PullEnd::ServerShutdown => AfterPull::AskAllAgain,
            PullEnd::NoConsumer | PullEnd::Refused(_) => AfterPull::MakeAnew,
        }
    }
}

impl PullStatus {
    /// Reads a message's header block. `None`: there is no status in it.
    pub fn parse(block: &[u8]) -> Option<PullStatus> {
        let headers = decode_headers(block).ok()?;
        let end = match headers.status? {
            100 => return Some(heartbeat(&headers)),
            404 | 408 => PullEnd::Expired,
            409 => conflict(headers.description),
            503 => PullEnd::NoConsumer,
            status @ (400 | 412 | 423) => PullEnd::Refused(status),
            status => PullEnd::Unknown(status),
        };
        Some(PullStatus::Over { end, left_bytes: value(&headers, "Nats-Pending-Bytes") })
    }
}

fn heartbeat(headers: &Headers<'_>) -> PullStatus {
    // A heartbeat has these numbers; a request for an answer may have another text one day.
    match (value(headers, "Nats-Last-Consumer"), starts(headers.description, "flow")) {
        (None, true) => PullStatus::FlowControl,
        (consumer_sequence, _) => {
            PullStatus::IdleHeartbeat { consumer_sequence, stream_sequence: value(headers, "Nats-Last-Stream") }
        }
    }
}

fn conflict(description: &[u8]) -> PullEnd {
    let limits = [
        ("exceeded maxrequestbatch", Limit::Batch),
        ("exceeded maxrequestmaxbytes", Limit::MaxBytes),
        ("exceeded maxrequestexpires", Limit::Expires),
        ("exceeded maxwaiting", Limit::Waiting),
    ];
    if starts(description, "consumer deleted") {
        PullEnd::NoConsumer
    } else if starts(description, "consumer is push") {
        PullEnd::Refused(409)
    } else if starts(description, "batch completed") {
        PullEnd::BatchCompleted
    } else if starts(description, "message size exceeds") {
        PullEnd::ExceedsMaxBytes
    } else if starts(description, "leadership change") {
        PullEnd::LeadershipChange
    } else if starts(description, "server shutdown") {
        PullEnd::ServerShutdown
    } else if let Some((text, limit)) = limits.iter().find(|(text, _)| starts(description, text)) {
        // "Exceeded MaxRequestBatch of 256"; durations are "of 1s" and not needed.
        let said = description[text.len()..].trim_ascii().strip_prefix(b"of ");
        PullEnd::ExceedsLimit(*limit, said.and_then(number))
    } else {
        PullEnd::Unknown(409)
    }
}

fn starts(text: &[u8], start: &str) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start.as_bytes()))
}

fn value(headers: &Headers<'_>, name: &str) -> Option<u64> {
    number(&headers.value(name)?)
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}
