//! `ops/examples`, run as they stand.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::contract::document;
use crate::stage::{Stage, binary, run};
use crate::support::{Killed, eventually, holds, is_skipped};
use crate::tools::python;

const LIMIT: Duration = Duration::from_secs(60);
/// The Rust example is compiled, if only `cargo test --test contracts` was asked for.
const BUILD_LIMIT: Duration = Duration::from_secs(300);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/examples").join(name)
}

/// It prints features, an alert, and each signal once, also when the server was away.
fn check_consumer(command: &mut Command) {
    let mut stage = Stage::start("primary");
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let [out, err] = ["out", "err"].map(|name| folder.path().join(name));
    let file = |path: &Path| File::create(path).expect("a file");
    command.env("NATS_URL", stage.server.url()).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
    let _consumer = Killed(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let said = || std::fs::read_to_string(&out).expect("what it has said");
    let subscribed = |stage: &Stage| {
        // Everything comes once more, so that a consumer that was late has it, too: ids stay the same.
        stage.play();
        let said = said();
        let has = |kind: &str| said.lines().any(|line| line.starts_with(kind));
        let wrong = std::fs::read_to_string(&err).expect("what went wrong");
        holds(has("features ") && has("signal ") && has("alert "), format!("{said}\n{wrong}"))
    };
    eventually("features, a signal and an alert", || subscribed(&stage));

    stage.server.kill();
    stage.server.start_again();
    stage.service.wait_ready();
    let before = said().len();
    eventually("features after a reconnection", || {
        stage.play();
        let said = said();
        holds(said[before..].lines().any(|line| line.starts_with("features ")), "none")
    });

    let said = said();
    let ids: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("signal ")?.split(' ').next()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once: {ids:?}");
}

#[test]
fn the_python_consumer() {
    if !is_skipped("the_python_consumer", "python-tools") {
        check_consumer(Command::new(python()).arg(example("python/consume.py")));
    }
}

#[test]
fn the_rust_consumer() {
    let folder = Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer")).parent().expect("it is in a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "--workspace", "--example", "consume", "--target-dir"]);
    build.arg(folder.parent().expect("the target folder")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    run(&mut build, BUILD_LIMIT);
    check_consumer(&mut Command::new(folder.join("examples/consume")));
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
