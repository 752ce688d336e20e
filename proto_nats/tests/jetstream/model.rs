//! A naive JetStream server: one stream, its consumers, simulated time. As plain as can be, after nats-server 2.9 and 2.15.

use std::collections::{BTreeMap, VecDeque};

use proto_nats::jetstream::filter::takes;
use proto_nats::jetstream::time::{format_rfc3339, parse_rfc3339};
use proto_nats::{MILLISECOND_NS, SECOND_NS};
use serde_json::{Value, json};

use crate::frame::Frame;

/// The server's clock minus the simulated one.
pub const EPOCH_NS: u64 = 1_795_000_000 * SECOND_NS;
pub const STREAM: &str = "MD";

#[derive(Debug, Clone)]
pub struct Stored {
    /// Ascends over all streams.
    pub id: u64,
    pub subject: String,
    pub payload_len: usize,
    pub stored_ns: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub created_ns: u64,
    pub subjects: Vec<String>,
    pub messages: BTreeMap<u64, Stored>,
    pub last_sequence: u64,
    pub retention: &'static str,
    pub leader: String,
    /// 0: age does not matter.
    pub max_age_ns: u64,
}

impl Stream {
    pub fn first_sequence(&self) -> u64 {
        self.messages.keys().next().copied().unwrap_or(self.last_sequence + 1)
    }
}

#[derive(Debug)]
pub struct Consumer {
    pub name: String,
    /// As it was asked for.
    config: Value,
    filters: Vec<String>,
    /// The next one to look at, and before that: the newest of each subject.
    next_sequence: u64,
    newest: VecDeque<u64>,
    pub delivered: u64,
    pulls: VecDeque<Pull>,
    made_ns: u64,
    /// Neither delivers nor beats, nor answers.
    pub is_dead: bool,
    /// Beats, and delivers nothing.
    pub is_stalled: bool,
    pub beats: bool,
}

#[derive(Debug)]
struct Pull {
    reply_to: String,
    batch: u64,
    max_bytes: Option<usize>,
    expires_ns: u64,
    heartbeat_ns: u64,
    active_ns: u64,
}

pub struct Server {
    /// 2.9: no `ts`, no `filter_subjects`, fewer statuses.
    pub is_old: bool,
    pub has_jetstream: bool,
    /// Answers to the API are 503 with this text.
    pub refuses: Option<&'static str>,
    pub stream: Option<Stream>,
    pub consumers: Vec<Consumer>,
    /// The stream holds so many.
    pub messages_max: usize,
    pub next_id: u64,
    /// What left the stream, by the server's own doing or an operator's.
    pub removed: Vec<(u64, Stored)>,
    /// Making a consumer takes so long, and nothing else is done until then.
    pub making_ns: u64,
    pub busy_until_ns: u64,
    /// Consumers that were made, by what they were asked to begin with.
    pub made: Vec<String>,
    /// Consumers whose deletion was asked for.
    pub deleted: Vec<String>,
    /// What the server says of messages that were deleted from within the stream.
    pub deleted_count: u64,
    /// Where windows were asked to start.
    pub starts_ns: Vec<u64>,
    pub out: Vec<Frame>,
}

impl Server {
    pub fn new(is_old: bool) -> Server {
        Server {
            is_old,
            has_jetstream: true,
            refuses: None,
            stream: None,
            consumers: Vec::new(),
            messages_max: usize::MAX,
            next_id: 1,
            removed: Vec::new(),
            making_ns: 0,
            busy_until_ns: 0,
            made: Vec::new(),
            deleted: Vec::new(),
            deleted_count: 0,
            starts_ns: Vec::new(),
            out: Vec::new(),
        }
    }

    pub fn make_stream(&mut self, now_ns: u64, subjects: &[&str]) {
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        let created_ns = EPOCH_NS + now_ns;
        let leader = if self.is_old { String::new() } else { "n1".to_owned() };
        self.stream = Some(Stream { created_ns, subjects, retention: "limits", leader, ..Stream::default() });
    }

    pub fn delete_stream(&mut self) {
        self.stream = None;
        while let Some(consumer) = self.consumers.first() {
            let name = consumer.name.clone();
            self.delete_consumer(&name, true);
        }
    }

    pub fn publish(&mut self, subject: &str, payload_len: usize, now_ns: u64) {
        let Some(stream) = &mut self.stream else { return };
        if !takes(&stream.subjects, subject.as_bytes()) {
            return;
        }
        stream.last_sequence += 1;
        let newest_ns = stream.messages.values().next_back().map_or(0, |stored| stored.stored_ns);
        let stored_ns = (EPOCH_NS + now_ns).max(newest_ns + 1);
        let stored = Stored { id: self.next_id, subject: subject.to_owned(), payload_len, stored_ns };
        self.next_id += 1;
        stream.messages.insert(stream.last_sequence, stored);
        while stream.messages.len() > self.messages_max {
            self.removed.extend(stream.messages.pop_first());
        }
    }

    pub fn purge(&mut self, count: usize) {
        let Some(stream) = &mut self.stream else { return };
        let count = count.min(stream.messages.len());
        self.removed.extend((0..count).filter_map(|_| stream.messages.pop_first()));
    }

    /// As after a power loss.
    pub fn go_back(&mut self, count: usize) {
        let Some(stream) = &mut self.stream else { return };
        for _ in 0..count {
            if let Some((sequence, _)) = stream.messages.pop_last() {
                stream.last_sequence = sequence - 1;
            }
        }
    }

    pub fn delete_consumer(&mut self, name: &str, is_said: bool) {
        let Some(index) = self.consumers.iter().position(|consumer| consumer.name == name) else { return };
        for pull in self.consumers.swap_remove(index).pulls {
            if is_said {
                self.out.push(Frame::status(&pull.reply_to, "409 Consumer Deleted", &[]));
            }
        }
    }

    pub fn change_leader(&mut self, name: &str, keeps_consumers: bool) {
        if let Some(stream) = &mut self.stream
            && !stream.leader.is_empty()
        {
            stream.leader = name.to_owned();
        }
        for consumer in &mut self.consumers {
            for pull in consumer.pulls.drain(..) {
                self.out.push(Frame::status(&pull.reply_to, "409 Leadership Change", &[]));
            }
        }
        if !keeps_consumers {
            self.consumers.clear();
        }
    }

    pub fn drop_pulls(&mut self) {
        self.consumers.iter_mut().for_each(|consumer| consumer.pulls.clear());
    }

    pub fn handle_request(&mut self, frame: &Frame, now_ns: u64) {
        let Some(reply_to) = frame.reply_to.clone() else { return };
        let answer = |mut value: Value, is_old: bool| {
            if !is_old && value.get("error").is_none() {
                value["ts"] = json!(format_rfc3339(EPOCH_NS + now_ns));
            }
            Frame { subject: reply_to.clone(), payload: value.to_string().into_bytes(), ..Frame::default() }
        };
        let error = |code: u16, err_code: u32, text: &str| json!({"error": {"code": code, "err_code": err_code, "description": text}});
        let tokens: Vec<&str> = frame.subject.split('.').collect();
        if !self.has_jetstream {
            return self.out.push(Frame::status(&reply_to, "503", &[]));
        }
        let body: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if let ["$JS", "API", "CONSUMER", "MSG", "NEXT", _, name] = tokens[..] {
            return self.pull(name, reply_to, &body, now_ns);
        }
        if let Some(text) = self.refuses {
            return self.out.push(answer(error(503, 10_008, text), true));
        }
        let value = match tokens[..] {
            ["$JS", "API", "STREAM", "INFO", _] => match &self.stream {
                Some(stream) => {
                    let mut value = describe_stream(stream);
                    value["state"]["num_deleted"] = json!(self.deleted_count);
                    value
                }
                None => error(404, 10_059, "stream not found"),
            },
            ["$JS", "API", "STREAM", "CREATE", _] => {
                let subjects: Vec<&str> = body["subjects"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
                match &self.stream {
                    None => {
                        self.make_stream(now_ns, &subjects);
                        json!({"did_create": true})
                    }
                    Some(_) => error(400, 10_058, "stream name already in use with a different configuration"),
                }
            }
            ["$JS", "API", "CONSUMER", "CREATE", _, name] => match &self.stream {
                None => error(404, 10_059, "stream not found"),
                Some(stream) if self.consumers.iter().any(|consumer| consumer.name == name) => {
                    let consumer = self.consumers.iter().find(|consumer| consumer.name == name).expect("it is there");
                    match consumer.config == body["config"] {
                        true => describe_consumer(stream, consumer),
                        false => error(400, 10_148, "consumer already exists"),
                    }
                }
                Some(stream) => match make_consumer(stream, name, &body["config"], self.is_old, now_ns) {
                    Err((err_code, text)) => error(400, err_code, text),
                    Ok(consumer) => {
                        if let Some(text) = body["config"]["opt_start_time"].as_str() {
                            self.starts_ns.push(parse_rfc3339(text).expect("a time"));
                        }
                        self.made.push(body["config"]["deliver_policy"].as_str().expect("a policy").to_owned());
                        self.busy_until_ns = now_ns + self.making_ns;
                        let value = describe_consumer(stream, &consumer);
                        self.consumers.push(consumer);
                        value
                    }
                },
            },
            ["$JS", "API", "CONSUMER", "INFO", _, name] => {
                let found = self.consumers.iter().find(|consumer| consumer.name == name);
                match (&self.stream, found) {
                    (Some(_), Some(consumer)) if consumer.is_dead => return,
                    (Some(stream), Some(consumer)) => describe_consumer(stream, consumer),
                    _ => error(404, 10_014, "consumer not found"),
                }
            }
            ["$JS", "API", "CONSUMER", "DELETE", _, name] => {
                self.deleted.push(name.to_owned());
                self.delete_consumer(name, true);
                json!({"success": true})
            }
            _ => panic!("{}", frame.subject),
        };
        self.out.push(answer(value, self.is_old));
    }

    fn pull(&mut self, name: &str, reply_to: String, body: &Value, now_ns: u64) {
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.name == name) else {
            if !self.is_old {
                self.out.push(Frame::status(&reply_to, "503", &[]));
            }
            return;
        };
        let number = |name: &str| body[name].as_u64();
        let heartbeat_ns = number("idle_heartbeat").expect("heartbeats are asked for");
        let expires_ns = number("expires").expect("it expires");
        assert!(heartbeat_ns * 2 <= expires_ns, "the server would refuse that");
        consumer.pulls.push_back(Pull {
            reply_to,
            batch: number("batch").expect("a batch"),
            max_bytes: number("max_bytes").map(|bytes| bytes as usize),
            expires_ns: now_ns + expires_ns,
            heartbeat_ns,
            active_ns: now_ns,
        });
    }

    /// Delivers what there is, and says what is to be said.
    pub fn work(&mut self, now_ns: u64) {
        let Some(stream) = &mut self.stream else { return };
        let is_old = |stored: &Stored| stored.stored_ns + stream.max_age_ns <= EPOCH_NS + now_ns;
        while stream.max_age_ns > 0 && stream.messages.values().next().is_some_and(is_old) {
            self.removed.extend(stream.messages.pop_first());
        }
        for consumer in self.consumers.iter_mut().filter(|consumer| !consumer.is_dead) {
            consumer.work(stream, self.is_old, now_ns, &mut self.out);
        }
    }
}

impl Consumer {
    fn work(&mut self, stream: &Stream, is_old: bool, now_ns: u64, out: &mut Vec<Frame>) {
        for _ in 0..self.pulls.len() {
            let pull = self.pulls.pop_front().expect("one of them");
            if now_ns < pull.expires_ns {
                self.pulls.push_back(pull);
            } else {
                out.push(pull.over("408 Request Timeout"));
            }
        }
        while !self.is_stalled && !self.pulls.is_empty() {
            let Some(sequence) = self.next(stream) else { break };
            let stored = &stream.messages[&sequence];
            let (name, delivered) = (&self.name, self.delivered + 1);
            let pending = self.pending_behind(stream, sequence);
            let ack = format!("$JS.ACK.{STREAM}.{name}.1.{sequence}.{delivered}.{}.{pending}", stored.stored_ns);
            let mut payload = stored.id.to_string().into_bytes();
            payload.resize(payload.len().max(stored.payload_len), b' ');
            let frame = Frame { subject: stored.subject.clone(), reply_to: Some(ack), headers: None, payload };
            let mut pull = self.pulls.pop_front().expect("there is one");
            let counted = frame.counted_bytes();
            if pull.max_bytes.is_some_and(|left| left < counted) {
                out.push(pull.over("409 Message Size Exceeds MaxBytes"));
                continue;
            }
            self.delivered = delivered;
            self.pass(sequence);
            out.push(frame);
            pull.max_bytes = pull.max_bytes.map(|left| left - counted);
            pull.batch -= 1;
            pull.active_ns = now_ns;
            if pull.batch > 0 {
                self.pulls.push_back(pull);
            } else if !is_old && pull.max_bytes.is_some_and(|left| left > 0) {
                out.push(pull.over("409 Batch Completed"));
            }
        }
        let seen = self.next_sequence.saturating_sub(1);
        for pull in self.pulls.iter_mut().filter(|pull| now_ns >= pull.active_ns + pull.heartbeat_ns) {
            pull.active_ns = now_ns;
            if self.beats {
                let fields = [("Nats-Last-Consumer", self.delivered), ("Nats-Last-Stream", seen)];
                out.push(Frame::status(&pull.reply_to, "100 Idle Heartbeat", &fields));
            }
        }
    }

    fn next(&mut self, stream: &Stream) -> Option<u64> {
        while let Some(&sequence) = self.newest.front() {
            if stream.messages.contains_key(&sequence) {
                return Some(sequence);
            }
            self.newest.pop_front();
        }
        let found = stream.messages.range(self.next_sequence..).find(|(_, stored)| self.wants(stored));
        // What is not wanted is passed over.
        self.next_sequence = found.map_or(self.next_sequence.max(stream.last_sequence + 1), |(sequence, _)| *sequence);
        found.map(|(sequence, _)| *sequence)
    }

    fn pass(&mut self, sequence: u64) {
        if self.newest.front() == Some(&sequence) {
            self.newest.pop_front();
        } else {
            self.next_sequence = sequence + 1;
        }
    }

    pub fn is_filtered(&self) -> bool {
        !self.filters.is_empty()
    }

    fn wants(&self, stored: &Stored) -> bool {
        self.filters.is_empty() || takes(&self.filters, stored.subject.as_bytes())
    }

    fn pending_behind(&self, stream: &Stream, sequence: u64) -> u64 {
        let newest = self.newest.iter().filter(|&&other| other > sequence && stream.messages.contains_key(&other));
        let start = self.next_sequence.max(sequence + 1);
        let others = stream.messages.range(start..).filter(|(_, stored)| self.wants(stored));
        (newest.count() + others.count()) as u64
    }
}

impl Pull {
    fn over(&self, line: &str) -> Frame {
        let bytes = self.max_bytes.unwrap_or(0) as u64;
        Frame::status(&self.reply_to, line, &[("Nats-Pending-Messages", self.batch), ("Nats-Pending-Bytes", bytes)])
    }
}

fn make_consumer(
    stream: &Stream,
    name: &str,
    config: &Value,
    is_old: bool,
    now_ns: u64,
) -> Result<Consumer, (u32, &'static str)> {
    let one = config["filter_subject"].as_str().map(str::to_owned);
    let several = config["filter_subjects"].as_array().into_iter().flatten().flat_map(Value::as_str).map(str::to_owned);
    let filters: Vec<String> = one.into_iter().chain(several.filter(|_| !is_old)).collect();
    let next_sequence = match config["deliver_policy"].as_str() {
        Some("all") => 1,
        Some("last_per_subject") if filters.is_empty() => {
            return Err((
                10_094,
                "consumer delivery policy is deliver last per subject, but optional filter subject is not set",
            ));
        }
        Some("last_per_subject") => stream.last_sequence + 1,
        Some("by_start_sequence") => {
            let sequence = config["opt_start_seq"].as_u64().expect("a sequence");
            if is_old { sequence.min(stream.last_sequence + 1) } else { sequence }
        }
        Some("by_start_time") => {
            let start_ns = parse_rfc3339(config["opt_start_time"].as_str().unwrap()).expect("a time");
            let mut found = stream.messages.iter().filter(|(_, stored)| stored.stored_ns >= start_ns);
            // With several filters nats-server passes over what comes before the first one of another filter.
            let is_passed = |(_, stored): &(&u64, &Stored)| {
                filters.len() > 1
                    && filters.iter().any(|filter| takes(std::slice::from_ref(filter), stored.subject.as_bytes()))
            };
            let first = found.next();
            let first = if first.as_ref().is_some_and(is_passed) { found.next() } else { first };
            first.map_or(stream.last_sequence + 1, |(sequence, _)| *sequence)
        }
        other => panic!("{other:?}"),
    };
    let mut consumer = Consumer {
        name: name.to_owned(),
        config: config.clone(),
        filters,
        next_sequence,
        newest: VecDeque::new(),
        delivered: 0,
        pulls: VecDeque::new(),
        made_ns: now_ns,
        is_dead: false,
        is_stalled: false,
        beats: true,
    };
    if config["deliver_policy"] == "last_per_subject" {
        let mut newest = BTreeMap::new();
        for (sequence, stored) in stream.messages.iter().filter(|(_, stored)| consumer.wants(stored)) {
            newest.insert(stored.subject.clone(), *sequence);
        }
        let mut sequences: Vec<u64> = newest.into_values().collect();
        sequences.sort_unstable();
        consumer.newest = sequences.into();
    }
    Ok(consumer)
}

fn describe_stream(stream: &Stream) -> Value {
    let first = if stream.last_sequence == 0 { 0 } else { stream.first_sequence() };
    let mut value = json!({
        "config": {"name": STREAM, "subjects": stream.subjects, "retention": stream.retention, "storage": "memory", "max_age": stream.max_age_ns},
        "created": format_rfc3339(stream.created_ns),
        "state": {"messages": stream.messages.len(), "first_seq": first, "last_seq": stream.last_sequence},
    });
    if let Some(first) = stream.messages.values().next() {
        value["state"]["first_ts"] = json!(format_rfc3339(first.stored_ns));
    }
    if !stream.leader.is_empty() {
        value["cluster"] = json!({"leader": stream.leader});
    }
    value
}

fn describe_consumer(stream: &Stream, consumer: &Consumer) -> Value {
    json!({
        "name": consumer.name,
        "created": format_rfc3339(EPOCH_NS + consumer.made_ns),
        "config": {"filter_subjects": consumer.filters},
        "delivered": {"consumer_seq": consumer.delivered, "stream_seq": consumer.next_sequence.saturating_sub(1)},
        "num_pending": if consumer.is_stalled { 0 } else { consumer.pending_behind(stream, 0) },
        "num_waiting": consumer.pulls.len(),
    })
}

/// One step of the simulation.
pub const TICK_NS: u64 = 10 * MILLISECOND_NS;
