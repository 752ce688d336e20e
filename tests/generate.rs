//! `generate`, as a process: a seed's bytes, what is in them, where they go, and what is said when they cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::read::MultiGzDecoder;
use senpai_md_consumer::commands::generate::Recording;
use serde_json::Value;
use tempfile::TempDir;

fn command(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.args(arguments).env_clear().current_dir(folder.path()).stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("the binary starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn done(output: Output) -> Output {
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

/// Ends with 1 and one line.
#[track_caller]
fn check_failure(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(said(output), format!("error: {expected}\n"));
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn in_memory(seed: u64, event_count: u64, symbol_count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Recording { seed, event_count, symbol_count }.write(&mut bytes, |_| Ok(())).expect("memory");
    bytes
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// These numbers are the same on every machine, and change only where the market is meant to change.
#[test]
fn the_same_seed_gives_the_same_bytes() {
    let check = |seed, symbols, expected: u64| {
        let bytes = in_memory(seed, 20_000, symbols);
        assert_eq!(fnv(&bytes), expected, "seed {seed}, {symbols} symbols: {:#x}", fnv(&bytes));
    };
    check(1, 5, 0x76ec_2fa7_abc3_2320);
    check(2, 5, 0xf48d_edb3_001e_b11c);
    check(1, 1_000, 0xab92_0ce2_1006_43c8);
}

#[test]
fn files_standard_output_and_gzip_have_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let expected = in_memory(7, 3_000, 20);
    let flags = ["--seed", "7", "--events", "3000", "--symbols", "20"];
    let run = |file| done(run(&folder, &[&["generate", file], &flags[..]].concat()));
    assert!(run("-").stdout == expected);
    let output = run("it.jsonl");
    assert!(output.stdout.is_empty());
    assert!(said(&output).starts_with("3000 events, ") && said(&output).ends_with(" s of 20 symbols, seed 7\n"));
    assert!(fs::read(folder.path().join("it.jsonl")).unwrap() == expected);
    run("it.jsonl.gz");
    let packed = fs::read(folder.path().join("it.jsonl.gz")).unwrap();
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("it is gzip");
    assert!(unpacked == expected && packed.len() < expected.len() / 4);
    run("it.jsonl.gz");
    assert!(fs::read(folder.path().join("it.jsonl.gz")).unwrap() == packed);
    assert_eq!(names(&folder), ["it.jsonl", "it.jsonl.gz"]);
    // A shorter recording is the beginning of a longer one, and another seed is another market.
    assert!(in_memory(7, 4_000, 20).starts_with(&expected));
    assert!(in_memory(8, 3_000, 20) != expected);
}

/// Two minutes, of one symbol and of many: each line is a record of its kind, and `replay` takes all of them.
#[test]
fn every_line_is_a_record_that_replay_takes() {
    let folder = TempDir::new().unwrap();
    for (symbols, events) in [(1, 14_000), (5, 45_000), (20, 60_000), (1_000, 170_000)] {
        let (symbols, events) = (symbols.to_string(), events.to_string());
        done(run(&folder, &["generate", "it.jsonl", "--symbols", &symbols, "--events", &events, "--seed", "3"]));
        check_records(&folder.path().join("it.jsonl"), symbols.parse().unwrap());

        let output = done(run(&folder, &["replay", "it.jsonl", "--strict"]));
        let summary = said(&output);
        assert!(summary.starts_with(&format!("{events} events, ")), "{summary}");
        assert!(summary.contains("dropped: malformed 0, backpressure 0, late 0"), "{summary}");
        assert!(summary.contains("timestamps rejected: 0, unreadable: 0; 0 lines skipped"), "{summary}");
        let mut published = BTreeMap::new();
        for line in output.stdout.lines().map(Result::unwrap) {
            let record: Value = serde_json::from_str(&line).expect("JSON");
            let direction = record["payload"]["direction"].as_str().unwrap_or_default();
            let kind = record["subject"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
            *published.entry(format!("{kind} {direction}").trim().to_owned()).or_insert(0) += 1;
        }
        let kinds: Vec<&str> = published.keys().map(String::as_str).filter(|kind| *kind != "alerts").collect();
        assert_eq!(kinds, ["features", "signals long", "signals short"], "{symbols} symbols: {published:?}");
        // Of hundreds of quiet symbols some have a slow event among their twenty: alerts of latency.
        assert!(symbols == "1000" || !published.contains_key("alerts"), "{symbols} symbols: {published:?}");
        assert!(published["features"] > 500, "{published:?}");
    }
}

fn check_records(path: &Path, symbol_count: usize) {
    let mut symbols = BTreeSet::new();
    let mut providers = BTreeSet::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut last = String::new();
    for line in BufReader::new(fs::File::open(path).unwrap()).lines().map(Result::unwrap) {
        let record: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let (ts, payload) = (record["ts"].as_str().expect("a receipt").to_owned(), &record["payload"]);
        assert!(ts >= last && ts.starts_with("2026-01-01T00:0"), "{line}");
        let subject: Vec<&str> = record["subject"].as_str().expect("a subject").splitn(4, '.').collect();
        let ["md", "events", kind, name] = subject[..] else { panic!("{line}") };
        *kinds.entry(kind.to_owned()).or_default() += 1;
        assert_eq!(payload["event_type"], kind, "{line}");
        let moment = |field: &str| payload[field].as_str().expect("a moment").to_owned();
        assert!(moment("ts_exchange") <= moment("ts_recv") && moment("ts_recv") <= ts, "{line}");
        last = ts;
        if kind == "heartbeat" {
            continue;
        }
        symbols.insert(name.to_owned());
        providers.insert(payload["provider"].as_str().expect("a provider").to_owned());
        let number = |value: &Value| value.as_f64().filter(|number| *number > 0.0).expect("a positive number");
        match kind {
            "trade" => {
                number(&payload["price"]);
                number(&payload["size"]);
                assert!(payload["side"] == "buy" || payload["side"] == "sell", "{line}");
                assert!(ids.insert(payload["trade_id"].as_str().expect("an id").to_owned()), "{line}");
            }
            "quote" => {
                assert!(number(&payload["bid"]) < number(&payload["ask"]), "{line}");
                assert!(number(&payload["bid_size"]) > 0.0 && number(&payload["ask_size"]) > 0.0);
            }
            "book_l2" => {
                let side = |name: &str| payload[name].as_array().expect("levels").clone();
                let (bids, asks) = (side("bids"), side("asks"));
                assert_eq!((bids.len(), asks.len()), (10, 10), "{line}");
                assert!(bids.windows(2).all(|two| number(&two[0][0]) > number(&two[1][0])), "{line}");
                assert!(asks.windows(2).all(|two| number(&two[0][0]) < number(&two[1][0])), "{line}");
                assert!(number(&bids[0][0]) < number(&asks[0][0]), "{line}");
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(kinds.keys().map(String::as_str).collect::<Vec<_>>(), ["book_l2", "heartbeat", "quote", "trade"]);
    assert_eq!(symbols.len(), symbol_count, "{symbols:?}");
    let expected: &[&str] = match symbol_count {
        1 => &["binance"],
        5 => &["binance", "coinbase"],
        _ => &["binance", "coinbase", "kraken"],
    };
    assert_eq!(providers.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_is_replaced_when_the_new_one_is_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("it.jsonl");
    fs::write(&path, "what was there").unwrap();
    // More than fits: the limit is met while it is written.
    let script = "ulimit -f 64; exec \"$0\" generate it.jsonl";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_senpai-md-consumer")]).current_dir(folder.path());
    check_failure(&limited.output().unwrap(), "cannot write it.jsonl: File too large");
    assert_eq!(fs::read_to_string(&path).unwrap(), "what was there");
    assert_eq!(names(&folder), ["it.jsonl"]);

    // Its permissions stay, and so does a symbolic link to it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("it.jsonl", folder.path().join("link")).unwrap();
    done(run(&folder, &["generate", "link", "--events", "10"]));
    assert!(fs::read(&path).unwrap() == in_memory(1, 10, 5));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(&folder), ["it.jsonl", "link"]);
    assert!(folder.path().join("link").is_symlink());
}

#[test]
fn ctrl_c_leaves_nothing_half_written() {
    let folder = TempDir::new().unwrap();
    let arguments = ["generate", "it.jsonl.gz", "--events", "1000000000"];
    let process = command(&folder, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    while names(&folder).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(killed.success());
    check_failure(&process.wait_with_output().unwrap(), "cannot write it.jsonl.gz: stopped before it was whole");
    assert!(names(&folder).is_empty());
}

#[test]
fn what_cannot_be_written_is_one_line() {
    let folder = TempDir::new().unwrap();
    let check = |file: &str, expected: &str| {
        check_failure(&run(&folder, &["generate", file]), &format!("cannot write {file}: {expected}"));
    };
    check("none/it.jsonl", "No such file or directory");
    check("/dev/full", "No space left on device");
    check(".", "is a directory");
    assert!(names(&folder).is_empty());

    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&folder, &["generate", "-"]).stdout(full).output().unwrap();
    check_failure(&output, "cannot write -: No space left on device");
    // A reader that goes, as `head` does.
    let mut process =
        command(&folder, &["generate", "-"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    check_failure(&process.wait_with_output().unwrap(), "cannot write -: Broken pipe");
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["generate"][..], &["generate", "f", "--symbols", "0"], &["generate", "f", "--seed", "-1"]] {
        let output = run(&folder, arguments);
        assert_eq!((output.status.code(), said(&output).lines().count()), (Some(2), 1), "{output:?}");
    }
    assert!(names(&folder).is_empty());
    let help = done(run(&folder, &["generate", "--help"]));
    assert!(String::from_utf8_lossy(&help.stdout).contains("The market begins at 2026-01-01T00:00:00Z"));
}
