//! The import directions that the map in `src/lib.rs` states.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// No file for which `is_meant` holds may have one of `words` outside of comments.
fn check(is_meant: impl Fn(&str) -> bool, words: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for file in [rust_files(&root.join("src")), rust_files(&root.join("proto_nats/src"))].concat() {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if !is_meant(&name) {
            continue;
        }
        seen += 1;
        for (index, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for word in words {
                assert!(!code.contains(word), "{name}:{}: {word} must not be named here", index + 1);
            }
        }
    }
    assert!(seen > 0, "the rule is about some file");
}

#[test]
fn the_protocol_knows_nobody() {
    check(|name| name.starts_with("proto_nats/"), &["senpai_md_consumer", "glommio", "std::net::Tcp", "std::fs"]);
}

#[test]
fn the_engine_names_neither_settings_nor_drivers() {
    check(|name| name.starts_with("src/engine/"), &["crate::config", "crate::drivers", "super::super"]);
}

#[test]
fn settings_do_not_name_drivers() {
    check(|name| name.starts_with("src/config"), &["crate::drivers"]);
}

#[test]
fn only_drivers_name_glommio() {
    check(|name| !name.starts_with("src/drivers/"), &["glommio"]);
}

/// A log line, or a report, must neither block nor fail: macros that print do both.
#[test]
fn what_is_said_goes_through_the_log() {
    check(|name| name.starts_with("src/"), &["eprint!", "eprintln!", "dbg!"]);
    check(|name| name.starts_with("src/") && name != "src/main.rs", &["print!(", "println!("]);
    check(|name| name.starts_with("src/") && !name.starts_with("src/drivers/log"), &["stderr("]);
}

#[test]
fn only_one_file_reads_a_clock() {
    check(|name| name != "src/drivers/clock.rs", &["Instant::now", "SystemTime", ".elapsed()"]);
}
