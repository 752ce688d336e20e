//! What has been asked for and has not come yet, and what more there is room for.
//!
//! A message says nothing of the pull that it answers, so the bytes asked for are one account. Each pull asks for bytes, not
//! for messages (its `batch` is never what ends it), as the server says the end of those in every version, with what it did
//! not use. 2.9 does not say that a batch is completed.
//!
//! ```text
//!   room (bytes of frames) / 2 = counted bytes;  counted: subject + reply + headers + payload, as the server counts
//!
//!   ├─── on its way: asked for, not delivered, not told as unused ───┤── available: asked for when a quarter of the room ─┤
//! ```
//!
//! **Never more than there is room for.** A frame is less than twice what the server counts of it, as the reply subject alone is
//! longer than the control line's other parts. When a pull's end gets lost it is not known what it left: nothing more is asked
//! for until the others have ended, and then nothing is on its way.
//!
//! **Never idle.** While a part is on its way the next is asked for; where nothing comes, two halves of the room are, which do
//! not expire at the same time.

use super::status::{Limit, PullEnd};
use crate::MILLISECOND_NS;
use crate::SECOND_NS;

/// How long a pull waits at the server. It is asked again then.
pub const EXPIRES_NS: u64 = 30 * SECOND_NS;
/// Behind that, for its end to arrive.
const EXPIRES_GRACE_NS: u64 = 5 * SECOND_NS;
/// Pulls at a time; the server allows 512. With a quarter of the room each, eight last as long as the next needs.
pub const PULLS_MAX: usize = 8;
/// A frame is at most so many times what the server counts.
const FRAME_FACTOR: usize = 2;
/// Of the room, for statuses.
const STATUS_BYTES: usize = 4 << 10;
/// The server counts more for each message: its reply subject is longer.
const COUNTED_BYTES_MIN: usize = 48;
/// From one pull that ended at once to the next.
const FRUITLESS_FIRST_NS: u64 = 50 * MILLISECOND_NS;
const FRUITLESS_LAST_NS: u64 = 2 * SECOND_NS;

#[derive(Debug)]
pub struct Pulls {
    /// The most room that there ever was: all of it.
    capacity: usize,
    room: usize,
    /// In counted bytes.
    on_its_way: usize,
    list: Vec<Pull>,
    /// A pull ended, and what it left is not known.
    is_unsure: bool,
    /// The next message is longer than a pull that ended for it.
    message_bytes_min: usize,
    /// Limits of the server, where there are any.
    batch_max: usize,
    bytes_max: usize,
    expires_max_ns: u64,
    pulls_max: usize,
    /// Pulls in a row that ended at once without a message.
    fruitless: u32,
    not_before_ns: u64,
    delivered: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pull {
    token: u64,
    asked_ns: u64,
    expires_ns: u64,
    max_bytes: usize,
    /// Messages that had come before it was asked for.
    delivered_before: u64,
}

/// A pull to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullRequest {
    pub batch: usize,
    /// `None`: one message, however long.
    pub max_bytes: Option<usize>,
    pub expires_ns: u64,
}

impl Pulls {
    pub fn new() -> Pulls {
        Pulls {
            capacity: 0,
            room: 0,
            on_its_way: 0,
            list: Vec::with_capacity(PULLS_MAX),
            is_unsure: false,
            message_bytes_min: 0,
            batch_max: usize::MAX,
            bytes_max: usize::MAX,
            expires_max_ns: EXPIRES_NS,
            pulls_max: PULLS_MAX,
            fruitless: 0,
            not_before_ns: 0,
            delivered: 0,
        }
    }

    #[inline]
    pub fn note_room(&mut self, bytes: usize) {
        self.room = bytes;
        self.capacity = self.capacity.max(bytes);
    }

    /// The consumer is gone, or the connection: nothing comes of what was asked for.
    pub fn forget(&mut self) {
        self.list.clear();
        self.settle();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Pulls in a row that ended at once without a message.
    pub fn fruitless(&self) -> u32 {
        self.fruitless
    }

    pub fn contains(&self, token: u64) -> bool {
        self.list.iter().any(|pull| pull.token == token)
    }

    /// Since when the oldest waits.
    pub fn oldest_ns(&self) -> Option<u64> {
        self.list.iter().map(|pull| pull.asked_ns).min()
    }

    /// The next pull, if there is room for it and it is time.
    pub fn next(&self, now_ns: u64) -> Option<PullRequest> {
        if self.list.len() >= self.pulls_max || now_ns < self.not_before_ns || self.is_unsure {
            return None;
        }
        let counted = |bytes: usize| bytes.saturating_sub(STATUS_BYTES) / FRAME_FACTOR;
        let (capacity, room) = (counted(self.capacity).min(self.bytes_max), counted(self.room).min(self.bytes_max));
        let least = (capacity / 4).max(self.message_bytes_min).max(1);
        // So that the next one does not expire with the one before it.
        let expires_ns = match self.list.iter().map(|pull| pull.expires_ns).min() {
            Some(first_ns)
                if first_ns.abs_diff(now_ns.saturating_add(self.expires_max_ns)) < self.expires_max_ns / 4 =>
            {
                self.expires_max_ns / 2
            }
            _ => self.expires_max_ns,
        };
        if self.message_bytes_min > capacity {
            // It fits into no room at all: the driver passes over what is too long for its buffer.
            let is_all_free = self.list.is_empty() && self.room == self.capacity && capacity > 0;
            return is_all_free.then_some(PullRequest { batch: 1, max_bytes: None, expires_ns });
        }
        let available = room.saturating_sub(self.on_its_way);
        if available < least {
            return None;
        }
        let max_bytes = available.min((capacity / 2).max(least));
        let batch = (max_bytes / COUNTED_BYTES_MIN + 1).min(self.batch_max);
        Some(PullRequest { batch, max_bytes: Some(max_bytes), expires_ns })
    }

    pub fn note_asked(&mut self, token: u64, request: &PullRequest, now_ns: u64) {
        let max_bytes = request.max_bytes.unwrap_or(0);
        let expires_ns = now_ns.saturating_add(request.expires_ns);
        self.on_its_way += max_bytes;
        self.list.push(Pull { token, asked_ns: now_ns, expires_ns, max_bytes, delivered_before: self.delivered });
    }

    /// A message came, of so many counted bytes.
    #[inline]
    pub fn note_delivered(&mut self, counted_bytes: usize) {
        self.on_its_way = self.on_its_way.saturating_sub(counted_bytes);
        if self.message_bytes_min > 0 {
            // The pull for the one message, however long; 2.9 does not say that it is over.
            self.list.retain(|pull| pull.max_bytes > 0);
            self.message_bytes_min = 0;
        }
        self.fruitless = 0;
        self.delivered += 1;
    }

    /// A pull is over.
    pub fn handle_over(&mut self, token: u64, end: PullEnd, left_bytes: Option<u64>, now_ns: u64) {
        let Some(index) = self.list.iter().position(|pull| pull.token == token) else { return };
        let pull = self.list.swap_remove(index);
        match left_bytes.map(usize::try_from) {
            Some(Ok(left)) if left <= pull.max_bytes => self.on_its_way = self.on_its_way.saturating_sub(left),
            _ => self.is_unsure = true,
        }
        let is_fruitless = pull.delivered_before == self.delivered;
        match end {
            PullEnd::ExceedsMaxBytes if is_fruitless => {
                self.message_bytes_min = self.message_bytes_min.max(pull.max_bytes.saturating_mul(2).max(1));
            }
            PullEnd::ExceedsLimit(limit, allowed) => self.handle_limit(limit, allowed),
            _ => {}
        }
        let lasted_ns = now_ns.saturating_sub(pull.asked_ns);
        if is_fruitless && end != PullEnd::ExceedsMaxBytes && lasted_ns < SECOND_NS {
            self.fruitless += 1;
            let wait_ns = FRUITLESS_FIRST_NS << (self.fruitless - 1).min(10);
            self.not_before_ns = now_ns.saturating_add(wait_ns.min(FRUITLESS_LAST_NS));
        }
        self.settle();
    }

    fn handle_limit(&mut self, limit: Limit, allowed: Option<u64>) {
        let allowed = allowed.and_then(|allowed| usize::try_from(allowed).ok()).filter(|&allowed| allowed > 0);
        match (limit, allowed) {
            (Limit::Batch, Some(allowed)) => self.batch_max = self.batch_max.min(allowed),
            (Limit::Batch, None) => self.batch_max = (self.batch_max.min(1 << 16) / 2).max(1),
            (Limit::MaxBytes, Some(allowed)) => self.bytes_max = self.bytes_max.min(allowed),
            (Limit::MaxBytes, None) => self.bytes_max = (self.bytes_max.min(1 << 24) / 2).max(1 << 10),
            (Limit::Expires, _) => self.expires_max_ns = (self.expires_max_ns / 2).max(SECOND_NS),
            (Limit::Waiting, _) => self.pulls_max = (self.pulls_max / 2).max(1),
        }
    }

    /// Pulls whose end was not told.
    pub fn handle_time(&mut self, now_ns: u64) {
        let before = self.list.len();
        self.list.retain(|pull| now_ns < pull.expires_ns.saturating_add(EXPIRES_GRACE_NS));
        if self.list.len() < before {
            self.is_unsure = true;
            self.settle();
        }
    }

    /// When [`handle_time`](Self::handle_time) or [`next`](Self::next) has something to do; what needs room or a message
    /// has no time.
    pub fn next_deadline(&self, now_ns: u64) -> Option<u64> {
        let ends_ns = self.list.iter().map(|pull| pull.expires_ns.saturating_add(EXPIRES_GRACE_NS)).min();
        let waits_ns = Some(self.not_before_ns).filter(|&until_ns| until_ns > now_ns);
        ends_ns.into_iter().chain(waits_ns).min()
    }

    fn settle(&mut self) {
        if self.list.is_empty() {
            self.on_its_way = 0;
            self.is_unsure = false;
        }
    }

    /// The heartbeat that goes with an expiry: the server wants it to be at most half of that.
    pub fn heartbeat_ns(request: &PullRequest, wanted_ns: u64) -> u64 {
        wanted_ns.min(request.expires_ns / 2)
    }
}
