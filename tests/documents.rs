//! What the documents say of the tree is so: each path that they name is there.

use std::path::Path;

const ROOMS: [&str; 8] = ["src/", "tests/", "proto_nats/", "benches/", "ops/", "scripts/", ".ci/", ".github/"];
const FILES: [&str; 6] = [".env.example", "CHANGELOG.md", "PERFORMANCE.md", "deny.toml", "justfile", "CONTRIBUTING.md"];

/// Words between backticks, and those of code blocks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "`()|,;:\"'".contains(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
}

#[test]
fn paths_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["CONTRIBUTING.md", "README.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        let is_path = |word: &&str| ROOMS.iter().any(|room| word.starts_with(room)) || FILES.contains(word);
        let paths: Vec<&str> = words(&text).filter(is_path).collect();
        assert!(!paths.is_empty(), "{document}");
        for path in paths {
            let is_there = root.join(path).exists() || root.join(format!("{path}.rs")).exists();
            assert!(is_there, "{document} names {path}, which is not there");
        }
    }
}
