//! Tools that others hold the contracts against.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::contract::references;
use crate::stage::{Stage, run};
use crate::support::is_skipped;

const LIMIT: Duration = Duration::from_secs(60);
/// Of schemathesis, which takes some seconds to start; what it has to try is over before.
const MAX_SECONDS: &str = "20";

/// The Python that has what is needed; the script is the one place that knows it.
pub fn python() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/python-tools.sh");
    let found = Command::new(script).arg("--find").stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(
        found.status.success(),
        "there are no Python tools: run scripts/python-tools.sh, or scripts/test.sh in the place of cargo test"
    );
    PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
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

#[test]
fn promtool_takes_the_metrics() {
    if is_skipped("promtool_takes_the_metrics", "promtool") {
        return;
    }
    let stage = Stage::start("primary");
    stage.play();
    stage.service.wait_events_in(3000);
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let path = folder.path().join("metrics");
    std::fs::write(&path, stage.service.get("/metrics").1).expect("a file");
    let promtool = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" check metrics <\"$1\"", &promtool]).arg(&path);
    let said = run(&mut command, LIMIT);
    assert_eq!(said, "", "promtool has nothing to say");
}
