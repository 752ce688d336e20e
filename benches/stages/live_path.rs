//! What a core makes of messages as they come: of core NATS, and of the same ones that a consumer of a stream delivers.
//!
//! ```text
//!   MSG md.events.quote.BTCUSDT 1 230 …  ──► receive buffer ──► frame ──────────────────────────────────► engine
//!   MSG md.events.quote.BTCUSDT 1 $JS.ACK.MD_EVENTS.<consumer>.1.… 230 … ──► frame ──► session, reader ──► engine
//! ```
//!
//! Nothing is published. Times are made up, so that both have the same, and valgrind counts the same each time.

use std::fmt::Write as _;
use std::ops::Range;

use proto_nats::jetstream::{Delivery, ReaderSettings, StreamReader};
use proto_nats::{
    ClientOp, ConnectionSettings, DecodeLimits, Decoded, Msg, ServerAddress, ServerOp, decode_client_op, encode,
};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::malformed::Malformed;
use senpai_md_consumer::engine::input::receive_buffer::ReceiveBuffer;
use senpai_md_consumer::engine::intake::{Observer, take_messages};
use senpai_md_consumer::engine::ownership::Ownership;
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::time::{NANOS_PER_MILLI, NANOS_PER_SECOND, UnixNanos, encode_time};
use senpai_md_consumer::nats::session::{Output, Session, SessionSettings, StreamSettings};
use senpai_md_consumer::recording::looped_frames::Stream;

use crate::measure::Work;
use crate::parts::Frames;
use crate::{PREFIX, no_snapshots};

const STREAM: &str = "MD_EVENTS";
const QUEUE_BYTES: usize = 8 << 20;
const SLICE_MESSAGES: u64 = 256;
/// The time of the first read, a day after the events, and how much later the next one is; an event was stored so long before.
const BEGIN: UnixNanos = UnixNanos((1_721_347_022 + 86_400) * NANOS_PER_SECOND);
const READ_NS: i64 = NANOS_PER_MILLI / 10;
const STORED_NS: i64 = NANOS_PER_MILLI;

/// Where its messages come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Core,
    JetStream,
}

/// See the head of this file.
pub struct LivePath {
    source: Source,
    stream: Stream,
    /// One read brings so many bytes of whole frames.
    read_bytes: usize,
    engine: Engine,
    receive_buffer: ReceiveBuffer,
    session: Session<()>,
    now: UnixNanos,
    /// What the server sends in a pass, and what each read brings of it.
    frames: Vec<u8>,
    reads: Vec<Range<usize>>,
    /// The newest that was made, and what it has delivered.
    consumer: String,
    sequence: u64,
}

impl LivePath {
    pub fn new(source: Source, stream: Stream, read_bytes: usize) -> LivePath {
        let mut path = LivePath {
            source,
            stream,
            read_bytes,
            engine: Engine::new(no_snapshots()).expect("there is memory"),
            receive_buffer: ReceiveBuffer::new(QUEUE_BYTES).expect("there is memory"),
            session: Session::new(settings(source)).expect("there is memory"),
            now: BEGIN,
            frames: Vec::new(),
            reads: Vec::new(),
            consumer: String::new(),
            sequence: 0,
        };
        path.connect();
        path
    }

    fn now_ns(&self) -> u64 {
        self.now.since(BEGIN) as u64
    }

    fn connect(&mut self) {
        let (now_ns, session) = (self.now_ns(), &mut self.session);
        let Some(Output::Connect { id, .. }) = session.poll_output(now_ns) else { panic!("it wants to connect") };
        session.handle_connected(id, ConnectionSettings::default(), None, now_ns);
        for op in [ServerOp::Info(br#"{"max_payload":1048576,"headers":true,"jetstream":true}"#), ServerOp::Pong] {
            session.attempt(id).expect("it is under way").handle_op(&op, now_ns);
        }
        assert!(matches!(session.poll_output(now_ns), Some(Output::Serve(_))), "the attempt serves");
        session.handle_op(&ServerOp::Pong, now_ns);
        assert!(matches!(session.poll_output(now_ns), Some(Output::Ready)), "the subscription is confirmed");
        if self.source == Source::JetStream {
            self.read(&[]);
            while self.answer() {}
            assert!(self.session.stream().is_some_and(StreamReader::has_caught_up), "nothing waits");
        }
    }

    /// As if the socket had brought that; says how many events it had.
    fn read(&mut self, bytes: &[u8]) -> u64 {
        self.now = self.now.plus(READ_NS);
        let (now, now_ns, mut events) = (self.now, self.now_ns(), 0);
        assert_eq!(self.receive_buffer.push(bytes), bytes.len(), "there is room");
        loop {
            let mut observer = Listener { session: &mut self.session, now, now_ns };
            let round = take_messages(
                &mut self.engine,
                &mut self.receive_buffer,
                Ownership::ALL,
                Receipt::At(now),
                SLICE_MESSAGES,
                &mut observer,
            );
            let round = round.expect("the frames are right");
            events += round.messages;
            self.session.ask_stream(QUEUE_BYTES - self.receive_buffer.len_bytes(), now_ns);
            if round.is_drained {
                return events;
            }
        }
    }

    /// What was to be sent is sent, and the server's answers are read. False: there are none.
    fn answer(&mut self) -> bool {
        let (now, last) = (text(self.now), self.sequence);
        let (mut answers, mut at) = (Vec::new(), 0);
        let unsent = self.session.bytes_to_send().to_vec();
        while let Ok(Decoded::Op { op, len }) = decode_client_op(&unsent[at..], &DecodeLimits::default()) {
            at += len;
            let ClientOp::Pub { subject, reply_to: Some(reply_to), .. } = op else { continue };
            let tokens: Vec<&str> = std::str::from_utf8(subject).expect("text").split('.').collect();
            let answer = match tokens[2..] {
                ["STREAM", "INFO", _] => {
                    let state = format!(r#"{{"messages":{last},"first_seq":1,"last_seq":{last}}}"#);
                    let created = text(BEGIN);
                    format!(
                        r#"{{"config":{{"subjects":["{PREFIX}.>"]}},"created":"{created}","ts":"{now}","state":{state}}}"#
                    )
                }
                ["CONSUMER", "CREATE", _, name] => {
                    self.consumer = name.to_owned();
                    let config = format!(r#"{{"filter_subject":"{PREFIX}.>"}}"#);
                    format!(r#"{{"config":{config},"created":"{now}","ts":"{now}","num_pending":0}}"#)
                }
                _ => continue,
            };
            encode::msg(&mut answers, reply_to, b"1", None, None, answer.as_bytes());
        }
        self.session.note_sent(unsent.len(), self.now_ns());
        self.read(&answers);
        !answers.is_empty()
    }
}

impl Work for LivePath {
    fn events(&self) -> u64 {
        self.stream.event_count
    }

    fn prepare(&mut self, pass: i64) {
        self.stream.rebase(pass);
        self.frames.clear();
        self.reads.clear();
        let (mut start, mut reply_to, mut pending) = (0, String::new(), self.events());
        for (subject, payload) in Frames(&self.stream.bytes) {
            reply_to.clear();
            pending -= 1;
            if self.source == Source::JetStream {
                self.sequence += 1;
                let read_at = self.now.plus(READ_NS * (1 + self.reads.len() as i64));
                // Stored one after the other.
                let stored = read_at.minus(STORED_NS).plus((self.frames.len() - start) as i64).0;
                let (sequence, consumer) = (self.sequence, &self.consumer);
                write!(reply_to, "$JS.ACK.{STREAM}.{consumer}.1.{sequence}.{sequence}.{stored}.{pending}")
                    .expect("a string");
            }
            let reply_to = Some(reply_to.as_bytes()).filter(|reply_to| !reply_to.is_empty());
            encode::msg(&mut self.frames, subject, b"1", reply_to, None, payload);
            if self.frames.len() - start >= self.read_bytes {
                self.reads.push(start..self.frames.len());
                start = self.frames.len();
            }
        }
        self.reads.push(start..self.frames.len());
    }

    fn run(&mut self) -> u64 {
        let (frames, reads) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.reads));
        let mut events = 0;
        for read in &reads {
            events += self.read(&frames[read.clone()]);
            if !self.session.bytes_to_send().is_empty() {
                self.answer();
            }
        }
        (self.frames, self.reads) = (frames, reads);
        events
    }
}

/// As the shard's own.
struct Listener<'a> {
    session: &'a mut Session<()>,
    now: UnixNanos,
    now_ns: u64,
}

impl Observer for Listener<'_> {
    fn control(&mut self, op: &ServerOp<'_>) {
        self.session.handle_op(op, self.now_ns);
    }

    fn malformed(&mut self, _: &[u8], malformed: Malformed) {
        panic!("the events are well-formed: {malformed}");
    }

    fn takes_messages(&self) -> bool {
        self.session.takes_messages()
    }

    fn reads_stream(&self) -> bool {
        self.session.stream().is_some()
    }

    fn stored(&mut self, message: &Msg<'_>) -> Option<Receipt> {
        let is_past = !self.session.stream().is_some_and(StreamReader::has_caught_up);
        let Delivery { stored_ns, .. } = self.session.handle_stream_msg(message, self.now_ns)?;
        let stored = UnixNanos(i64::try_from(stored_ns).expect("a moment"));
        Some(Receipt::Stored { stored, present: self.now, is_past })
    }
}

fn settings(source: Source) -> SessionSettings {
    let reader = ReaderSettings {
        stream: STREAM.to_owned(),
        domain: None,
        filters: vec![format!("{PREFIX}.>")],
        subjects: vec![format!("{PREFIX}.>")],
        creates_stream: false,
        max_age_ns: 0,
        max_bytes: 0,
        rolling_window_ns: 60 * NANOS_PER_SECOND as u64,
        description: String::new(),
    };
    let stream = StreamSettings { reader, lag_max_ns: u64::MAX };
    SessionSettings {
        servers: vec![ServerAddress::parse("server").expect("it is an address")],
        discovers: false,
        stream: (source == Source::JetStream).then_some(stream),
        subjects: vec![format!("{PREFIX}.>")],
        seed: Some(1),
        drain_limit_ns: 1,
        write_limit_ns: u64::MAX,
    }
}

fn text(moment: UnixNanos) -> String {
    String::from_utf8(encode_time(moment).into()).expect("it is ASCII")
}
