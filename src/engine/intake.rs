//! From unread bytes to events: frames are split off the receive buffer, shed where it is nearly full, and handed to the
//! engine. Live, `bench` and the tests run this same loop.
//!
//! ```text
//!   receive buffer ──► frame ──┬─ message of a symbol that this shard owns ──► engine
//!                              ├─ message of a symbol that another shard owns ──► skipped and counted; a heartbeat is heard
//!                              └─ anything else ─────────────────────► observer
//! ```

use proto_nats::{DecodeLimits, Decoded, Msg, ProtocolError, ServerOp, decode_server_op};

use crate::engine::engine::Engine;
use crate::engine::input::malformed::Malformed;
use crate::engine::input::receive_buffer::ReceiveBuffer;
use crate::engine::input::subject::{EventKind, split_subject};
use crate::engine::ownership::Ownership;
use crate::engine::receipt::Receipt;

/// A round ends with the frame that makes it so many bytes: large frames take long, and the socket is to be looked at again,
/// above all while the buffer is nearly full and what comes may be shed.
const ROUND_BYTES: usize = 256 << 10;

/// What a round of frames came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Messages taken off the buffer: used, shed, malformed and foreign ones.
    pub messages: u64,
    /// No whole frame is left; more bytes are needed.
    pub is_drained: bool,
}

/// Is told what the engine is not: control operations, for the connection, and malformed events, for the log.
pub trait Observer {
    /// An operation that is no event.
    fn control(&mut self, op: &ServerOp<'_>);
    /// An event that cannot be used; it has been counted.
    fn malformed(&mut self, subject: &[u8], malformed: Malformed);

    /// Whether messages are events by now. Where they are not, they go to `control`: a server sends none before it has
    /// been sent subscriptions.
    fn takes_messages(&self) -> bool {
        true
    }

    /// Whether messages may come that were taken before, on another connection.
    fn expects_repeats(&self) -> bool {
        false
    }

    /// Whether messages are those of a stream: [`stored`](Self::stored) says which of them are events then, nothing is shed, and
    /// the receipt that all others have does not count.
    fn reads_stream(&self) -> bool {
        false
    }

    /// The receipt of a message of the stream. `None`: it is not an event, or not the next one.
    fn stored(&mut self, _message: &Msg<'_>) -> Option<Receipt> {
        None
    }

    /// Where repeats are expected: whether this message was taken before. It is left out then.
    fn is_repeated(&mut self, _subject: &[u8], _payload: &[u8]) -> bool {
        false
    }
}

/// Counts malformed events; ignores control operations.
#[derive(Default)]
pub struct MalformedCount {
    /// Events that could not be used.
    pub malformed: u64,
}

impl Observer for MalformedCount {
    fn control(&mut self, _: &ServerOp<'_>) {}

    fn malformed(&mut self, _: &[u8], _: Malformed) {
        self.malformed += 1;
    }
}

/// Takes up to `frames_max` frames and about [`ROUND_BYTES`] off the buffer, all messages with the same receipt. Not
/// generic over its observer, so that there is one code for all: what keeps the caches warm must run what the shard runs.
///
/// A frame may be as long as the buffer. A longer one is refused as soon as its control line tells its length.
pub fn take_messages(
    engine: &mut Engine,
    buffer: &mut ReceiveBuffer,
    ownership: Ownership,
    receipt: Receipt,
    frames_max: u64,
    observer: &mut dyn Observer,
) -> Result<Round, ProtocolError> {
    let limits = DecodeLimits { payload: buffer.capacity(), ..DecodeLimits::default() };
    let mut round = Round::default();
    // Only control operations change that.
    let mut takes_messages = observer.takes_messages();
    let expects_repeats = observer.expects_repeats();
    let reads_stream = observer.reads_stream();
    let unread_bytes = buffer.len_bytes();
    for _ in 0..frames_max {
        // Where nothing is left, the round is to say so.
        if unread_bytes - buffer.len_bytes() >= ROUND_BYTES && buffer.len_bytes() > 0 {
            break;
        }
        match decode_server_op(buffer.unread(), &limits)? {
            Decoded::Op { op: ServerOp::Msg(message), len } if takes_messages => {
                let receipt = match reads_stream {
                    false => receipt,
                    true => match observer.stored(&message) {
                        Some(receipt) => receipt,
                        None => {
                            buffer.consume(len);
                            continue;
                        }
                    },
                };
                round.messages += 1;
                let (kind, symbol) = split_subject(message.subject, engine.subject_prefix());
                if !ownership.owns(symbol) {
                    engine.counters.events_foreign += 1;
                    if kind == EventKind::Heartbeat {
                        engine.hear_foreign(message.payload, receipt);
                    }
                } else if expects_repeats && observer.is_repeated(message.subject, message.payload) {
                    // Not an event: it has been one.
                    engine.counters.events_repeated += 1;
                } else if kind.is_sheddable() && !reads_stream && buffer.is_nearly_full(len) {
                    engine.shed(kind);
                } else if let Err(malformed) = engine.handle_split(kind, symbol, message.payload, receipt) {
                    observer.malformed(message.subject, malformed);
                }
                buffer.consume(len);
            }
            Decoded::Op { op, len } => {
                observer.control(&op);
                takes_messages = observer.takes_messages();
                buffer.consume(len);
            }
            Decoded::Oversized { subject, skip } => {
                refuse_oversized(engine, observer, ownership, subject, skip, buffer.capacity());
                round.messages += u64::from(takes_messages);
                buffer.discard(skip);
            }
            Decoded::NeedMore { at_least } => {
                // The payload fits, but not with its control line.
                if at_least > buffer.capacity()
                    && let Some(subject) = begun_message(buffer.unread())
                {
                    refuse_oversized(engine, observer, ownership, subject, at_least, buffer.capacity());
                    round.messages += u64::from(takes_messages);
                    buffer.discard(at_least);
                    continue;
                }
                round.is_drained = true;
                break;
            }
        }
    }
    Ok(round)
}

/// The subject of a message whose control line is there as a whole; `None` where that has no end yet.
#[cold]
fn begun_message(unread: &[u8]) -> Option<&[u8]> {
    let end = unread.iter().position(|byte| *byte == b'\n')?;
    unread[..end].split(u8::is_ascii_whitespace).filter(|token| !token.is_empty()).nth(1)
}

/// A message of `frame_bytes` with its control line, which the buffer cannot hold.
#[cold]
fn refuse_oversized(
    engine: &mut Engine,
    observer: &mut dyn Observer,
    ownership: Ownership,
    subject: &[u8],
    frame_bytes: usize,
    queue_bytes: usize,
) {
    if !observer.takes_messages() {
        return observer.control(&ServerOp::Msg(Msg { subject, sid: 0, reply_to: None, headers: None, payload: &[] }));
    }
    let (kind, symbol) = split_subject(subject, engine.subject_prefix());
    if !ownership.owns(symbol) {
        engine.counters.events_foreign += 1;
    } else if let Err(malformed) = engine.refuse(kind, Malformed::TooLarge { frame_bytes, queue_bytes }) {
        observer.malformed(subject, malformed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::alerts::alert::AlertKind;
    use crate::engine::counters::DropReason;
    use crate::engine::settings::EngineSettings;
    use crate::engine::time::{NANOS_PER_SECOND, UnixNanos};
    use proto_nats::encode;

    const QUEUE_BYTES: usize = 64 << 10;

    #[derive(Default)]
    struct Seen(Vec<String>);

    impl Observer for Seen {
        fn control(&mut self, op: &ServerOp<'_>) {
            self.0.push(format!("{op:?}"));
        }

        fn malformed(&mut self, _: &[u8], malformed: Malformed) {
            self.0.push(malformed.to_string());
        }
    }

    /// Sends `frames` through a buffer, `read_bytes` at a time; says what the observer was told, and the events taken
    /// and shed.
    fn take(frames: &[u8], read_bytes: usize) -> (Vec<String>, u64, u64) {
        let mut engine =
            Engine::new(EngineSettings { symbols_max: 4, window_trades: 100, ..EngineSettings::default() })
                .expect("there is memory");
        let (mut buffer, mut seen) = (ReceiveBuffer::new(QUEUE_BYTES).expect("there is memory"), Seen::default());
        for read in frames.chunks(read_bytes) {
            let mut left = read;
            loop {
                let taken = buffer.push(left);
                left = &left[taken..];
                let receipt = Receipt::At(UnixNanos(1));
                let round = take_messages(&mut engine, &mut buffer, Ownership::ALL, receipt, 1, &mut seen).unwrap();
                if round.is_drained && left.is_empty() {
                    break;
                }
                assert!(taken > 0 || !round.is_drained, "the buffer is full and no frame can become whole");
            }
        }
        let shed = EventKind::ALL.iter().map(|kind| engine.counters.dropped(DropReason::Backpressure, *kind)).sum();
        (seen.0, engine.counters.events_in_total() - shed, shed)
    }

    /// A MSG whose frame has `frame_bytes` in all.
    fn message(kind: &str, symbol: &str, frame_bytes: usize) -> Vec<u8> {
        let payload = |spaces: usize| format!("{{\"price\":1,\"size\":1,\"bid\":1,\"ask\":2{}}}", " ".repeat(spaces));
        let frame = |spaces: usize| {
            let mut frame = Vec::new();
            encode::msg(
                &mut frame,
                format!("md.events.{kind}.{symbol}").as_bytes(),
                b"1",
                None,
                None,
                payload(spaces).as_bytes(),
            );
            frame
        };
        let spaces = (0..=frame_bytes - frame(0).len()).rev().find(|spaces| frame(*spaces).len() == frame_bytes);
        frame(spaces.expect("a length that its own digits allow"))
    }

    #[test]
    fn a_message_as_long_as_the_buffer_is_taken_and_a_longer_one_refused_with_its_size() {
        let small = message("trade", "A", 80);
        for kind in ["trade", "quote"] {
            for frame_bytes in [QUEUE_BYTES / 2, QUEUE_BYTES / 2 + 100, QUEUE_BYTES * 95 / 100, QUEUE_BYTES] {
                let frames = [message(kind, "A", frame_bytes), small.clone()].concat();
                for read_bytes in [1_000, QUEUE_BYTES] {
                    let (seen, taken, shed) = take(&frames, read_bytes);
                    assert_eq!((&seen[..], taken, shed), (&[][..], 2, 0), "{kind} of {frame_bytes}");
                }
            }
            let long_name = "x".repeat(4_000);
            for (symbol, frame_bytes) in [
                ("A", QUEUE_BYTES + 1),
                ("A", QUEUE_BYTES + 50),
                ("A", 10 * QUEUE_BYTES),
                (&long_name, QUEUE_BYTES + 1),
            ] {
                let large = message(kind, symbol, frame_bytes);
                let said = format!(
                    "the message has {} bytes with its control line, more than the {QUEUE_BYTES} of QUEUE_BYTES",
                    large.len()
                );
                for read_bytes in [1_000, QUEUE_BYTES] {
                    let (seen, taken, shed) = take(&[large.clone(), small.clone()].concat(), read_bytes);
                    assert_eq!((seen, taken, shed), (vec![said.clone()], 2, 0), "{kind} of {frame_bytes}");
                }
            }
        }
    }

    /// A provider that only another instance's symbols are of is not taken for silent.
    #[test]
    fn a_heartbeat_that_another_shard_owns_is_heard_and_counts_there() {
        const SECOND: i64 = NANOS_PER_SECOND;
        let settings = EngineSettings { symbols_max: 4, window_trades: 100, ..EngineSettings::default() };
        for shard_count in [1, 2] {
            let shards = (0..shard_count).map(|shard| Ownership { shard, shard_count, ..Ownership::ALL });
            let mut counted = 0;
            for ownership in shards {
                let mut engine = Engine::new(settings.clone()).expect("there is memory");
                let mut buffer = ReceiveBuffer::new(QUEUE_BYTES).expect("there is memory");
                for second in 0..60 {
                    let mut frame = Vec::new();
                    encode::msg(&mut frame, b"md.events.heartbeat.p", b"1", None, None, br#"{"provider":"p"}"#);
                    assert_eq!(buffer.push(&frame), frame.len());
                    let receipt = Receipt::At(UnixNanos(second * SECOND));
                    take_messages(&mut engine, &mut buffer, ownership, receipt, 9, &mut Seen::default()).unwrap();
                }
                let counters = &engine.counters;
                assert_eq!(counters.events_in_total() + counters.events_foreign, 60);
                counted += counters.events_in_total();
                let gaps = |engine: &Engine| engine.alert_board().fired()[AlertKind::Gap as usize];
                assert_eq!(gaps(&engine), 0, "{ownership:?}");
                engine.handle_time(UnixNanos(75 * SECOND));
                assert_eq!(gaps(&engine), 1, "{ownership:?}");
            }
            assert_eq!(counted, 60, "one of the {shard_count} counts them");
        }
    }

    #[test]
    fn a_buffer_that_is_nearly_full_sheds_quotes() {
        let frames = |quote: usize, trade: usize| [message("quote", "A", quote), message("trade", "A", trade)].concat();
        let nearly_full = (QUEUE_BYTES * 9).div_ceil(10);
        assert_eq!(take(&frames(1_000, nearly_full - 1_000), QUEUE_BYTES), (vec![], 1, 1));
        assert_eq!(take(&frames(1_000, nearly_full - 1_001), QUEUE_BYTES), (vec![], 2, 0));
        assert_eq!(take(&frames(nearly_full - 1_000, 1_000), QUEUE_BYTES), (vec![], 1, 1));
        assert_eq!(take(&frames(nearly_full, 1_000), QUEUE_BYTES), (vec![], 2, 0), "it fills the buffer alone");
    }
}
