//! The progress line of work that takes long: there on a terminal, erased at the end, never in the way of another line; and
//! nothing of it anywhere else.
// Terminals by libc.
#![allow(unsafe_code)]

#[path = "support/mod.rs"]
mod support;
// What `support` builds its events from.
#[path = "reference/mod.rs"]
mod reference;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use flate2::Compression;
use flate2::write::GzEncoder;
use senpai_md_consumer::broker::server::BrokerServer;
use support::{Killed, PATIENCE, eventually};

/// Both ends of a terminal.
fn terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both numbers are this function's own; the other three may be null.
    let opened = unsafe {
        libc::openpty(&raw mut master, &raw mut slave, std::ptr::null_mut(), std::ptr::null(), std::ptr::null())
    };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: they were opened just now, and nothing else has them.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.args(arguments).env_clear().current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What a successful command writes to a terminal as its standard error.
#[track_caller]
fn on_terminal(mut command: Command) -> String {
    let (mut master, slave) = terminal();
    let shown = format!("{command:?}");
    command.stderr(slave);
    let mut process = Killed(command.spawn().expect("the binary starts"));
    // The other end is open in the process alone from here on.
    drop(command);
    let (tell, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // A terminal whose other end is closed gives an error at its end.
        let _ = master.read_to_end(&mut text);
        tell.send(text)
    });
    let status =
        eventually("the command's end", || process.0.try_wait().expect("it is a child").ok_or_else(|| shown.clone()));
    let text = read.recv_timeout(PATIENCE).expect("it has ended, and so has what it writes");
    let text = String::from_utf8(text).expect("text");
    assert!(status.success(), "{shown}: {text}");
    text
}

const ERASE: &str = "\r\x1b[K";

/// Some progress was drawn, and all of it is erased; the other lines are `lines`, each on its own.
#[track_caller]
fn check(command: Command, drawn: &str, lines: &[&str]) {
    let text = on_terminal(command);
    let mut progress = Vec::new();
    let mut whole = Vec::new();
    for part in text.split(ERASE) {
        // Up to the next erasure: lines with their end, and what is drawn without one.
        let (ended, rest) = part.rsplit_once('\n').map_or(("", part), |(ended, rest)| (ended, rest));
        whole.extend(ended.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        progress.extend((!rest.is_empty()).then(|| rest.to_owned()));
    }
    assert!(!progress.is_empty(), "{text:?}");
    assert!(progress.iter().all(|line| line.contains(drawn) && line.len() <= 79), "{progress:?}");
    assert_eq!(whole.len(), lines.len(), "{text:?}");
    let is_there = |(line, expected): (&String, &&str)| line.contains(*expected) && !line.contains(drawn);
    assert!(whole.iter().zip(lines).all(is_there), "{lines:?}: {text:?}");
    assert!(text.ends_with('\n') || text.ends_with(ERASE), "nothing is drawn at the end: {text:?}");
}

#[test]
fn on_a_terminal_it_is_drawn_and_erased() {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let directory = directory.path();
    let server = BrokerServer::bind("127.0.0.1", 0).expect("a free port");
    let broker = server.spawn(1, |_| (), |_, _| async {}).expect("a broker");
    let url = broker.url();

    let generate = command(directory, &["generate", "large.jsonl.gz", "--events", "400000"]);
    check(generate, " s to go", &["400000 events, "]);
    check(command(directory, &["bench", "large.jsonl.gz", "--seconds", "1"]), " s to go", &[]);
    // A line that is said while the progress is drawn.
    let large = File::options().append(true).open(directory.join("large.jsonl.gz")).expect("it is there");
    let mut member = GzEncoder::new(large, Compression::fast());
    member.write_all(b"nonsense\n").expect("room");
    member.finish().expect("room");
    let said = ["line 400001: no record", "400000 events, "];
    check(command(directory, &["replay", "large.jsonl.gz"]), " s to go", &said);
    command(directory, &["generate", "small.jsonl", "--events", "700"])
        .stderr(Stdio::null())
        .status()
        .expect("it starts");
    let feed = ["feed", "small.jsonl", "--nats-url", &url, "--log-level", "warn"];
    check(command(directory, &feed), " s to go", &["feeding small.jsonl", "700 events in 1 pass"]);
    let record = ["record", "no.jsonl", "--nats-url", &url, "--seconds", "1.2", "--log-level", "warn"];
    check(command(directory, &record), " s to go", &["recording md.events.>", "0 events, 0 bytes"]);
}

#[test]
fn elsewhere_there_is_nothing_of_it() {
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let directory = directory.path();
    let said = |mut command: Command| {
        let output = command.stderr(Stdio::piped()).output().expect("the binary starts");
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let generated = said(command(directory, &["generate", "a.jsonl", "--events", "200000"]));
    let replayed = said(command(directory, &["replay", "a.jsonl"]));
    let measured = said(command(directory, &["bench", "a.jsonl", "--seconds", "0.5"]));
    for text in [generated, replayed, measured] {
        assert!(!text.contains(['\r', '\x1b', '%']), "{text:?}");
    }
    // On a terminal as well, where the results are seen there, or where lines are JSON.
    let (master, slave) = terminal();
    let mut replay = command(directory, &["replay", "a.jsonl"]);
    let drained = std::thread::spawn(move || std::io::copy(&mut { master }, &mut std::io::sink()));
    replay.stdout(slave);
    let text = on_terminal(replay);
    assert!(!text.contains(ERASE), "{text:?}");
    let _ = drained.join();
    let text = on_terminal(command(directory, &["generate", "b.jsonl", "--events", "200000", "--log-format", "json"]));
    assert!(!text.contains(ERASE) && text.starts_with('{'), "{text:?}");
}
