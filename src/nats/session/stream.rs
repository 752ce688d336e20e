//! The stream that a session reads: its requests leave with the other control frames, its inbox is what is subscribed to. What a
//! stream's reader decides is in the crate `proto_nats` (`jetstream`).
//!
//! A move to another server needs no overlap here: the reader goes on behind the last message that was applied.

use proto_nats::jetstream::{Delivery, Notice, StreamReader};
use proto_nats::{Msg, encode};

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::session::Session;
use crate::nats::session_io::StreamSettings;
use crate::nats::stream_words;

/// A reader with its limit.
pub(super) struct Stream {
    pub(super) reader: StreamReader,
    pub(super) lag_max_ns: u64,
    /// When it was last asked what it wants.
    driven_ns: u64,
    /// When the subscription to the inbox is asked for again, where it is refused.
    subscribe_again_ns: u64,
}

/// Between two times that a refused subscription is asked for. (Where core NATS is read that is for the next connection to do.)
const SUBSCRIBE_AGAIN_NS: u64 = 5 * NANOS_PER_SECOND as u64;

impl Stream {
    pub(super) fn new(settings: StreamSettings, seed: Option<u64>) -> Stream {
        let StreamSettings { reader, lag_max_ns } = settings;
        Stream {
            reader: StreamReader::new(reader, seed.unwrap_or_default()),
            lag_max_ns,
            driven_ns: 0,
            subscribe_again_ns: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.reader.next_deadline(self.driven_ns)
    }

    /// What was refused may be granted by now.
    pub(super) fn is_subscribing_due(&mut self, now_ns: u64) -> bool {
        let is_due = now_ns >= self.subscribe_again_ns;
        if is_due {
            self.subscribe_again_ns = now_ns.saturating_add(SUBSCRIBE_AGAIN_NS);
        }
        is_due
    }

    /// It has caught up, and is not behind.
    pub(super) fn is_ready(&self, now_ns: u64) -> bool {
        let report = self.reader.report(now_ns);
        self.reader.trouble().is_none()
            && report.has_caught_up
            && report.lag_ns.is_some_and(|lag_ns| lag_ns <= self.lag_max_ns)
    }

    /// Why it is not ready.
    pub(super) fn trouble(&self, now_ns: u64) -> Option<String> {
        (!self.is_ready(now_ns)).then(|| format!("JetStream {}", stream_words::trouble(&self.reader, now_ns)))
    }
}

impl<M: Copy> Session<M> {
    /// The reader of the stream, where messages come from one.
    #[inline]
    pub fn stream(&self) -> Option<&StreamReader> {
        self.stream.as_ref().map(|stream| &stream.reader)
    }

    /// A message has come. `Some`: it is the stream's next one.
    #[inline]
    pub fn handle_stream_msg(&mut self, msg: &Msg<'_>, now_ns: u64) -> Option<Delivery> {
        self.stream.as_mut()?.reader.handle_msg(msg, now_ns)
    }

    /// What the reader of the stream asks the server for is written. `room`: so many bytes of frames there is room for.
    pub fn ask_stream(&mut self, room: usize, now_ns: u64) {
        let Some(stream) = &mut self.stream else { return };
        stream.driven_ns = now_ns;
        stream.reader.note_room(room);
        // Without a connection it asks for nothing, and where one is drained nothing more is wanted.
        if !self.serving.as_ref().is_some_and(|serving| serving.takes_publications) {
            return;
        }
        while let Some(request) = stream.reader.poll_request(now_ns) {
            let reply_to = request.reply_to.map(str::as_bytes);
            let frames = self.send_buffer.control_frames(now_ns);
            encode::publish(frames, request.subject.as_bytes(), reply_to, request.payload);
        }
    }

    /// What has happened to the stream, oldest first.
    pub fn poll_stream_notice(&mut self) -> Option<Notice> {
        self.stream.as_mut()?.reader.poll_notice()
    }
}
