//! A reader, its driver, and the wire to the model server, in simulated time.

use std::collections::{BTreeMap, VecDeque};

use proto_nats::jetstream::{Delivery, Notice, Phase, ReaderSettings, StreamReader};
use proto_nats::{Msg, SECOND_NS};

use crate::frame::Frame;
use crate::model::{EPOCH_NS, STREAM, Server, TICK_NS};
use crate::random::Random;

pub struct World {
    pub now_ns: u64,
    pub random: Random,
    pub server: Server,
    pub reader: StreamReader,
    is_connected: bool,
    to_server: VecDeque<(u64, Frame)>,
    to_client: VecDeque<(u64, Frame)>,
    /// Arrived, and not handled yet.
    queue: VecDeque<Frame>,
    pub capacity: usize,
    /// Frames that the driver handles in a tick.
    pub handles: usize,
    /// One of so many is lost; 0: none.
    pub loses_requests: usize,
    pub loses_messages: usize,
    /// When a message was lost last: that the same one is lost again at once is not for chance.
    lost_ns: u64,
    /// API answers come so much later.
    pub answers_late_ns: u64,
    /// So many requests with this word in their subject are still to be lost.
    pub loses: (&'static str, usize),
    /// By id, with the sequence that it was applied with.
    pub applied: Vec<(u64, Delivery)>,
    pub notices: Vec<(u64, Notice)>,
    /// For the report of a failure.
    pub strikes: Vec<(u64, usize)>,
    /// Publishes this often (1 in so many ticks, each tick several); 0: not.
    pub publishes_one_in: usize,
    pub subjects: Vec<&'static str>,
    pub publishing_bytes: usize,
}

pub fn settings(filters: &[&str]) -> ReaderSettings {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    ReaderSettings {
        stream: STREAM.to_owned(),
        domain: None,
        filters: owned(filters),
        subjects: owned(&["md.events.>"]),
        creates_stream: false,
        max_age_ns: 300 * SECOND_NS,
        max_bytes: 1 << 30,
        rolling_window_ns: 60 * SECOND_NS,
        description: "a test".to_owned(),
    }
}

impl World {
    pub fn new(seed: u64, is_old: bool, settings: ReaderSettings) -> World {
        let mut random = Random::new(seed);
        World {
            now_ns: 1_000 * SECOND_NS,
            server: Server::new(is_old),
            reader: StreamReader::new(settings, random.next()),
            random,
            is_connected: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            queue: VecDeque::new(),
            capacity: 64 << 10,
            handles: 64,
            loses_requests: 0,
            loses_messages: 0,
            lost_ns: 0,
            answers_late_ns: 0,
            loses: ("", 0),
            applied: Vec::new(),
            notices: Vec::new(),
            strikes: Vec::new(),
            publishes_one_in: 0,
            subjects: vec!["md.events.trade.A", "md.events.trade.B", "md.events.quote.A", "md.events.heartbeat.x"],
            publishing_bytes: 200,
        }
    }

    pub fn connect(&mut self) {
        self.is_connected = true;
        self.reader.handle_connected(self.now_ns);
    }

    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.to_server.clear();
        self.to_client.clear();
        // What was read is handled.
        while let Some(frame) = self.queue.pop_front() {
            self.handle(&frame);
        }
        self.server.drop_pulls();
        self.reader.handle_disconnected();
    }

    pub fn publish(&mut self, subject: &str) {
        self.server.publish(subject, self.publishing_bytes, self.now_ns);
    }

    pub fn run(&mut self, duration_ns: u64) {
        let end_ns = self.now_ns + duration_ns;
        while self.now_ns < end_ns {
            self.tick();
        }
    }

    /// How long it took, at most the limit.
    pub fn run_until(&mut self, limit_ns: u64, mut is_reached: impl FnMut(&World) -> bool) -> Option<u64> {
        let begin_ns = self.now_ns;
        while !is_reached(self) {
            if self.now_ns - begin_ns >= limit_ns {
                return None;
            }
            self.tick();
        }
        Some(self.now_ns - begin_ns)
    }

    pub fn tick(&mut self) {
        self.now_ns += TICK_NS;
        let now_ns = self.now_ns;
        // Nothing is read from the connection while a request is seen to.
        let can_handle = |world: &World| world.server.busy_until_ns <= now_ns;
        while can_handle(self) && self.to_server.front().is_some_and(|(at_ns, _)| *at_ns <= now_ns) {
            let (_, frame) = self.to_server.pop_front().expect("it is there");
            self.server.handle_request(&frame, now_ns);
        }
        if self.publishes_one_in > 0 && self.random.one_in(self.publishes_one_in) {
            for _ in 0..1 + self.random.below(4) {
                let subject = self.random.pick(&self.subjects);
                self.publish(subject);
            }
        }
        self.server.work(now_ns);
        self.send_to_client();
        while self.to_client.front().is_some_and(|(at_ns, _)| *at_ns <= now_ns) {
            let (_, frame) = self.to_client.pop_front().expect("it is there");
            self.queue.push_back(frame);
        }
        for _ in 0..self.handles {
            let Some(frame) = self.queue.pop_front() else { break };
            self.handle(&frame);
        }
        if self.reader.next_deadline(now_ns).is_some_and(|due_ns| due_ns <= now_ns) {
            self.reader.handle_time(now_ns);
        }
        self.send_to_server();
        while let Some(notice) = self.reader.poll_notice() {
            self.notices.push((now_ns, notice));
        }
        let due_ns = self.reader.next_deadline(now_ns);
        assert_eq!(due_ns.is_some(), self.is_connected, "a connection has a deadline");
        assert!(due_ns.is_none_or(|due_ns| due_ns > now_ns), "the driver would spin");
        assert!(due_ns.is_none_or(|due_ns| due_ns < now_ns + 15 * SECOND_NS), "a wait without an end");
    }

    fn send_to_client(&mut self) {
        for frame in std::mem::take(&mut self.server.out) {
            let is_answer = !frame.is_message() && frame.headers.is_none();
            let busy_ns = self.server.busy_until_ns.saturating_sub(self.now_ns);
            let delay_ns = TICK_NS + if is_answer { self.answers_late_ns + busy_ns } else { 0 };
            if !self.is_connected || (is_answer && self.loses_requests > 0 && self.random.one_in(self.loses_requests)) {
                continue;
            }
            let may_lose = frame.is_message() && self.loses_messages > 0 && self.now_ns > self.lost_ns + 10 * SECOND_NS;
            if may_lose && self.random.one_in(self.loses_messages) {
                self.lost_ns = self.now_ns;
                continue;
            }
            // In order, but for late answers.
            let at_ns = self.now_ns + delay_ns;
            let index =
                self.to_client.iter().rposition(|(other_ns, _)| *other_ns <= at_ns).map_or(0, |index| index + 1);
            self.to_client.insert(index, (at_ns, frame));
        }
        // Of the consumer that is read: others' messages were on their way when it was given up.
        if let Some(newest) = self.server.consumers.last().filter(|_| !self.to_client.is_empty()) {
            let start = format!("$JS.ACK.{STREAM}.{}.", newest.name);
            let is_its = |frame: &&Frame| frame.reply_to.as_ref().is_some_and(|reply_to| reply_to.starts_with(&start));
            let frames = self.to_client.iter().map(|(_, frame)| frame).chain(&self.queue).filter(is_its);
            let (count, bytes) = frames.fold((0, 0), |(count, bytes), frame| (count + 1, bytes + frame.wire_bytes()));
            assert!(bytes <= self.capacity || count == 1, "{bytes} bytes on their way for {}", self.capacity);
        }
    }

    fn send_to_server(&mut self) {
        let queued: usize = self.queue.iter().map(Frame::wire_bytes).sum();
        self.reader.note_room(self.capacity.saturating_sub(queued));
        let mut count = 0;
        while let Some(publication) = self.reader.poll_request(self.now_ns) {
            assert!(self.is_connected, "{publication:?} without a connection");
            count += 1;
            assert!(count < 20, "requests without an end: {publication:?}");
            let frame = Frame {
                subject: publication.subject.to_owned(),
                reply_to: publication.reply_to.map(str::to_owned),
                headers: None,
                payload: publication.payload.to_vec(),
            };
            let (word, count) = &mut self.loses;
            if *count > 0 && frame.subject.contains(*word) {
                *count -= 1;
                continue;
            }
            if self.loses_requests == 0 || !self.random.one_in(self.loses_requests) {
                self.to_server.push_back((self.now_ns + TICK_NS, frame));
            }
        }
    }

    fn handle(&mut self, frame: &Frame) {
        let msg = Msg {
            subject: frame.subject.as_bytes(),
            sid: 1,
            reply_to: frame.reply_to.as_deref().map(str::as_bytes),
            headers: frame.headers.as_deref(),
            payload: &frame.payload,
        };
        if let Some(delivery) = self.reader.handle_msg(&msg, self.now_ns) {
            let id: u64 = String::from_utf8_lossy(&frame.payload).trim().parse().expect("an id");
            if let Some((before, _)) = self.applied.last() {
                assert!(id > *before, "{id} is applied behind {before}: twice, or out of order");
            }
            self.applied.push((id, delivery));
        }
    }

    pub fn applied_ids(&self) -> Vec<u64> {
        self.applied.iter().map(|(id, _)| *id).collect()
    }

    pub fn has_noticed(&self, is_meant: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(|(_, notice)| is_meant(notice))
    }

    pub fn is_live(&self) -> bool {
        self.reader.report(self.now_ns).phase == Phase::Live
    }

    /// All that the stream holds from the start of the window on, and that is asked for, is applied.
    pub fn check_complete(&self) {
        let Some(stream) = &self.server.stream else { panic!("there is no stream") };
        let start_ns = self.server.starts_ns.first().copied().unwrap_or(0);
        let applied: BTreeMap<u64, &Delivery> = self.applied.iter().map(|(id, delivery)| (*id, delivery)).collect();
        for (sequence, stored) in &stream.messages {
            let is_wanted =
                proto_nats::jetstream::filter::takes(&self.reader.settings().filters, stored.subject.as_bytes());
            let is_applied = applied.contains_key(&stored.id);
            let context = format!("{sequence} {stored:?}; {:?}", self.reader.report(self.now_ns));
            assert!(is_wanted || !is_applied, "not asked for: {context}");
            assert!(is_applied || !is_wanted || stored.stored_ns < start_ns, "not applied: {context}");
        }
    }

    /// Messages that left the stream, were asked for, and were not applied.
    pub fn lost_count(&self, behind_id: u64) -> u64 {
        let filters = &self.reader.settings().filters;
        let ids: std::collections::BTreeSet<u64> = self.applied_ids().into_iter().collect();
        let is_lost = |(_, stored): &&(u64, crate::model::Stored)| {
            let is_wanted = proto_nats::jetstream::filter::takes(filters, stored.subject.as_bytes());
            is_wanted && stored.id > behind_id && !ids.contains(&stored.id)
        };
        self.server.removed.iter().filter(is_lost).count() as u64
    }

    pub fn present_error_ns(&self) -> Option<u64> {
        Some(self.reader.present(self.now_ns)?.abs_diff(EPOCH_NS + self.now_ns))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (at_ns, kind) in &self.strikes {
                eprintln!("{:>8.2} s fault {kind}", *at_ns as f64 / SECOND_NS as f64);
            }
            for (at_ns, notice) in &self.notices {
                eprintln!("{:>8.2} s {notice:?}", *at_ns as f64 / SECOND_NS as f64);
            }
            eprintln!("{:>8.2} s {:?}", self.now_ns as f64 / SECOND_NS as f64, self.reader.report(self.now_ns));
        }
    }
}
