//! Both decoders against their naive twins, on seeded random streams: written loosely, cut anywhere, some of them damaged.

#[path = "common/naive.rs"]
mod naive;
#[path = "common/random.rs"]
mod random;
#[path = "../../tests/seeds/mod.rs"]
mod seeds;

use proto_nats::{
    ClientOp, DecodeLimits, Decoded, ProtocolError, ServerOp, decode_client_op, decode_server_op, encode,
};
use random::Random;
use std::fmt::Debug;

const LIMITS: DecodeLimits = DecodeLimits { control_line: 200, payload: 64 };
/// Those from 0 on; `fresh_seeds` has others each time.
const SEEDS: std::ops::Range<u64> = 0..3_000;

#[test]
fn fresh_seeds() {
    for seed in seeds::fresh("proto_nats", 300) {
        [check_server_streams, check_client_streams, check_reading_exactly_what_is_asked_for, check_round_trips]
            .iter()
            .for_each(|check| check(seed));
    }
}

#[test]
fn server_streams() {
    SEEDS.for_each(check_server_streams);
}

fn check_server_streams(seed: u64) {
    let random = &mut Random::new(seed);
    let mut stream = Vec::new();
    for _ in 0..1 + random.below(12) {
        server_frame(random, &mut stream);
    }
    let context = |at| format!("seed {seed} at {at}: {}", stream.escape_ascii());
    let frames =
        compare(&stream, context, |input| decode_server_op(input, &LIMITS), |input| naive::server_op(input, &LIMITS));
    assert!(frames > 0, "seed {seed}");
    let damaged = damaged(&stream, random);
    let context = |at| format!("seed {seed}, damaged, at {at}: {}", damaged.escape_ascii());
    compare(&damaged, context, |input| decode_server_op(input, &LIMITS), |input| naive::server_op(input, &LIMITS));
}

#[test]
fn client_streams() {
    SEEDS.for_each(check_client_streams);
}

fn check_client_streams(seed: u64) {
    let random = &mut Random::new(seed);
    let mut stream = Vec::new();
    for _ in 0..1 + random.below(12) {
        client_frame(random, &mut stream);
    }
    let context = |at| format!("seed {seed} at {at}: {}", stream.escape_ascii());
    let frames =
        compare(&stream, context, |input| decode_client_op(input, &LIMITS), |input| naive::client_op(input, &LIMITS));
    assert!(frames > 0, "seed {seed}");
    let damaged = damaged(&stream, random);
    let context = |at| format!("seed {seed}, damaged, at {at}: {}", damaged.escape_ascii());
    compare(&damaged, context, |input| decode_client_op(input, &LIMITS), |input| naive::client_op(input, &LIMITS));
}

/// A reader that asks for exactly `at_least` bytes each time sees the same frames, and never waits for a byte that
/// belongs to the next one.
#[test]
fn reading_exactly_what_is_asked_for() {
    SEEDS.for_each(check_reading_exactly_what_is_asked_for);
}

fn check_reading_exactly_what_is_asked_for(seed: u64) {
    let random = &mut Random::new(seed);
    let mut stream = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..8 {
        server_frame(random, &mut stream);
        ends.push(stream.len());
    }
    let (mut start, mut have) = (0, 0);
    for end in ends {
        while start < end {
            match decode_server_op(&stream[start..have], &LIMITS).unwrap() {
                Decoded::Op { len, .. } => start += len,
                Decoded::Oversized { skip, .. } => {
                    start += skip;
                    have = have.max(start);
                }
                Decoded::NeedMore { at_least } => {
                    assert!(start + at_least <= end, "seed {seed}: {}", stream[start..].escape_ascii());
                    have = start + at_least;
                }
            }
        }
        assert_eq!(start, end, "seed {seed}");
    }
}

/// What a client writes a server reads, and the other way round.
#[test]
fn round_trips() {
    SEEDS.for_each(check_round_trips);
}

fn check_round_trips(seed: u64) {
    let random = &mut Random::new(seed);
    let subject = token(random);
    let reply_to = random.one_in(2).then(|| token(random));
    let headers = random.one_in(2).then(|| payload(random));
    let payload = payload(random);
    let sid = random.next() >> random.below(64);
    let (reply_to, headers) = (reply_to.as_deref(), headers.as_deref());
    let limits = DecodeLimits::default();

    let mut out = Vec::new();
    match headers {
        None => encode::publish(&mut out, &subject, reply_to, &payload),
        Some(headers) => encode::publish_with_headers(&mut out, &subject, reply_to, headers, &payload),
    }
    let op = ClientOp::Pub { subject: &subject, reply_to, headers, payload: &payload };
    assert_eq!(decode_client_op(&out, &limits), Ok(Decoded::Op { op, len: out.len() }), "seed {seed}");

    let mut out = Vec::new();
    encode::subscribe(&mut out, &subject, reply_to, sid);
    let sid_text = sid.to_string();
    let op = ClientOp::Sub { subject: &subject, queue_group: reply_to, sid: sid_text.as_bytes() };
    assert_eq!(decode_client_op(&out, &limits), Ok(Decoded::Op { op, len: out.len() }), "seed {seed}");

    let mut out = Vec::new();
    let max = random.one_in(2).then(|| random.next());
    encode::unsubscribe(&mut out, sid, max);
    let op = ClientOp::Unsub { sid: sid_text.as_bytes(), max };
    assert_eq!(decode_client_op(&out, &limits), Ok(Decoded::Op { op, len: out.len() }), "seed {seed}");

    let mut out = Vec::new();
    encode::msg(&mut out, &subject, sid_text.as_bytes(), reply_to, headers, &payload);
    let msg = proto_nats::Msg { subject: &subject, sid, reply_to, headers, payload: &payload };
    let op = ServerOp::Msg(msg);
    assert_eq!(decode_server_op(&out, &limits), Ok(Decoded::Op { op, len: out.len() }), "seed {seed}");
}

/// Both decode the stream, from every frame's start and with a few cuts of it; returns the number of frames.
fn compare<'a, T: PartialEq + Debug>(
    stream: &'a [u8],
    context: impl Fn(usize) -> String,
    decode: impl Fn(&'a [u8]) -> Result<Decoded<'a, T>, ProtocolError>,
    naive: impl Fn(&'a [u8]) -> Result<Decoded<'a, T>, ()>,
) -> usize {
    let mut start = 0;
    let mut frames = 0;
    loop {
        let rest = &stream[start..];
        for cut in (0..rest.len()).take(90) {
            assert_eq!(decode(&rest[..cut]).map_err(drop), naive(&rest[..cut]), "{} cut at {cut}", context(start));
        }
        let decoded = decode(rest);
        assert_eq!(decoded.map_err(drop), naive(rest), "{}", context(start));
        start += match decode(rest) {
            Ok(Decoded::Op { len, .. }) => len,
            Ok(Decoded::Oversized { skip, .. }) if skip <= rest.len() => skip,
            _ => return frames,
        };
        frames += 1;
    }
}

fn server_frame(random: &mut Random, out: &mut Vec<u8>) {
    match random.below(10) {
        0..=6 => {
            let headers = random.one_in(3).then(|| payload(random));
            let payload = payload(random);
            let mut words = vec![token(random), (random.next() >> random.below(64)).to_string().into_bytes()];
            if random.one_in(3) {
                words.push(token(random));
            }
            let verb = if headers.is_some() { "HMSG" } else { "MSG" };
            frame_with_body(random, out, verb, words, headers, payload);
        }
        7 => {
            let verb = random.pick(&["PING", "PONG", "+OK"]);
            line(random, out, verb, &[]);
        }
        8 => line(random, out, "-ERR", &[b"'Stale".to_vec(), b"Connection'".to_vec()]),
        _ => line(random, out, "INFO", &[b"{\"proto\":1}".to_vec()]),
    }
}

fn client_frame(random: &mut Random, out: &mut Vec<u8>) {
    match random.below(10) {
        0..=5 => {
            let headers = random.one_in(3).then(|| payload(random));
            let payload = payload(random);
            let mut words = vec![token(random)];
            if random.one_in(3) {
                words.push(token(random));
            }
            let verb = if headers.is_some() { "HPUB" } else { "PUB" };
            frame_with_body(random, out, verb, words, headers, payload);
        }
        6 => {
            let words: Vec<_> = (0..2 + random.below(2)).map(|_| token(random)).collect();
            line(random, out, "SUB", &words);
        }
        7 => {
            let words = [token(random), b"5".to_vec()];
            line(random, out, "UNSUB", &words);
        }
        8 => line(random, out, "CONNECT", &[b"{\"verbose\":false}".to_vec()]),
        _ => {
            let verb = random.pick(&["PING", "PONG"]);
            line(random, out, verb, &[]);
        }
    }
}

fn frame_with_body(
    random: &mut Random,
    out: &mut Vec<u8>,
    verb: &str,
    mut words: Vec<Vec<u8>>,
    headers: Option<Vec<u8>>,
    payload: Vec<u8>,
) {
    if let Some(headers) = &headers {
        words.push(headers.len().to_string().into_bytes());
    }
    let headers = headers.unwrap_or_default();
    words.push((headers.len() + payload.len()).to_string().into_bytes());
    line(random, out, verb, &words);
    out.extend([headers, payload, b"\r\n".to_vec()].concat());
}

/// A control line in any case, with any white space.
fn line(random: &mut Random, out: &mut Vec<u8>, verb: &str, words: &[Vec<u8>]) {
    let lower = random.one_in(4);
    out.extend(if lower { verb.to_lowercase() } else { verb.to_string() }.bytes());
    for word in words {
        let blank = random.pick(&[&b" "[..], b" ", b" ", b"\t", b"  ", b" \t "]);
        out.extend_from_slice(blank);
        out.extend_from_slice(word);
    }
    let end = random.pick(&[&b"\r\n"[..], b"\r\n", b"\r\n", b" \r\n", b"\n"]);
    out.extend_from_slice(end);
}

fn token(random: &mut Random) -> Vec<u8> {
    (0..1 + random.below(20)).map(|_| random.pick(b"abcXYZ.019*>$_-/\xc3\xa9")).collect()
}

/// Sometimes longer than the limit, often with line ends in it.
fn payload(random: &mut Random) -> Vec<u8> {
    (0..random.below(48)).map(|_| random.pick(b"ab \r\n{}\"\0\xff")).collect()
}

fn damaged(stream: &[u8], random: &mut Random) -> Vec<u8> {
    let mut damaged = stream.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(damaged.len());
        match random.below(4) {
            0 => drop(damaged.remove(at)),
            1 => damaged.insert(at, random.pick(b" \r\n09-+aM\xff")),
            2 => damaged[at] ^= 1 << random.below(8),
            _ => damaged.truncate(at + 1),
        }
        if damaged.is_empty() {
            break;
        }
    }
    damaged
}
