//! The start, as a process: with all that it needs, or one line that says what is missing and exit 1; and what signals do.
// Users and processes by libc.
#![allow(unsafe_code)]

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use support::http;
use support::seccomp::{Refused, refuse, refused};
use support::service::Service;
use support::{Killed, PATIENCE, eventually, holds, within};

/// A user without privileges, of whom there are no other processes: `nobody`.
const NOBODY: u32 = 65534;

/// The binary with `arguments` after `limits`, as bash has them; nothing of this process's environment.
fn limited(limits: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/bash");
    let script = format!("{limits} exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_senpai-md-consumer")).args(arguments);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command
}

/// Root is above some limits: the command runs as a user who is not.
fn as_nobody(command: &mut Command) {
    if user() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
}

fn user() -> u32 {
    // SAFETY: a bare system call.
    unsafe { libc::getuid() }
}

/// Threads of the user as whom [`as_nobody`] runs a command: a limit of threads counts them all.
fn threads_of_user() -> usize {
    let user = if user() == 0 { NOBODY } else { user() };
    let processes = std::fs::read_dir("/proc").expect("it is there").filter_map(Result::ok);
    let processes = processes.filter(|process| process.metadata().is_ok_and(|it| it.uid() == user));
    processes.filter_map(|process| Some(std::fs::read_dir(process.path().join("task")).ok()?.count())).sum()
}

/// Its output; killed and failed when it does not end.
fn output(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    let id = child.id() as i32;
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    ended.recv_timeout(PATIENCE).map(|output| output.expect("its output")).unwrap_or_else(|_| {
        // SAFETY: a bare system call; the process is a child that has not been waited for, so the number is still its own.
        unsafe { libc::kill(id, libc::SIGKILL) };
        panic!("{command:?} does not end")
    })
}

/// Said before the start begins, whatever comes of it.
fn is_of_settings(line: &str) -> bool {
    line.contains("config::notes]")
}

/// It ends with 1 and one line on standard error that has all of `expected`; nothing is said to work.
#[track_caller]
fn check_refused(command: Command, expected: &[&str]) {
    let shown = format!("{command:?}");
    let Output { status, stdout, stderr } = output(command);
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{shown}: {status}: {error}");
    let lines: Vec<&str> = error.lines().filter(|line| !is_of_settings(line)).collect();
    let [error] = lines[..] else { panic!("{shown}: {error}") };
    assert!(error.starts_with("error: "), "{shown}: {error}");
    for text in expected {
        assert!(error.contains(text), "{shown}: no {text:?} in: {error}");
    }
    for text in ["panicked", "backtrace", "Romulus", "os error", "error: error"] {
        assert!(!error.contains(text), "{shown}: {text:?} in: {error}");
    }
    assert!(stdout.is_empty(), "{shown}: {}", String::from_utf8_lossy(&stdout));
}

const RUN: [&str; 3] = ["run", "--http-port", "0"];
const DEMO: [&str; 5] = ["demo", "--http-port", "0", "--port", "0"];

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

#[test]
fn a_limit_that_is_too_low_is_named_with_what_is_needed() {
    let check =
        |limits: &str, arguments: &[&str], expected: &[&str]| check_refused(limited(limits, arguments), expected);
    check("ulimit -n 12;", &RUN, &["12 files", "332 are needed", "ulimit -n"]);
    check("ulimit -n 26;", &with(&RUN, &["--cores", "4"]), &["26 files", "368 are needed", "ulimit -n", "CORES"]);
    check("ulimit -n 64;", &DEMO, &["64 files", "600 are needed", "ulimit -n"]);
    check("ulimit -n 1000;", &with(&RUN, &["--cores", "256"]), &["1000 files", "3392 are needed"]);
    check("ulimit -l 64;", &RUN, &["ulimit -l", "LimitMEMLOCK", "512 KiB"]);
    check("ulimit -l 64;", &with(&DEMO, &["--cores", "3"]), &["ulimit -l", "1024 KiB"]);
    // Root may lock what it likes.
    let mut command = limited("ulimit -l 1000;", &with(&RUN, &["--cores", "8"]));
    as_nobody(&mut command);
    check_refused(command, &["ulimit -l", "2048 KiB"]);
}

#[test]
fn memory_that_is_not_there_is_named_with_its_setting() {
    let check =
        |limits: &str, arguments: &[&str], expected: &[&str]| check_refused(limited(limits, arguments), expected);
    let recording = reference::recording_files::one().path.to_str().expect("it is text");
    let replay = ["replay", recording];
    let bench = ["bench", recording, "--seconds", "0.1"];
    for command in [&RUN[..], &DEMO, &replay, &bench] {
        check("ulimit -v 60000;", command, &["no memory for", "MAX_SYMBOLS", "ulimit -v"]);
        check("ulimit -v 4000000;", &with(command, &["--max-symbols", "1048576"]), &["no memory for", "MAX_SYMBOLS"]);
        check(
            "ulimit -v 500000;",
            &with(command, &["--window-trades", "16777216"]),
            &["no memory for", "WINDOW_TRADES"],
        );
    }
    for command in [&RUN[..], &DEMO, &bench] {
        check("ulimit -v 1000000;", &with(command, &["--queue-bytes", "1073741824"]), &["2148 MB", "QUEUE_BYTES"]);
    }
    for command in [&RUN[..], &DEMO] {
        // As many as a user who is not root may lock memory for.
        check("ulimit -v 2000000;", &with(command, &["--cores", "24"]), &["no memory for", "ulimit -v"]);
    }
    // All tables fit, and nothing else.
    check("ulimit -v 245000;", &RUN, &["no memory for threads", "MAX_SYMBOLS or CORES"]);
}

#[test]
fn a_recording_that_is_larger_than_memory_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let path = directory.path().join("large.jsonl.gz");
    let file = std::fs::File::create(&path).expect("a file");
    let mut recording = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let filling = "x".repeat(1 << 20);
    for index in 0..100 {
        let payload = format!("{{\"price\":1,\"size\":1,\"trade_id\":{index},\"filling\":\"{filling}\"}}");
        writeln!(recording, "{{\"subject\":\"md.events.trade.A\",\"payload\":{payload}}}").expect("room");
    }
    recording.finish().expect("room");
    let path = path.to_str().expect("text");
    check_refused(limited("ulimit -v 90000;", &["bench", path]), &["no memory for the recording", "ulimit -v"]);
}

/// As a container's profile, an old kernel, a sandbox or a limit refuses them.
#[test]
fn a_system_call_that_is_refused_is_said_with_the_remedy() {
    let check = |calls: &[Refused], expected: &[&str]| {
        for arguments in [&RUN[..], &DEMO] {
            let mut command = limited("", arguments);
            refuse(&mut command, calls);
            check_refused(command, expected);
        }
    };
    let [setup, enter, register] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    let all = |errno| [setup, enter, register].map(|call| refused(call, errno));
    check(&all(libc::EPERM), &["io_uring", "--security-opt seccomp=", "ops/seccomp.json"]);
    for call in [setup, enter, register] {
        check(&[refused(call, libc::EPERM)], &["io_uring", "--security-opt seccomp="]);
        check(&[refused(call, libc::EACCES)], &["io_uring", "--security-opt seccomp="]);
        // This kernel has it, so that a sandbox hides it.
        check(&[refused(call, libc::ENOSYS)], &["io_uring is hidden", "--security-opt seccomp="]);
    }
    check(&[refused(setup, libc::ENOMEM)], &["locked memory", "ulimit -l", "CORES"]);
    check(&[refused(libc::SYS_clone3, libc::EAGAIN)], &["a thread cannot be started", "ulimit -u"]);
    check(&[refused(libc::SYS_eventfd2, libc::EMFILE)], &["an executor", "ulimit -n"]);
    check(&[refused(libc::SYS_socketpair, libc::EMFILE)], &["signals", "Too many open files"]);
    check(&[refused(libc::SYS_bind, libc::EACCES)], &["not allowed"]);
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_else() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for command in [&["run"][..], &["run", "--cores", "2"], &["demo", "--port", "0"]] {
        check_refused(limited("", &with(command, &["--http-port", &port])), &["HTTP_PORT", &port, "taken"]);
    }
}

/// Whichever thread is the first that cannot be had: the start fails in one line, until there are enough.
#[test]
fn every_limit_of_threads_is_said_or_is_enough() {
    let begin = threads_of_user();
    for count in (1..=400).map(|more| begin + more) {
        let mut command = limited(&format!("ulimit -u {count};"), &with(&RUN, &["--cores", "2"]));
        // The limit is no limit for root.
        as_nobody(&mut command);
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map(Killed).expect("a shell can be started");
        let first_line = first_line(&mut process);
        // Its connection to NATS wants a thread, too, and may be the first to say that there is none: a start all the same.
        if first_line.contains("HTTP on http://") || first_line.ends_with("trying again") {
            assert!(count > 4, "{count} threads cannot be enough: {first_line}");
            return;
        }
        assert!(first_line.contains("error: a thread cannot be started"), "{count}: {first_line}");
        let status = process.0.wait().expect("it has ended");
        assert_eq!(status.code(), Some(1), "{count}: {first_line}");
    }
    panic!("it starts with no number of threads");
}

/// Of what the start comes to.
fn first_line(process: &mut Killed) -> String {
    let stderr = process.0.stderr.as_mut().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines().map(|line| line.expect("text"));
    lines.find(|line| !is_of_settings(line)).unwrap_or_default()
}

#[test]
fn limits_are_raised_as_far_as_they_may_be() {
    let mut command = limited("ulimit -Sn 64; ulimit -Sl 64;", &RUN);
    let mut process = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a shell"));
    let line = first_line(&mut process);
    assert!(line.contains("HTTP on"), "{line}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.0.id())).expect("it runs");
    for name in ["Max open files", "Max locked memory"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a limit");
        let numbers: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(numbers[0], numbers[1], "{name}");
    }
}

/// The kernel lets every ring be made and then refuses to run it: a core that fails at work.
#[test]
fn a_core_that_fails_ends_the_process() {
    for arguments in [with(&RUN, &[]), with(&RUN, &["--cores", "3"]), with(&DEMO, &[])] {
        let mut command = limited("", &arguments);
        let submitting = Refused { call: libc::SYS_io_uring_enter, errno: libc::EPERM, unless_zero: Some(1) };
        refuse(&mut command, &[submitting]);
        let Output { status, stderr, .. } = output(command);
        let error = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{status}: {error}");
        let last = error.lines().last().unwrap_or_default();
        let is_named = last.starts_with("error: shard-") || last.starts_with("error: the broker");
        assert!(is_named && last.contains("has ended in error"), "{error}");
    }
}

#[test]
fn stray_signals_end_nothing() {
    let mut service = Service::start("nats://127.0.0.1:1", &["--cores", "2"]);
    let realtime = libc::SIGRTMIN()..=libc::SIGRTMAX();
    let named = [
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
        libc::SIGTTOU,
        libc::SIGPIPE,
        libc::SIGXFSZ,
        libc::SIGCHLD,
        libc::SIGWINCH,
        libc::SIGURG,
        libc::SIGXCPU,
        libc::SIGHUP,
    ];
    for signal in named.into_iter().chain(realtime) {
        service.signal(&signal.to_string());
        let (status, body) = service.get("/health");
        assert_eq!(status, 200, "after signal {signal}: {body}");
    }
    eventually("the lines about two of them", || {
        let log = service.log();
        holds(log.contains("SIGHUP is reserved") && log.contains("ulimit -t"), log)
    });
    let (status, _) = service.terminate();
    assert_eq!(status.code(), Some(0), "{status}: {}", service.log());
}

/// With every command: a file that may not grow is an error of its writer.
#[test]
fn an_output_at_the_limit_of_file_size_is_an_error() {
    let recording = reference::recording_files::one().path.to_str().expect("it is text");
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let published = directory.path().join("published.jsonl");
    let mut command = limited("ulimit -f 1;", &["replay", recording]);
    command.stdout(std::fs::File::create(&published).expect("a file")).stderr(Stdio::piped());
    let mut process = Killed(command.spawn().expect("a shell"));
    let mut error = String::new();
    std::io::Read::read_to_string(&mut process.0.stderr.take().expect("it is piped"), &mut error).expect("text");
    let status = process.0.wait().expect("it has ended");
    assert_eq!(status.code(), Some(1), "{status}: {error}");
    assert!(error.contains("cannot write the output: File too large"), "{error}");
}

/// A connection that is taken by the kernel before the service lives is answered by it.
#[test]
fn what_is_said_to_work_works() {
    let mut process = Killed(
        limited("", &with(&RUN, &["--cores", "2"]))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell"),
    );
    let line = first_line(&mut process);
    let address = line.split_once("HTTP on http://").expect("the first line says it").1.trim().to_owned();
    let (status, body) = http::get(&address, "/health");
    assert_eq!(status, 200, "{body}");
    within(PATIENCE, "both cores", || {
        let (_, body) = http::get(&address, "/stats");
        let stats: serde_json::Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        holds(stats["cores"].as_array().is_some_and(|cores| cores.len() == 2), body)
    });
}
