//! Frames on their way to the server, and which of them are publications.
//!
//! ```text
//!   bytes   PING │ PUB a … │ PUB b … │ PONG │ PUB c …
//!   marks          start─end start─end        start─end      what each publication is about, in the caller's words
//!           ─── sent ────────►│─────── unsent ────────
//! ```
//!
//! The buffer is emptied only when all of it is sent, so it always starts with a frame. After a broken connection the
//! publications that were not sent whole are taken out of it; control frames belong to their connection and are dropped.

use std::ops::Range;

use proto_nats::encode;

use crate::engine::memory::{NoMemory, Table};

/// Unsent bytes from which no more messages are to be encoded: they wait as values instead, where newer ones replace older.
const PENDING_BYTES_MAX: usize = 512 << 10;
/// No snapshot, signal or alert is shorter, with subject and payload, so that the marks of a full buffer have room.
const PUBLICATION_BYTES_MIN: usize = 128;

const BUFFER: Table = Table::new("the send buffer", "CORES");

/// Frames to be sent. `M` says what a publication is about.
pub struct SendBuffer<M> {
    bytes: Vec<u8>,
    sent: usize,
    marks: Vec<Mark<M>>,
    /// Of `bytes`, those of publications.
    publication_bytes: usize,
    /// When the server last took anything, or there was nothing to take.
    moved_ns: u64,
}

struct Mark<M> {
    about: M,
    frame: Range<usize>,
    payload_len: usize,
    /// Bytes of the frame that a connection has taken, which did not take it whole.
    sent_len: usize,
}

/// A publication that was not sent whole.
pub struct Publication<'a, M> {
    /// As the caller gave it.
    pub about: M,
    /// Its PUB frame, whole; or the frames that were published together.
    pub frame: &'a [u8],
    /// Bytes of its payload, which a server's `max_payload` limits; 0 for frames that were published together.
    pub payload_len: usize,
    /// Bytes of `frame` that a connection took before it ended.
    pub sent_len: usize,
}

/// Publications that a connection did not take, in their order.
pub struct Unsent<M> {
    bytes: Vec<u8>,
    marks: Vec<Mark<M>>,
}

impl<M: Copy> SendBuffer<M> {
    /// Reserves what a full buffer needs, so that nothing is allocated later.
    pub fn new() -> Result<Self, NoMemory> {
        Ok(SendBuffer {
            bytes: BUFFER.list(2 * PENDING_BYTES_MAX)?,
            sent: 0,
            marks: BUFFER.list(PENDING_BYTES_MAX / PUBLICATION_BYTES_MIN)?,
            publication_bytes: 0,
            moved_ns: 0,
        })
    }

    /// What is still to be sent.
    #[inline]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The socket has taken so many bytes of [`unsent`](Self::unsent).
    #[inline]
    pub fn note_sent(&mut self, len: usize, now_ns: u64) {
        self.sent += len;
        self.moved_ns = now_ns;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.marks.clear();
            self.publication_bytes = 0;
            self.sent = 0;
        }
    }

    /// Bytes of control frames since the buffer was last empty.
    pub fn control_bytes(&self) -> usize {
        self.bytes.len() - self.publication_bytes
    }

    /// How long the server has taken nothing of what there is to send.
    #[inline]
    pub fn stuck_ns(&self, now_ns: u64) -> u64 {
        if self.unsent().is_empty() { 0 } else { now_ns.saturating_sub(self.moved_ns) }
    }

    /// Takes out the publications that `is_outdated` picks, of those of which no byte has been sent; says how many.
    pub fn withdraw(&mut self, is_outdated: impl Fn(&M) -> bool) -> usize {
        let mark_count = self.marks.len();
        if !self.marks.iter().any(|mark| mark.frame.start >= self.sent && is_outdated(&mark.about)) {
            return 0;
        }
        let mut end = self.sent;
        let mut kept_from = self.sent;
        let (bytes, sent) = (&mut self.bytes, self.sent);
        let publication_bytes = &mut self.publication_bytes;
        // Frames move to the start, what lies between publications with them.
        self.marks.retain_mut(|mark| {
            if mark.frame.start < sent {
                return true;
            }
            bytes.copy_within(kept_from..mark.frame.start, end);
            end += mark.frame.start - kept_from;
            kept_from = mark.frame.end;
            let len = mark.frame.len();
            if is_outdated(&mark.about) {
                *publication_bytes -= len;
                return false;
            }
            bytes.copy_within(mark.frame.clone(), end);
            mark.frame = end..end + len;
            end += len;
            true
        });
        bytes.copy_within(kept_from.., end);
        bytes.truncate(bytes.len() - (kept_from - end));
        let withdrawn = mark_count - self.marks.len();
        self.note_sent(0, self.moved_ns);
        withdrawn
    }

    /// Whether another publication is to be encoded now.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.bytes.len() < PENDING_BYTES_MAX
    }

    /// To append control frames.
    pub fn control_frames(&mut self, now_ns: u64) -> &mut Vec<u8> {
        if self.unsent().is_empty() {
            self.moved_ns = now_ns;
        }
        &mut self.bytes
    }

    /// Appends a PUB.
    #[inline]
    pub fn publish(&mut self, subject: &[u8], payload: &[u8], about: M, now_ns: u64) {
        let start = self.bytes.len();
        encode::publish(self.control_frames(now_ns), subject, None, payload);
        self.mark(about, start, payload.len());
    }

    /// Appends the frame of a publication that an earlier connection did not take.
    pub fn publish_again(&mut self, publication: &Publication<'_, M>, now_ns: u64) {
        let start = self.bytes.len();
        self.control_frames(now_ns).extend_from_slice(publication.frame);
        self.mark(publication.about, start, publication.payload_len);
    }

    #[inline]
    fn mark(&mut self, about: M, start: usize, payload_len: usize) {
        let frame = start..self.bytes.len();
        self.publication_bytes += frame.len();
        self.marks.push(Mark { about, frame, payload_len, sent_len: 0 });
    }

    /// Appends whole PUB frames that are one publication here.
    pub fn publish_frames(&mut self, frames: &[u8], about: M, now_ns: u64) {
        let start = self.bytes.len();
        self.control_frames(now_ns).extend_from_slice(frames);
        self.mark(about, start, 0);
    }

    /// Moves the publications that were not sent whole to the end of `unsent`; the buffer is empty then.
    pub fn take_unsent(&mut self, unsent: &mut Unsent<M>) {
        for mark in self.marks.drain(..).filter(|mark| mark.frame.end > self.sent) {
            let start = unsent.bytes.len();
            unsent.bytes.extend_from_slice(&self.bytes[mark.frame.clone()]);
            let sent_len = self.sent.saturating_sub(mark.frame.start);
            unsent.marks.push(Mark { frame: start..unsent.bytes.len(), sent_len, ..mark });
        }
        self.bytes.clear();
        // What a hostile server has made it grow to is given back.
        self.bytes.shrink_to(2 * PENDING_BYTES_MAX);
        self.publication_bytes = 0;
        self.sent = 0;
    }
}

impl<M> Default for Unsent<M> {
    fn default() -> Self {
        Unsent { bytes: Vec::new(), marks: Vec::new() }
    }
}

impl<M: Copy> Unsent<M> {
    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Publication<'_, M>> {
        self.marks.iter().map(|mark| Publication {
            about: mark.about,
            frame: &self.bytes[mark.frame.clone()],
            payload_len: mark.payload_len,
            sent_len: mark.sent_len,
        })
    }
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
            let mut buffer = SendBuffer::new().expect("there is memory");
            buffer.publish(b"a", b"one", 1, 0);
            encode::ping(buffer.control_frames(0));
            buffer.publish(b"b", b"two\r\nPUB x 1\r\n", 2, 0);
            assert_eq!(buffer.unsent(), frames);
            buffer.note_sent(sent, 5);
            let mut unsent = Unsent::default();
            buffer.take_unsent(&mut unsent);
            let start_of_first = if sent < first { 0 } else { first + 6 };
            assert!(unsent.iter().next().is_none_or(|cut| cut.sent_len == sent.saturating_sub(start_of_first)));
            let found: Vec<(i32, &[u8], usize)> =
                unsent.iter().map(|one| (one.about, one.frame, one.payload_len)).collect();
            let (a, b) = ((1, &frames[..first], 3), (2, &frames[first + 6..], 14));
            let expected: &[(i32, &[u8], usize)] = match sent {
                0.. if sent < first => &[a, b],
                _ if sent < frames.len() => &[b],
                _ => &[],
            };
            assert_eq!(found, expected, "{sent} sent");
            assert!(buffer.unsent().is_empty());
            // The next connection does not take it either.
            unsent.iter().for_each(|publication| buffer.publish_again(&publication, 6));
            let mut again = Unsent::default();
            buffer.take_unsent(&mut again);
            assert_eq!(
                again.iter().map(|one| one.about).collect::<Vec<_>>(),
                expected.iter().map(|one| one.0).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn what_is_withdrawn_leaves_no_gap() {
        let frame = |about: u8| {
            let mut frame = Vec::new();
            encode::publish(&mut frame, b"s", None, &vec![b'a' + about; about as usize * 3]);
            frame
        };
        let ping: &[u8] = b"PING\r\n";
        let whole = [&frame(0)[..], &frame(1), ping, &frame(2), &frame(3), ping].concat();
        for sent in 0..=whole.len() {
            for outdated in 0..16u8 {
                let is_outdated = |about: &u8| outdated >> about & 1 == 1;
                let mut buffer = SendBuffer::new().expect("there is memory");
                for about in 0..4 {
                    buffer.publish(b"s", &vec![b'a' + about; about as usize * 3], about, 0);
                    if about % 2 == 1 {
                        encode::ping(buffer.control_frames(0));
                    }
                }
                buffer.note_sent(sent, 0);
                let withdrawn = buffer.withdraw(is_outdated);
                let (mut expected, mut at, mut left, mut outdated_count) = (Vec::new(), 0, Vec::new(), 0);
                for (about, part) in
                    [(0, frame(0)), (1, frame(1)), (9, ping.into()), (2, frame(2)), (3, frame(3)), (9, ping.into())]
                {
                    let is_begun = at < sent;
                    if about == 9 || is_begun || !is_outdated(&about) {
                        expected.extend_from_slice(&part[sent.saturating_sub(at).min(part.len())..]);
                        if about != 9 && at + part.len() > sent {
                            left.push((about, part.clone()));
                        }
                    }
                    outdated_count += usize::from(about != 9 && !is_begun && is_outdated(&about));
                    at += part.len();
                }
                assert_eq!(withdrawn, outdated_count);
                assert_eq!(buffer.unsent(), expected, "{sent} sent, {outdated:b} outdated");
                assert_eq!(buffer.control_bytes() > 0, sent < whole.len(), "PINGs stay");
                let mut unsent = Unsent::default();
                buffer.take_unsent(&mut unsent);
                assert_eq!(unsent.iter().map(|one| (one.about, one.frame.to_vec())).collect::<Vec<_>>(), left);
            }
        }
    }

    #[test]
    fn stuck_since_it_last_moved() {
        let mut buffer = SendBuffer::<()>::new().expect("there is memory");
        assert_eq!(buffer.stuck_ns(7), 0);
        encode::ping(buffer.control_frames(10));
        assert_eq!(buffer.stuck_ns(17), 7);
        encode::ping(buffer.control_frames(20));
        assert_eq!(buffer.stuck_ns(27), 17, "more to send is no sign of life");
        buffer.note_sent(1, 30);
        assert_eq!(buffer.stuck_ns(31), 1);
        buffer.note_sent(11, 40);
        assert_eq!(buffer.stuck_ns(50), 0);
    }
}
