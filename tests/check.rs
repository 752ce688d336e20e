//! `check`, as a process: one line for each thing that is looked at, and of each cause one right line (SPEC section 8).

#[allow(dead_code)]
#[path = "faults/certificates.rs"]
mod certificates;
#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use certificates::Authority;
use support::bus::Bus;
use support::events::{now_ns, trade};
use support::nats_server::{NatsServer, Release, unused_port};
use support::seccomp::{refuse, refused};
use support::service::{self, Service};
use support::{Killed, eventually};

/// Trades, one after another, until it is dropped.
struct Producer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    fn start(url: &str) -> Producer {
        let (bus, stop) = (Bus::connect(url), Arc::new(AtomicBool::new(false)));
        let is_stopped = stop.clone();
        let produce = move || {
            while !is_stopped.load(Ordering::Relaxed) {
                bus.publish(&[trade("BTCUSDT", now_ns(), 100.0)]);
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        Producer { stop, thread: Some(std::thread::spawn(produce)) }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("it is taken here alone").join();
    }
}

/// A check in a directory of its own, with nothing of this process's environment.
struct Check {
    directory: tempfile::TempDir,
    command: Command,
}

impl Check {
    /// After `limits`, as bash has them.
    fn limited(limits: &str, nats_url: &str, flags: &[&str]) -> Check {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let mut command = Command::new("/bin/bash");
        let script = format!("{limits} exec \"$0\" check --nats-url \"$@\"");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_senpai-md-consumer")).arg(nats_url).args(flags);
        command.env_clear().env("HTTP_PORT", "0").current_dir(directory.path()).stdin(Stdio::null());
        Check { directory, command }
    }

    fn of(nats_url: &str, flags: &[&str]) -> Check {
        Check::limited("", nats_url, flags)
    }

    fn dot_env(self, text: &str) -> Check {
        fs::write(self.directory.path().join(".env"), text).expect("a file");
        self
    }

    /// Exit code and lines of standard output.
    fn run(mut self) -> (Option<i32>, Vec<String>) {
        let path = self.directory.path().join("report");
        self.command.stdout(fs::File::create(&path).expect("a file")).stderr(Stdio::null());
        let mut process = Killed(self.command.spawn().expect("a shell"));
        let status = eventually("the end of check", || {
            process.0.try_wait().expect("it is a child").ok_or_else(|| "it runs on".to_owned())
        });
        let report = fs::read_to_string(path).expect("text");
        let lines: Vec<String> = report.lines().map(str::to_owned).collect();
        let is_well_formed = |line: &String| {
            ["ok    ", "warn  ", "fail  "].iter().any(|level| line.starts_with(level)) && line.contains(": ")
        };
        assert!(lines.iter().all(is_well_formed), "{report}");
        (status.code(), lines)
    }

    /// It ends with 1, and its one line about something wrong has all of `expected`.
    #[track_caller]
    fn fails(self, expected: &[&str]) {
        let (code, lines) = self.run();
        let report = lines.join("\n");
        let wrong: Vec<&String> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
        let [wrong] = wrong[..] else { panic!("not one line is about something wrong:\n{report}") };
        assert!(
            wrong.starts_with("fail  ") && expected.iter().all(|text| wrong.contains(text)),
            "{expected:?}: {report}"
        );
        assert_eq!(code, Some(1), "{report}");
    }

    /// It ends with 0, and its one line about something wrong, if there is one, has all of `expected`.
    #[track_caller]
    fn warns(self, expected: Option<&[&str]>) -> Vec<String> {
        let (code, lines) = self.run();
        let report = lines.join("\n");
        let wrong: Vec<&String> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
        match (&wrong[..], expected) {
            ([], None) => {}
            ([wrong], Some(expected)) => {
                let is_right = wrong.starts_with("warn  ") && expected.iter().all(|text| wrong.contains(text));
                assert!(is_right, "{expected:?}: {report}");
            }
            _ => panic!("{expected:?}: {report}"),
        }
        assert_eq!(code, Some(0), "{report}");
        lines
    }
}

/// Nothing is published that anybody would take for data; whatever may be permitted.
#[test]
fn all_is_well() {
    for release in [Release::Current, Release::Old] {
        if release == Release::Old && release.is_skipped("check: all_is_well") {
            continue;
        }
        let server = NatsServer::start_with(release, "");
        let _producer = Producer::start(&server.url());
        let bus = Bus::connect(&server.url());
        let mut outputs = bus.subscribe("senpai.>");
        bus.round_trip();
        let lines = Check::of(&server.url(), &["--cores", "2"]).warns(None);
        let looked_at: Vec<&str> = lines.iter().filter_map(|line| line["ok    ".len()..].split(": ").next()).collect();
        let expected = [
            "settings",
            "open files",
            "locked memory",
            "io_uring",
            "HTTP",
            "NATS",
            "subscribe",
            "publish",
            "events",
            "start",
        ];
        assert_eq!(looked_at, expected);
        assert!(lines[5].contains(&format!("127.0.0.1:{}", server.port())), "{lines:?}");
        assert!(lines[8].contains("md.events.trade.BTCUSDT"), "{lines:?}");
        bus.round_trip();
        assert!(outputs.take_arrived().is_empty(), "{:?}", outputs.take_arrived());
        let log = server.log();
        assert!(!log.contains("Unknown Protocol"), "{log}");
    }
}

#[test]
fn the_machine() {
    let server = NatsServer::start();
    let _producer = Producer::start(&server.url());
    let url = &server.url();
    Check::limited("ulimit -l 0;", url, &[]).fails(&["locked memory", "ulimit -l", "LimitMEMLOCK"]);
    Check::limited("ulimit -n 40;", url, &[]).fails(&["open files", "332 are needed", "ulimit -n"]);
    let mut check = Check::of(url, &[]);
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    refuse(&mut check.command, &calls.map(|call| refused(call, libc::EPERM)));
    check.fails(&["io_uring", "--security-opt seccomp="]);
    Check::limited("ulimit -v 500000;", url, &["--window-trades", "16777216"]).fails(&["start", "WINDOW_TRADES"]);

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    Check::of(url, &["--http-port", &port]).fails(&["HTTP", "taken", &port]);
    Check::of(url, &["--http-host", "192.0.2.1"]).fails(&["HTTP", "192.0.2.1", "no address of this machine"]);
    drop(taken);
    let service = Service::start(url, &[]);
    let port = service.address().rsplit(':').next().expect("a port").to_owned();
    // Often, as the signal that wakes an executor may come while the answer is waited for.
    for _ in 0..5 {
        Check::of(url, &["--http-port", &port]).warns(Some(&["HTTP", "the service runs already", "another HTTP_PORT"]));
    }
}

#[test]
fn settings() {
    let server = NatsServer::start();
    let _producer = Producer::start(&server.url());
    let url = &server.url();
    Check::of(url, &[]).dot_env("CORES=many\n").fails(&[
        "settings",
        "CORES is \"many\" (from .env line 1)",
        "accepted is",
    ]);
    Check::of(url, &[]).dot_env("CORES=1\nNATS_NAME=two words\n").fails(&["settings", ".env line 2"]);
    Check::of(url, &[]).dot_env("NATS_USER=a\n").fails(&["settings", "NATS_USER", "NATS_PASSWORD"]);
    Check::of(url, &[]).dot_env("SIGNAL_TRESHOLD=1\n").warns(Some(&["settings", "SIGNAL_TRESHOLD", "no setting"]));
    Check::of(url, &["--nats-creds", "/none.creds"]).fails(&["NATS", "NATS_CREDS", "cannot be read"]);
    // Of the usage nothing can be looked at.
    let (code, lines) = Check::of(url, &["--no-such-flag"]).run();
    assert_eq!((code, lines.len()), (Some(2), 0), "{lines:?}");
}

#[test]
fn nats() {
    let nowhere = format!("nats://127.0.0.1:{}", unused_port());
    Check::of(&nowhere, &[]).fails(&["NATS", "connection refused", "nats-server running"]);

    let quiet = NatsServer::start();
    Check::of(&quiet.url(), &[]).warns(Some(&["events", "md.events.>", "within 5 s", "producer"]));
    let both = format!("{nowhere},{}", quiet.url());
    let (code, lines) = Check::of(&both, &["--subject-prefix", "other"]).run();
    let wrong: Vec<&String> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
    assert_eq!((code, wrong.len()), (Some(0), 2), "{lines:?}");
    assert!(wrong[0].contains("another server is used") && wrong[1].contains("other.>"), "{lines:?}");
}

#[test]
fn permissions() {
    for release in [Release::Current, Release::Old] {
        if release == Release::Old && release.is_skipped("check: permissions") {
            continue;
        }
        let start = |permissions: &str| {
            // The others need no login.
            let configuration = format!(
                "no_auth_user: publisher\nauthorization {{ users: [\n\
                 {{ user: service, password: secret, permissions: {{ {permissions} }} }}\n\
                 {{ user: publisher, password: other }}\n] }}"
            );
            let server = NatsServer::start_with(release, &configuration);
            let producer = Producer::start(&server.url());
            // The producer is dropped first: it needs the server.
            (format!("nats://service:secret@127.0.0.1:{}", server.port()), server, producer)
        };
        let (url, server, _producer) = start("subscribe: { allow: \"md.events.>\" }, publish: { allow: \"senpai.>\" }");
        Check::of(&url, &[]).warns(None);
        let wrong = format!("nats://service:hunter2@127.0.0.1:{}", server.port());
        Check::of(&wrong, &[]).fails(&["NATS", "refused the login"]);

        let (url, _server, _producer) = start("subscribe: { allow: \"other.>\" }");
        Check::of(&url, &[]).fails(&["subscribe", "md.events.>", "permission"]);

        let (url, server, _producer) = start("publish: { deny: \"senpai.signals.>\" }");
        let bus = Bus::connect(&server.url());
        let mut outputs = bus.subscribe("senpai.>");
        bus.round_trip();
        Check::of(&url, &[]).fails(&["publish", "refuses senpai.signals.CHECK:", "senpai.>"]);
        Check::of(&url, &["--symbols", "BTCUSDT,B"]).fails(&["publish", "refuses senpai.signals.BTCUSDT:", "senpai.>"]);
        bus.round_trip();
        assert!(outputs.take_arrived().is_empty(), "{:?}", outputs.take_arrived());
        let (url, _server, _producer) = start("publish: { allow: \"senpai.features.>\" }");
        Check::of(&url, &[]).fails(&["publish", "senpai.signals.CHECK, senpai.alerts", "senpai.>"]);
    }
}

#[test]
fn certificates() {
    let authority = Authority::new();
    authority.issue("expired", "127.0.0.1", true);
    let configuration = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", timeout: 2 }}",
        authority.path("expired.pem"),
        authority.path("expired-key.pem"),
    );
    let server = NatsServer::start_with(Release::Current, &configuration);
    let url = format!("tls://127.0.0.1:{}", server.port());
    Check::of(&url, &["--nats-ca", &authority.path("ca.pem")]).fails(&["NATS", "certificate", "expired"]);
}

#[test]
fn print_shows_every_setting_and_no_secret() {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    fs::write(directory.path().join(".env"), "MAX_SYMBOLS=7\nNATS_PASSWORD=hunter2\nNATS_USER=bob\n").expect("a file");
    let mut command = service::command(&directory);
    command.args(["check", "--print", "--cores", "2", "--http-port=8892"]).env("SIGNAL_VOLUME_THRESHOLD", "2.5");
    let output = command.env("NATS_URL", "nats://10.0.0.5:4222").output().expect("the binary starts");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{printed}");
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).expect("text");
    let names = example.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    let mut shown: Vec<&str> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
    shown.sort_unstable();
    let mut expected = names.clone();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    let check = |name: &str, value: &str, from: &str| {
        let line = printed.lines().find(|line| line.split(' ').next() == Some(name)).expect(name);
        assert!(line.ends_with(&format!(" {value} (from {from})")), "{line}");
    };
    check("MAX_SYMBOLS", "\"7\"", ".env");
    check("CORES", "\"2\"", "--cores");
    check("HTTP_PORT", "\"8892\"", "--http-port");
    check("SIGNAL_VOLUME_THRESHOLD", "\"2.5\"", "the environment");
    check("NATS_URL", "\"nats://10.0.0.5:4222\"", "the environment");
    check("NATS_PASSWORD", "***", ".env");
    check("NATS_TOKEN", "-", "its default");
    check("LOG_LEVEL", "\"info\"", "its default");
    assert!(!printed.contains("hunter2"), "{printed}");
}
