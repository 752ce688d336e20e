//! JetStream: the parsers with any bytes, and a reader with any answers.

use proto_nats::jetstream::ack::Ack;
use proto_nats::jetstream::answer::{decode_consumer, decode_done, decode_stream};
use proto_nats::jetstream::status::PullStatus;
use proto_nats::jetstream::time::{format_rfc3339, parse_rfc3339};
use proto_nats::jetstream::{ReaderSettings, StreamReader};
use proto_nats::{Msg, Operation, SECOND_NS};

/// Data up to the first 0xff is for the parsers, and is what a reader gets; what follows says how.
pub fn jetstream(data: &[u8]) {
    let text_len = data.iter().position(|&byte| byte == 0xff).unwrap_or(data.len());
    let (text, script) = data.split_at(text_len);
    if let Some(ack) = Ack::parse(text) {
        assert!(!ack.consumer.is_empty() && text.starts_with(b"$JS.ACK."));
    }
    let _ = PullStatus::parse(text);
    let _ = decode_done(text);
    let _ = decode_stream(text);
    let _ = decode_consumer(text);
    if let Some(unix_ns) = std::str::from_utf8(text).ok().and_then(parse_rfc3339) {
        assert_eq!(parse_rfc3339(&format_rfc3339(unix_ns)), Some(unix_ns));
    }
    drive(text, script);
}

fn drive(text: &[u8], script: &[u8]) {
    let settings = ReaderSettings {
        stream: "MD".to_owned(),
        domain: None,
        filters: vec!["md.trade.>".to_owned(), "md.quote.A".to_owned()],
        subjects: vec!["md.>".to_owned()],
        creates_stream: script.len().is_multiple_of(2),
        max_age_ns: SECOND_NS,
        max_bytes: 1,
        rolling_window_ns: SECOND_NS,
        description: String::new(),
    };
    let mut reader = StreamReader::new(settings, 7);
    let mut now_ns = SECOND_NS;
    let (mut reply_to, mut consumer) = (String::new(), String::new());
    let mut last_sequence = 0;
    for &byte in script {
        let msg = |subject, reply_to, headers, payload| Msg { subject, sid: 1, reply_to, headers, payload };
        match byte % 16 {
            0 => reader.handle_connected(now_ns),
            1 => reader.handle_disconnected(),
            2 => now_ns += u64::from(byte) * SECOND_NS / 50,
            3 => reader.note_room(usize::from(byte) << 10),
            4 => reader.handle_refusal(Operation::Publish, "$JS.API.CONSUMER.MSG.NEXT.MD.x", now_ns),
            5 => drop(reader.handle_msg(&msg(reply_to.as_bytes(), None, None, text), now_ns)),
            6 => drop(reader.handle_msg(&msg(reply_to.as_bytes(), Some(text), Some(text), b""), now_ns)),
            7 => drop(reader.handle_msg(&msg(b"md.trade.A", Some(text), None, b"x"), now_ns)),
            kind @ 8..12 => {
                // What a server would say.
                let last = u64::from(byte);
                let answer = format!(
                    "{{\"created\":\"2026-01-01T00:00:0{}Z\",\"state\":{{\"first_seq\":{},\"last_seq\":{last}}},\
                     \"num_pending\":{kind},\"delivered\":{{\"consumer_seq\":1,\"stream_seq\":{last}}}}}",
                    byte / 128,
                    last / 2,
                );
                let _ = reader.handle_msg(&msg(reply_to.as_bytes(), None, None, answer.as_bytes()), now_ns);
            }
            kind => {
                let sequence = u64::from(byte) / 16 + 1;
                let ack = format!("$JS.ACK.MD.{consumer}.1.{}.{sequence}.{}.0", sequence + kind as u64, kind);
                let delivery = reader.handle_msg(&msg(b"md.trade.A", Some(ack.as_bytes()), None, b"x"), now_ns);
                last_sequence = delivery.map_or(last_sequence, |delivery| delivery.sequence);
            }
        }
        reader.handle_time(now_ns);
        let mut count = 0;
        while let Some(publication) = reader.poll_request(now_ns) {
            count += 1;
            assert!(count < 50, "requests without an end");
            if let Some(name) = publication.subject.strip_prefix("$JS.API.CONSUMER.CREATE.MD.") {
                consumer = name.to_owned();
            }
            if !publication.subject.contains("DELETE") {
                reply_to = publication.reply_to.unwrap_or_default().to_owned();
            }
        }
        let due_ns = reader.next_deadline(now_ns);
        assert!(due_ns.is_none_or(|due_ns| due_ns > now_ns), "the driver would spin");
        let _ = std::iter::from_fn(|| reader.poll_notice()).count();
        let _ = reader.report(now_ns);
    }
}
