//! Recordings of market events: NDJSON, plain or gzip.
//! `reader` finds records and payloads (`gzip_members` in gzip files), `writer` writes what arrives, `line_faults` counts
//! what is wrong and says the first ten of each kind, `rebase` moves timestamps,
//! `looped_frames` is a recording as NATS frames, over and over; `error` why a file cannot be read.
//! In: a file, or events as they arrive. Out: records, with the faults of its lines counted and limited; frames of a
//! recording that is
//! looped; a file.
//! Invariant: a payload is handed on byte for byte; only `rebase` changes one, and only its timestamps.
//! Imported by `commands`.

mod error;
mod gzip_members;
pub(crate) mod line_faults;
pub mod looped_frames;
pub mod reader;
pub mod rebase;
pub mod writer;

pub use error::RecordingError;
