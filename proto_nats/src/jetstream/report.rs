//! What a reader tells of itself: facts as they happen, and where it stands.

use super::trouble::Trouble;

/// Something happened that an operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The stream was missing and has been made.
    StreamCreated,
    /// Not all that is to be read can be in the stream: it does not take these subjects.
    SubjectsMissing(Vec<String>),
    /// The stream is not the one that was read so far: it is read from its first message on.
    StreamMadeAnew,
    /// The stream has lost its newest messages, or took others in their place. What it stored after the last message that
    /// was applied is read.
    StreamWentBack {
        /// Of the last message that was applied.
        applied: u64,
        /// Of the last message that the stream has now; `None`: it has another one in that place.
        last: Option<u64>,
    },
    /// The consumer was given up and another one is being made.
    ConsumerLost(ConsumerLoss),
    /// The stream no longer holds what comes next, or it could not be delivered: so many messages will not be seen. With
    /// filters that take a part of the stream: at most so many.
    Missed(u64),
    /// All that was in the stream at the beginning is applied, and nothing, or next to nothing, waits.
    CaughtUp,
    /// The stream is not read, for this reason.
    Trouble(Trouble),
    /// It is read.
    TroubleOver,
}

/// Why a consumer was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerLoss {
    /// The server says that it is gone, deleted or never there.
    Gone,
    /// A message, or several, did not arrive.
    MessagesLost,
    /// It sent neither messages nor heartbeats.
    Silent,
    /// It stands behind the end of the stream.
    AheadOfStream,
    /// It delivers nothing, though the stream has more for it.
    Stalled,
    /// Nothing came for some time, while the stream grew. Filters take a part of it, so that this may be as it should be;
    /// another consumer finds out, less and less often.
    Quiet,
    /// The last message that was applied is not in its place, and what is there is not for us, so that the stream may have gone
    /// back: what was stored after it is looked for by time.
    Misplaced,
    /// Another server leads the stream: what it has may differ.
    LeaderChanged,
    /// The server does not take its pull requests.
    PullsRefused,
    /// It was given up for a fresh one that tells the server's time, as this server's other answers do not.
    Renewed,
}

/// How far the reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// There is no connection.
    #[default]
    Offline,
    /// The stream is looked for, or a consumer is being made.
    Preparing,
    /// The newest message of each subject from before the start moment is read.
    Newest,
    /// What came since the start moment is read.
    CatchingUp,
    /// Caught up: messages are read as they come.
    Live,
}

/// Where a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReaderReport {
    /// How far it is.
    pub phase: Phase,
    /// It has caught up once. Readiness after that goes by `lag_ns`.
    pub has_caught_up: bool,
    /// Messages that were applied.
    pub applied_count: u64,
    /// The stream sequence of the last of them; 0: none.
    pub applied_sequence: u64,
    /// Messages that wait in the stream, as far as is known.
    pub pending: u64,
    /// The last one of the stream at the beginning. `None`: not known yet.
    pub beginning_sequence: Option<u64>,
    /// The server's present minus the moment at which the last applied message was stored; 0 where nothing waits. `None`:
    /// nothing was applied yet, or the server's present is not known.
    pub lag_ns: Option<u64>,
    /// Streams that went back or were made anew.
    pub resets: u64,
    /// Consumers made after the first, whatever the reason.
    pub consumers_lost: u64,
    /// See [`Notice::Missed`].
    pub missed: u64,
    /// Messages that came and were not applied: applied before, or of a consumer that was given up, or not asked for.
    pub skipped: u64,
}
