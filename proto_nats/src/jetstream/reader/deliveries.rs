//! Messages of the stream, and what a consumer says in their place.

use super::{Asked, Delivery, ERRANDS_MAX, Stage, StreamReader};
use crate::jetstream::ack::Standing;
use crate::jetstream::filter::takes;
use crate::jetstream::report::{ConsumerLoss, Notice};
use crate::jetstream::status::{AfterPull, PullEnd, PullStatus};
use crate::jetstream::{CAUGHT_UP_WITHIN_NS, LOOK_INTERVAL_MIN_NS, LOOK_INTERVAL_NS, Start};
use crate::server_op::Msg;

/// Pulls in a row that something unknown ended at once, until the consumer is made anew.
const UNKNOWN_ENDS_MAX: u32 = 3;

impl StreamReader {
    /// A message of the inbox's subscription. `Some`: it is of the stream, and the next one to be applied.
    #[inline]
    pub fn handle_msg(&mut self, msg: &Msg<'_>, now_ns: u64) -> Option<Delivery> {
        // The usual first byte is another one.
        if msg.subject.first() == self.inbox.as_bytes().first()
            && let Some(token) = msg.subject.strip_prefix(self.inbox.as_bytes())
        {
            self.handle_answer(token, msg, now_ns);
            return None;
        }
        let delivery = self.handle_delivery(msg, now_ns);
        self.skipped += u64::from(delivery.is_none());
        delivery
    }

    fn handle_delivery(&mut self, msg: &Msg<'_>, now_ns: u64) -> Option<Delivery> {
        let reply_to = msg.reply_to?;
        // One that was given up may still send what was on its way; two connections may bring the same.
        let consumer = self.consumer.as_mut()?;
        let ack = consumer.ack_start.parse(reply_to, consumer.name.as_bytes())?;
        if ack.consumer_sequence <= consumer.sequence {
            return None;
        }
        let headers_len = msg.headers.map_or(0, <[u8]>::len);
        self.pulls.note_delivered(msg.subject.len() + reply_to.len() + headers_len + msg.payload.len());
        self.deliveries += 1;
        consumer.note_heard(now_ns);
        let lost = ack.consumer_sequence - consumer.sequence - 1;
        let is_first = consumer.sequence == 0;
        (consumer.sequence, consumer.stream_sequence) = (ack.consumer_sequence, ack.stream_sequence);
        self.failures = 0;
        if lost > 0 && !self.accepts_loss(now_ns) {
            return None;
        }
        self.pending = ack.pending;
        let delivery = match self.start {
            Start::NewestOfEach if Some(ack.stored_ns) >= self.start_moment_ns => {
                self.begin_window(now_ns);
                return None;
            }
            Start::At { sequence, stored_ns } if is_first && ack.stream_sequence == sequence => {
                if ack.stored_ns != stored_ns {
                    self.handle_went_back(None, now_ns);
                    self.give_up(ConsumerLoss::AheadOfStream, now_ns);
                    return None;
                }
                if ack.pending == 0 {
                    self.settle_all();
                }
                None
            }
            Start::At { sequence, .. } if is_first && self.should_be_there(sequence) => {
                self.handle_misplaced(now_ns);
                return None;
            }
            _ if ack.stream_sequence <= self.applied_sequence || ack.stored_ns <= self.applied_until_ns => None,
            _ => {
                self.account(ack.stream_sequence, lost);
                let is_wanted = !self.picks || takes(&self.settings.filters, msg.subject);
                is_wanted.then(|| self.apply(&ack))
            }
        };
        if ack.pending == 0 {
            self.idle_ns = Some(now_ns);
        } else if delivery.is_some() {
            self.idle_ns = None;
        }
        if self.start == Start::NewestOfEach {
            if ack.pending == 0 {
                self.begin_window(now_ns);
            }
        } else if !self.has_caught_up {
            self.note_caught_up(now_ns);
        }
        delivery
    }

    /// The last message applied must come again, as the stream still reaches back so far. (Where all of the stream is read,
    /// another message would be in its place.)
    pub(super) fn should_be_there(&self, sequence: u64) -> bool {
        let first_sequence = self.stream.as_ref().map_or(u64::MAX, |stream| stream.first_sequence);
        !self.reads_all && sequence >= first_sequence
    }

    pub(super) fn handle_misplaced(&mut self, now_ns: u64) {
        self.applied_until_ns = self.applied_moment_ns(now_ns);
        self.start = Start::Since(self.applied_until_ns.saturating_add(1));
        self.applied_sequence = 0;
        self.give_up(ConsumerLoss::Misplaced, now_ns);
    }

    /// When what was applied last was stored; not later than now, as the clock of then may have been wrong.
    pub(super) fn applied_moment_ns(&self, now_ns: u64) -> u64 {
        self.present(now_ns).map_or(self.applied_ns, |present_ns| self.applied_ns.min(present_ns))
    }

    fn apply(&mut self, ack: &Standing) -> Delivery {
        self.applied_sequence = ack.stream_sequence;
        self.applied_ns = ack.stored_ns;
        self.applied_count += 1;
        self.stall_wait_ns = 0;
        if self.start != Start::NewestOfEach {
            self.is_warm = true;
            self.start = Start::At { sequence: ack.stream_sequence, stored_ns: ack.stored_ns };
        }
        Delivery { sequence: ack.stream_sequence, stored_ns: ack.stored_ns }
    }

    /// Messages of the consumer did not arrive. Another one brings them; but where they were lost before, they are passed
    /// over.
    fn accepts_loss(&mut self, now_ns: u64) -> bool {
        let is_repeated = self.lost_behind == Some(self.applied_sequence);
        self.lost_behind = Some(self.applied_sequence);
        if !is_repeated {
            self.give_up(ConsumerLoss::MessagesLost, now_ns);
        }
        is_repeated
    }

    /// The next message is this one: what lies before it and was not settled is gone, or was not for us.
    fn account(&mut self, sequence: u64, lost: u64) {
        if self.start == Start::NewestOfEach {
            return;
        }
        let lost = lost + std::mem::take(&mut self.lost_untold);
        let Some(settled) = self.settled else {
            self.settled = Some(sequence);
            return;
        };
        let before = sequence.saturating_sub(1);
        if settled == before && lost == 0 {
            self.settled = Some(sequence);
            return;
        }
        let gone = self.gone(settled, if self.reads_all { before } else { before.min(self.last_gone()) });
        if self.reads_all {
            // What came after the last look is of what the stream takes besides, if it has begun to.
            let last = self.stream.as_ref().map_or(0, |stream| stream.last_sequence);
            let seen = if self.takes_all { gone } else { self.gone(settled, before.min(last)) };
            let certain = seen.max(lost).min(gone);
            self.note_missed(certain);
            if self.jumped == 0 && gone > certain {
                // As soon as looks may be.
                let sooner_ns = self.look_due_ns.saturating_sub(LOOK_INTERVAL_NS - LOOK_INTERVAL_MIN_NS);
                self.look_due_ns = sooner_ns.max(self.retry_at_ns);
            }
            self.jumped = self.jumped.saturating_add(gone - certain);
        } else {
            self.note_missed(gone.max(lost));
            self.jumped = self.jumped.saturating_add(before.saturating_sub(settled.saturating_add(gone)));
        }
        self.settled = Some(settled.max(sequence));
    }

    /// A consumer that was just made has nothing to deliver, so that all that the last look saw is settled.
    pub(super) fn settle_all(&mut self) {
        let last = self.stream.as_ref().map_or(0, |stream| stream.last_sequence);
        let Some(settled) = self.settled else {
            self.settled = Some(last);
            return;
        };
        let gone = self.gone(settled, if self.reads_all { last } else { last.min(self.last_gone()) });
        self.note_missed(gone);
        self.settled = Some(settled.max(last));
    }

    /// A consumer says that it has nothing, as far as it has seen: what the last look saw to be gone will not come.
    fn settle_idle(&mut self, seen: u64) {
        let last = self.stream.as_ref().map_or(0, |stream| stream.last_sequence);
        if let Some(settled) = self.settled.filter(|_| self.start != Start::NewestOfEach) {
            let last_gone = last.min(self.last_gone());
            let gone = self.gone(settled, last_gone);
            self.note_missed(gone);
            // What else it has seen is not for us, where we do not read all.
            self.settled = Some(settled.max(if self.reads_all { last_gone } else { last.min(seen).max(last_gone) }));
        }
    }

    /// Where a part is read: what was passed over since the last look, and was not in the stream by now, may have been for
    /// us. What still is there, and had been seen by the consumer before this look, was not. Where all is read: what had been
    /// passed over before this look was for us. To be called with what this look saw; `None`: of another stream than before.
    pub(super) fn settle_look(&mut self, asked: Option<&Asked>) {
        let Some(asked) = asked else {
            self.settled_at_look = self.settled.unwrap_or(0);
            return;
        };
        let seen = asked.seen_sequence;
        let last_gone = self.last_gone();
        let gone = last_gone.saturating_sub(self.settled_at_look);
        let jumped = asked.jumped.min(self.jumped);
        self.jumped -= jumped;
        self.note_missed(match self.reads_all {
            true => jumped,
            false if self.settled_at_look > 0 => jumped.min(gone),
            false => 0,
        });
        self.settled_at_look = asked.settled;
        if let Some(settled) = self.settled.as_mut().filter(|settled| !self.reads_all && **settled >= last_gone) {
            *settled = seen.max(*settled);
            self.settled_at_look = self.settled_at_look.max(seen);
        }
    }

    /// The last sequence that is before the stream's first message, as of the last look.
    fn last_gone(&self) -> u64 {
        self.stream.as_ref().map_or(0, |stream| stream.first_sequence.saturating_sub(1))
    }

    /// Sequences behind `settled`, up to `last`, of which none is in the stream. Not those that were gone at the beginning.
    fn gone(&self, settled: u64, last: u64) -> u64 {
        let beginning = self.beginning.filter(|beginning| beginning.has_gaps);
        last.saturating_sub(settled.max(beginning.map_or(0, |beginning| beginning.last_sequence)))
    }

    pub(super) fn note_missed(&mut self, count: u64) {
        if count > 0 {
            self.missed = self.missed.saturating_add(count);
            self.notice(Notice::Missed(count));
        }
    }

    pub(super) fn note_caught_up(&mut self, now_ns: u64) {
        let is_near = || {
            let has_all = self.beginning.is_some_and(|beginning| self.passed_sequence() >= beginning.last_sequence);
            let present_ns = self.present(now_ns).filter(|_| has_all);
            present_ns.is_some_and(|present_ns| present_ns.abs_diff(self.applied_ns) < CAUGHT_UP_WITHIN_NS)
        };
        if !self.has_caught_up && (self.pending == 0 || is_near()) {
            self.has_caught_up = true;
            self.notice(Notice::CaughtUp);
        }
    }

    #[cold]
    fn handle_answer(&mut self, token: &[u8], msg: &Msg<'_>, now_ns: u64) {
        let Some(token) = std::str::from_utf8(token).ok().and_then(|text| text.parse::<u64>().ok()) else { return };
        if self.asked.as_ref().is_some_and(|asked| asked.token == token) {
            self.handle_api_answer(msg, now_ns);
        } else if self.pulls.contains(token)
            && let Some(status) = msg.headers.and_then(PullStatus::parse)
        {
            self.handle_status(token, status, msg.reply_to, now_ns);
        }
    }

    fn handle_status(&mut self, token: u64, status: PullStatus, reply_to: Option<&[u8]>, now_ns: u64) {
        match status {
            PullStatus::IdleHeartbeat { consumer_sequence, stream_sequence } => {
                self.handle_heartbeat(consumer_sequence, stream_sequence, now_ns);
            }
            PullStatus::FlowControl => {
                let subject = reply_to.and_then(|subject| std::str::from_utf8(subject).ok());
                if let Some(subject) = subject.filter(|_| self.to_answer.len() < ERRANDS_MAX) {
                    self.to_answer.push_back(subject.to_owned());
                }
            }
            PullStatus::Over { end, left_bytes } => self.handle_pull_over(token, end, left_bytes, now_ns),
        }
    }

    fn handle_heartbeat(&mut self, sequence: Option<u64>, stream_sequence: Option<u64>, now_ns: u64) {
        let Some(consumer) = self.consumer.as_mut().filter(|_| self.stage == Stage::Reading) else { return };
        consumer.note_heard(now_ns);
        self.failures = 0;
        let stream_sequence = stream_sequence.unwrap_or(consumer.stream_sequence);
        let sequence = sequence.unwrap_or(consumer.sequence);
        consumer.seen_sequence = consumer.seen_sequence.max(stream_sequence);
        let seen = consumer.seen_sequence;
        if sequence < consumer.sequence || stream_sequence < consumer.stream_sequence {
            // It counts anew: it is not the one that it was.
            return self.give_up(ConsumerLoss::Gone, now_ns);
        }
        let lost = sequence - consumer.sequence;
        if lost > 0 {
            consumer.sequence = sequence;
            if !self.accepts_loss(now_ns) {
                return;
            }
            // By stream sequence it is told with the next message.
            match self.reads_all {
                true => self.lost_untold += lost,
                false => self.note_missed(lost),
            }
        }
        self.idle_ns = Some(now_ns);
        self.settle_idle(seen);
    }

    fn handle_pull_over(&mut self, token: u64, end: PullEnd, left_bytes: Option<u64>, now_ns: u64) {
        self.pulls.handle_over(token, end, left_bytes, now_ns);
        if let Some(consumer) = &mut self.consumer
            && matches!(end, PullEnd::Expired | PullEnd::BatchCompleted | PullEnd::ExceedsMaxBytes)
        {
            consumer.note_heard(now_ns);
        }
        match end.after() {
            AfterPull::AskAgain if self.pulls.fruitless() < UNKNOWN_ENDS_MAX => {}
            AfterPull::AskAgain => self.give_up(ConsumerLoss::PullsRefused, now_ns),
            AfterPull::AskAllAgain => self.pulls.forget(),
            AfterPull::MakeAnew if end == PullEnd::NoConsumer => self.give_up(ConsumerLoss::Gone, now_ns),
            AfterPull::MakeAnew => self.give_up(ConsumerLoss::PullsRefused, now_ns),
        }
    }
}

impl super::Consumer {
    #[inline]
    fn note_heard(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
        self.has_been_heard = true;
        self.is_doubted = false;
        self.is_asked_about = false;
    }
}
