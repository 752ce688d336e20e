//! The map in `src/lib.rs`, held against the code: who may import whom, and what only some rooms may name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the top to the bottom, each with all that it imports. No arrow runs upward, and none is listed that is not
/// there any more. `engine` is what lies directly in that folder.
const MAY_IMPORT: [(&str, &[&str]); 18] = [
    (
        "commands",
        &[
            "api",
            "service",
            "nats",
            "http",
            "broker",
            "market",
            "recording",
            "runtime",
            "config",
            "engine",
            "engine/input",
            "engine/rules",
            "engine/alerts",
        ],
    ),
    ("api", &["service", "http", "runtime", "engine", "engine/alerts", "engine/input", "engine/state"]),
    ("service", &["nats", "runtime", "config", "engine", "engine/alerts", "engine/input", "engine/state"]),
    ("nats", &["runtime", "config", "engine"]),
    ("http", &["runtime", "engine"]),
    ("broker", &["runtime", "engine"]),
    ("market", &["engine"]),
    ("recording", &["runtime", "config", "engine", "engine/input"]),
    ("runtime", &["config", "engine"]),
    ("config", &["engine", "engine/input", "engine/state"]),
    ("engine", &["engine/output", "engine/alerts", "engine/rules", "engine/features", "engine/state", "engine/input"]),
    ("engine/output", &["engine/alerts", "engine/rules", "engine/features", "engine/state", "engine/input"]),
    ("engine/alerts", &["engine/state"]),
    ("engine/rules", &["engine/features", "engine/state"]),
    ("engine/features", &["engine/state"]),
    ("engine/state", &["engine/input"]),
    ("engine/input", &[]),
    ("proto_nats", &[]),
];

/// Of the files that lie directly in `engine`: what all its rooms may use. The others lead the engine, and only rooms
/// outside of it use them.
const ENGINE_GROUND: [&str; 4] = ["bounds", "memory", "random", "time"];

const ENGINE_ROOMS: [&str; 6] = ["input", "state", "features", "rules", "alerts", "output"];

/// Room and code, without comments, of a line.
struct Line {
    file: String,
    number: usize,
    code: String,
}

/// All below `folder` but what cargo has built there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true if path.ends_with("target") => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn has_extension(path: &Path, meant: &[&str]) -> bool {
    path.extension().is_some_and(|extension| meant.iter().any(|it| extension == *it))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| has_extension(path, &["rs"])).collect()
}

fn lines() -> Vec<Line> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut lines = Vec::new();
    for path in [rust_files(&root.join("src")), rust_files(&root.join("proto_nats/src"))].concat() {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        for (index, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap().to_owned();
            lines.push(Line { file: file.clone(), number: index + 1, code });
        }
    }
    lines
}

/// `None`: a file of the crate's root, which names all rooms.
fn room(file: &str) -> Option<String> {
    let parts: Vec<&str> = file.split('/').collect();
    match parts[..] {
        ["proto_nats", ..] => Some("proto_nats".to_owned()),
        ["src", "engine", part, _, ..] => Some(format!("engine/{part}")),
        ["src", room, _, ..] => Some(room.to_owned()),
        ["src", _] => None,
        _ => panic!("{file}: no room is known for it"),
    }
}

/// The rooms that a line names by path; of `engine` with the file, where that lies directly in it.
fn named(code: &str) -> Vec<(String, Option<String>)> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let mut path = code[at + "crate::".len()..].split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path: Vec<&str> = path.next().unwrap_or_default().split("::").collect();
        match path[..] {
            ["engine", part, ..] if ENGINE_ROOMS.contains(&part) => named.push((format!("engine/{part}"), None)),
            ["engine", file, ..] => named.push(("engine".to_owned(), Some(file.to_owned()))),
            [room, ..] => named.push((room.to_owned(), None)),
            [] => {}
        }
    }
    named
}

#[test]
fn rooms_import_what_the_table_says() {
    for (index, (room, imports)) in MAY_IMPORT.iter().enumerate() {
        for import in *imports {
            let below = MAY_IMPORT.iter().position(|(other, _)| other == import);
            assert!(below.is_some_and(|below| below > index), "{room} may not stand above {import}, which it imports");
        }
    }
    let mut seen = BTreeSet::new();
    for Line { file, number, code } in lines() {
        let Some(from) = room(&file) else { continue };
        let (_, may) =
            MAY_IMPORT.iter().find(|(name, _)| *name == from).unwrap_or_else(|| panic!("{from}: no such room"));
        for (to, engine_file) in named(&code) {
            if to == from || from == "proto_nats" {
                continue;
            }
            let is_ground = engine_file.is_some_and(|file| ENGINE_GROUND.contains(&&*file));
            if from.starts_with("engine/") && is_ground {
                continue;
            }
            assert!(may.contains(&&*to), "{file}:{number}: {from} may not import {to}");
            seen.insert((from.clone(), to));
        }
    }
    for (room, imports) in MAY_IMPORT {
        for import in imports {
            assert!(
                seen.contains(&(room.to_owned(), (*import).to_owned())),
                "{room} does not import {import} any more"
            );
        }
    }
}

/// Whoever looks for a place reads the head of a room, so each of the room's files is named there.
#[test]
fn heads_name_every_file_of_their_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut unnamed = Vec::new();
    let mut named_count = 0;
    for path in [rust_files(&root.join("src")), rust_files(&root.join("proto_nats/src"))].concat() {
        let (folder, stem) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        let head_of = ["mod.rs", "lib.rs"].map(|name| folder.join(name)).into_iter().find(|head| head.exists());
        let Some(head_of) = head_of.filter(|_| folder != root.join("src") && !["mod", "lib"].contains(&stem)) else {
            continue;
        };
        let text = fs::read_to_string(&head_of).unwrap();
        let head: String = text.lines().filter(|line| line.starts_with("//!")).collect();
        let is_named = head.contains(&format!("`{stem}`"));
        named_count += usize::from(is_named);
        if !is_named {
            unnamed.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    assert!(unnamed.is_empty(), "the heads of their rooms do not name {unnamed:?}");
    assert!(named_count > 100, "the rule is about the files of all rooms");
}

/// What the table goes by is that every path into another room is written out.
#[test]
fn paths_into_other_rooms_are_written_out() {
    check(|_| true, &["crate::{", "super::super"]);
    check(|file| file.starts_with("src/engine/"), &["use super::{", "crate::engine::{"]);
}

/// No file for which `is_meant` holds may have one of `words` outside of comments.
fn check(is_meant: impl Fn(&str) -> bool, words: &[&str]) {
    let mut seen = 0;
    for Line { file, number, code } in lines() {
        if !is_meant(&file) {
            continue;
        }
        seen += 1;
        for word in words {
            assert!(!code.contains(word), "{file}:{number}: {word} must not be named here");
        }
    }
    assert!(seen > 0, "the rule is about some file");
}

#[test]
fn the_protocol_knows_no_other_room() {
    check(|name| name.starts_with("proto_nats/"), &["senpai_md_consumer", "glommio", "std::net::Tcp", "std::fs"]);
}

#[test]
fn only_the_runtime_names_glommio() {
    check(|name| !name.starts_with("src/runtime/"), &["glommio"]);
}

#[test]
fn unsafe_code_stands_in_one_file() {
    check(|name| name != "src/runtime/unsafe_calls.rs", &["unsafe {", "unsafe fn", "unsafe impl"]);
    check(
        |name| !["src/lib.rs", "src/main.rs", "src/runtime/mod.rs", "proto_nats/src/lib.rs"].contains(&name),
        &["unsafe_code"],
    );
}

/// A log line, or a report, must neither block nor fail: macros that print do both.
#[test]
fn what_is_said_goes_through_the_log() {
    check(|name| name.starts_with("src/"), &["eprint!", "eprintln!", "dbg!"]);
    check(|name| name.starts_with("src/") && name != "src/main.rs", &["print!(", "println!("]);
    check(|name| name.starts_with("src/") && !name.starts_with("src/runtime/log"), &["stderr("]);
}

#[test]
fn only_one_file_reads_a_clock() {
    check(|name| name != "src/runtime/clock.rs", &["Instant::now", "SystemTime", ".elapsed()"]);
}

const FILE_LINES_MAX: usize = 500;
/// In the head of a file that is longer, before the reason why it is.
const LONGER: &str = "Longer than 500 lines:";
#[test]
fn a_file_is_short_or_says_why_it_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in ["src", "tests", "benches", "proto_nats"].map(|folder| rust_files(&root.join(folder))).concat() {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let has_reason = text.lines().take(15).any(|line| line.contains(LONGER));
        let line_count = text.lines().count();
        assert!(
            line_count <= FILE_LINES_MAX || has_reason,
            "{file} has {line_count} lines: split it by what it holds, or let its head say \"{LONGER}\" and why"
        );
    }
}

/// Rust files and scripts that comments and documents name between backticks, with or without their folder.
#[test]
fn a_file_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths =
        ["src", "tests", "benches", "proto_nats", "scripts", "ops"].map(|it| files(&root.join(it))).concat();
    paths.extend(fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    let mut seen = 0;
    for path in paths.iter().filter(|path| has_extension(path, &["rs", "md", "sh", "toml"])) {
        for (index, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            let between = line.split('`').filter(|text| !text.contains(' ')).map(Path::new);
            for name in between.filter(|name| has_extension(name, &["rs", "sh"])) {
                seen += 1;
                let is_there = paths.iter().any(|path| path.ends_with(name));
                assert!(is_there, "{}:{}: there is no {}", path.display(), index + 1, name.display());
            }
        }
    }
    assert!(seen > 0, "some file is named");
}
