//! From unread bytes to events: frames are split off the queue, shed where the queue is nearly full, and handed to the
//! engine. Live, `bench` and the tests run this same loop.

use proto_nats::{Decoded, Limits, ProtocolError, ServerOp, decode_server_op};

use super::engine::{Engine, Receipt};
use super::json::Malformed;
use super::queue::Queue;
use super::subject::{fnv1a_32, split_subject};

/// Which symbols this engine owns: those whose FNV-1a hash modulo `count` is `index`, as nats-server's `partition()`
/// computes it. Heartbeats are owned by the hash of their last tokens likewise, so that each counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    pub index: u32,
    pub count: u32,
}

impl Shard {
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    #[inline]
    pub fn owns(self, symbol: &[u8]) -> bool {
        self.count == 1 || fnv1a_32(symbol) % self.count == self.index
    }
}

/// What a round of frames came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Messages taken off the queue, whatever became of them.
    pub messages: u64,
    /// No whole frame is left; more bytes are needed.
    pub is_drained: bool,
}

/// Who else wants to know: everything but messages goes to the connection, malformed events to the log.
pub trait Witness {
    fn control(&mut self, op: &ServerOp<'_>);
    fn malformed(&mut self, subject: &[u8], malformed: Malformed);
}

/// Takes up to `messages_max` messages off the queue, all with the same receipt.
pub fn take_messages(
    engine: &mut Engine,
    queue: &mut Queue,
    shard: Shard,
    receipt: Receipt,
    messages_max: u64,
    witness: &mut impl Witness,
) -> Result<Round, ProtocolError> {
    let limits = Limits { payload: queue.capacity() / 2, ..Limits::default() };
    let mut round = Round::default();
    while round.messages < messages_max {
        let is_nearly_full = queue.is_nearly_full();
        match decode_server_op(queue.unread(), &limits)? {
            Decoded::Op { op: ServerOp::Msg(message), len } => {
                round.messages += 1;
                let (kind, symbol) = split_subject(message.subject, engine.subject_prefix());
                if !shard.owns(symbol) {
                    engine.counters.events_foreign += 1;
                } else if is_nearly_full && kind.is_sheddable() {
                    engine.shed(kind);
                } else if let Err(malformed) = engine.handle_split(kind, symbol, message.payload, receipt) {
                    witness.malformed(message.subject, malformed);
                }
                queue.consume(len);
            }
            Decoded::Op { op, len } => {
                witness.control(&op);
                queue.consume(len);
            }
            Decoded::Oversized { subject, skip, .. } => {
                round.messages += 1;
                let (kind, symbol) = split_subject(subject, engine.subject_prefix());
                if shard.owns(symbol)
                    && let Err(malformed) = engine.refuse(kind, Malformed::TooLarge)
                {
                    witness.malformed(subject, malformed);
                }
                queue.discard(skip);
            }
            Decoded::NeedMore { .. } => {
                round.is_drained = true;
                break;
            }
        }
    }
    Ok(round)
}
