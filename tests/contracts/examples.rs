//! `ops/examples`, run as they stand.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::commands::{Kind, Workshop, commands};
use crate::contract::document;
use crate::stage::{Stage, binary, run};
use crate::support::bus::Message;
use crate::support::{Killed, eventually, holds, is_skipped};
use crate::tools::python;

const LIMIT: Duration = Duration::from_secs(120);
/// The Rust example is compiled, if only `cargo test --test contracts` was asked for.
const BUILD_LIMIT: Duration = Duration::from_secs(300);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/examples").join(name)
}

/// It prints features, alerts and each signal once, also when the server was away. `subscriptions` are those that it makes.
fn check_consumer(mut command: Command, symbol: &str, subscriptions: &[&str]) {
    let mut stage = Stage::start("primary");
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let [out, err] = ["out", "err"].map(|name| folder.path().join(name));
    let file = |path: &Path| File::create(path).expect("a file");
    command.env("NATS_URL", stage.server.url()).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
    let _consumer = Killed(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let said = || std::fs::read_to_string(&out).expect("what it has said");
    let has_said = |kinds: &[&str], after: usize| {
        let (said, wrong) = (said(), std::fs::read_to_string(&err).expect("what went wrong"));
        let has = |kind: &&str| said[after..].lines().any(|line| line.starts_with(kind));
        holds(kinds.iter().all(has), format!("no {kinds:?} in\n{said}\n{wrong}"))
    };
    // What is published before it has subscribed would not reach it.
    let all = eventually("its subscriptions", || {
        let all = stage.subscriptions();
        let is_there = all.iter().any(|of| of == subscriptions);
        holds(is_there, format!("{all:?}\n{}", has_said(&[], 0).err().unwrap_or_default())).map(|()| all)
    });
    stage.play_signals(symbol);
    stage.play_alerts();
    eventually("features, a signal and an alert", || has_said(&["features ", "signal ", "alert "], 0));

    stage.server.kill();
    stage.server.start_again();
    eventually("all are there again", || {
        let again = stage.subscriptions();
        holds(again == all, format!("{again:?}"))
    });
    stage.service.wait_ready();
    let before = said().len();
    stage.play_signals(symbol);
    eventually("features and a signal after a reconnection", || has_said(&["features ", "signal "], before));

    // As a second instance would, and then another one.
    let first = stage.published.wait_until("a signal", |messages| messages.iter().any(is_signal));
    let first = first.iter().find(|message| is_signal(message)).expect("it is there");
    let (subject, mut signal) = (first.subject.clone(), first.payload.clone());
    let again = (subject.clone(), signal.to_string().into_bytes());
    signal["id"] = "the last one".into();
    stage.bus.publish(&[again, (subject, signal.to_string().into_bytes())]);
    eventually("the last signal", || has_said(&["signal the last one "], 0));
    let said = said();
    let ids: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("signal ")?.split(' ').next()).collect();
    assert!(ids.contains(&first.payload["id"].as_str().expect("an id")), "{first:?}: {ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once: {ids:?}");
}

fn is_signal(message: &Message) -> bool {
    message.subject.starts_with("senpai.signals.")
}

/// The command without the server's address, which here is another one.
fn without_address(line: &str) -> &str {
    line.strip_prefix("NATS_URL=nats://localhost:4222 ").unwrap_or(line)
}

#[test]
fn commands_of_the_python_consumer() {
    if is_skipped("commands_of_the_python_consumer", "python-tools") {
        return;
    }
    let workshop = Workshop::new(Kind::PythonConsumer);
    for (_, line) in commands(Kind::PythonConsumer) {
        // What may be left out is left out.
        let line = without_address(&line).replace(" [SYMBOL]", "");
        let named = line.split_once("consume.py ").map(|(_, symbol)| symbol);
        let subjects = ["features", "signals"].map(|kind| format!("senpai.{kind}.{}", named.unwrap_or(">")));
        let subscriptions = ["senpai.alerts", &subjects[0], &subjects[1]];
        check_consumer(workshop.command(&line), named.unwrap_or("RISE"), &subscriptions);
    }
}

#[test]
fn commands_of_the_rust_consumer() {
    // Cargo knows whether there is something to compile.
    let folder = Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer")).parent().expect("it is in a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "--workspace", "--example", "consume", "--target-dir"]);
    build.arg(folder.parent().expect("the target folder")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    // What Cargo tells a test of its package would be told to build scripts: that of ring would take itself for changed, and
    // all that stands on it would be compiled anew each time.
    let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if of_package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            build.env_remove(name);
        }
    }
    run(&mut build, BUILD_LIMIT);
    let workshop = Workshop::new(Kind::RustConsumer);
    for (_, line) in commands(Kind::RustConsumer) {
        check_consumer(workshop.command(without_address(&line)), "RISE", &["senpai.>"]);
    }
}

/// A recording, what `replay` makes of it, and both in pandas.
#[test]
fn commands_that_load_recordings() {
    if is_skipped("commands_that_load_recordings", "python-tools") {
        return;
    }
    let workshop = Workshop::new(Kind::Once);
    for (document, line) in commands(Kind::Once) {
        let said = run(&mut workshop.command(&line), LIMIT);
        let Some(subject) = line.split_once("load.py ").and_then(|(_, arguments)| arguments.split(' ').nth(1)) else {
            continue;
        };
        let rows = said.trim_end().rsplit('\n').next().and_then(|end| end.strip_prefix('[')?.split(' ').next());
        let rows: usize = rows.and_then(|rows| rows.parse().ok()).unwrap_or_else(|| panic!("{document}: {said}"));
        assert!(rows > 0, "{document}: {line}: {said}");
        if line.contains("published.jsonl") {
            let wanted = format!("\"subject\":\"{subject}");
            let published = workshop.read("published.jsonl");
            assert_eq!(rows, published.lines().filter(|line| line.contains(&wanted)).count(), "{document}: {line}");
        }
    }
}

/// Python types have the fields of the schemas.
#[test]
fn python_types_are_those_of_the_schemas() {
    if is_skipped("python_types_are_those_of_the_schemas", "python-tools") {
        return;
    }
    let script = "import consume, json\n\
                  types = [consume.FeatureValues, consume.Features, consume.Signal, consume.Alert]\n\
                  fields = lambda it: [sorted(it.__annotations__), sorted(it.__required_keys__)]\n\
                  print(json.dumps({it.__name__: fields(it) for it in types}))";
    let mut command = Command::new(python());
    let said =
        run(command.args(["-c", script]).current_dir(example("python")).env("PYTHONDONTWRITEBYTECODE", "1"), LIMIT);
    let types: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let schemas = document("schemas.json");
    for (name, fields) in types.as_object().expect("types") {
        let schema = &schemas["$defs"][name];
        let fields_of: BTreeSet<&str> =
            schema["properties"].as_object().expect("fields").keys().map(String::as_str).collect();
        let required: BTreeSet<&str> =
            schema["required"].as_array().expect("fields").iter().filter_map(Value::as_str).collect();
        assert_eq!(fields, &serde_json::json!([fields_of, required]), "{name}");
    }
}

/// A recording, and what `replay` makes of it.
#[test]
fn pandas_loads_recordings() {
    if is_skipped("pandas_loads_recordings", "python-tools") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    run(&mut binary(&folder, &["generate", "market.jsonl.gz", "--events", "3000"]), LIMIT);
    let mut replay = Command::new("sh");
    let line = "exec \"$0\" replay market.jsonl.gz >published.jsonl";
    run(replay.args(["-c", line, env!("CARGO_BIN_EXE_senpai-md-consumer")]).current_dir(folder.path()), LIMIT);
    let script = "from load import load\n\
                  trades = load('market.jsonl.gz', 'md.events.trade.')\n\
                  features = load('published.jsonl', 'senpai.features.')\n\
                  assert load('market.jsonl.gz', 'nothing').empty\n\
                  assert trades.price.gt(0).all() and trades.ts_recv.dt.year.eq(2026).all(), trades\n\
                  assert trades.receipt.notna().all(), trades\n\
                  print(len(trades), len(features), features['features.mid'].notna().sum(), features.ts.is_monotonic_increasing)";
    let mut command = Command::new(python());
    command.args(["-c", script]).current_dir(folder.path());
    command.env("PYTHONPATH", example("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    let said = run(&mut command, LIMIT);
    let words: Vec<&str> = said.split_whitespace().collect();
    let count = |subject: &str| {
        let text = std::fs::read_to_string(folder.path().join("published.jsonl")).expect("what was published");
        text.lines().filter(|line| line.contains(&format!("\"subject\":\"{subject}"))).count().to_string()
    };
    assert_eq!(words[1], count("senpai.features."), "{said}");
    assert!(words[0].parse::<usize>().is_ok_and(|trades| trades > 100) && words[2] != "0", "{said}");
}
