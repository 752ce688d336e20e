//! What a client that publishes has handed to its connections, and what of that may be lost.
//!
//! ```text
//!   published │ ... confirmed by an answered PING │ ... may be lost with the connection │ ... not handed over: waits
//! ```

use std::collections::VecDeque;

use proto_nats::{DecodeLimits, Decoded, decode_client_op};

use crate::nats::send_buffer::Unsent;

/// Where the events of the connection are, by their number on it.
#[derive(Default)]
pub struct Ledger {
    published: u64,
    confirmed: u64,
    /// PINGs that are not answered yet, each with the events that were published before it.
    pings: VecDeque<(u64, u64)>,
    /// Waiting for the next connection.
    waiting: u64,
    /// Of connections that are over: published and not confirmed.
    pub maybe_lost: u64,
}

impl Ledger {
    /// So many events more are on their way on this connection.
    pub fn publish(&mut self, events: u64) {
        self.published += events;
    }

    /// PINGs that were sent on this connection, and answered.
    pub fn note_pings(&mut self, sent: u64, answered: u64) {
        if self.pings.back().map_or(0, |(number, _)| *number) < sent {
            self.pings.push_back((sent, self.published));
        }
        while let Some((number, events)) = self.pings.front().copied()
            && number <= answered
        {
            self.confirmed = events;
            // The last one stays, so that it is not taken for a new one.
            if self.pings.len() == 1 {
                break;
            }
            self.pings.pop_front();
        }
    }

    /// The connection is over; it did not take the last `unsent` events.
    pub fn close(&mut self, unsent: u64) {
        self.maybe_lost += self.published - unsent - self.confirmed;
        self.waiting += unsent;
        (self.published, self.confirmed) = (0, 0);
        self.pings.clear();
    }

    /// So many events more wait for a connection.
    pub fn wait(&mut self, events: u64) {
        self.waiting += events;
    }

    /// There is a connection for those that waited; they are published again.
    pub fn end_wait(&mut self) {
        self.waiting = 0;
    }

    /// How many have been handed to the connection and are not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.published - self.confirmed
    }

    /// How many wait.
    pub fn unsent(&self) -> u64 {
        self.waiting
    }
}

/// PUB frames in `frames`, which are whole.
pub fn count_frames(frames: &[u8]) -> u64 {
    let (mut at, mut count) = (0, 0);
    while let Ok(Decoded::Op { len, .. }) = decode_client_op(&frames[at..], &PUBLISHED) {
        at += len;
        count += 1;
    }
    count
}

/// The frames that a connection did not take whole.
pub fn not_taken(unsent: &Unsent<()>) -> Vec<u8> {
    let mut frames = Vec::new();
    for publication in unsent.iter() {
        let mut at = 0;
        while let Ok(Decoded::Op { len, .. }) = decode_client_op(&publication.frame[at..], &PUBLISHED) {
            if at + len > publication.sent_len {
                break;
            }
            at += len;
        }
        frames.extend_from_slice(&publication.frame[at..]);
    }
    frames
}

/// No limits: these frames are our own.
pub const PUBLISHED: DecodeLimits = DecodeLimits { control_line: 64 << 10, payload: usize::MAX };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::send_buffer::SendBuffer;
    use proto_nats::encode;

    #[test]
    fn what_no_ping_has_confirmed_may_be_lost() {
        let mut ledger = Ledger::default();
        ledger.publish(10);
        ledger.note_pings(1, 0);
        ledger.publish(5);
        ledger.note_pings(1, 0);
        ledger.note_pings(1, 1);
        ledger.note_pings(1, 1);
        // 15 were published, 10 are confirmed, 2 were not handed over.
        ledger.close(2);
        assert_eq!((ledger.maybe_lost, ledger.unsent()), (3, 2));
        // The next connection counts its PINGs from the first one on.
        ledger.end_wait();
        ledger.publish(2);
        ledger.note_pings(2, 1);
        ledger.note_pings(3, 3);
        ledger.close(0);
        assert_eq!((ledger.maybe_lost, ledger.unsent()), (3, 0));
    }

    #[test]
    fn a_batch_goes_on_with_the_frame_that_was_cut() {
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        for payload in ["one", "", "PUB x 1\r\ny\r\n"] {
            encode::publish(&mut frames, b"a", None, payload.as_bytes());
            ends.push(frames.len());
        }
        assert_eq!(count_frames(&frames), 3);
        for sent in 0..=frames.len() {
            let mut buffer = SendBuffer::new().expect("there is memory");
            buffer.publish_frames(&frames, (), 0);
            buffer.note_sent(sent, 0);
            let mut unsent = Unsent::default();
            buffer.take_unsent(&mut unsent);
            let begin = ends.iter().rev().find(|end| **end <= sent).copied().unwrap_or(0);
            assert_eq!(not_taken(&unsent), &frames[begin..], "{sent} sent");
        }
    }
}
