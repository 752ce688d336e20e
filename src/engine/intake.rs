//! From unread bytes to events: frames are split off the queue, shed where the queue is nearly full, and handed to the
//! engine. Live, `bench` and the tests run this same loop.

use proto_nats::{Decoded, Limits, Msg, ProtocolError, ServerOp, decode_server_op};

use super::engine::{Engine, Receipt};
use super::json::Malformed;
use super::queue::Queue;
use super::subject::{fnv1a_32, split_subject};

/// Which symbols this engine owns. Instances share by FNV-1a modulo their number, as nats-server's `partition()` does;
/// the cores of an instance share what is its by the quotient, so that every core has its part of every partition.
/// Heartbeats are owned by their last tokens likewise, so that each counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ownership {
    /// This instance and how many there are.
    pub shard: u32,
    pub shard_count: u32,
    /// This core and how many the instance has.
    pub core: u32,
    pub core_count: u32,
}

impl Ownership {
    pub const ALL: Ownership = Ownership { shard: 0, shard_count: 1, core: 0, core_count: 1 };

    #[inline]
    pub fn owns(self, symbol: &[u8]) -> bool {
        if self.shard_count == 1 && self.core_count == 1 {
            return true;
        }
        let hash = fnv1a_32(symbol);
        hash % self.shard_count == self.shard && hash / self.shard_count % self.core_count == self.core
    }

    /// The core of this instance that owns `symbol`; `None` when another instance does.
    pub fn core_of(self, symbol: &[u8]) -> Option<u32> {
        let hash = fnv1a_32(symbol);
        (hash % self.shard_count == self.shard).then(|| hash / self.shard_count % self.core_count)
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

    /// Messages are due. Where they are not, they are no events, and go to `control`: on a connection whatever comes
    /// before the subscriptions is not from the server that we mean.
    fn takes_messages(&self) -> bool {
        true
    }
}

/// Nobody wants to know; malformed events are counted.
#[derive(Default)]
pub struct Unwitnessed {
    pub malformed: u64,
}

impl Witness for Unwitnessed {
    fn control(&mut self, _: &ServerOp<'_>) {}

    fn malformed(&mut self, _: &[u8], _: Malformed) {
        self.malformed += 1;
    }
}

/// Takes up to `frames_max` frames off the queue, all messages with the same receipt. Not generic over its witness, so
/// that there is one code for all: what keeps the caches warm must run what the shard runs.
pub fn take_messages(
    engine: &mut Engine,
    queue: &mut Queue,
    ownership: Ownership,
    receipt: Receipt,
    frames_max: u64,
    witness: &mut dyn Witness,
) -> Result<Round, ProtocolError> {
    let limits = Limits { payload: queue.capacity() / 2, ..Limits::default() };
    let mut round = Round::default();
    // Only control operations change that.
    let mut takes_messages = witness.takes_messages();
    for _ in 0..frames_max {
        let is_nearly_full = queue.is_nearly_full();
        match decode_server_op(queue.unread(), &limits)? {
            Decoded::Op { op: ServerOp::Msg(message), len } if takes_messages => {
                round.messages += 1;
                let (kind, symbol) = split_subject(message.subject, engine.subject_prefix());
                if !ownership.owns(symbol) {
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
                takes_messages = witness.takes_messages();
                queue.consume(len);
            }
            Decoded::Oversized { subject, skip } if !takes_messages => {
                witness.control(&ServerOp::Msg(Msg { subject, sid: 0, reply_to: None, headers: None, payload: &[] }));
                queue.discard(skip);
            }
            Decoded::Oversized { subject, skip } => {
                round.messages += 1;
                let (kind, symbol) = split_subject(subject, engine.subject_prefix());
                if ownership.owns(symbol)
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
