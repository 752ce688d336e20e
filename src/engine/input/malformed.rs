//! Why a payload is no event.

use crate::engine::bounds::{JSON_DEPTH_MAX, SYMBOL_BYTES_MAX};

/// Why a payload is no event; the text goes into the log line about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The payload is no text.
    NotUtf8,
    /// It is JSON of another type.
    NotAnObject,
    /// It is no JSON.
    Syntax,
    /// It nests deeper than is read.
    TooDeep,
    /// Something follows its object.
    TrailingBytes,
    /// This required field is not there.
    Missing(&'static str),
    /// This required field has a value that cannot be used.
    Unreadable(&'static str),
    /// A price of a raw Databento record that is an integer.
    FixedPoint(&'static str),
    /// A book that changes an earlier one.
    Update,
    /// The subject names no type of event.
    Subject,
    /// The symbol cannot be kept.
    Symbol,
    /// Bytes of the message with its control line, and the capacity of the receive buffer.
    TooLarge {
        /// Of the message.
        frame_bytes: usize,
        /// Of the receive buffer.
        queue_bytes: usize,
    },
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the payload is not UTF-8"),
            Self::NotAnObject => f.write_str("the payload is not a JSON object"),
            Self::Syntax => f.write_str("the payload is not well-formed JSON"),
            Self::TooDeep => write!(f, "the payload nests deeper than {JSON_DEPTH_MAX} levels"),
            Self::TrailingBytes => f.write_str("bytes follow the payload's JSON object"),
            Self::Missing(field) => write!(f, "the required field \"{field}\" is missing"),
            Self::Unreadable(field) => write!(f, "the required field \"{field}\" has a value that cannot be used"),
            Self::FixedPoint(field) => write!(
                f,
                "the field \"{field}\" has a price without a decimal point, beside the \"hd\" of a raw Databento record: \
                 encode it with pretty_px"
            ),
            Self::Update => f.write_str("the book is an update, and only snapshots are taken"),
            Self::Subject => f.write_str("the subject is none of trade, quote, book_l2 and heartbeat with a symbol"),
            Self::Symbol => write!(
                f,
                "the subject's symbol is longer than {SYMBOL_BYTES_MAX} bytes, not UTF-8, or has an empty token, a blank, \
                 a control character, * or > in it"
            ),
            Self::TooLarge { frame_bytes, queue_bytes } => write!(
                f,
                "the message has {frame_bytes} bytes with its control line, more than the {queue_bytes} of QUEUE_BYTES"
            ),
        }
    }
}
