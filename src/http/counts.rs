//! Peers of HTTP that were not served, or not to the end: by reason.

use std::cell::Cell;

/// Why a peer was not served, or not to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Unserved {
    /// Every connection was being answered: 503, or closed.
    Busy,
    /// No descriptor was left: 503, or closed.
    Descriptors,
    /// It was silent when another peer needed its slot: closed.
    Silent,
    /// Its request was not complete in time: 408.
    SlowRequest,
    /// The answer was not there in time: 503, or closed where the answer had begun.
    SlowAnswer,
    /// It did not read its answer: closed.
    Unread,
}

impl Unserved {
    /// In the order of the counts.
    pub const ALL: [Unserved; 6] =
        [Self::Busy, Self::Descriptors, Self::Silent, Self::SlowRequest, Self::SlowAnswer, Self::Unread];

    /// As metrics and /stats name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Descriptors => "descriptors",
            Self::Silent => "silent",
            Self::SlowRequest => "slow_request",
            Self::SlowAnswer => "slow_answer",
            Self::Unread => "unread",
        }
    }
}

/// Since the start.
#[derive(Default)]
pub struct HttpCounts([Cell<u64>; Unserved::ALL.len()]);

impl HttpCounts {
    /// One more peer.
    pub fn count(&self, reason: Unserved) {
        let count = &self.0[reason as usize];
        count.set(count.get() + 1);
    }

    /// Peers that were not served for this reason.
    pub fn unserved(&self, reason: Unserved) -> u64 {
        self.0[reason as usize].get()
    }
}
