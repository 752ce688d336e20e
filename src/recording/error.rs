//! Why a recording cannot be used, as one line. What is wrong with single lines of it is in
//! [`line_faults`](crate::recording::line_faults).

use std::fmt;
use std::io;

use crate::runtime::log_text::plain;

/// Why a recording cannot be used. Its `Display` is for the operator.
#[derive(Debug)]
pub enum RecordingError {
    /// It cannot be opened, or not be read any further: the lines before `after_line`, that one included, were read.
    Unreadable {
        /// Its name.
        file: String,
        /// 0: none was read.
        after_line: u64,
        /// The system's, or the decompressor's.
        cause: io::Error,
    },
    /// No line of it is an event.
    NoRecord {
        /// Its name.
        file: String,
    },
    /// It is held in memory, which does not suffice.
    NoMemory,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, after_line, cause } => {
                write!(f, "cannot read {file}")?;
                if *after_line > 0 {
                    write!(f, " after line {after_line}")?;
                }
                match cause.kind() {
                    io::ErrorKind::UnexpectedEof => f.write_str(": its gzip data is cut off"),
                    _ => write!(f, ": {}", plain(cause)),
                }
            }
            Self::NoRecord { file } if file == "-" => f.write_str("standard input holds no record"),
            Self::NoRecord { file } => write!(f, "{file} holds no record"),
            Self::NoMemory => f.write_str(
                "no memory for the recording, which is held once for each core: take a shorter one, or raise ulimit -v",
            ),
        }
    }
}

/// For the commands, whose errors are lines.
impl From<RecordingError> for String {
    fn from(error: RecordingError) -> String {
        error.to_string()
    }
}

impl From<std::collections::TryReserveError> for RecordingError {
    fn from(_: std::collections::TryReserveError) -> RecordingError {
        RecordingError::NoMemory
    }
}
