//! Standard error that is full, gone, stuck or closed costs log lines, which are counted, and nothing else; and what
//! the lines look like (SPEC section 7).

mod reference;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use senpai_md_consumer::runtime::logging::{self, KEYS};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

use support::bus::Bus;
use support::events::{Event, event, now_ns, trade};
use support::nats_server::NatsServer;
use support::service::{Service, command};
use support::{Killed, eventually, holds};

/// Of a stop, in SPEC section 8.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const O_NONBLOCK: i32 = 0o4000;

/// Servers that are not there: a line for each in the first second, and with `--log-level debug` one for each attempt.
const TALKATIVE: [&str; 4] = ["--cores", "4", "--log-level", "debug"];

fn missing_servers() -> String {
    let servers: Vec<String> = (1..=240).map(|host| format!("nats://127.0.1.{host}:1")).collect();
    servers.join(",")
}

/// A pipe that takes nothing more until it is read; what is in it is lines.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    // Not to block here, by an opening of its own: the flag is none of the process's business.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler =
        OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path).expect("it can be opened again");
    let line = format!("{}\n", "-".repeat(4095));
    loop {
        match filler.write(line.as_bytes()) {
            Ok(len) => assert_eq!(len, line.len()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return (reader, writer);
            }
        }
    }
}

/// `2026-01-31T09:30:00.000000Z WARN  [target] message`, the whole of it.
#[track_caller]
fn check_text(line: &str) {
    let is_one = || {
        let (ts, rest) = line.split_once(' ')?;
        let (level, rest) = rest.split_once(" [")?;
        let (target, message) = rest.split_once("] ")?;
        let is_time = ts.len() == 27 && ts.ends_with('Z') && ts.matches("20").count() > 0;
        let is_level = ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level.trim_end());
        Some(is_time && is_level && target.starts_with("senpai_md_consumer") && !message.is_empty())
    };
    assert_eq!(is_one(), Some(true), "no whole line: {line:?}");
    assert_eq!(line.matches(" [senpai_md_consumer").count(), 1, "two in one: {line:?}");
}

fn lines_lost(service: &Service) -> u64 {
    service.metric("senpai_log_lines_lost_total", &[]) as u64
}

fn wait_for_losses(service: &Service) {
    eventually("lost lines", || holds(lines_lost(service) > 100, lines_lost(service)));
}

/// `12 log lines were lost from … on: …`, added up.
fn losses_told<'a>(lines: impl IntoIterator<Item = &'a str>) -> u64 {
    let told = lines.into_iter().filter(|line| line.contains(" lost from "));
    told.map(|line| {
        let (_, message) = line.split_once("] ").expect("a log line");
        message.split(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a number")
    })
    .sum()
}

fn replay_file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it takes it");
    file
}

const RECORD: &str = "{\"ts\":1700000000,\"subject\":\"md.events.quote.A\",\"payload\":{\"bid\":1,\"ask\":2}}\n";

/// Every kind of a bad standard error: its name, and how a command gets it. The guards keep it as it is.
fn with_bad_stderr(mut check: impl FnMut(&str, &mut dyn FnMut(&mut Command))) {
    check("full", &mut |command| {
        command.stderr(OpenOptions::new().write(true).open("/dev/full").expect("there is one"));
    });
    let (gone, writer) = pipe().expect("a pipe");
    drop(gone);
    check("gone", &mut |command| {
        command.stderr(writer.try_clone().expect("a descriptor"));
    });
    let (_stuck, writer) = full_pipe();
    check("stuck", &mut |command| {
        command.stderr(writer.try_clone().expect("a descriptor"));
    });
    check("not for writing", &mut |command| {
        command.stderr(File::open("/dev/null").expect("there is one"));
    });
}

#[test]
fn exit_codes_and_results_are_right_whatever_standard_error_does() {
    let recording = replay_file(RECORD);
    let recording = recording.path().to_str().expect("text");
    let cases: [(&[&str], i32, bool); 5] = [
        (&["replay", "/nope"], 1, false),
        (&["replay", recording], 0, true),
        (&["run", "--http-port", "x"], 2, false),
        (&["nonsense"], 2, false),
        (&["--version"], 0, true),
    ];
    with_bad_stderr(|name, give| {
        for (args, code, has_result) in cases {
            let directory = TempDir::new().expect("a directory");
            let mut process = command(&directory);
            process.args(args);
            give(&mut process);
            check_end(process, code, has_result, &format!("{args:?}, standard error {name}"));
        }
    });
    for (args, code, has_result) in cases {
        // There is no descriptor 2 at all.
        let shell = ["-c", "exec \"$0\" \"$@\" 2>&-", env!("CARGO_BIN_EXE_senpai-md-consumer")];
        let mut process = Command::new("sh");
        process.args(shell).args(args).env_clear();
        check_end(process, code, has_result, &format!("{args:?}, standard error closed"));
    }
}

/// It ends, with this code, and has written a result or nothing to standard output.
#[track_caller]
fn check_end(mut process: Command, code: i32, has_result: bool, what: &str) {
    let mut process = Killed(process.stdout(Stdio::piped()).spawn().expect("it starts"));
    let status = eventually(what, || process.0.try_wait().unwrap().ok_or_else(|| "it runs on".to_owned()));
    assert_eq!(status.code(), Some(code), "{what}: {status}");
    let mut result = Vec::new();
    process.0.stdout.take().unwrap().read_to_end(&mut result).expect("it can be read");
    assert_eq!(!result.is_empty(), has_result, "{what}");
}

/// A process that ends at once has said why before.
#[test]
fn the_line_of_a_failure_is_written_before_the_end() {
    for _ in 0..50 {
        let directory = TempDir::new().expect("a directory");
        let output = command(&directory).args(["replay", "/nope"]).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with("error: cannot read /nope: ") && said.ends_with('\n'), "{said}");
    }
}

#[test]
fn the_service_lives_on_when_its_log_cannot_be_written() {
    for name in ["full", "gone"] {
        let stderr: Stdio = match name {
            "full" => OpenOptions::new().write(true).open("/dev/full").expect("there is one").into(),
            _ => pipe().expect("a pipe").1.into(),
        };
        let mut service = Service::start_with_stderr(&missing_servers(), &TALKATIVE, stderr);
        wait_for_losses(&service);
        assert_eq!(service.get("/ready").0, 503, "{name}");
        let (status, took) = service.terminate();
        assert_eq!(status.code(), Some(0), "{name}: {status}");
        assert!(took < STOP_LIMIT, "{name}: {took:?}");
    }
}

/// A pipe that is not read, while events come.
#[test]
fn a_log_that_is_not_read_costs_its_lines_and_nothing_else() {
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut server = NatsServer::stopped();
    let servers = format!("{},{}", missing_servers(), server.url());
    let mut service = Service::start_with_stderr(&servers, &TALKATIVE, writer);
    wait_for_losses(&service);

    server.start_again();
    service.wait_ready();
    flood(&server, &service, Duration::ZERO);

    let lost = lines_lost(&service);
    assert!(lost > 100, "none was read: {lost}");
    let (status, took) = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < STOP_LIMIT, "{took:?}");
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("it is text");
    assert!(log.ends_with('\n'), "the last line is whole: {:?}", &log[log.len().saturating_sub(200)..]);
    assert!(log.lines().count() > 100);
    log.lines().for_each(check_text);
}

/// Publishes for so long, at least once, as fast as a server takes it; checks that every trade was taken and that HTTP
/// answered all the while.
fn flood(server: &NatsServer, service: &Service, duration: Duration) -> usize {
    let bus = Bus::connect(&server.url());
    let mut snapshots = bus.subscribe("senpai.features.A");
    let (mut trades, mut malformed) = (0, 0);
    let start = Instant::now();
    while trades == 0 || start.elapsed() < duration {
        let now = now_ns();
        let symbols = ["A", "B", "C", "D", "E"].into_iter().cycle().take(10_000);
        let mut events: Vec<Event> = symbols.zip(0..).map(|(symbol, i)| trade(symbol, now + i, 100.0)).collect();
        trades += events.len();
        events.extend((0..100).map(|_| event("trade", "A", json!({"price": -1, "size": 1}))));
        malformed += 100;
        bus.publish(&events);
        bus.round_trip();
        assert_eq!(service.get("/health").0, 200);
    }
    let stats = service.wait_events_in(trades + malformed);
    assert_eq!(stats["events_in"], trades + malformed, "{stats}");
    assert_eq!(stats["dropped"]["malformed"], json!({"trade": malformed}), "{stats}");
    for reason in ["backpressure", "late", "symbol_limit"] {
        assert_eq!(stats["dropped"][reason], json!({}), "{stats}");
    }
    assert_eq!(stats["slow_consumer_cuts"], 0, "{stats}");
    snapshots.wait_for(1);
    trades
}

/// Run it once before a release: `cargo test --release --test log -- --ignored --nocapture`.
#[test]
#[ignore = "takes over a minute"]
fn a_log_that_is_not_read_for_a_minute_under_a_flood() {
    let (_stuck, writer) = full_pipe();
    let mut server = NatsServer::stopped();
    let servers = format!("{},{}", missing_servers(), server.url());
    let mut service = Service::start_with_stderr(&servers, &["--log-level", "debug"], writer);
    wait_for_losses(&service);
    server.start_again();
    service.wait_ready();
    let trades = flood(&server, &service, Duration::from_secs(60));
    let lost = lines_lost(&service);
    let (status, took) = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}");
    println!("{trades} trades in a minute, each of them taken; {lost} log lines lost; stopped within {took:?}");
}

#[test]
fn what_was_lost_is_said_when_the_log_is_read_again() {
    let (reader, writer) = full_pipe();
    let service = Service::start_with_stderr(&missing_servers(), &TALKATIVE, writer);
    wait_for_losses(&service);

    let log = Arc::new(Mutex::new(Vec::new()));
    let (lines, read) = (BufReader::new(reader).lines(), log.clone());
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| read.lock().unwrap().push(line)));
    eventually("all losses are told", || {
        let lost = lines_lost(&service);
        let told = losses_told(log.lock().unwrap().iter().map(String::as_str));
        holds(lost > 0 && told == lost, format!("{told} of {lost}"))
    });
    drop(service);
    let log = log.lock().unwrap();
    let lines: Vec<&str> = log.iter().map(String::as_str).filter(|line| !line.starts_with("---")).collect();
    // What could be kept comes first, then what is missing, then what came later.
    let gap = lines.iter().position(|line| line.contains(" lost from ")).expect("it was told");
    assert!(gap > 1000, "a queue's worth of lines was kept: {gap}");
    assert!(
        lines[gap].contains(" WARN ") && lines[gap].ends_with("standard error did not take them (it was not read)")
    );
    lines.iter().for_each(|line| check_text(line));
}

/// A disk that is full for a while, played by a limit on the size of files.
#[test]
fn a_full_disk_costs_lines_until_it_has_room_again() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("log");
    let port = support::nats_server::unused_port().to_string();
    let shell = ["-c", "ulimit -f 8 && exec \"$0\" \"$@\" 2>>log", env!("CARGO_BIN_EXE_senpai-md-consumer")];
    let args = ["run", "--http-port", &port, "--nats-url", &missing_servers(), "--log-level", "debug"];
    let mut process = Command::new("sh");
    process.args(shell).args(args).env_clear().current_dir(directory.path());
    let mut process = Killed(process.spawn().expect("a shell"));
    let full = eventually("a full file", || {
        let len = fs::metadata(&path).map_or(0, |file| file.len());
        holds(len >= 4096, len).map(|()| len)
    });
    let told = |text: &str| text.lines().find(|line| line.contains(" lost from ")).map(str::to_owned);
    assert_eq!(told(&read(&path)), None);
    // Now and then, as the room that there is lasts for some thirty lines.
    let line = eventually("the notice", || {
        let text = read(&path);
        if text.len() as u64 >= full {
            File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("it can be emptied");
        }
        told(&text).ok_or(text)
    });
    check_text(&line);
    assert!(line.ends_with("standard error did not take them (File too large)"), "{line}");
    assert!(process.0.try_wait().expect("it can be asked").is_none(), "it lives");
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("it is there")).into_owned()
}

#[test]
fn lines_of_many_threads_stay_apart() {
    let service = Service::start(&missing_servers(), &TALKATIVE);
    eventually("many lines", || {
        let count = service.log().lines().count();
        holds(count > 3_000, count)
    });
    let log = service.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[..lines.len() - 1].iter().for_each(|line| check_text(line));
    // 240 servers on each of four cores: each was worth a warning, once.
    let warnings: Vec<&&str> =
        lines.iter().filter(|line| line.contains(" WARN ") && line.contains("refused")).collect();
    assert!(!warnings.is_empty() && warnings.len() <= 4 * 240, "{}", warnings.len());
}

/// The lines as objects; each has what all have, in this order, and of other keys only known ones.
#[track_caller]
fn objects(log: &str) -> Vec<Value> {
    let check = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(line.starts_with("{\"ts\":\"20"), "{line}");
        let names: BTreeSet<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
        for name in ["ts", "level", "target", "message"] {
            assert!(names.contains(name) && object[name].is_string(), "{name}: {line}");
        }
        let known = |name: &str| KEYS.iter().any(|(key, _)| *key == name);
        let own = names.iter().filter(|name| !["ts", "level", "target", "message"].contains(name));
        own.for_each(|name| assert!(known(name), "{name} is not among the keys: {line}"));
        object
    };
    log.lines().map(check).collect()
}

/// A server that takes the login and hangs up, again and again: the first connections are said, and that it is there in the
/// end.
#[test]
fn a_server_that_hangs_up_fills_no_log() {
    const CONNECTIONS: usize = 10;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let service = Service::start(&format!("nats://{}", listener.local_addr().expect("it is bound")), &[]);
    let mut last = None;
    for _ in 0..CONNECTIONS {
        drop(last.take());
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.set_read_timeout(Some(support::PATIENCE)).expect("it can have a limit");
        stream.write_all(b"INFO {}\r\n").expect("it reads");
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        for _ in 0..2 {
            assert!(lines.any(|line| line.expect("it speaks") == "PING"), "it has left");
            stream.write_all(b"PONG\r\n").expect("it reads");
        }
        last = Some(stream);
    }
    eventually("the last connection is said, and those before it", || {
        let log = service.log();
        let is_said =
            log.lines().last().is_some_and(|line| line.contains("connected to NATS") && line.contains(" more since"));
        holds(is_said, log)
    });
    let lines = service.log().lines().count();
    assert!(lines < CONNECTIONS + 5, "{lines} lines:\n{}", service.log());
}

#[test]
fn json_lines_carry_their_keys_and_say_how_many_they_stand_for() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &["--log-format", "json"]);
    let bus = Bus::connect(&server.url());
    let mut published = 0;
    let malformed = || -> Vec<Value> {
        let of_events = |object: &Value| object["message"].as_str().unwrap().starts_with("malformed event");
        objects(&service.log()).into_iter().filter(of_events).collect()
    };
    // Every one of them stands in some line, as soon as a line is due for the last of them.
    let lines = eventually("a line for every malformed event", || {
        let events: Vec<Event> = (0..50).map(|_| event("trade", "A\"B", json!({"price": -1, "size": 1}))).collect();
        bus.publish(&events);
        bus.publish(&[event("trade", "A\"B", json!({"price": 1}))]);
        published += 51;
        service.wait_events_in(published);
        let lines = malformed();
        let told: u64 = lines.iter().map(|line| line["count"].as_u64().expect("a number")).sum();
        holds(lines.len() > 2, format!("{told} of {published} in {} lines", lines.len())).map(|()| lines)
    });
    let [first, second, ..] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(first["count"], 1);
    assert_eq!((&first["level"], &first["core"], &first["field"]), (&json!("warn"), &json!(0), &json!("price")));
    assert_eq!(first["subject"], "md.events.trade.A\\\"B");
    assert_eq!(first["cause"], "the required field \"price\" has a value that cannot be used");
    assert_eq!(first["target"], "senpai_md_consumer::service::shard");
    let count = second["count"].as_u64().expect("a number");
    assert!(count > 51, "a second's worth: {second}");
    let message = second["message"].as_str().expect("text");
    assert!(message.ends_with(&format!(" (and {} more since the last such line)", count - 1)), "{message}");
    let told: u64 = lines.iter().map(|line| line["count"].as_u64().expect("a number")).sum();
    assert!(told <= published as u64, "{told} of {published}");

    let log = objects(&service.log());
    let of = |start: &str| log.iter().find(|object| object["message"].as_str().unwrap().starts_with(start)).cloned();
    let connected = of("connected to NATS 127.0.0.1:").expect("it is connected");
    assert_eq!((&connected["level"], &connected["core"]), (&json!("info"), &json!(0)));
    assert_eq!(connected["server"], format!("127.0.0.1:{}", server.port()));
    assert_eq!(of("HTTP on http://").expect("it listens")["address"], service.address());
}

#[test]
fn reports_and_failures_are_objects_too() {
    let run = |args: &[&str]| {
        let directory = TempDir::new().expect("a directory");
        let output = command(&directory).env("LOG_FORMAT", "json").args(args).output().expect("the binary starts");
        (output.status.code(), objects(&String::from_utf8(output.stderr).expect("text")))
    };
    let (code, said) = run(&["replay", "/nope"]);
    let [failure] = &said[..] else { panic!("{said:?}") };
    assert_eq!((code, &failure["level"]), (Some(1), &json!("error")));
    assert!(failure["message"].as_str().unwrap().starts_with("cannot read /nope: "), "{failure}");

    let recording = replay_file(&format!("{RECORD}no record\n"));
    let (code, said) = run(&["replay", recording.path().to_str().expect("text")]);
    assert_eq!(code, Some(0), "{said:?}");
    assert!(said.len() > 1 && said.iter().all(|object| object["level"] == "info"), "{said:?}");
    assert!(said.iter().any(|object| object["message"].as_str().unwrap().contains("1 events")), "{said:?}");
}

/// Every `log::…!(key, key = value; "…")` of the sources.
#[test]
fn every_key_of_the_sources_is_listed() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut used = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let Some("rs") = path.extension().and_then(|extension| extension.to_str()) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            for call in text.split(&format!("log::{level}!(")).skip(1) {
                let before_message = call.split('"').next().expect("a message");
                let Some((keys, _)) = before_message.split_once(';') else { continue };
                used.extend(keys.split(',').map(|key| key.split([':', '=']).next().unwrap().trim().to_owned()));
            }
        }
    }
    assert!(used.len() > 5, "{used:?}");
    let listed: BTreeSet<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    let unknown: Vec<&String> = used.iter().filter(|key| !listed.contains(key.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

const BUG: &str = "SENPAI_TEST_BUG";

/// Not a test by itself: the process of the next one.
#[test]
fn a_bug_in_a_process_of_its_own() {
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("worse");
        }
    }
    if std::env::var_os(BUG).is_some() {
        logging::start().expect("a thread");
        let _worse = Worse;
        panic!("a bug,\nin two lines");
    }
}

/// What ends a process without any further step of its own, here by a panic within a panic, has been said.
#[test]
fn an_internal_error_is_written_before_an_abort() {
    let this = std::env::current_exe().expect("a path");
    let args = ["--exact", "a_bug_in_a_process_of_its_own", "--nocapture"];
    let output = Command::new(this).args(args).env(BUG, "1").output().expect("it starts");
    assert_eq!(output.status.code(), None, "an abort is a signal: {}", output.status);
    let said = String::from_utf8_lossy(&output.stderr);
    let bugs: Vec<&str> = said.lines().filter(|line| line.contains("internal error (tests/log.rs:")).collect();
    assert_eq!(bugs.len(), 2, "{said}");
    bugs.iter().for_each(|line| check_text(line));
    assert!(bugs[0].ends_with("): a bug,\\nin two lines") && bugs[1].ends_with("): worse"), "{said}");
}
