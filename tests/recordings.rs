//! `replay`, `feed` and `bench`, as processes, over recordings of every kind: what is one, what is said of what is none,
//! and how each of them ends.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use senpai_md_consumer::broker::server::BrokerServer;
use senpai_md_consumer::engine::random::Random;
use serde_json::Value;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a directory for temporary files"))
    }

    fn file(&self, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("recording");
        std::fs::write(&path, bytes).expect("room");
        path
    }
}

fn command(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.arg(arguments[0]).arg(file).args(&arguments[1..]).current_dir(file.parent().expect("it is in a folder"));
    command.stdin(Stdio::null());
    command
}

fn run(file: &Path, arguments: &[&str]) -> Output {
    command(file, arguments).output().expect("the binary starts")
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

fn record(subject: &str, payload: &str) -> String {
    format!("{{\"subject\":\"{subject}\",\"payload\":{payload}}}\n")
}

/// Quotes of A, one a second from 23:57:00 on.
fn quotes(count: usize) -> String {
    let payload = |second| format!("{{\"ts_recv\":\"2024-07-18T23:57:{second:02}.000000Z\",\"bid\":1,\"ask\":2}}");
    (0..count).map(|second| record("md.events.quote.A", &payload(second))).collect()
}

/// Ends with 1 and one line that says why.
#[track_caller]
fn check_failure(output: &Output, expected: &str) {
    let log = log(output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains(expected), "{log}");
}

#[test]
fn all_commands_read_the_same_recordings() {
    let folder = Folder::new();
    let broker =
        BrokerServer::bind("127.0.0.1", 0).expect("a free port").spawn(1, |_| (), |_, _| async {}).expect("a thread");
    let (url, text) = (broker.url(), quotes(40));
    let (first, second) = text.split_at(text.len() / 2);
    let same = [
        text.clone().into_bytes(),
        format!("\u{feff}{text}").into_bytes(),
        text.replace('\n', "\r\n").into_bytes(),
        gzip(&text),
        gzip(&format!("\u{feff}{text}")),
        [gzip(first), gzip(second)].concat(),
        [gzip(&text), vec![0; 5_000]].concat(),
    ];
    let mut published = None;
    for bytes in same {
        let shown = bytes[..12].escape_ascii().to_string();
        let file = folder.file(bytes);
        let replayed = run(&file, &["replay", "--strict"]);
        assert!(
            replayed.status.success() && log(&replayed).starts_with("40 events, 40 snapshots"),
            "{shown}: {replayed:?}"
        );
        assert_eq!(published.get_or_insert_with(|| replayed.stdout.clone()), &replayed.stdout, "{shown}");
        let fed = run(&file, &["feed", "--speed", "max", "--nats-url", &url]);
        assert!(fed.status.success() && log(&fed).contains("40 events in 1 pass; 0 lines skipped"), "{shown}: {fed:?}");
        let benched = run(&file, &["bench", "--seconds", "0.1"]);
        let report: Value = serde_json::from_slice(&benched.stdout).expect("a report");
        assert_eq!(report["events"].as_u64().map(|events| events % 40), Some(0), "{shown}: {benched:?}");
    }

    for bytes in [Vec::new(), b"\n\n".to_vec(), gzip(""), b"\xef\xbb\xbf".to_vec(), b"nonsense\n".to_vec()] {
        let file = folder.file(bytes);
        for arguments in
            [&["replay"][..], &["feed", "--nats-url", &url], &["feed", "--loop", "0", "--nats-url", &url], &["bench"]]
        {
            let output = run(&file, arguments);
            check_failure(&output, "recording holds no record");
            assert!(output.stdout.is_empty(), "{arguments:?}");
        }
    }
    for arguments in [&["replay"][..], &["feed", "--speed", "max", "--nats-url", &url], &["bench"]] {
        let whole = gzip(&text);
        check_failure(&run(&folder.file(&whole[..whole.len() - 9]), arguments), "its gzip data is cut off");
        check_failure(&run(&folder.0.path().join("none"), arguments), "none: No such file or directory");
        check_failure(&run(folder.0.path(), arguments), "Is a directory");
    }
}

/// What is taken live is taken here, byte for byte.
#[test]
fn payloads_that_json_would_refuse() {
    let folder = Folder::new();
    let text = [
        record("md.events.trade.A", r#"{"price":0100.5,"size":.5,"x":NaN,"ts":1721347022}"#),
        record("md.events.quote.A", r#"{"bid":1.,"ask":+2,"y":[Infinity,-Infinity],"ts":1721347022}"#),
        record("md.events.trade.A", "{\"price\":101,\"size\":1,\"note\":\"a\tb\u{1}\",\"ts\":1721347022}"),
        record("md.events.trade.A", "\u{feff}{\"price\":102,\"size\":1,\"ts\":1721347022}"),
        record(
            "md.events.trade.A",
            &format!("{{\"price\":103,\"size\":1,\"x\":{}{}}}", "[".repeat(128), "]".repeat(128)),
        ),
    ];
    let output = run(&folder.file(text.concat()), &["replay", "--strict"]);
    assert!(output.status.success(), "{}", log(&output));
    let last = String::from_utf8_lossy(&output.stdout).lines().last().expect("a snapshot").to_owned();
    assert!(last.contains("\"mid\":1.5,") && last.contains("\"trade_volume_10s\":3.5,"), "{last}");
    assert!(log(&output).starts_with("5 events") && log(&output).contains("malformed 0"), "{}", log(&output));
}

/// Ten lines of each kind, and one for all the others.
#[test]
fn what_is_wrong_is_said_with_line_field_and_cause() {
    let folder = Folder::new();
    let mut lines = vec![quotes(1)];
    for _ in 0..50 {
        lines.push("{\"payload\":{}}\n".to_owned());
        lines.push(record("md.events.trade.A", r#"{"price":"x","size":1}"#));
        lines.push(record("md.events.trade.A*", r#"{"price":1,"size":1}"#));
    }
    let file = folder.file(lines.concat());
    let output = run(&file, &["replay"]);
    assert!(output.status.success(), "{output:?}");
    let said = log(&output);
    let path = file.display();
    let first = [
        format!("{path}: line 2: no record: the field \"subject\" is missing"),
        format!(
            "{path}: line 3: malformed event: the required field \"price\" has a value that cannot be used \
             (md.events.trade.A)"
        ),
    ];
    assert_eq!(said.lines().take(2).collect::<Vec<_>>(), first, "{said}");
    assert!(said.lines().nth(2).is_some_and(|line| line.contains("line 4: malformed event: the subject's symbol is")));
    assert_eq!(said.lines().count(), 30 + 1 + 1, "{said}");
    assert!(
        said.lines().nth(30).is_some_and(|line| line.starts_with(&format!("{path}: 120 more lines: 40 "))),
        "{said}"
    );
    let summary = said.lines().last().expect("a summary");
    assert!(
        summary.starts_with("101 events, 1 snapshots, 0 signals, 0 alerts; dropped: malformed 100, backpressure 0"),
        "{summary}"
    );
    for part in [
        "signals suppressed: catching_up 0, stale 0, stale_quote 0, gap 0;",
        "timestamps rejected: 0",
        "50 lines skipped",
        " s, ",
        "events/s",
    ] {
        assert!(summary.contains(part), "{summary}");
    }

    // The first of either ends a strict replay.
    for (lines, expected) in
        [(&lines[..2], "line 2: no record"), (&[&lines[..1], &lines[2..3]].concat(), "line 2: malformed")]
    {
        let output = run(&folder.file(lines.concat()), &["replay", "--strict"]);
        check_failure(&output, expected);
        assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 2, "what was published before: {output:?}");
    }
}

#[test]
fn noise_is_few_lines() {
    let folder = Folder::new();
    let mut random = Random::new(1);
    let mut noise: Vec<u8> = (0..2 << 20).map(|_| random.draw() as u8).collect();
    noise[0] = b'x';
    let lines = noise.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 7_000, "{lines}");
    let output = run(&folder.file(&noise), &["replay"]);
    check_failure(&output, "holds no record");
    assert!(log(&output).lines().count() < 60, "{}", log(&output));
    noise.extend(quotes(1).into_bytes());
    let output = run(&folder.file([b"\n".to_vec(), noise].concat()), &["replay"]);
    assert!(log(&output).lines().count() < 60, "{}", log(&output));
}

/// A malformed event's time and provider are not believed either.
#[test]
fn a_malformed_event_does_not_move_the_replays_time() {
    let folder = Folder::new();
    let events = |between: &str| {
        let trade = |second: u32, price: f64| {
            let payload = format!("{{\"price\":{price},\"size\":2,\"ts_recv\":\"2024-07-18T23:57:{second:02}Z\"}}");
            record("md.events.trade.A", &payload)
        };
        [quotes(1), trade(0, 1.5), between.to_owned(), trade(11, 1.6)].concat()
    };
    let published = |text: String| {
        let output = run(&folder.file(text), &["replay", "--signal-spread-max-bps", "100000"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let expected = published(events(""));
    assert!(expected.contains("senpai.signals.A"));
    let far = "\"ts_recv\":\"2099-01-01T00:00:00Z\",\"provider\":\"x\"";
    for malformed in [
        record("md.events.trade.A", &format!("{{\"price\":0,\"size\":1,{far}}}")),
        record("md.events.trade.A..B", &format!("{{\"price\":1,\"size\":1,{far}}}")),
        record("md.events.trade.*", &format!("{{\"price\":1,\"size\":1,{far}}}")),
        format!("{{\"ts\":\"2099-01-01T00:00:00Z\",\"subject\":\"md.events.trade.A\",\"payload\":{{{far}}}}}\n"),
        "{\"ts\":\"2099-01-01T00:00:00Z\",\"subject\":\"md.events.trade.>\",\"payload\":{\"price\":1,\"size\":1}}\n"
            .to_owned(),
    ] {
        assert_eq!(published(events(&malformed)), expected, "{malformed}");
    }
}

/// In the order of their moments, the same for each run, and with a limit of 0 not at all.
#[test]
fn alerts_are_part_of_a_replay() {
    let folder = Folder::new();
    let quote = |second: u32, received: u32| {
        let payload = format!(r#"{{"provider":"p","bid":1,"ask":2,"ts_recv":"2024-07-18T23:57:{second:02}Z"}}"#);
        let ts = format!("2024-07-18T23:57:{received:02}Z");
        format!("{{\"ts\":\"{ts}\",\"subject\":\"md.events.quote.A\",\"payload\":{payload}}}\n")
    };
    let text = [quote(0, 0), quote(20, 20), quote(21, 21), quote(29, 25), quote(31, 31)].concat();
    let shown = |flags: &[&str]| -> (Vec<String>, String) {
        let output = run(&folder.file(&text), &[&["replay", "--strict"], flags].concat());
        let records = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let records: Vec<Value> = records.collect();
        let show = |record: &Value| {
            let (ts, payload) = (record["payload"]["ts"].as_str().expect("a time"), &record["payload"]);
            let what =
                payload["kind"].as_str().map(|kind| format!("{kind} {}", payload["state"].as_str().expect("text")));
            format!("{} {}", &ts[17..22], what.unwrap_or("snapshot".into()))
        };
        (records.iter().map(show).collect(), log(&output))
    };
    let (records, summary) = shown(&[]);
    let expected = [
        "00.00 snapshot",
        "15.00 gap firing",
        "20.00 snapshot",
        "21.00 snapshot",
        "25.00 gap resolved",
        "25.00 clock_skew firing",
        "25.00 snapshot",
        "30.00 clock_skew resolved",
        "31.00 snapshot",
    ];
    assert_eq!(records, expected);
    assert!(summary.contains("5 events, 5 snapshots, 0 signals, 4 alerts; dropped"), "{summary}");
    assert_eq!(shown(&[]).0, expected);
    let (records, summary) = shown(&["--alert-gap-seconds", "0", "--max-clock-skew-seconds", "10"]);
    assert!(records.iter().all(|record| record.ends_with("snapshot")) && summary.contains(" 0 alerts;"), "{records:?}");
}

/// SPEC section 3: the order of the moments; at one moment the signal first.
#[test]
fn outputs_in_the_order_of_their_moments() {
    let folder = Folder::new();
    let trade = |symbol: &str, seconds: &str, price: f64| {
        let payload = format!("{{\"price\":{price},\"size\":2,\"ts_recv\":\"2024-07-18T23:57:{seconds}Z\"}}");
        record(&format!("md.events.trade.{symbol}"), &payload)
    };
    let quote = |symbol: &str, seconds: &str| {
        let payload = format!("{{\"bid\":99.99,\"ask\":100.01,\"ts_recv\":\"2024-07-18T23:57:{seconds}Z\"}}");
        record(&format!("md.events.quote.{symbol}"), &payload)
    };
    let check = |text: String, expected: &[(&str, &str)]| {
        let output = run(&folder.file(text), &["replay", "--strict"]);
        let published: Vec<Value> =
            output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let shown: Vec<(&str, &str)> = published
            .iter()
            .map(|record| {
                (&record["subject"].as_str().unwrap()[7..], &record["payload"]["ts"].as_str().unwrap()[17..22])
            })
            .collect();
        assert_eq!(shown, expected);
    };
    // The snapshot due at :00.1 is of an earlier moment than the signal of :11.
    check(
        [quote("A", "00.00"), trade("A", "00.02", 100.0), trade("A", "11.00", 101.0)].concat(),
        &[("features.A", "00.00"), ("features.A", "00.10"), ("signals.A", "11.00"), ("features.A", "11.00")],
    );
    // At one moment the signal of the last event comes before the snapshots of those before it.
    check(
        [
            quote("A", "00.00"),
            trade("A", "00.00", 100.0),
            quote("B", "11.00"),
            quote("C", "11.00"),
            trade("A", "11.00", 101.0),
            quote("D", "11.00"),
        ]
        .concat(),
        &[
            ("features.A", "00.00"),
            ("features.A", "00.10"),
            ("signals.A", "11.00"),
            ("features.B", "11.00"),
            ("features.C", "11.00"),
            ("features.A", "11.00"),
            ("features.D", "11.00"),
        ],
    );
}

/// A table of one symbol withholds nothing: its snapshot that is due and the event's own both go out.
#[test]
fn the_size_of_the_table_changes_no_output() {
    let folder = Folder::new();
    let times = ["02.00", "02.05", "02.50", "02.55", "03.00", "03.00", "03.02", "09.00"];
    let trade = |time| {
        record("md.events.trade.A", &format!("{{\"price\":1,\"size\":1,\"ts_recv\":\"2024-07-18T23:57:{time}Z\"}}"))
    };
    let file = folder.file(times.map(trade).concat());
    let [one, many] = ["1", "1000"].map(|symbols| run(&file, &["replay", "--max-symbols", symbols]).stdout);
    assert_eq!(String::from_utf8(one), String::from_utf8(many));
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let folder = Folder::new();
    let file = folder.file(quotes(5));
    for arguments in [&["replay"][..], &["bench", "--seconds", "0.1"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = command(&file, arguments).stdout(full).output().expect("the binary starts");
        check_failure(&output, "No space left on device");
    }
}

/// Counts of a report are of the same passes: one in four events is malformed, each other one gives a snapshot.
#[test]
fn the_benchs_counts_belong_together() {
    let folder = Folder::new();
    let malformed = record("md.events.quote.A", "{}");
    let text: String = quotes(30)
        .lines()
        .map(|line| format!("{line}\n"))
        .collect::<Vec<_>>()
        .chunks(3)
        .map(|three| three.concat() + &malformed)
        .collect();
    for seconds in ["0.1", "0.2"] {
        let output = run(&folder.file(&text), &["bench", "--seconds", seconds]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        let count = |name: &str| report[name].as_u64().expect("a count");
        assert!(count("events") > 0 && count("events").is_multiple_of(40), "{report}");
        assert_eq!(count("malformed") * 4, count("events"), "{report}");
        assert_eq!(count("published") * 4, count("events") * 3, "{report}");
        assert!(count("p50_ns") <= count("p99_ns") && count("p99_ns") <= count("max_ns"), "{report}");
    }
}

#[test]
fn the_bench_takes_what_it_is_given() {
    let folder = Folder::new();
    // A subject that would forge another operation, and a message that fills the queue.
    let text = [record("md.events.trade.A B", "{}"), record("", "{}"), quotes(3)].concat();
    let output = run(&folder.file(&text), &["bench", "--seconds", "0.1"]);
    assert!(
        output.status.success() && log(&output).matches("that is no subject to publish to").count() == 2,
        "{output:?}"
    );
    let large =
        |spaces: usize| record("md.events.trade.A", &format!("{{\"price\":1,\"size\":1{}}}", " ".repeat(spaces)));
    let text = [quotes(3), large((256 << 10) - 100), quotes(3), large(300 << 10), quotes(2)].concat();
    let output = run(&folder.file(&text), &["bench", "--seconds", "0.1", "--queue-bytes", "65536"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("a report: {output:?}"));
    let count = |name: &str| report[name].as_u64().expect("a count");
    assert_eq!(count("malformed") * 10, count("events"), "the larger one: {report}");
}

#[test]
fn the_bench_runs_on_the_cores_that_there_are() {
    let folder = Folder::new();
    let file = folder.file(quotes(2));
    let most = std::thread::available_parallelism().expect("Linux says").get();
    let output = run(&file, &["bench", "--seconds", "0.1", "--cores", &most.to_string()]);
    assert!(output.status.success(), "{output:?}");
    if most < 256 {
        let output = run(&file, &["bench", "--cores", &(most + 1).to_string()]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let expected = format!("error: CORES is {}, accepted for bench is a number from 1 to {most}", most + 1);
        assert!(log(&output).starts_with(&expected) && output.stdout.is_empty(), "{output:?}");
    }
}
