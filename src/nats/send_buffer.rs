//! Bytes on their way to the server: whole frames, written as the socket takes them.
//!
//! The buffer is emptied only when all of it is sent, so it always starts with a frame; after a broken connection the
//! publications that were not sent whole can be taken out of it and sent again.

use proto_nats::{ClientOp, Decoded, Limits, decode_client_op, encode};

use crate::engine::memory::{NoMemory, Table};
use crate::nats::transport::{Attempt, Link};

/// Unsent bytes from which no more messages are encoded: they wait as values instead, where newer ones replace older.
const PENDING_BYTES_MAX: usize = 512 << 10;

const BUFFER: Table = Table::new("the send buffer", "CORES");

pub struct Wire {
    bytes: Vec<u8>,
    sent: usize,
    /// When the server last took anything, or there was nothing to take.
    moved_ns: u64,
}

impl Wire {
    pub fn new() -> Result<Self, NoMemory> {
        Ok(Wire { bytes: BUFFER.list(2 * PENDING_BYTES_MAX)?, sent: 0, moved_ns: 0 })
    }

    pub fn pending_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sent and unsent bytes: the buffer is emptied only when all is sent.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Since when the server has taken nothing of what there is to send.
    pub fn stuck_since_ns(&self) -> Option<u64> {
        (self.pending_bytes() > 0).then_some(self.moved_ns)
    }

    pub fn has_room(&self) -> bool {
        self.bytes.len() < PENDING_BYTES_MAX
    }

    /// To append frames to.
    pub fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Sends what the socket takes; false when the connection is gone.
    pub fn flush(&mut self, link: &mut Link, now_ns: u64) -> bool {
        while self.pending_bytes() > 0 {
            match link.try_write(&self.bytes[self.sent..]) {
                Attempt::Bytes(len) => {
                    self.sent += len;
                    self.moved_ns = now_ns;
                }
                Attempt::WouldBlock => return true,
                Attempt::Ended => return false,
            }
        }
        self.bytes.clear();
        self.sent = 0;
        self.moved_ns = now_ns;
        link.flush()
    }

    /// Takes out the publications that were not sent whole, as frames; nothing is left.
    pub fn take_unsent_publications(&mut self) -> Vec<u8> {
        let mut unsent = Vec::new();
        for publication in publications(&self.bytes).filter(|publication| publication.end > self.sent) {
            encode::publish(&mut unsent, publication.subject, None, publication.payload);
        }
        self.bytes.clear();
        self.sent = 0;
        unsent
    }
}

/// One PUB among frames.
pub struct Publication<'a> {
    pub subject: &'a [u8],
    pub payload: &'a [u8],
    /// Where its frame ends.
    end: usize,
}

/// The publications among `frames`, of which the last may be cut off.
pub fn publications(frames: &[u8]) -> impl Iterator<Item = Publication<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let Ok(Decoded::Op { op, len }) = decode_client_op(&frames[at..], &Limits::default()) else { return None };
            at += len;
            if let ClientOp::Pub { subject, payload, .. } = op {
                return Some(Publication { subject, payload, end: at });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_cut_by_the_end_are_whole_again() {
        let mut frames = Vec::new();
        encode::publish(&mut frames, b"a", None, b"one");
        let first = frames.len();
        encode::ping(&mut frames);
        encode::publish(&mut frames, b"b", None, b"two\r\nPUB x 1\r\n");
        for sent in 0..=frames.len() {
            let mut wire = Wire::new().expect("there is memory");
            wire.frames().extend_from_slice(&frames);
            wire.sent = sent;
            let unsent = wire.take_unsent_publications();
            let expected: Vec<u8> = match sent {
                0.. if sent < first => [&frames[..first], &frames[first + 6..]].concat(),
                _ if sent < frames.len() => frames[first + 6..].to_vec(),
                _ => Vec::new(),
            };
            assert_eq!(unsent, expected, "{sent} sent");
            assert_eq!(wire.pending_bytes(), 0);
        }
    }
}
