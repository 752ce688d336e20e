//! Why a stream is not read, what follows, and what mends it. All texts about that are made here.

use std::fmt;

use super::answer::{ApiError, Retention};
use super::settings::ReaderSettings;
use crate::SECOND_NS;
use crate::server_error::Operation;

/// Why there is nothing to read. It is tried again all the time, at most [`RETRY_LAST_NS`](super::RETRY_LAST_NS) apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answers for JetStream, or the server says that it is off.
    NoJetStream,
    /// It is off for this user's account.
    NotForThisAccount,
    /// There is no such stream, and none is to be made.
    NoStream,
    /// Messages leave the stream when they are read, so that windows cannot be rebuilt.
    WrongRetention(Retention),
    /// The stream takes other subjects, these.
    OtherSubjects(Vec<String>),
    /// This user may not do what is needed.
    NoPermission(Operation, String),
    /// The server refused a request.
    Refused(Request, ApiError),
    /// The server did not answer in time.
    NoAnswer(Request),
    /// The server's answer cannot be read.
    Unreadable(Request),
}

/// What the JetStream API is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// STREAM.INFO
    StreamInfo,
    /// STREAM.CREATE
    StreamCreate,
    /// CONSUMER.CREATE
    ConsumerCreate,
    /// CONSUMER.INFO
    ConsumerInfo,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Request::StreamInfo => "STREAM.INFO",
            Request::StreamCreate => "STREAM.CREATE",
            Request::ConsumerCreate => "CONSUMER.CREATE",
            Request::ConsumerInfo => "CONSUMER.INFO",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoJetStream => f.write_str("the server has no JetStream"),
            Trouble::NotForThisAccount => f.write_str("JetStream is not enabled for this user's account"),
            Trouble::NoStream => f.write_str("there is no such stream"),
            Trouble::WrongRetention(retention) => {
                let name = match retention {
                    Retention::WorkQueue => "work-queue",
                    Retention::Interest => "interest",
                    Retention::Limits => "limits",
                };
                write!(
                    f,
                    "the stream has {name} retention, so messages leave it when they are read and windows cannot be \
                     rebuilt; it must have limits retention"
                )
            }
            Trouble::OtherSubjects(subjects) => {
                let shown: Vec<_> = subjects.iter().take(5).map(|subject| subject.escape_debug().to_string()).collect();
                let more = if subjects.len() > shown.len() { " and more" } else { "" };
                write!(f, "the stream takes other subjects: {}{more}", shown.join(", "))
            }
            Trouble::NoPermission(Operation::Publish, subject) => {
                write!(f, "this user may not publish to {}", subject.escape_debug())
            }
            Trouble::NoPermission(Operation::Subscribe, subject) => {
                write!(f, "this user may not subscribe to {}", subject.escape_debug())
            }
            Trouble::Refused(request, error) => {
                let description = error.description.escape_debug();
                write!(f, "the server refused {request}: {description} ({}, {})", error.code, error.err_code)
            }
            Trouble::NoAnswer(request) => write!(f, "the server did not answer {request} in time"),
            Trouble::Unreadable(request) => write!(f, "the server's answer to {request} cannot be read"),
        }
    }
}

impl Trouble {
    /// The command or setting that mends it; `None`: it is the server's to mend, or time's.
    pub fn remedy(&self, settings: &ReaderSettings) -> Option<String> {
        let stream = &settings.stream;
        let quoted = |subjects: &[String]| -> String {
            let quoted: Vec<_> = subjects.iter().map(|subject| format!("--subjects '{subject}'")).collect();
            quoted.join(" ")
        };
        let add = || {
            format!(
                "nats stream add {stream} {} --storage memory --retention limits --discard old --max-age {}s --max-bytes {} \
                 --defaults",
                quoted(&settings.subjects),
                settings.max_age_ns.div_ceil(SECOND_NS),
                settings.max_bytes,
            )
        };
        match self {
            Trouble::NoJetStream => Some("nats-server -js".to_owned()),
            Trouble::NotForThisAccount => {
                Some("jetstream: enabled, in the account's block of the server's configuration".to_owned())
            }
            Trouble::NoStream => Some(add()),
            // A stream's retention cannot be edited into limits.
            Trouble::WrongRetention(_) => Some(format!("nats stream rm {stream} && {}", add())),
            Trouble::OtherSubjects(_) => Some(format!("nats stream edit {stream} {}", quoted(&settings.subjects))),
            Trouble::NoPermission(Operation::Publish, _) => {
                let api = api_prefix(settings.domain.as_deref());
                Some(format!(
                    "permissions: {{publish: [\"{api}.STREAM.INFO.{stream}\", \"{api}.CONSUMER.*.{stream}.>\", \
                     \"{api}.CONSUMER.MSG.NEXT.{stream}.>\"]}}, for this user in the server's configuration"
                ))
            }
            Trouble::NoPermission(Operation::Subscribe, _) => {
                Some("permissions: {subscribe: [\"_INBOX.>\"]}, for this user in the server's configuration".to_owned())
            }
            Trouble::Refused(..) | Trouble::NoAnswer(_) | Trouble::Unreadable(_) => None,
        }
    }
}

/// Where the API is asked: of the server's own domain, or of another one.
pub(super) fn api_prefix(domain: Option<&str>) -> String {
    match domain {
        None => "$JS.API".to_owned(),
        Some(domain) => format!("$JS.{domain}.API"),
    }
}
