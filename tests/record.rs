//! `record`, as a process, on a real nats-server: what it writes, and how it ends.

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use flate2::read::MultiGzDecoder;
use reference::recording_files::Recording;
use reference::{Published, Reference, Settings, compare, in_order, recording};
use serde_json::Value;
use support::bus::Bus;
use support::events::{Event, RISE_FLAGS, RISE_WARM_UP, now_ns, rising_market, trade};
use support::nats_server::{NatsServer, Release, unused_port};
use support::service::{self, Service};
use support::{PATIENCE, eventually, holds, send_signal};

/// A recorder at work, and what it says. Killed when it is dropped.
struct Recorder {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
    path: PathBuf,
}

impl Recorder {
    /// Returns when it records.
    fn start(directory: &Path, file: &str, url: &str, flags: &[&str]) -> Recorder {
        let recorder = Recorder::spawn(directory, file, url, flags, "");
        eventually("the recorder's first line", || {
            let said = recorder.said();
            holds(said.contains("recording "), said)
        });
        recorder
    }

    /// After `limits`, as bash has them.
    fn spawn(directory: &Path, file: &str, url: &str, flags: &[&str], limits: &str) -> Recorder {
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg(format!("{limits} exec \"$0\" record \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_senpai-md-consumer")).args([file, "--nats-url", url]).args(flags);
        command.env_clear().current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a shell");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (BufReader::new(process.stderr.take().expect("it is piped")).lines(), said.clone());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Recorder { process, said, path: directory.join(file) }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    fn wait(&mut self) -> ExitStatus {
        let status = eventually("the recorder's end", || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(self.said()),
        });
        // Its standard error is read to the end.
        eventually("its last line", || holds(Arc::strong_count(&self.said) == 1, "it is not read yet"));
        status
    }

    /// SIGINT, as ctrl-C, and what it says at its end.
    #[track_caller]
    fn stop(&mut self) -> String {
        send_signal(&self.process, "INT");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.said());
        self.said()
    }

    /// The file's text, as far as there is one.
    fn text(&self) -> String {
        let mut text = Vec::new();
        let file = fs::File::open(&self.path).expect("it is there");
        let _ = match self.path.extension().is_some_and(|extension| extension == "gz") {
            true => MultiGzDecoder::new(file).read_to_end(&mut text),
            false => BufReader::new(file).read_to_end(&mut text),
        };
        String::from_utf8(text).expect("text")
    }

    fn wait_events(&self, count: usize) {
        eventually("events in the file", || {
            let lines = self.text().lines().count();
            holds(lines >= count, format!("{lines} of {count}"))
        });
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn trades(count: usize) -> Vec<Event> {
    let begin = now_ns();
    (0..count).map(|index| trade("BTCUSDT", begin + index as i64 * 1_000, 100.0)).collect()
}

/// Subject and payload of each line.
fn recorded(text: &str) -> Vec<(String, String)> {
    let record = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (_, payload) = line.split_once(",\"payload\":").expect("a payload");
        (value["subject"].as_str().expect("text").to_owned(), payload[..payload.len() - 1].to_owned())
    };
    text.lines().map(record).collect()
}

fn sent(events: &[Event]) -> Vec<(String, String)> {
    let text = |payload: &Vec<u8>| String::from_utf8(payload.clone()).expect("text");
    events.iter().map(|(subject, payload)| (subject.clone(), text(payload))).collect()
}

fn replayed(directory: &tempfile::TempDir, file: &Path, flags: &[&str]) -> Vec<Published> {
    let output = service::command(directory).arg("replay").arg(file).args(flags).output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = String::from_utf8(output.stdout).expect("text");
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("JSON");
        Published::new(record["subject"].as_str().expect("a subject"), record["payload"].clone())
    };
    records.lines().map(record).collect()
}

/// SPEC section 8: the same signal ids as a service that ran beside it, and in each snapshot the right features for its `ts`.
#[test]
fn a_replay_gives_what_a_service_beside_it_gave() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let service = Service::start_ready(&server.url(), &RISE_FLAGS);
    let mut recorder = Recorder::start(directory.path(), "beside.jsonl.gz", &server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let mut signals = bus.subscribe("senpai.signals.>");
    bus.round_trip();
    let events = [rising_market("BTCUSDT", 700), rising_market("BTC/USD", 600)].concat();
    bus.publish(&events);
    service.wait_events_in(events.len());
    signals.wait_for(1_300 - 2 * RISE_WARM_UP);
    recorder.wait_events(events.len());
    let said = recorder.stop();
    assert!(said.contains(&format!("{} events, ", events.len())) && said.contains("no gaps"), "{said}");
    assert_eq!(recorded(&recorder.text()), sent(&events), "byte for byte, and in order");

    let outputs = replayed(&directory, &recorder.path, &RISE_FLAGS);
    let ids = |of: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        of.map(|payload| payload["id"].as_str().expect("an id").to_owned()).collect()
    };
    let live = ids(&mut signals.iter().map(|message| &message.payload));
    let is_signal = |output: &&Published| output.subject.starts_with("senpai.signals.");
    let again = ids(&mut outputs.iter().filter(is_signal).map(|output| &output.payload));
    assert_eq!(live, again);
    assert!(live.len() >= 1_300 - 2 * RISE_WARM_UP, "{}", live.len());

    // Each snapshot is the reference's, for the receipts that were recorded.
    let mut reference = Reference::new(Settings {
        return_threshold: 0.0,
        cooldown_ns: 0,
        signal_max_age_ns: 31_536_000 * reference::SECOND,
        signal_max_quote_age_ns: 0,
        ..Settings::default()
    });
    let file = Recording { name: "beside.jsonl.gz".to_owned(), path: recorder.path.clone() };
    let records = recording::read(&file);
    assert!(
        records.iter().all(|(receipt, ..)| receipt.is_some_and(|receipt| receipt > now_ns() - 60 * reference::SECOND))
    );
    let mut expected = Vec::new();
    for (receipt, subject, payload) in records {
        expected.extend(reference.event(receipt, &subject, &payload));
    }
    expected.extend(reference.finish());
    let summary = compare(&in_order(expected), &outputs).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(summary.snapshots > 2, "{}", summary.snapshots);
}

/// Up to the last second: what was flushed is there, and is whole.
#[test]
fn a_kill_leaves_a_file_that_can_be_read() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url());
    for name in ["killed.jsonl", "killed.jsonl.gz"] {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let mut recorder = Recorder::start(directory.path(), name, &server.url(), &[]);
        let events = trades(20_000);
        let (first, second) = events.split_at(10_000);
        bus.publish(first);
        recorder.wait_events(first.len());
        bus.publish(second);
        recorder.process.kill().expect("it runs");
        recorder.wait();
        let text = recorder.text();
        // A kill in the midst of a write cuts the last line, or the last member.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let found = recorded(whole);
        assert!(found.len() >= first.len() && found[..] == sent(&events)[..found.len()], "{}", found.len());
        let output =
            service::command(&directory).arg("replay").arg(&recorder.path).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("its gzip data is cut off"), "{said}");
        assert!(said.contains(&format!("{} events, ", found.len())) || !output.status.success(), "{said}");
        println!("{name}: {} of {} events", found.len(), events.len());
    }
}

#[test]
fn payloads_that_are_no_line_are_kept_and_said() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let mut recorder =
        Recorder::start(directory.path(), "odd.jsonl", &server.url(), &["--subject", "a.*", "--subject", "b.>"]);
    let bus = Bus::connect(&server.url());
    let odd: Vec<Event> = [
        ("a.1", "{\"x\": 1}"),
        ("a.2", ""),
        ("c.1", "{}"),
        ("b.\"\\.c", "{\n  \"a\": \"b\"\n}\n"),
        ("a.b.c", "{}"),
        ("a.größe", "no json at all"),
    ]
    .map(|(subject, payload)| (subject.to_owned(), payload.as_bytes().to_vec()))
    .into();
    bus.publish(&odd);
    recorder.wait_events(4);
    let said = recorder.stop();
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(subject, payload)| ((*subject).to_owned(), (*payload).to_owned())).collect()
    };
    let expected = pairs(&[
        ("a.1", "{\"x\": 1}"),
        ("a.2", "\"\""),
        ("b.\"\\.c", "{   \"a\": \"b\" }"),
        ("a.größe", "\"no json at all\""),
    ]);
    assert_eq!(recorded(&recorder.text()), expected);
    assert!(said.contains("1 payloads were put on one line, 2 were not JSON and were kept as text"), "{said}");
}

#[test]
fn limits_end_it() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let bus = Bus::connect(&server.url());
    let mut recorder = Recorder::start(directory.path(), "events.jsonl", &server.url(), &["--events", "100"]);
    let events = trades(1_000);
    bus.publish(&events);
    assert_eq!(recorder.wait().code(), Some(0), "{}", recorder.said());
    assert_eq!(recorded(&recorder.text()), sent(&events[..100]));
    let mut recorder = Recorder::start(directory.path(), "seconds.jsonl", &server.url(), &["--seconds", "0.5"]);
    assert_eq!(recorder.wait().code(), Some(0), "{}", recorder.said());
    assert!(recorder.said().contains("0 events, 0 bytes"), "{}", recorder.said());
}

#[test]
fn what_is_there_is_not_touched_and_what_fails_is_one_line() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let check = |file: &str, url: &str, flags: &[&str], limits: &str, code: i32, expected: &[&str]| {
        let mut recorder = Recorder::spawn(directory.path(), file, url, flags, limits);
        let status = recorder.wait();
        let said = recorder.said();
        assert_eq!(status.code(), Some(code), "{file} {flags:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && expected.iter().all(|text| last.contains(text)), "{expected:?}: {said}");
    };
    let path = directory.path().join("there.jsonl");
    fs::write(&path, "kept").expect("a file");
    let url = &server.url();
    check("there.jsonl", url, &[], "", 1, &["there.jsonl is there already", "name another file"]);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "kept");
    check("none/a.jsonl", url, &[], "", 1, &["cannot write none/a.jsonl", "No such file"]);
    let nowhere = format!("nats://127.0.0.1:{}", unused_port());
    check("a.jsonl", &nowhere, &[], "", 1, &["no NATS server can be used", "connection refused"]);
    assert!(!directory.path().join("a.jsonl").exists(), "nothing stands in the way of the next attempt");
    check("a.jsonl", url, &["--subject", "a..b"], "", 2, &["--subject", "accepted is a subject like"]);
    let refusing = "authorization { users: [ { user: a, password: b, permissions: { subscribe: \"other\" } } ] }";
    let refusing = NatsServer::start_with(Release::Current, refusing);
    let refused = format!("nats://a:b@127.0.0.1:{}", refusing.port());
    check("a.jsonl", &refused, &[], "", 1, &["md.events.>", "permission"]);
    assert!(!directory.path().join("a.jsonl").exists());
}

/// Of a disk that is full, or a file that may not grow, all that was written before can be read.
#[test]
fn a_full_disk_leaves_a_file_that_can_be_read() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url());
    for name in ["full.jsonl", "full.jsonl.gz"] {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        // 100 KiB, in bash's units.
        let mut recorder = Recorder::spawn(directory.path(), name, &server.url(), &[], "ulimit -f 100;");
        eventually("it records", || holds(recorder.said().contains("recording "), recorder.said()));
        bus.publish(&trades(100));
        recorder.wait_events(100);
        let mut begin = now_ns();
        let mut rounds = 0;
        let status = eventually("the recorder's end", || {
            if let Ok(Some(status)) = recorder.process.try_wait() {
                return Ok(status);
            }
            // Incompressible enough: each has numbers of its own.
            let events: Vec<Event> = (0..1_000i64)
                .map(|index| trade("BTCUSDT", begin + index * 977, 100.0 + (index * 7919 % 1_000) as f64))
                .collect();
            begin = now_ns();
            rounds += 1;
            bus.publish(&events);
            bus.round_trip();
            Err(format!("{rounds} thousand events: {}", recorder.said()))
        });
        recorder.wait();
        let said = recorder.said();
        assert_eq!(status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(&format!("cannot write {name}: File too large; it ends after ")), "{said}");
        let lines = recorded(&recorder.text()).len();
        assert!(lines >= 100 && last.contains(&format!("ends after {lines} events")), "{lines}: {said}");
        replayed(&directory, &recorder.path, &["--strict"]);
    }
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let mut recorder = Recorder::start(directory.path(), "/dev/full", &server.url(), &[]);
    bus.publish(&trades(100));
    assert_eq!(recorder.wait().code(), Some(1));
    assert!(recorder.said().contains("cannot write /dev/full: No space left on device"), "{}", recorder.said());
}

/// `record - >> file` on a full disk: what the file held before is none of its business.
#[test]
fn what_standard_output_held_before_stays() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url());
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let path = directory.path().join("old.jsonl");
    let before = "{\"old\":true}\n".repeat(6_000);
    fs::write(&path, &before).expect("it can be written");
    let limits = "ulimit -f 100; exec >>old.jsonl;";
    let mut recorder = Recorder::spawn(directory.path(), "-", &server.url(), &[], limits);
    eventually("it records", || holds(recorder.said().contains("recording "), recorder.said()));
    bus.publish(&trades(1_000));
    assert_eq!(recorder.wait().code(), Some(1), "{}", recorder.said());
    let text = fs::read_to_string(&path).expect("it is there");
    assert!(text.len() > before.len() && text.starts_with(&before), "{} bytes are left", text.len());
}

#[test]
fn a_gap_is_said() {
    let mut server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let mut recorder = Recorder::start(directory.path(), "gap.jsonl.gz", &server.url(), &[]);
    let (first, second) = (trades(10), trades(20));
    Bus::connect(&server.url()).publish(&first);
    recorder.wait_events(10);
    server.kill();
    eventually("the end of the connection is said", || {
        let said = recorder.said();
        holds(said.contains("trying again"), said)
    });
    server.start_again();
    eventually("the gap is said", || {
        let said = recorder.said();
        holds(said.contains("nothing was recorded for "), said)
    });
    Bus::connect(&server.url()).publish(&second);
    recorder.wait_events(30);
    let said = recorder.stop();
    assert_eq!(recorded(&recorder.text()), sent(&[first, second].concat()));
    assert!(said.contains("30 events, ") && said.contains("gaps: 1, of "), "{said}");
}

/// While the other end takes nothing the socket is not read; that the server then gives up on it is said, and what was taken
/// before is all there.
#[test]
fn a_disk_that_is_too_slow_is_said() {
    let server = NatsServer::start();
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let path = directory.path().join("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&path).status().expect("it is there").success());
    let mut recorder = Recorder::spawn(directory.path(), "pipe.jsonl", &server.url(), &[], "");
    let (tell, opened) = mpsc::channel();
    std::thread::spawn({
        let path = path.clone();
        move || tell.send(fs::File::open(path))
    });
    let pipe = opened.recv_timeout(PATIENCE).expect("both ends are open").expect("it is there");
    eventually("it records", || holds(recorder.said().contains("recording "), recorder.said()));
    let bus = Bus::connect(&server.url());
    let filling = "x".repeat(900_000);
    let mut sent = 0;
    eventually("the cut", || {
        if server.connections_of("senpai-md-consumer-record", false).is_empty() {
            return Ok(());
        }
        bus.publish(&[(
            "md.events.trade.A".to_owned(),
            format!("{{\"number\":{sent},\"filling\":\"{filling}\"}}").into(),
        )]);
        sent += 1;
        Err(format!("{sent} large events: {}", recorder.said()))
    });
    let (tell, read) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        let numbers: Vec<u64> = lines.map(|line| number_of(&line)).collect();
        tell.send(numbers)
    });
    eventually("the cut and the gap are said", || {
        let said = recorder.said();
        let is_said = said.contains("as a slow consumer, most likely; events may be lost")
            && said.contains("nothing was recorded for ");
        holds(is_said, said)
    });
    let said = recorder.stop();
    let numbers = read.recv_timeout(PATIENCE).expect("the writer's end is closed");
    assert!(
        said.contains(&format!("{} events, ", numbers.len())) && said.contains("cut as a slow consumer: "),
        "{said}"
    );
    let expected: Vec<u64> = (0..numbers.len() as u64).collect();
    // What came before the cut, without a hole; what is behind it is missing.
    assert!(numbers.len() > 64 && numbers.len() < sent && numbers[..64] == expected[..64], "{sent}: {numbers:?}");
    // 64 MiB are 75 of them; sockets, whose buffers the kernel sizes, hold some more.
    assert!(numbers.len() < 150, "{} large events were taken", numbers.len());
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

fn number_of(line: &str) -> u64 {
    let (_, rest) = line.split_once("{\"number\":").expect("a whole line");
    assert!(rest.ends_with("\"}}"), "a whole line");
    rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// What both servers bring of the move is written once, and nothing is missing.
#[test]
fn a_lame_duck_costs_nothing() {
    let ports = [unused_port(), unused_port()];
    let nodes = [0, 1].map(|index: usize| {
        let configuration = format!(
            "server_name: node{index}\nlame_duck_duration: 30s\nlame_duck_grace_period: 10s\n\
             cluster {{ name: two, listen: \"127.0.0.1:{}\", routes: [\"nats://127.0.0.1:{}\"] }}",
            ports[index],
            ports[1 - index],
        );
        NatsServer::start_with(Release::Current, &configuration)
    });
    for (node, other) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        eventually("the nodes know each other", || {
            let urls = node.report("/varz")["connect_urls"].to_string();
            holds(urls.contains(&other.port().to_string()), urls)
        });
    }
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let mut recorder = Recorder::start(directory.path(), "moved.jsonl", &nodes[0].url(), &[]);
    let bus = Bus::connect(&nodes[1].url());
    let begin = now_ns();
    let mut published: Vec<Event> = Vec::new();
    let publish = |published: &mut Vec<Event>| {
        let event = trade("BTCUSDT", begin + published.len() as i64 * 1_000, 100.0);
        bus.publish(std::slice::from_ref(&event));
        published.push(event);
    };
    // Interest has to reach the other node before anything is counted.
    eventually("the first event", || {
        publish(&mut published);
        holds(recorder.text().lines().count() > 0, "none yet")
    });
    let first = recorded(&recorder.text())[0].clone();
    nodes[0].signal("USR2");
    eventually("the move", || {
        publish(&mut published);
        holds(recorder.said().contains("left NATS"), recorder.said())
    });
    (0..100).for_each(|_| publish(&mut published));
    let all = sent(&published);
    let from = all.iter().position(|event| *event == first).expect("it was sent");
    recorder.wait_events(all.len() - from);
    let said = recorder.stop();
    assert_eq!(recorded(&recorder.text()), all[from..]);
    assert!(said.contains("no gaps"), "{said}");
}
