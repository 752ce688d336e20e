//! Recorded markets through `feed`, a nats-server and the live service, and through `replay`, against the naive reference.
//!
//! Live, what is published does not follow from the events alone: a snapshot's moment depends on local time. What does
//! follow, given times that rise with each event of a symbol (see `recording_until_now`):
//!
//! * **Signals**: rules are evaluated on each event for the event's own time. The list of all signals, in its order over
//!   all symbols and with every field, must be the reference's.
//! * **Snapshots**: each is computed either on an event, for the event's time, or at its interval's end, for the
//!   watermark plus the local time since the watermark moved, which is at most the interval. So for each received
//!   snapshot there must be an event, not before that of the snapshot before, whose time lies in `[ts - interval, ts]`
//!   and after which the reference's features at `ts` are those received. The first one must be that of the first
//!   event, and the last one of the last event. That there is one for *every* interval is not compared: it depends on
//!   when events were received, which no one outside knows.
//! * **HTTP**: `/state/latest` is the reference's state, `/features/latest` the reference's features at its `ts`.
//! * **Counts**: all events came in, none was dropped, and everything counted as published was received.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Output;

use serde_json::{Value, json};

use crate::reference::recording;
use crate::reference::recording_files::{self, Recording};
use crate::reference::{Published, Reference, SECOND, Settings, State, compare, in_order, parse, time};
use crate::support::bus::{Bus, Message};
use crate::support::events::{Event, now_ns, recording_until_now, trade};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::service::{self, Service};

/// The most that can be set, for the most snapshots.
const RATE_HZ: f64 = 1000.0;

/// At a hundredfold there is time for snapshots: some thousands of them.
#[test]
fn recordings_fed_at_a_hundredfold_give_what_the_reference_gives() {
    recording_files::all().iter().for_each(|recording| check_fed(recording, "100"));
}

/// As fast as it goes everything arrives in a few dozen intervals.
#[test]
fn recordings_fed_as_fast_as_they_go_give_what_the_reference_gives() {
    recording_files::all().iter().for_each(|recording| check_fed(recording, "max"));
}

/// For each symbol; below it the comparison would prove little.
fn snapshots_min(recording: &Recording, speed: &str) -> usize {
    match (&*recording.name, speed) {
        ("binance-usdm-250s.jsonl.gz" | "binance-usdm-480s.jsonl.gz", "100") => 500,
        ("binance-usdm-250s.jsonl.gz" | "binance-usdm-480s.jsonl.gz", _) => 2,
        _ => 1,
    }
}

fn check_fed(recording: &Recording, speed: &str) {
    let name = &recording.name;
    let Some(events) = recording_until_now(recording) else {
        return leave_out(name, "an event has no ts_recv");
    };
    let flags = [
        "--features-pub-rate-hz",
        "1000",
        "--signal-return-threshold",
        "0.0001",
        "--signal-cooldown-seconds",
        "0.5",
        "--signal-max-age-seconds",
        "31536000",
        // All of the recording fits: nothing is shed however slow the machine is.
        "--queue-bytes",
        "67108864",
    ];
    let settings = Settings {
        publish_interval_ns: Settings::interval_ns(RATE_HZ),
        return_threshold: 0.0001,
        cooldown_ns: SECOND / 2,
        signal_max_age_ns: 31_536_000 * SECOND,
        ..Settings::default()
    };
    let mut reference = Reference::new(without_snapshots(&settings));
    let expected: Vec<Published> = events.iter().flat_map(|event| reference.event(None, &event.0, &event.1)).collect();
    let expected: Vec<Published> = expected.into_iter().filter(is_signal).collect();
    if !reference.counts().malformed.is_empty() || !reference.counts().late.is_empty() {
        return leave_out(name, "it has malformed or late events");
    }
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &flags);
    let bus = Bus::connect(&server.url());
    let mut inbox = bus.subscribe("senpai.>");
    // It stands before the first event is fed.
    bus.round_trip();
    feed(&server, &events, speed);

    let stats = service.wait_events_in(events.len());
    assert_eq!(stats["events_in"], events.len());
    for reason in ["malformed", "backpressure", "late", "symbol_limit"] {
        assert_eq!(stats["dropped"][reason], json!({}), "{reason}");
    }
    assert_eq!(stats["publish_dropped"], json!({"features": 0, "signal": 0, "alert": 0, "signal_expired": 0}));

    let symbols = reference.symbols();
    let last_ts: Vec<i64> = symbols.iter().map(|symbol| last_event_ts(&events, symbol)).collect();
    let messages = inbox.wait_until("the snapshots of the last events", |messages| {
        symbols.iter().zip(&last_ts).all(|(symbol, last_ts)| {
            let subject = format!("senpai.features.{symbol}");
            messages.iter().any(|message| message.subject == subject && published(message).ts_ns >= *last_ts)
        })
    });
    let messages = messages.to_vec();
    let (features, others): (Vec<_>, Vec<_>) =
        messages.iter().map(published).partition(|message| message.subject.starts_with("senpai.features."));
    let signals: Vec<Published> = others.into_iter().filter(is_signal).collect();

    let summary = compare(&expected, &signals).unwrap_or_else(|difference| panic!("{name}: signals: {difference}"));
    assert!(summary.same_order, "{name}: signals of several symbols come in the order of their events");
    let is_known = recording.least().snapshots > 0;
    let signals_min = if name == "coinbase-24s.jsonl.gz" { 0 } else { 50 };
    assert!(!is_known || summary.signals >= signals_min, "{name}: {} signals prove little", summary.signals);

    let mut counted = (0, 0);
    for symbol in &symbols {
        let of_symbol: Vec<Published> =
            features.iter().filter(|snapshot| snapshot.payload["symbol"] == **symbol).cloned().collect();
        let (count, least) = (of_symbol.len(), snapshots_min(recording, speed));
        assert!(count >= least, "{name}, {symbol}: {count} snapshots prove little");
        check_snapshots(symbol, &events, &of_symbol, &settings);
        check_documents(&service, symbol, &reference);
        counted.0 += service.metric("senpai_feature_publish_total", &[("symbol", &**symbol)]) as usize;
        for direction in ["long", "short"] {
            let labels = [("symbol", &**symbol), ("direction", direction)];
            counted.1 += service.metric("senpai_signals_emitted_total", &labels) as usize;
        }
    }
    assert_eq!((features.len(), signals.len()), counted, "received against counted as published");
    println!(
        "{name}: {} events, speed {speed}: {} snapshots and {} signals agree",
        events.len(),
        features.len(),
        signals.len()
    );
}

/// A live service's snapshots are of moments that are not known before: the reference is asked for those, and makes none
/// of its own.
fn without_snapshots(settings: &Settings) -> Settings {
    Settings { publish_interval_ns: 0, ..settings.clone() }
}

/// It is said, whatever the harness keeps to itself.
fn leave_out(name: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED live feed of {name}: {reason}");
}

#[test]
fn feed_fails_where_the_server_refuses_its_events() {
    let refusing = "authorization { users: [ { user: feed, password: secret, permissions: { publish: \"other\" } } ] }";
    let server = NatsServer::start_with(Release::Current, refusing);
    let url = format!("nats://feed:secret@127.0.0.1:{}", server.port());
    // The refusal comes before the end of the feed or together with it.
    for count in [1, 5, 1_000] {
        for _ in 0..5 {
            let events: Vec<Event> = (0..count).map(|_| trade("A", now_ns(), 1.0)).collect();
            let output = run_feed(&url, &events, "max");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{count} events: {error}");
            assert!(error.contains("this user may not publish to md.events.trade.A"), "{error}");
        }
    }
}

/// Plays the events with the command `feed`, which paces them by their times and changes nothing.
fn feed(server: &NatsServer, events: &[Event], speed: &str) {
    let output = run_feed(&server.url(), events, speed);
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn run_feed(url: &str, events: &[Event], speed: &str) -> Output {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let path = directory.path().join("recording.jsonl");
    let mut file = BufWriter::new(File::create(&path).expect("a file"));
    for (subject, payload) in events {
        let payload = std::str::from_utf8(payload).expect("text");
        writeln!(file, "{{\"subject\":{},\"payload\":{payload}}}", json!(subject)).expect("room");
    }
    file.flush().expect("room");
    service::command(&directory)
        .args(["feed", "recording.jsonl", "--speed", speed, "--nats-url", url])
        .output()
        .expect("the binary starts")
}

fn is_signal(message: &Published) -> bool {
    message.subject.starts_with("senpai.signals.")
}

fn published(message: &Message) -> Published {
    Published::new(&message.subject, message.payload.clone())
}

fn last_event_ts(events: &[Event], symbol: &str) -> i64 {
    moments(events, symbol).last().expect("the symbol has events").1
}

/// The events of a symbol, with their times.
fn moments<'a>(events: &'a [Event], symbol: &'a str) -> impl Iterator<Item = (&'a Event, i64)> {
    events.iter().filter_map(move |event| {
        let (kind, _) = parse::subject(&event.0).filter(|(_, of)| *of == symbol)?;
        Some((event, parse::event(kind, &event.1)?.ts_recv?))
    })
}

/// Finds for each snapshot the event after which it was taken, in order.
fn check_snapshots(symbol: &str, events: &[Event], snapshots: &[Published], settings: &Settings) {
    let mut reference = Reference::new(without_snapshots(settings));
    let mut coming = moments(events, symbol).peekable();
    let (mut taken, mut watermark) = (0, i64::MIN);
    for (index, snapshot) in snapshots.iter().enumerate() {
        let mut differences = Vec::new();
        loop {
            if watermark >= snapshot.ts_ns - settings.publish_interval_ns {
                let expected = reference.features_at(symbol, snapshot.ts_ns).expect("it has had events");
                match compare(&[expected], std::slice::from_ref(snapshot)) {
                    Ok(_) => break,
                    Err(difference) => differences.push(format!("after event {taken}: {difference}")),
                }
            }
            match coming.next_if(|(_, t)| *t <= snapshot.ts_ns) {
                Some(((subject, payload), t)) => {
                    reference.event(None, subject, payload);
                    (taken, watermark) = (taken + 1, t);
                }
                None => panic!(
                    "{symbol}: snapshot {index} is that of no event: {}\n{}",
                    snapshot.payload,
                    differences.join("\n")
                ),
            }
        }
        assert!(index > 0 || taken == 1, "{symbol}: the first snapshot was taken after event {taken}");
    }
    assert_eq!(coming.count(), 0, "{symbol}: events whose effect was never published");
}

fn check_documents(service: &Service, symbol: &str, reference: &Reference) {
    let document = service.document(&format!("/features/latest?symbol={symbol}"));
    let actual = Published::new(&format!("senpai.features.{symbol}"), document);
    let expected = reference.features_at(symbol, actual.ts_ns).expect("the symbol is known");
    compare(&[expected], &[actual]).unwrap_or_else(|difference| panic!("/features/latest: {difference}"));

    let document = service.document(&format!("/state/latest?symbol={symbol}"));
    check_state(symbol, &document, &reference.state(symbol).expect("the symbol is known"));
}

fn check_state(symbol: &str, document: &Value, state: &State) {
    assert_eq!(document["symbol"], symbol);
    match &state.trade {
        None => assert_eq!(document["trade"], Value::Null),
        Some(trade) => {
            let expected = [
                ("ts", json!(time::format(trade.t))),
                ("provider", json!(trade.provider)),
                ("price", json!(trade.price)),
                ("size", json!(trade.size)),
                ("side", json!(trade.side)),
            ];
            for (field, value) in expected {
                assert_eq!(document["trade"][field], value, "trade {field}");
            }
            // An id is shown as it came, a number or a string; the reference keeps its text.
            let id = &document["trade"]["trade_id"];
            let id = id.as_str().map(str::to_owned).or_else(|| id.as_number().map(|number| number.to_string()));
            assert_eq!(id, trade.trade_id, "trade_id");
        }
    }

    match &state.quote {
        None => assert_eq!(document["quote"], Value::Null),
        Some(quote) => {
            let expected = [
                ("ts", json!(time::format(quote.t))),
                ("provider", json!(quote.provider)),
                ("bid", json!(quote.bid)),
                ("ask", json!(quote.ask)),
                ("bid_size", json!(quote.bid_size)),
                ("ask_size", json!(quote.ask_size)),
            ];
            for (field, value) in expected {
                assert_eq!(document["quote"][field], value, "quote {field}");
            }
        }
    }

    match &state.book {
        None => assert_eq!(document["book"], Value::Null),
        Some(book) => {
            assert_eq!(document["book"]["ts"], time::format(book.t));
            let prices =
                |levels: &[(f64, f64)]| json!(levels.iter().map(|level| [level.0, level.1]).collect::<Vec<_>>());
            assert_eq!(document["book"]["bids"], prices(&book.bids), "bids");
            assert_eq!(document["book"]["asks"], prices(&book.asks), "asks");
        }
    }
}

// `replay`: nothing depends on local time, so everything is compared, and its order.

#[test]
fn replays_agree() {
    recording_files::all().iter().for_each(check_replay);
}

fn check_replay(recording: &Recording) {
    let (name, least) = (&recording.name, recording.least());
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let output = service::command(&directory)
        .arg("replay")
        .arg(&recording.path)
        .args(["--signal-return-threshold", &least.return_threshold.to_string()])
        .args(if least.snapshots > 0 { &["--strict"][..] } else { &[] })
        .output()
        .expect("the binary starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {log}", output.status);
    let actual: Vec<Published> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .map(|record: Value| Published::new(record["subject"].as_str().expect("a subject"), record["payload"].clone()))
        .collect();

    let mut reference = Reference::new(Settings { return_threshold: least.return_threshold, ..Settings::default() });
    let mut expected = Vec::new();
    for (receipt, subject, payload) in recording::read(recording) {
        expected.extend(reference.event(receipt, &subject, &payload));
    }
    expected.extend(reference.finish());
    let expected = in_order(expected);
    let summary = compare(&expected, &actual).unwrap_or_else(|difference| panic!("{name}: {difference}"));
    assert!(summary.same_order, "{name}: the records are those expected, in another order");
    assert!(summary.signals >= least.signals, "{name}: {} signals prove little", summary.signals);
    println!("{name}: {} snapshots and {} signals agree; {}", summary.snapshots, summary.signals, log.trim());
}
