//! Tools that others hold the contracts against.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::contract::references;
use crate::stage::{Stage, run};
use crate::support::is_skipped;

const LIMIT: Duration = Duration::from_secs(60);
/// Of schemathesis, which takes some seconds to start; what it has to try is over before.
const MAX_SECONDS: &str = "20";

/// The Python that has what is needed.
pub fn python() -> PathBuf {
    found("python-tools.sh")
}

/// What a script of `scripts/` finds, as it is the one place that knows where that may be.
fn found(script: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
    let found = Command::new(path).arg("--find").stderr(Stdio::inherit()).output().expect("the script runs");
    let is_found = found.status.success();
    assert!(is_found, "it is missing: run scripts/{script}, or scripts/test.sh in the place of cargo test");
    PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
}

/// The document of the repository, which refers to that of the schemas, and the served one, which is whole.
#[test]
fn the_documents_are_openapi() {
    if is_skipped("the_documents_are_openapi", "python-tools") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let written = |name: &str, document: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).expect("a file");
        path
    };
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/schemas/openapi.json");
    let served = Stage::start("primary").service.document("/openapi.json");
    let mut wrong = served.clone();
    wrong["paths"]["/health"]["get"]["sumary"] = "no field of an operation".into();
    let paths = [kept, written("served.json", &served), written("wrong.json", &wrong)];
    let mut command = Command::new("sh");
    // It ends with 1 where it has something against a document.
    command
        .args(["-c", "\"$0\" -m openapi_spec_validator --schema 3.1 \"$@\" || [ $? = 1 ]"])
        .arg(python())
        .args(&paths);
    let said = run(&mut command, LIMIT);
    let is_taken = paths.map(|path| said.contains(&format!("{}: OK\n", path.display())));
    assert_eq!(is_taken, [true, true, false], "{said}");
    assert!(said.contains("'sumary' was unexpected"), "{said}");
}

/// Requests made up from the served document, right and wrong ones: each is answered as the document says.
#[test]
fn schemathesis_finds_nothing() {
    if is_skipped("schemathesis_finds_nothing", "python-tools") {
        return;
    }
    let stage = Stage::start("primary");
    stage.play();
    stage.service.wait_events_in(3000);
    let openapi = stage.service.document("/openapi.json");
    assert!(references(&openapi).iter().all(|reference| reference.starts_with("#/")), "it is whole");
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let mut command = Command::new(python());
    command
        .args(["-m", "schemathesis.cli", "--no-color", "run"])
        .arg(format!("http://{}/openapi.json", stage.service.address()))
        // Its answer has no end.
        .args(["--exclude-path", "/events", "--request-timeout", "5"])
        .args(["--max-time", MAX_SECONDS, "--max-examples", "20", "--seed", "1", "--generation-database", "none"])
        .env("NO_PROXY", "*")
        .current_dir(folder.path());
    let said = run(&mut command, LIMIT);
    assert!(said.contains("passed") && !said.contains("failed"), "{said}");
}

/// What promtool has against names that are fixed (SPEC, sections 6 and 11 of SEED.md).
const FIXED_NAMES: [&str; 2] = ["senpai_processing_latency_ms", "senpai_read_gap_ms"];

#[test]
fn promtool_takes_the_metrics() {
    if is_skipped("promtool_takes_the_metrics", "promtool") {
        return;
    }
    let stage = Stage::start("primary");
    stage.play();
    stage.service.wait_events_in(3000);
    let promtool = found("promtool.sh");
    let checked = |metrics: &str| {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let path = folder.path().join("metrics");
        std::fs::write(&path, metrics).expect("a file");
        let mut command = Command::new("sh");
        // It ends with 3 where there is something to say of names, and with 1 where the text is none of metrics.
        command.args(["-c", "\"$0\" check metrics <\"$1\" || [ $? = 3 ]"]).arg(&promtool).arg(&path);
        run(&mut command, LIMIT)
    };
    let metrics = stage.service.get("/metrics").1;
    let allowed = FIXED_NAMES.map(|name| format!("{name} metric names should not contain abbreviated units\n"));
    assert_eq!(checked(&metrics), allowed.concat());
    assert_ne!(checked(&format!("{metrics}# TYPE senpai_new counter\nsenpai_new 1\n")), allowed.concat());
}
