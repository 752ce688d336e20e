//! What servers send, by tables: statuses and answers of nats-server 2.9, 2.10, 2.12 and 2.15, cut at every byte.

use proto_nats::jetstream::answer::{
    AnswerFault, ApiError, ConsumerAnswer, Retention, Storage, StreamAnswer, decode_consumer, decode_done,
    decode_stream,
};
use proto_nats::jetstream::status::{AfterPull, Limit, PullEnd, PullStatus};
use proto_nats::jetstream::time::parse_rfc3339;
use proto_nats::jetstream::{ReaderSettings, Request, Trouble};
use proto_nats::{Operation, SECOND_NS};

#[test]
fn statuses() {
    let check = |block: &str, expected: Option<PullStatus>| {
        let block = format!("NATS/1.0 {block}\r\n\r\n");
        assert_eq!(PullStatus::parse(block.as_bytes()), expected, "{block:?}");
        for cut in 0..block.len() {
            assert_eq!(PullStatus::parse(&block.as_bytes()[..cut]), None, "{block:?} cut at {cut}");
        }
        let lower = block.replace("NATS/1.0 ", "").to_lowercase();
        let lower = format!("NATS/1.0 {lower}");
        assert_eq!(PullStatus::parse(lower.as_bytes()), expected, "{lower:?}");
    };
    let over = |end, left_bytes| Some(PullStatus::Over { end, left_bytes });
    let beat =
        |consumer_sequence, stream_sequence| Some(PullStatus::IdleHeartbeat { consumer_sequence, stream_sequence });
    check("100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 5", beat(Some(2), Some(5)));
    check("100 Idle Heartbeat", beat(None, None));
    check("100 Idle Heartbeat\r\nNats-Last-Consumer: x\r\nNats-Last-Stream: -1", beat(None, None));
    check("100 FlowControl Request", Some(PullStatus::FlowControl));
    check("100", beat(None, None));
    check(
        "408 Request Timeout\r\nNats-Pending-Messages: 8\r\nNats-Pending-Bytes: 99868",
        over(PullEnd::Expired, Some(99_868)),
    );
    check("408 Interest Expired", over(PullEnd::Expired, None));
    check("404 No Messages", over(PullEnd::Expired, None));
    check("409 Batch Completed\r\nNats-Pending-Bytes: 0", over(PullEnd::BatchCompleted, Some(0)));
    check(
        "409 Message Size Exceeds MaxBytes\r\nNats-Pending-Bytes: 18446744073709551616",
        over(PullEnd::ExceedsMaxBytes, None),
    );
    check("409 Leadership Change", over(PullEnd::LeadershipChange, None));
    check("409 Server Shutdown", over(PullEnd::ServerShutdown, None));
    check("409 Consumer Deleted", over(PullEnd::NoConsumer, None));
    check("409 Consumer is push based", over(PullEnd::Refused(409), None));
    check("409 Exceeded MaxRequestBatch of 256", over(PullEnd::ExceedsLimit(Limit::Batch, Some(256)), None));
    check("409 Exceeded MaxRequestMaxBytes of 1024", over(PullEnd::ExceedsLimit(Limit::MaxBytes, Some(1_024)), None));
    check("409 Exceeded MaxRequestExpires of 1s", over(PullEnd::ExceedsLimit(Limit::Expires, None), None));
    check("409 Exceeded MaxWaiting", over(PullEnd::ExceedsLimit(Limit::Waiting, None), None));
    check("409 Something New", over(PullEnd::Unknown(409), None));
    check("409", over(PullEnd::Unknown(409), None));
    check("400 Bad Request", over(PullEnd::Refused(400), None));
    check("412 Required Api Level", over(PullEnd::Refused(412), None));
    check("423 Nats-Wrong-Pin-Id", over(PullEnd::Refused(423), None));
    check("429 Too Many Requests", over(PullEnd::Unknown(429), None));
    check("503", over(PullEnd::NoConsumer, None));
    check("503\r\nNats-Subject: $JS.API.CONSUMER.MSG.NEXT.MD.nope", over(PullEnd::NoConsumer, None));
    check("65535", over(PullEnd::Unknown(65_535), None));
    assert_eq!(PullStatus::parse(b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"), None);
    assert_eq!(PullEnd::NoConsumer.after(), AfterPull::MakeAnew);
    assert_eq!(PullEnd::LeadershipChange.after(), AfterPull::AskAllAgain);
    assert_eq!(PullEnd::Unknown(409).after(), AfterPull::AskAgain);
}

/// nats-server 2.15.1's, and what 2.9.10's has of it.
const STREAM: &str = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","total":0,"offset":0,"limit":0,"config":{"name":"MD","subjects":["md.events.\u003e"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":1048576,"max_age":300000000000,"discard":"old","storage":"memory","num_replicas":1,"metadata":{"_nats.ver":"2.15.1"}},"created":"2026-11-29T22:49:45.398253783Z","state":{"messages":3,"bytes":41,"first_seq":2,"first_ts":"2026-11-29T22:49:45.445779591Z","last_seq":9,"last_ts":"2026-11-29T22:49:45.445779591Z","num_deleted":5,"num_subjects":1,"consumer_count":0},"cluster":{"leader":"NDAJ"},"ts":"2026-11-29T22:49:45.48952247Z"}"#;
const STREAM_OLD: &str = r#"{"config":{"name":"MD","subjects":["md.events.\u003e"],"retention":"workqueue","storage":"file"},"created":"2026-11-29T22:49:22.986028684Z","state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","last_seq":0}}"#;
const CONSUMER: &str = r#"{"type":"io.nats.jetstream.api.v1.consumer_create_response","stream_name":"MD","name":"c2","created":"2026-11-29T22:49:45.51384928Z","config":{"name":"c2","deliver_policy":"last_per_subject","ack_policy":"none","max_deliver":-1,"filter_subjects":["md.events.trade.A0","md.events.trade.A1"]},"delivered":{"consumer_seq":7,"stream_seq":3},"ack_floor":{"consumer_seq":0,"stream_seq":3},"num_ack_pending":0,"num_redelivered":0,"num_waiting":1,"num_pending":2,"ts":"2026-11-29T22:49:45.513922932Z"}"#;

#[test]
fn streams() {
    let expected = StreamAnswer {
        subjects: vec!["md.events.>".to_owned()],
        retention: Retention::Limits,
        storage: Storage::Memory,
        created_ns: parse_rfc3339("2026-11-29T22:49:45.398253783Z"),
        first_sequence: 2,
        last_sequence: 9,
        first_ns: parse_rfc3339("2026-11-29T22:49:45.445779591Z"),
        max_age_ns: Some(300 * SECOND_NS),
        messages: 3,
        deleted: 5,
        began_with: 0,
        leader: "NDAJ".to_owned(),
        server_ns: parse_rfc3339("2026-11-29T22:49:45.48952247Z"),
    };
    assert!(expected.created_ns.is_some() && expected.server_ns.is_some());
    assert_eq!(decode_stream(STREAM.as_bytes()), Ok(expected));
    let old = decode_stream(STREAM_OLD.as_bytes()).expect("it is read");
    assert_eq!((old.retention, old.storage, old.server_ns), (Retention::WorkQueue, Storage::File, None));
    assert_eq!((old.first_sequence, old.last_sequence, old.leader.as_str()), (0, 0, ""));
    for text in [STREAM, STREAM_OLD] {
        for cut in 0..text.len() {
            assert_eq!(decode_stream(&text.as_bytes()[..cut]), Err(AnswerFault::Unreadable), "cut at {cut}");
        }
    }
    // What must be there, and is odd, must not read as 0: that would be a stream that went back.
    for (there, odd) in [
        (r#""last_seq":9"#, r#""last_seq":"9""#),
        (r#""last_seq":9"#, r#""last_seq":-9"#),
        (r#""last_seq":9"#, r#""last_seq":18446744073709551616"#),
        (r#""first_seq":2,"#, ""),
        (r#""state":{"#, r#""state":null,"x":{"#),
    ] {
        let text = STREAM.replace(there, odd);
        assert!(text != STREAM);
        assert_eq!(decode_stream(text.as_bytes()), Err(AnswerFault::Unreadable), "{odd}");
    }
    // What else is odd is as good as absent.
    let odd = STREAM
        .replace("\"limits\"", "7")
        .replace(r#""created":"2026"#, r#""created":"x"#)
        .replace("5,\"num_s", "[],\"num_s");
    let odd = decode_stream(odd.as_bytes()).expect("it is read");
    assert_eq!((odd.retention, odd.created_ns, odd.deleted), (Retention::Limits, None, 0));
}

#[test]
fn consumers() {
    let expected = ConsumerAnswer {
        created_ns: parse_rfc3339("2026-11-29T22:49:45.51384928Z"),
        delivered: 7,
        stream_sequence: Some(3),
        pending: 2,
        waiting: 1,
        is_filtered: true,
        server_ns: parse_rfc3339("2026-11-29T22:49:45.513922932Z"),
    };
    assert_eq!(decode_consumer(CONSUMER.as_bytes()), Ok(expected));
    for cut in 0..CONSUMER.len() {
        assert_eq!(decode_consumer(&CONSUMER.as_bytes()[..cut]), Err(AnswerFault::Unreadable), "cut at {cut}");
    }
    let unfiltered = CONSUMER.replace("filter_subjects", "of_another_version");
    assert!(!decode_consumer(unfiltered.as_bytes()).expect("it is read").is_filtered);
    let odd = CONSUMER.replace(r#""num_pending":2"#, r#""num_pending":-2"#);
    assert_eq!(decode_consumer(odd.as_bytes()), Err(AnswerFault::Unreadable));
}

#[test]
fn refusals() {
    let text = r#"{"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"},"total":0}"#;
    let refused =
        AnswerFault::Refused(ApiError { code: 404, err_code: 10_059, description: "stream not found".into() });
    assert_eq!(decode_stream(text.as_bytes()), Err(refused.clone()));
    assert_eq!(decode_consumer(text.as_bytes()), Err(refused.clone()));
    assert_eq!(decode_done(text.as_bytes()), Err(refused));
    assert_eq!(decode_done(br#"{"success":true}"#), Ok(()));
    let long = format!(r#"{{"error":{{"description":"{}"}}}}"#, "é".repeat(10_000));
    match decode_done(long.as_bytes()) {
        Err(AnswerFault::Refused(error)) => assert!(error.description.len() <= 256 && error.code == 0),
        other => panic!("{other:?}"),
    }
    let endless = format!(r#"{{"x":"{}"}}"#, "x".repeat(2 << 20));
    for text in ["", "null", "[]", "7", "{", endless.as_str(), &"[".repeat(100_000)] {
        assert_eq!(decode_done(text.as_bytes()), Err(AnswerFault::Unreadable));
    }
}

#[test]
fn troubles_say_what_mends_them() {
    let settings = ReaderSettings { domain: Some("hub".to_owned()), ..crate::world::settings(&["md.events.>"]) };
    let check = |trouble: Trouble, text: &str, remedy: Option<&str>| {
        let shown = trouble.to_string();
        assert!(shown.contains(text) && !shown.contains('\n') && !shown.ends_with('.'), "{shown}");
        let said = trouble.remedy(&settings);
        match remedy {
            None => assert_eq!(said, None, "{shown}"),
            Some(part) => assert!(said.as_deref().is_some_and(|said| said.contains(part)), "{shown}: {said:?}"),
        }
    };
    let error = ApiError { code: 500, err_code: 10_023, description: "insufficient\nresources".into() };
    let add = "nats stream add MD --subjects 'md.events.>' --storage memory --retention limits --discard old --max-age 300s \
               --max-bytes 1073741824 --defaults";
    check(Trouble::NoJetStream, "no JetStream", Some("nats-server -js"));
    check(Trouble::NotForThisAccount, "account", Some("jetstream: enabled"));
    check(Trouble::NoStream, "no such stream", Some(add));
    check(Trouble::WrongRetention(Retention::WorkQueue), "work-queue", Some(add));
    check(Trouble::WrongRetention(Retention::Interest), "interest", Some("nats stream rm MD"));
    check(
        Trouble::OtherSubjects(vec!["a\n".into(); 9]),
        "and more",
        Some("nats stream edit MD --subjects 'md.events.>'"),
    );
    check(Trouble::NoPermission(Operation::Publish, "x".into()), "publish to x", Some("$JS.hub.API.STREAM.INFO.MD"));
    check(Trouble::NoPermission(Operation::Subscribe, "y".into()), "subscribe to y", Some("_INBOX.>"));
    check(Trouble::Refused(Request::ConsumerCreate, error), "CONSUMER.CREATE", None);
    check(Trouble::NoAnswer(Request::StreamInfo), "STREAM.INFO", None);
    check(Trouble::Unreadable(Request::StreamCreate), "STREAM.CREATE", None);
    assert_eq!(settings.max_age_ns, 300 * SECOND_NS);
}
