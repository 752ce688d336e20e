//! What one operation costs: `cargo bench -p proto_nats`. Nanoseconds per operation, the best of 20 rounds, as the best
//! round is the one that nothing else disturbed.

use proto_nats::{ClientOp, DecodeLimits, Decoded, ServerOp, decode_client_op, decode_server_op, encode, subject};
use std::hint::black_box;
use std::time::Instant;

const FRAMES: usize = 10_000;
const ROUNDS: usize = 20;

fn main() {
    let limits = DecodeLimits::default();
    for bytes in [0, 230, 4_000] {
        let payload = vec![b'x'; bytes];
        let mut plain = Vec::new();
        let mut with_headers = Vec::new();
        let mut publications = Vec::new();
        for _ in 0..FRAMES {
            encode::msg(&mut plain, b"md.events.quote.BTCUSDT", b"1", None, None, &payload);
            let headers = Some(&b"NATS/1.0\r\nA: b\r\n\r\n"[..]);
            encode::msg(&mut with_headers, b"md.events.quote.BTCUSDT", b"1", Some(b"reply.to"), headers, &payload);
            encode::publish(&mut publications, b"md.events.quote.BTCUSDT", None, &payload);
        }
        measure(&format!("decode MSG, {bytes} bytes"), || server_frames(&plain, &limits));
        measure(&format!("decode HMSG with a reply, {bytes} bytes"), || server_frames(&with_headers, &limits));
        measure(&format!("decode PUB, {bytes} bytes"), || client_frames(&publications, &limits));
        let mut out = Vec::with_capacity(publications.len());
        measure(&format!("encode PUB, {bytes} bytes"), || {
            out.clear();
            for _ in 0..FRAMES {
                encode::publish(&mut out, black_box(b"senpai.features.BTCUSDT"), None, black_box(&payload));
            }
            out.len()
        });
    }
    measure("match a subject", || {
        let matches = |_: &usize| subject::matches(black_box(b"md.events.*.>"), black_box(b"md.events.quote.BTCUSDT"));
        (0..FRAMES).filter(matches).count()
    });
}

fn server_frames(mut input: &[u8], limits: &DecodeLimits) -> usize {
    let mut sum = 0;
    while let Ok(Decoded::Op { op: ServerOp::Msg(msg), len }) = decode_server_op(input, limits) {
        sum += msg.payload.len() + msg.subject.len() + msg.sid as usize;
        input = &input[len..];
    }
    assert!(input.is_empty());
    sum
}

fn client_frames(mut input: &[u8], limits: &DecodeLimits) -> usize {
    let mut sum = 0;
    while let Ok(Decoded::Op { op: ClientOp::Pub { subject, payload, .. }, len }) = decode_client_op(input, limits) {
        sum += payload.len() + subject.len();
        input = &input[len..];
    }
    assert!(input.is_empty());
    sum
}

fn measure(name: &str, mut work: impl FnMut() -> usize) {
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos()
    });
    let best_ns = best.min().unwrap_or(0) as f64 / FRAMES as f64;
    println!("{name:40} {best_ns:7.1} ns");
}
