//! The fuzz targets' entries on stable Rust: each runs its seed corpus, and ten seconds of seeded mutations of it.

#[path = "common/random.rs"]
mod random;

#[path = "../fuzz/src/entries.rs"]
mod entries;

use random::Random;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_secs(10);

#[test]
fn server_bytes() {
    run("server_bytes");
}

#[test]
fn client_bytes() {
    run("client_bytes");
}

#[test]
fn connection_ops() {
    run("connection_ops");
}

#[test]
fn texts() {
    run("texts");
}

#[test]
fn jetstream() {
    run("jetstream");
}

#[test]
fn no_target_is_left_out() {
    let names = entries::ENTRIES.map(|(name, _)| name);
    assert_eq!(names, ["server_bytes", "client_bytes", "connection_ops", "texts", "jetstream"]);
}

fn run(name: &str) {
    let (_, entry) = entries::ENTRIES.iter().find(|(known, _)| *known == name).expect("there is such a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order of a folder's files is not defined, and the seeds should mean the same everywhere.
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty(), "{} has a corpus", folder.display());
    corpus.iter().for_each(|data| entry(data));

    let end = Instant::now() + LENGTH;
    for seed in 0.. {
        let data = mutated(&corpus, &mut Random::new(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| entry(&data))) {
            eprintln!("{name}, seed {seed}: {}", data.escape_ascii());
            std::panic::resume_unwind(panic);
        }
        if seed % 64 == 0 && Instant::now() > end {
            println!("{name}: {seed} inputs");
            break;
        }
    }
}

fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(6) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(8)).min(data.len());
        match random.below(7) {
            0 => drop(data.drain(at..end)),
            1 => data.insert(at, random.next() as u8),
            2 => data.truncate(at),
            3 => data
                .splice(at..at, random.pick(&[&b"\r\n"[..], b" ", b"\t", b"9", b"0", b"@", b"%", b":"]).iter().copied())
                .for_each(drop),
            4 => data.extend_from_slice(&corpus[random.below(corpus.len())]),
            5 => data.extend_from_within(at..end),
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    data
}
