//! One HTTP connection: reads requests, has them answered, writes the answers.

use std::io;
use std::net::Shutdown;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt, future};
use glommio::net::TcpStream;
use glommio::timer::Timer;

use super::executor::give_way;
use super::http_message::{Ending, HEAD_BYTES_MAX, Head, Request, Response, decode_head};
use super::http_places::{Closed, InFlight, Place, SMALL_ANSWER_BYTES_MAX};
use super::http_server::{House, Responder};
use super::race::within;
use super::stop::Stopped;

/// Written at once, so that a long answer is no long copy in the events' way.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// One peer. Its memory is a head's worth of receive buffer, and a response on its way out.
pub(super) struct Connection<'a, R> {
    house: &'a House<R>,
    place: &'a Place,
    stream: &'a mut TcpStream,
    /// The first `unread_len` bytes are not used yet.
    receive: Box<[u8]>,
    unread_len: usize,
    transmit: Vec<u8>,
    /// Of what is read at present: the idle time, then the request.
    deadline: Timer,
    stopped: Stopped,
    /// The place is another's.
    taken: Stopped,
}

/// Why there is no further request.
enum End {
    Silent,
    Told(Response),
}

enum Event {
    Bytes,
    EndOfStream,
    Broken,
    TimedOut,
    /// There is to be no further request: the service stops, or the place is another's.
    Over,
}

impl<'a, R: Responder> Connection<'a, R> {
    pub fn new(house: &'a House<R>, place: &'a Place, stream: &'a mut TcpStream) -> Self {
        Connection {
            house,
            place,
            stream,
            receive: vec![0; HEAD_BYTES_MAX].into(),
            unread_len: 0,
            transmit: Vec::new(),
            deadline: Timer::new(house.limits.request),
            stopped: house.stop.wait(),
            taken: place.taken(),
        }
    }

    pub async fn serve(mut self) {
        loop {
            self.place.wait();
            let head = match self.next_request().await {
                Ok(head) => head,
                Err(End::Silent) => return,
                Err(End::Told(response)) => {
                    self.place.be_busy();
                    return self.write_last(response).await;
                }
            };
            self.place.be_busy();
            let (response, in_flight) = match head.asked {
                Ok(request) => self.answer(request, head.wants_body).await,
                Err(response) => (response, None),
            };
            let is_last = self.house.stop.is_set() || self.place.is_taken();
            let ending = if is_last { Ending::Close } else { head.ending };
            if !self.write(response, head.wants_body, ending).await {
                return;
            }
            drop(in_flight);
            if ending == Ending::Close {
                return self.linger().await;
            }
            // Pipelined requests must not keep the engine waiting.
            give_way().await;
            if self.unread_len > 0 {
                self.deadline = Timer::new(self.house.limits.request);
            } else {
                self.place.wait();
                self.deadline = Timer::new(self.house.limits.idle);
                match self.fill().await {
                    Event::Bytes => self.deadline = Timer::new(self.house.limits.request),
                    _ => return,
                }
            }
        }
    }

    pub async fn turn_away(mut self) {
        let message = format!("all {} connections are in use", self.house.limits.connections);
        self.write_last(Response::error(503, &message)).await;
    }

    async fn write_last(&mut self, response: Response) {
        if self.write(response, true, Ending::Close).await {
            self.linger().await;
        }
    }

    /// Reads one request, head and body, up to the deadline.
    async fn next_request(&mut self) -> Result<Head, End> {
        let head = loop {
            match decode_head(&self.receive[..self.unread_len]) {
                Ok(Some(head)) => break head,
                Ok(None) => self.fill_request().await?,
                Err(response) => return Err(End::Told(response)),
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
            // A peer that has only closed its sending side may still want to know.
            Event::EndOfStream if self.unread_len > 0 => {
                Err(End::Told(Response::error(400, "the request ends in the middle")))
            }
            Event::TimedOut => {
                self.house.places.counters.count(Closed::RequestTimeout);
                let seconds = self.house.limits.request.as_secs_f64();
                let message = format!("the request was not complete within {seconds} s");
                Err(End::Told(Response::error(408, &message)))
            }
            Event::EndOfStream | Event::Broken | Event::Over => Err(End::Silent),
        }
    }

    /// Reads once.
    async fn fill(&mut self) -> Event {
        let Connection { stream, receive, unread_len, deadline, stopped, taken, .. } = self;
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
        let stopped = async {
            stopped.await;
            Event::Over
        };
        let taken = async {
            taken.await;
            Event::Over
        };
        // A request that is there already is answered, whoever the place belongs to by now.
        future::or(stopped, future::or(read, future::or(taken, timed_out))).await
    }

    fn consume(&mut self, len: usize) {
        self.receive.copy_within(len..self.unread_len, 0);
        self.unread_len -= len;
    }

    /// With the room that the answer's bytes need until they are written.
    async fn answer(&self, request: Request, wants_body: bool) -> (Response, Option<InFlight<'a>>) {
        let places = &self.house.places;
        let no_room = || Response::error(503, "too many bytes of answers wait for their readers");
        let target = request.path.clone();
        let Some(mut room) = places.reserve(&target) else { return (no_room(), None) };
        let answer = async { self.house.responder.respond(request).await };
        let mut response = match within(self.house.limits.respond, AssertUnwindSafe(answer).catch_unwind()).await {
            Some(Ok(response)) => response,
            Some(Err(_)) => return (Response::error(500, "the answer failed; the log says more"), None),
            None => return (Response::error(503, "no answer in time"), None),
        };
        // What is allocated is what it costs.
        response.body.shrink_to_fit();
        places.note_answer(&target, response.body.len());
        match !wants_body || room.resize(response.body.len()) {
            true => (response, Some(room)),
            false => (no_room(), None),
        }
    }

    /// False: the peer is gone, or takes too long.
    async fn write(&mut self, response: Response, wants_body: bool, ending: Ending) -> bool {
        let Connection { stream, transmit, house, .. } = self;
        transmit.clear();
        response.encode_head(ending, transmit);
        let body = response.body;
        let body: &[u8] = if wants_body { &body } else { b"" };
        // A small body goes out together with its head, in one segment train; a longer one by itself, uncopied.
        let separate: &[u8] = match body.len() <= SMALL_ANSWER_BYTES_MAX {
            true => {
                transmit.extend_from_slice(body);
                b""
            }
            false => body,
        };
        let written = async {
            write_pieces(stream, transmit, house.limits.stall).await?;
            write_pieces(stream, separate, house.limits.stall).await
        };
        let error = match within(house.limits.write, written).await {
            Some(Ok(())) => return true,
            Some(Err(error)) => error.kind(),
            None => io::ErrorKind::TimedOut,
        };
        if error == io::ErrorKind::TimedOut {
            house.places.counters.count(Closed::Unread);
        }
        false
    }

    /// Says the end, and reads what the peer still sends until it says so too. Another may have the place meanwhile.
    async fn linger(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write).await;
        self.place.wait();
        let Connection { stream, receive, taken, .. } = self;
        let rest = async {
            while let Ok(1..) = stream.read(receive).await {
                give_way().await;
            }
        };
        within(self.house.limits.linger, future::or(taken, rest)).await;
    }
}

/// Fails with `TimedOut` when the peer takes no byte for `stall`.
async fn write_pieces(stream: &mut TcpStream, bytes: &[u8], stall: Duration) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let piece = &left[..left.len().min(PIECE_BYTES_MAX)];
        let taken_len = match within(stall, stream.write(piece)).await {
            Some(taken_len) => taken_len?,
            // The kernel calls a socket writable when a good part of its buffer is free; a slow reader may have taken
            // less than that, and then there is some room all the same.
            None => match future::poll_once(stream.write(piece)).await {
                Some(taken_len) => taken_len?,
                None => return Err(io::ErrorKind::TimedOut.into()),
            },
        };
        left = &left[taken_len..];
        if !left.is_empty() {
            give_way().await;
        }
    }
    Ok(())
}
