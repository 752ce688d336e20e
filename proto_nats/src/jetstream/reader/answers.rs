//! What the API answers.

use super::{Asked, Beginning, Consumer, Looked, Stage, StreamReader};
use crate::headers::decode_headers;
use crate::jetstream::ack::AckStart;
use crate::jetstream::answer::{
    AnswerFault, ApiError, ConsumerAnswer, Retention, StreamAnswer, decode_consumer, decode_done, decode_stream,
};
use crate::jetstream::filter::{covers, overlap};
use crate::jetstream::report::{ConsumerLoss, Notice};
use crate::jetstream::trouble::{Request, Trouble};
use crate::jetstream::{LOOK_INTERVAL_NS, RENEW_FIRST_NS, STALL_FIRST_NS, STALL_LAST_NS, Start};
use crate::server_op::Msg;

impl StreamReader {
    /// An answer to the request under way.
    pub(super) fn handle_api_answer(&mut self, msg: &Msg<'_>, now_ns: u64) {
        let Some(asked) = self.asked.take() else { return };
        self.patience.note_answered(&asked, now_ns);
        let status = msg.headers.and_then(|block| decode_headers(block).ok()?.status);
        if status == Some(503) {
            // No responders: nobody has subscribed to the API.
            return self.handle_fault(&asked, Trouble::NoJetStream, now_ns);
        }
        match asked.request {
            Request::StreamInfo => match decode_stream(msg.payload) {
                Ok(answer) => self.handle_stream_info(&asked, answer, now_ns),
                Err(fault) => self.handle_stream_fault(&asked, fault, now_ns),
            },
            Request::StreamCreate => {
                self.stage = Stage::Look;
                match decode_done(msg.payload) {
                    Ok(()) => {
                        self.notice(Notice::StreamCreated);
                        // One that goes again at once is not made again and again.
                        self.back_off(now_ns);
                    }
                    // Somebody else was faster.
                    Err(AnswerFault::Refused(error)) if error.err_code == ApiError::STREAM_NAME_IN_USE => {}
                    Err(fault) => self.fail(trouble(asked.request, fault), now_ns),
                }
            }
            Request::ConsumerCreate => match decode_consumer(msg.payload) {
                Ok(answer) => self.handle_consumer_created(&asked, &answer, now_ns),
                Err(fault) => self.handle_consumer_refused(&asked, fault, now_ns),
            },
            Request::ConsumerInfo => match decode_consumer(msg.payload) {
                Ok(answer) => {
                    self.note_server_time(answer.server_ns, &asked, now_ns);
                    if answer.waiting == 0 {
                        // What was asked for did not arrive, or was answered by what did not.
                        self.pulls.forget();
                    }
                }
                Err(_) => self.give_up(ConsumerLoss::Gone, now_ns),
            },
        }
    }

    /// A request failed: the stream is looked at again, a little later.
    fn handle_fault(&mut self, asked: &Asked, trouble: Trouble, now_ns: u64) {
        if asked.request == Request::ConsumerInfo || self.stage == Stage::Reading {
            self.give_up(ConsumerLoss::Gone, now_ns);
        }
        self.stage = Stage::Look;
        self.fail(trouble, now_ns);
    }

    fn handle_stream_fault(&mut self, asked: &Asked, fault: AnswerFault, now_ns: u64) {
        let is_missing = matches!(&fault, AnswerFault::Refused(error) if error.err_code == ApiError::STREAM_NOT_FOUND);
        match (is_missing, self.stage) {
            (true, _) if self.settings.creates_stream => {
                if self.stage == Stage::Reading {
                    self.give_up(ConsumerLoss::Gone, now_ns);
                }
                self.stage = Stage::CreateStream;
            }
            // The consumer may well go on: the server is busy, its leader is being chosen.
            (false, Stage::Reading) => self.fail(trouble(asked.request, fault), now_ns),
            _ => self.handle_fault(asked, trouble(asked.request, fault), now_ns),
        }
    }

    fn handle_stream_info(&mut self, asked: &Asked, answer: StreamAnswer, now_ns: u64) {
        self.note_server_time(answer.server_ns, asked, now_ns);
        if answer.retention != Retention::Limits {
            return self.handle_fault(asked, Trouble::WrongRetention(answer.retention), now_ns);
        }
        let filters = &self.settings.filters;
        let is_read = |subject: &String| filters.iter().any(|filter| overlap(filter, subject));
        // A mirror names no subjects.
        if !answer.subjects.is_empty() && !answer.subjects.iter().any(is_read) {
            return self.handle_fault(asked, Trouble::OtherSubjects(answer.subjects), now_ns);
        }
        let is_missing = |filter: &&String| {
            !answer.subjects.is_empty() && !answer.subjects.iter().any(|subject| covers(subject, filter))
        };
        let missing: Vec<String> = filters.iter().filter(is_missing).cloned().collect();
        if missing != self.missing_subjects {
            self.missing_subjects.clone_from(&missing);
            if !missing.is_empty() {
                self.notice(Notice::SubjectsMissing(missing));
            }
        }
        let mut is_same = false;
        if self.is_another(&answer) {
            self.handle_made_anew(&answer);
            self.give_up(ConsumerLoss::Gone, now_ns);
        } else if answer.last_sequence < asked.applied_sequence {
            self.handle_went_back(Some(answer.last_sequence), now_ns);
            self.give_up(ConsumerLoss::AheadOfStream, now_ns);
        } else {
            is_same = true;
            // Where it takes more by now, what was passed over may have been of that.
            self.reads_all &= self.takes_all || self.is_all_asked_for(&answer.subjects);
            if self.stage == Stage::Reading {
                self.compare_with_consumer(asked, &answer, now_ns);
            }
        }
        // What is no message of the beginning may have gaps by right: subjects have limits of their own.
        let beginning = Beginning { last_sequence: answer.last_sequence, has_gaps: answer.deleted > 0 };
        self.beginning.get_or_insert(beginning);
        self.stream = Some(answer);
        // What was seen of the one before says nothing of another.
        self.settle_look(is_same.then_some(asked));
        self.schedule_look(now_ns);
        match self.stage {
            Stage::Look => {
                self.stage = Stage::CreateConsumer;
                self.retry_at_ns = self.retry_at_ns.max(now_ns);
            }
            _ => self.end_trouble(),
        }
    }

    /// The filters take all of a stream with these subjects. A mirror's are not known.
    fn is_all_asked_for(&self, subjects: &[String]) -> bool {
        let is_covered = |subject: &String| self.settings.filters.iter().any(|filter| covers(filter, subject));
        !subjects.is_empty() && subjects.iter().all(is_covered)
    }

    fn is_another(&self, answer: &StreamAnswer) -> bool {
        let known_ns = self.stream.as_ref().and_then(|stream| stream.created_ns);
        known_ns.zip(answer.created_ns).is_some_and(|(known_ns, created_ns)| known_ns != created_ns)
    }

    /// Another stream of this name: all of it is new.
    fn handle_made_anew(&mut self, answer: &StreamAnswer) {
        self.notice(Notice::StreamMadeAnew);
        self.handle_reset();
        self.applied_until_ns = 0;
        if self.is_warm {
            self.start = Start::First;
            self.settled = Some(answer.began_with.saturating_sub(1));
        }
    }

    /// The stream has lost its end: what it stored since then is new.
    pub(super) fn handle_went_back(&mut self, last: Option<u64>, now_ns: u64) {
        self.notice(Notice::StreamWentBack { applied: self.applied_sequence, last });
        self.handle_reset();
        self.applied_until_ns = self.applied_moment_ns(now_ns);
        if self.is_warm {
            self.start = Start::Since(self.applied_until_ns.saturating_add(1));
        }
    }

    fn handle_reset(&mut self) {
        self.resets += 1;
        // No look at this stream will tell any more of what was passed over: as far as is known it was for us.
        let jumped = if self.reads_all { self.jumped } else { 0 };
        let lost = std::mem::take(&mut self.lost_untold);
        self.note_missed(jumped.max(lost));
        self.applied_sequence = 0;
        self.settled = None;
        (self.jumped, self.settled_at_look) = (0, 0);
        self.lost_behind = None;
        self.beginning = None;
        self.forget_unanswered();
        if !self.is_warm {
            self.start = Start::NewestOfEach;
        }
    }

    fn compare_with_consumer(&mut self, asked: &Asked, answer: &StreamAnswer, now_ns: u64) {
        let leader = self.stream.as_ref().map_or("", |stream| &stream.leader);
        let is_other_leader = !leader.is_empty() && !answer.leader.is_empty() && leader != answer.leader;
        let unread = |last_sequence: u64| match self.reads_all {
            true => last_sequence > self.passed_sequence(),
            // Whether that is for us is not known; another consumer finds out.
            false => last_sequence > self.applied_sequence,
        };
        let looked = Looked { at_ns: asked.at_ns, last_sequence: answer.last_sequence, deliveries: self.deliveries };
        // Where looks come more often, several are one.
        let before = self.last_look.filter(|before| looked.at_ns >= before.at_ns.saturating_add(LOOK_INTERVAL_NS));
        let is_stalled = before.is_some_and(|before| {
            before.deliveries == self.deliveries && unread(before.last_sequence) && !self.pulls.is_empty()
        });
        if before.is_some() || self.last_look.is_none() {
            self.last_look = Some(looked);
        }
        if is_other_leader {
            self.give_up(ConsumerLoss::LeaderChanged, now_ns);
        } else if asked.seen_sequence > answer.last_sequence {
            self.give_up(ConsumerLoss::AheadOfStream, now_ns);
        } else if is_stalled && now_ns >= self.stall_not_before_ns {
            self.stall_wait_ns = (self.stall_wait_ns * 2).clamp(STALL_FIRST_NS, STALL_LAST_NS);
            self.stall_not_before_ns = now_ns.saturating_add(self.stall_wait_ns);
            self.give_up(if self.reads_all { ConsumerLoss::Stalled } else { ConsumerLoss::Quiet }, now_ns);
        }
    }

    fn handle_consumer_created(&mut self, asked: &Asked, answer: &ConsumerAnswer, now_ns: u64) {
        // It was made for this request, so `created` lies within it.
        self.note_server_time(answer.server_ns.or(answer.created_ns), asked, now_ns);
        if self.knows_time() {
            self.renew_wait_ns = RENEW_FIRST_NS;
        }
        let name = asked.name.clone();
        if !self.choose_start_moment(now_ns) {
            self.delete_consumer(name);
            self.stage = Stage::Look;
            return self.fail(Trouble::Unreadable(asked.request), now_ns);
        }
        if self.is_finding_start() {
            self.delete_consumer(name);
            let Some(before) = answer.stream_sequence else {
                self.stage = Stage::Look;
                return self.fail(Trouble::Unreadable(asked.request), now_ns);
            };
            self.start = Start::From(before.saturating_add(1));
            self.settled = Some(before);
            return;
        }
        let has_several = self.settings.filters.len() > 1;
        // What the stream takes may become more.
        self.picks = !answer.is_filtered || (has_several && self.uses_cover);
        self.takes_all = !answer.is_filtered;
        let subjects = self.stream.as_ref().map_or(&[][..], |stream| &stream.subjects);
        self.reads_all = self.takes_all || self.is_all_asked_for(subjects);
        self.consumer = Some(Consumer {
            name,
            ack_start: AckStart::default(),
            made_ns: now_ns,
            sequence: 0,
            stream_sequence: 0,
            seen_sequence: 0,
            heard_ns: now_ns,
            has_been_heard: false,
            is_doubted: false,
            is_asked_about: false,
        });
        // The last message applied comes again, if it is still there.
        let first_sequence = self.stream.as_ref().map_or(0, |stream| stream.first_sequence);
        let comes_again = matches!(self.start, Start::At { sequence, .. } if sequence >= first_sequence);
        self.pending = answer.pending.saturating_sub(u64::from(comes_again));
        self.stage = Stage::Reading;
        self.end_trouble();
        if self.pending == 0 {
            match self.start {
                Start::At { sequence, .. } if answer.pending == 0 && self.should_be_there(sequence) => {
                    self.handle_misplaced(now_ns);
                }
                Start::NewestOfEach => self.begin_window(now_ns),
                _ => {
                    self.idle_ns = Some(now_ns);
                    // One that was made before the last look may have looked elsewhere; messages and heartbeats will tell.
                    if !asked.is_repeated {
                        self.settle_all();
                    }
                    self.note_caught_up(now_ns);
                }
            }
        }
    }

    fn handle_consumer_refused(&mut self, asked: &Asked, fault: AnswerFault, now_ns: u64) {
        if let AnswerFault::Refused(error) = &fault {
            if error.code == 400 && self.settings.filters.len() > 1 && !self.uses_cover {
                // A server before 2.10 wants one filter.
                self.uses_cover = true;
                return;
            }
            if error.err_code == ApiError::FILTER_NOT_IN_STREAM {
                let subjects = self.stream.as_ref().map(|stream| stream.subjects.clone()).unwrap_or_default();
                return self.handle_fault(asked, Trouble::OtherSubjects(subjects), now_ns);
            }
        }
        self.handle_fault(asked, trouble(asked.request, fault), now_ns);
    }

    fn note_server_time(&mut self, server_ns: Option<u64>, asked: &Asked, now_ns: u64) {
        if let Some(server_ns) = server_ns {
            self.present.note_sample(server_ns, asked.at_ns, now_ns);
        }
    }
}

fn trouble(request: Request, fault: AnswerFault) -> Trouble {
    match fault {
        AnswerFault::Unreadable => Trouble::Unreadable(request),
        AnswerFault::Refused(error) => match error.err_code {
            ApiError::STREAM_NOT_FOUND => Trouble::NoStream,
            ApiError::NOT_ENABLED => Trouble::NoJetStream,
            ApiError::NOT_ENABLED_FOR_ACCOUNT => Trouble::NotForThisAccount,
            _ => Trouble::Refused(request, error),
        },
    }
}
