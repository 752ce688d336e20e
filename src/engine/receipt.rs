//! When an event was received: what moves the engine's time.

use crate::engine::engine::Engine;
use crate::engine::input::event::Origin;
use crate::engine::time::UnixNanos;

/// When an event was received, in local time. Local time does not step back: a moment before the last one counts as the
/// last one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Receipt {
    /// At this moment.
    At(UnixNanos),
    /// A recording without receipt times: the clock is the largest t so far, and nothing is rejected or stale.
    Unrecorded,
    /// Of a message of a stream (SPEC section 9).
    Stored {
        /// When the stream stored it. What comes of the event is the same whenever it is read.
        stored: UnixNanos,
        /// The server's time now, no earlier than `stored`: the moment of what comes of the event, and what tells how old it is.
        present: UnixNanos,
        /// The service has not caught up since its start: nothing is published, signals count as given.
        is_past: bool,
    },
}

impl Engine {
    /// What was read last is of the stream's past, while the service catches up: see [`Receipt::Stored`].
    pub fn is_past(&self) -> bool {
        self.is_past
    }

    /// Local time moves on to an event's receipt.
    #[inline]
    pub(super) fn move_to(&mut self, receipt: Receipt, origin: &Origin<'_>) {
        match receipt {
            Receipt::At(moment) => self.move_local(moment),
            Receipt::Unrecorded => self.move_to_stated(origin),
            Receipt::Stored { stored, present, is_past } => {
                self.is_past = is_past;
                self.publish_due(present.minus(1));
                self.local = self.local.max(stored);
                self.moment = self.moment.max(present);
            }
        }
    }
}
