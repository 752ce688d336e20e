//! One connection of the HTTP responder: reads requests, asks the [`Responder`], writes its answers.
//!
//! What comes in steps (bytes of a request, parts of an answer) is handled in turns ([`Turns`](crate::runtime::turns)), so
//! that events never wait for more than one of them. Its memory is a head's worth of bytes received and, while it is being
//! answered, a part of the answer on its way out: an answer is never held as a whole unless it is small.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::Shutdown;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, future};

use crate::http::counts::Unserved;
use crate::http::indent::indented;
use crate::http::request::{HEAD_BYTES_MAX, Head, Refusal, Request, decode_head};
use crate::http::response::{
    Body, EVENTS_BYTES, Ending, EventReader, LAST_CHUNK, Length, Parts, Response, begin_chunk, encode_head, end_chunk,
};
use crate::http::server::{Responder, Shared};
use crate::runtime::socket::Stream;
use crate::runtime::stop::{Stop, Stopped};
use crate::runtime::timeout::{Timer, within};

/// A body up to this goes out together with its head, in the same turn.
const SMALL_BODY_BYTES_MAX: usize = 16 << 10;
/// Bytes that are handed to the socket in one turn; a body that is made on the way is made so far ahead.
const PIECE_BYTES: usize = 32 << 10;
/// After so long without an event a comment is sent: whether the peer is still there shows, to both sides.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_COMMENT: &[u8] = b":\n\n";

/// What the server knows of a connection.
#[derive(Default)]
pub struct Slot {
    /// Since when it has waited for its peer, as a number that grows; `None` while a request is being answered.
    pub waiting_since: Cell<Option<u64>>,
    /// Set: the connection ends as soon as it waits for its peer.
    pub leave: Stop,
}

pub struct HttpConnection<'a, R> {
    shared: &'a Shared<R>,
    slot: &'a Slot,
    stream: &'a mut Stream,
    /// The first `unread_len` bytes are not used yet.
    receive: Box<[u8]>,
    unread_len: usize,
    /// Of what is read at present: the idle time, then the request.
    deadline: Timer,
    leave: Stopped,
}

/// Why there is no further request.
enum End {
    Closed,
    Answered(Response),
}

enum Event {
    Bytes,
    EndOfStream,
    Broken,
    TimedOut,
    Leave,
}

/// What an answer must be like.
#[derive(Clone, Copy)]
struct Form {
    wants_body: bool,
    is_http_1_1: bool,
    ending: Ending,
}

impl Form {
    const LAST: Form = Form { wants_body: true, is_http_1_1: true, ending: Ending::Close };
}

impl<'a, R: Responder> HttpConnection<'a, R> {
    pub fn new(shared: &'a Shared<R>, slot: &'a Slot, stream: &'a mut Stream) -> Self {
        HttpConnection {
            shared,
            slot,
            stream,
            receive: vec![0; HEAD_BYTES_MAX].into(),
            unread_len: 0,
            deadline: Timer::new(shared.limits.request),
            leave: slot.leave.wait(),
        }
    }

    pub async fn serve(mut self) {
        loop {
            let head = match self.next_request().await {
                Ok(head) => head,
                Err(End::Closed) => return,
                Err(End::Answered(response)) => return self.end_with(response).await,
            };
            self.slot.waiting_since.set(None);
            let response = match head.asked {
                Ok(request) => self.answer(request).await,
                Err(refusal) => refusal.into(),
            };
            let ending = if self.shared.stop.is_set() { Ending::Close } else { head.ending };
            let form = Form { wants_body: head.wants_body, is_http_1_1: head.is_http_1_1, ending };
            let sent = self.send(response, form).await;
            self.shared.note_waiting(self.slot);
            match sent {
                None => return,
                Some(Ending::Close) => return self.linger().await,
                Some(Ending::KeepAlive | Ending::KeepAliveOldClient) => {}
            }
            if self.unread_len > 0 {
                self.shared.turns.next().await;
                self.deadline = Timer::new(self.shared.limits.request);
            } else {
                self.deadline = Timer::new(self.shared.limits.idle);
                match self.fill().await {
                    Event::Bytes => self.deadline = Timer::new(self.shared.limits.request),
                    _ => return,
                }
            }
        }
    }

    /// Sends the last response of this connection.
    pub async fn end_with(&mut self, response: Response) {
        if self.send(response, Form::LAST).await.is_some() {
            self.linger().await;
        }
    }

    /// Reads one request, head and body, up to the deadline.
    async fn next_request(&mut self) -> Result<Head, End> {
        let head = loop {
            match decode_head(&self.receive[..self.unread_len]) {
                Ok(Some(head)) => break head,
                Ok(None) => self.fill_request().await?,
                Err(refusal) => return Err(End::Answered(refusal.into())),
            }
        };
        self.consume(head.len_bytes);
        let mut body_left = head.body_len_bytes;
        loop {
            let discarded = body_left.min(self.unread_len);
            self.consume(discarded);
            body_left -= discarded;
            if body_left == 0 {
                return Ok(head);
            }
            self.fill_request().await?;
        }
    }

    async fn fill_request(&mut self) -> Result<(), End> {
        match self.fill().await {
            Event::Bytes => Ok(()),
            // A peer that has only closed its sending side may still read the answer.
            Event::EndOfStream if self.unread_len > 0 => {
                Err(End::Answered(Refusal::new(400, "the request ends in the middle").into()))
            }
            Event::TimedOut => {
                self.shared.counts.count(Unserved::SlowRequest);
                let seconds = self.shared.limits.request.as_secs_f64();
                let message = format!("the request was not complete within {seconds} s");
                Err(End::Answered(Refusal::new(408, message).into()))
            }
            Event::EndOfStream | Event::Broken | Event::Leave => Err(End::Closed),
        }
    }

    /// Reads once, and waits for the turn to use it.
    async fn fill(&mut self) -> Event {
        let HttpConnection { shared, stream, receive, unread_len, deadline, leave, .. } = self;
        let room = &mut receive[*unread_len..];
        assert!(!room.is_empty(), "a full buffer is a head or an error, never waited on");
        let read = async {
            match stream.read(room).await {
                Ok(0) => Event::EndOfStream,
                Ok(len) => {
                    *unread_len += len;
                    Event::Bytes
                }
                Err(_) => Event::Broken,
            }
        };
        let timed_out = async {
            deadline.await;
            Event::TimedOut
        };
        let left = async {
            leave.await;
            Event::Leave
        };
        let event = future::or(left, future::or(read, timed_out)).await;
        if let Event::Bytes = event {
            shared.turns.next().await;
        }
        event
    }

    fn consume(&mut self, len: usize) {
        self.receive.copy_within(len..self.unread_len, 0);
        self.unread_len -= len;
    }

    async fn answer(&self, request: Request) -> Response {
        let is_pretty = request.parameter("pretty") == Some("1");
        let answer = async { self.shared.responder.respond(request).await };
        let response = match within(self.shared.limits.respond, AssertUnwindSafe(answer).catch_unwind()).await {
            Some(Ok(response)) => response,
            Some(Err(_)) => Response::error(500, "the answer failed; the service's log has the cause"),
            None => {
                self.shared.counts.count(Unserved::SlowAnswer);
                Response::error(503, "no answer in time")
            }
        };
        if is_pretty { indented(response) } else { response }
    }

    /// Returns how the connection goes on. `None`: the peer is gone, or reads too slowly, or the rest of the answer is late.
    async fn send(&mut self, response: Response, form: Form) -> Option<Ending> {
        let Response { status, content_type, fields, body } = response;
        let (mut parts, bytes) = match body {
            Body::Whole(bytes) => (None, bytes),
            Body::Events(mut reader) => {
                let length = if form.is_http_1_1 { Length::Chunked } else { Length::UntilClose };
                let mut head = Vec::with_capacity(256);
                encode_head(status, content_type, fields, length, Ending::Close, &mut head);
                let is_sent = self.write(&head).await;
                if is_sent && form.wants_body {
                    self.write_events(&mut *reader, length).await;
                }
                return is_sent.then_some(Ending::Close);
            }
            Body::Parts(mut parts) => {
                let mut bytes = Vec::new();
                let is_whole = self.gather(&mut parts, &mut bytes).await?;
                ((!is_whole).then_some(parts), bytes)
            }
        };
        let (length, ending) = match (&parts, form.is_http_1_1) {
            (None, _) => (Length::Bytes(bytes.len()), form.ending),
            (Some(_), true) => (Length::Chunked, form.ending),
            (Some(_), false) => (Length::UntilClose, Ending::Close),
        };
        let mut head = Vec::with_capacity(256);
        encode_head(status, content_type, fields, length, ending, &mut head);
        if !form.wants_body {
            return self.write(&head).await.then_some(ending);
        }
        match &mut parts {
            None if bytes.len() <= SMALL_BODY_BYTES_MAX => {
                head.extend_from_slice(&bytes);
                self.write(&head).await
            }
            None => self.write(&head).await && self.write_in_turns(&bytes).await,
            Some(parts) => self.write(&head).await && self.write_parts(bytes, parts, length).await?,
        }
        .then_some(ending)
    }

    /// Appends parts until there are [`PIECE_BYTES`] or no more parts; true: no more. `None`: the next is late.
    async fn gather(&self, parts: &mut Parts, bytes: &mut Vec<u8>) -> Option<bool> {
        while bytes.len() < PIECE_BYTES {
            let _position = self.shared.turns.front_of_bulk().await;
            match within(self.shared.limits.respond, parts.next()).await {
                Some(Some(part)) => bytes.extend_from_slice(&part),
                Some(None) => return Some(true),
                None => {
                    self.shared.counts.count(Unserved::SlowAnswer);
                    return None;
                }
            }
        }
        Some(false)
    }

    /// `bytes`, and the parts after them.
    async fn write_parts(&mut self, mut bytes: Vec<u8>, parts: &mut Parts, length: Length) -> Option<bool> {
        let mut framed = Vec::with_capacity(2 * PIECE_BYTES);
        let mut is_last = false;
        loop {
            framed.clear();
            if length == Length::Chunked && !bytes.is_empty() {
                let start = begin_chunk(&mut framed);
                framed.extend_from_slice(&bytes);
                end_chunk(start, &mut framed);
            } else {
                framed.extend_from_slice(&bytes);
            }
            if length == Length::Chunked && is_last {
                framed.extend_from_slice(LAST_CHUNK);
            }
            if !self.write_in_turns(&framed).await {
                return Some(false);
            }
            if is_last {
                return Some(true);
            }
            bytes.clear();
            is_last = self.gather(parts, &mut bytes).await?;
        }
    }

    /// Until the peer ends the connection or does not read, or the server stops.
    async fn write_events(&mut self, reader: &mut dyn EventReader, length: Length) {
        let mut framed = Vec::with_capacity(2 * EVENTS_BYTES);
        while let Some(is_ready) = self.next_event(reader).await {
            self.shared.turns.next_of_many().await;
            framed.clear();
            let start = if length == Length::Chunked { begin_chunk(&mut framed) } else { 0 };
            if is_ready {
                reader.take(&mut framed);
            }
            if framed.len() == start {
                framed.extend_from_slice(KEEP_ALIVE_COMMENT);
            }
            if length == Length::Chunked {
                end_chunk(start, &mut framed);
            }
            if !self.write_within(self.shared.limits.event, &framed).await {
                return;
            }
        }
        if length == Length::Chunked {
            self.write(LAST_CHUNK).await;
        }
    }

    /// Whether there is something to take, or only the time for a comment. `None`: the connection is to end.
    /// What a peer sends meanwhile is not read; that it is gone shows when it is written to.
    async fn next_event(&mut self, reader: &mut dyn EventReader) -> Option<bool> {
        let ready = async { Some(within(KEEP_ALIVE, poll_fn(|cx| reader.poll_ready(cx))).await.is_some()) };
        let left = async {
            (&mut self.leave).await;
            None
        };
        future::or(left, ready).await
    }

    async fn write_in_turns(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.shared.turns.next_of_many().await;
            if !self.write(piece).await {
                return false;
            }
        }
        true
    }

    /// False: the peer is gone, or reads nothing.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        self.write_within(self.shared.limits.write, bytes).await
    }

    async fn write_within(&mut self, limit: Duration, bytes: &[u8]) -> bool {
        match within(limit, self.stream.write_all(bytes)).await {
            Some(written) => written.is_ok(),
            None => {
                self.shared.counts.count(Unserved::Unread);
                false
            }
        }
    }

    /// Ends the sending side, and reads what the peer still sends until it ends its own.
    async fn linger(&mut self) {
        self.stream.shutdown(Shutdown::Write);
        let HttpConnection { shared, stream, receive, leave, .. } = self;
        let rest = async {
            while let Ok(1..) = stream.read(receive).await {
                shared.turns.next().await;
            }
        };
        within(shared.limits.linger, future::or(leave, rest)).await;
    }
}
