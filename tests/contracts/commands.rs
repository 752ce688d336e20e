//! The commands that the documents have for `ops/examples`, and a folder in which they run as they stand.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::tools::python;

/// What is done with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It runs until it is ended.
    PythonConsumer,
    RustConsumer,
    /// It ends by itself.
    Once,
}

/// The commands of a document, in their order: of the README's section, or of an example's head.
fn commands_of(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let block: Vec<&str> = match document.rsplit('.').next() {
        Some("md") => {
            let (_, section) = text.split_once("### Contracts and examples\n").expect("the section is there");
            let (_, block) = section.split_once("```sh\n").expect("it has a block");
            block.split_once("```").expect("the block has an end").0.lines().collect()
        }
        Some("py") => {
            let head = text.split("\"\"\"").nth(1).expect("it has a head");
            head.lines().filter_map(|line| line.strip_prefix("    ")).collect()
        }
        _ => {
            let (_, block) = text.split_once("//! ```text\n").expect("it has a block");
            let block = block.split_once("//! ```").expect("the block has an end").0;
            block.lines().map(|line| line.trim_start_matches("//! ")).collect()
        }
    };
    let commands = block.into_iter().map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned());
    let commands: Vec<String> = commands.filter(|line| !line.is_empty()).collect();
    assert!(!commands.is_empty(), "{document}");
    commands
}

pub const DOCUMENTS: [&str; 4] =
    ["README.md", "ops/examples/python/consume.py", "ops/examples/python/load.py", "ops/examples/rust/consume.rs"];

/// Those of one kind, each with its document.
pub fn commands(wanted: Kind) -> Vec<(&'static str, String)> {
    let all =
        DOCUMENTS.iter().flat_map(|document| commands_of(document).into_iter().map(move |line| (*document, line)));
    let kind = |line: &str| match line {
        line if line.contains("consume.py") => Kind::PythonConsumer,
        line if line.contains("--example consume") => Kind::RustConsumer,
        _ => Kind::Once,
    };
    let found: Vec<_> = all.filter(|(_, line)| kind(line) == wanted).collect();
    assert!(found.len() > 1, "{wanted:?}: {found:?}");
    found
}

/// A folder that looks to a command like the project's own, and like the one that an example lies in; what commands write
/// there is gone with it.
pub struct Workshop(TempDir);

impl Workshop {
    pub fn new(kind: Kind) -> Workshop {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let service = Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
        let link = |to: &Path, name: &str| symlink(to, folder.path().join(name)).expect("a link");
        fs::create_dir_all(folder.path().join("target/release")).expect("a folder");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        link(&root.join("ops"), "ops");
        link(&root.join("ops/examples/python/consume.py"), "consume.py");
        link(&root.join("ops/examples/python/load.py"), "load.py");
        link(service, "target/release/senpai-md-consumer");
        link(service, "bin/senpai-md-consumer");
        let script = |name: &str, text: String| {
            let path = folder.path().join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may be run");
        };
        match kind {
            Kind::RustConsumer => {
                // What Cargo would build and run is built already; for a package alone it would compile all that it is made
                // of once more, with other features than for the workspace.
                let built = service.parent().expect("it is in a folder").join("examples").display().to_string();
                script("cargo", format!("[ \"$1 $2\" = \"run --example\" ] && exec '{built}'/\"$3\""));
            }
            Kind::PythonConsumer | Kind::Once => {
                let python = python().display().to_string();
                script("python", format!("exec '{python}' \"$@\""));
                // Nothing is installed here: what it names is what the examples run with.
                let is_there =
                    "import importlib.metadata, sys; [importlib.metadata.version(it) for it in sys.argv[2:]]";
                script("pip", format!("[ \"$1\" = install ] && exec '{python}' -c '{is_there}' \"$@\""));
            }
        }
        Workshop(folder)
    }

    /// The command, which takes the shell's place.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(["-c", &format!("exec {line}")]).current_dir(self.0.path());
        command.env("PATH", format!("{}:{path}", self.0.path().join("bin").display()));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}
