//! The receive buffer: bytes that were read from the socket and not yet used. It is the queue of events that
//! `QUEUE_BYTES` and `senpai_queue_fill_ratio` speak of.
//!
//! ```text
//!   0 ........ start ═══════ unread ═══════ end ........ 2 x capacity
//!              consume() ►                  fill() ►
//! ```
//!
//! Unread bytes are contiguous, so that a frame is a slice. They are moved to the front when they are few against what
//! was consumed, so that a reader that keeps up stays in the same few cache lines; else only when the tail is used up,
//! which takes at least `capacity` consumed bytes. So a byte is moved at most once on average.

use crate::engine::bounds::QUEUE_SHED_PERCENT;
use crate::engine::memory::{NoMemory, Table};

const BUFFER: Table = Table::new("the receive buffer", "QUEUE_BYTES");
/// Unread bytes are few when they are at most this part of those consumed before them.
const FEW: usize = 16;

/// The queue of unread bytes: see the head of this file.
pub struct ReceiveBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    capacity: usize,
    /// Bytes still to come of a frame that is larger than the buffer, to be discarded.
    discard: usize,
}

impl ReceiveBuffer {
    /// Room for `capacity` unread bytes. Memory that was never filled is never touched.
    pub fn new(capacity: usize) -> Result<Self, NoMemory> {
        let bytes = BUFFER.zeros(capacity.saturating_mul(2))?;
        Ok(ReceiveBuffer { bytes, start: 0, end: 0, capacity, discard: 0 })
    }

    /// The bytes that wait, oldest first.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Most bytes that may wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that wait.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.end - self.start
    }

    /// 0..=1, what `senpai_queue_fill_ratio` shows.
    pub fn fill_ratio(&self) -> f64 {
        self.len_bytes() as f64 / self.capacity as f64
    }

    /// At or above [`QUEUE_SHED_PERCENT`]: from here on only trades are taken. `len` is that of the frame at hand: one that makes
    /// it that full on its own says nothing of others that wait.
    #[inline]
    pub fn is_nearly_full(&self, len: usize) -> bool {
        let limit = self.capacity * QUEUE_SHED_PERCENT;
        self.len_bytes() * 100 >= limit && len * 100 < limit
    }

    /// The first `len` unread bytes have been used.
    #[inline]
    pub fn consume(&mut self, len: usize) {
        self.start += len;
        assert!(self.start <= self.end, "only unread bytes can be consumed");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Discards the next `len` bytes, also those that have not come yet.
    pub fn discard(&mut self, len: usize) {
        let here = len.min(self.len_bytes());
        self.consume(here);
        self.discard += len - here;
    }

    /// Room for at most `most` more bytes; empty when the buffer is full.
    pub fn room(&mut self, most: usize) -> &mut [u8] {
        let room = (self.capacity - self.len_bytes()).min(most);
        let are_few = self.len_bytes() <= self.start / FEW;
        if are_few || self.end + room > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..self.end + room]
    }

    /// `len` bytes were written into `room()`.
    pub fn fill(&mut self, len: usize) {
        self.end += len;
        assert!(self.len_bytes() <= self.capacity, "no more was filled than there was room for");
        if self.discard > 0 {
            let discarded = self.discard.min(self.len_bytes());
            self.discard -= discarded;
            self.consume(discarded);
        }
    }

    /// Takes in what fits of `bytes`; says how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let room = self.room(bytes.len());
        let len = room.len();
        room.copy_from_slice(&bytes[..len]);
        self.fill(len);
        len
    }

    /// A new connection starts with nothing unread.
    pub fn clear(&mut self) {
        (self.start, self.end, self.discard) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = ReceiveBuffer::new(97).expect("there is memory");
        let (mut written, mut read) = (0u8, 0u8);
        for step in 0..10_000usize {
            let chunk: Vec<u8> = (0..step * 7 % 60).map(|index| written.wrapping_add(index as u8)).collect();
            let taken = buffer.push(&chunk);
            written = written.wrapping_add(taken as u8);
            assert!(buffer.len_bytes() <= 97);
            let len = (step * 13 % 50).min(buffer.len_bytes());
            for byte in &buffer.unread()[..len].to_vec() {
                assert_eq!(*byte, read);
                read = read.wrapping_add(1);
            }
            buffer.consume(len);
        }
    }

    #[test]
    fn a_full_buffer_has_no_room() {
        let mut buffer = ReceiveBuffer::new(100).expect("there is memory");
        assert_eq!(buffer.push(&[1; 89]), 89);
        assert!(!buffer.is_nearly_full(1));
        assert_eq!(buffer.push(&[1; 1]), 1);
        assert!(buffer.is_nearly_full(1) && buffer.is_nearly_full(89) && !buffer.is_nearly_full(90));
        assert_eq!(buffer.push(&[1; 20]), 10);
        assert!(buffer.room(10).is_empty());
    }

    #[test]
    fn discards_what_is_yet_to_come() {
        let mut buffer = ReceiveBuffer::new(10).expect("there is memory");
        buffer.push(&[1; 10]);
        buffer.discard(25);
        assert_eq!(buffer.push(&[2; 10]), 10);
        assert_eq!(buffer.len_bytes(), 0);
        buffer.push(&[3, 3, 3, 3, 3, 4, 5]);
        assert_eq!(buffer.unread(), &[4, 5]);
    }
}
