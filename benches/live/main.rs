//! The service behind a real nats-server, side by side with the peer of `benches/peer`: cost of an event in memory and
//! flooded, latency, HTTP under flood, memory, rest. `benches/compare.sh` builds what this needs and runs it:
//!
//! ```text
//!   cargo bench --bench live -- [--peer BINARY] [--base BINARY] [--only SECTION] [RECORDING]
//! ```
//!
//! The nats-server is $NATS_SERVER; `--base` is another version of the service, for latency, flood, scrapes and peers. Sections: memory,
//! latency, flood, http, scrapes, readers, peers, resources. Where they are asked for: pages (`benches/readers.sh`); jetstream,
//! against a bare pull consumer (`benches/jetstream.sh`). Everything that is compared runs in turns, so that whatever else the
//! machine does falls on all alike.

mod client;
mod flood;
mod jetstream;
mod latency;
mod peers;
mod processes;
mod readers;
mod resources;
mod scrapes;

use std::path::{Path, PathBuf};

use senpai_md_consumer::commands::generate::Recording;
use senpai_md_consumer::config::Symbols;
use senpai_md_consumer::recording::looped_frames::Stream;

use processes::{ECHO_FLAG, NatsServer, PULL_FLAG, report};

const PREFIX: &str = "md.events";
/// What is measured where no recording is given.
const GENERATED: Recording = Recording { seed: 1, event_count: 50_000, symbol_count: 5 };

fn main() {
    // Parts of the service run in this process; what they have to say goes to standard error.
    simple_logger::init_with_level(log::Level::Warn).expect("it is the only logger");
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut peer, mut base, mut only, mut recording) = (None, None, None, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--peer" => peer = args.next().map(PathBuf::from),
            "--base" => base = args.next().map(PathBuf::from),
            "--only" => only = args.next(),
            ECHO_FLAG => return latency::echo(args.next().and_then(|port| port.parse().ok()).expect("a port")),
            PULL_FLAG => {
                let port = args.next().and_then(|port| port.parse().ok()).expect("a port");
                return jetstream::pull(port, &args.next().expect("a filter"));
            }
            _ => recording = Some(PathBuf::from(arg)),
        }
    }
    let binary = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    let binary = binary.expect("NATS_SERVER says where the nats-server is, as benches/compare.sh has it");
    let directory = tempfile::tempdir().expect("a directory for temporary files");
    let recording = recording.unwrap_or_else(|| generate(directory.path()));
    let mut stream =
        Stream::load(&recording, &Symbols::default(), PREFIX, u64::MAX, &mut std::io::stderr()).expect("a recording");
    println!("{}: {} events", recording.display(), stream.event_count);

    if only.as_deref() == Some("jetstream") {
        return jetstream::jetstream(&binary, &mut stream);
    }
    let is_wanted = |section: &str| only.as_deref().is_none_or(|only| only == section);
    let peer = peer.as_deref();
    if is_wanted("memory") {
        memory(&recording, peer);
    }
    let server = NatsServer::start(&binary);
    if is_wanted("latency") {
        latency::latency(&server, peer, base.as_deref());
    }
    if is_wanted("flood") {
        flood::flood(&server, peer, base.as_deref(), &mut stream);
    }
    if is_wanted("http") {
        flood::http(&server, &mut stream);
    }
    if is_wanted("scrapes") {
        scrapes::scrapes(&server, base.as_deref());
    }
    if is_wanted("readers") {
        readers::readers(&server);
    }
    if only.as_deref() == Some("pages") {
        let browser = std::env::var("PAGE_BROWSER")
            .expect("PAGE_BROWSER says how a browser starts, as benches/readers.sh has it");
        readers::pages(&server, &browser.split(' ').collect::<Vec<_>>());
    }
    if is_wanted("peers") {
        peers::peers(&server, base.as_deref());
    }
    if is_wanted("resources") {
        resources::resources(&server);
    }
}

/// The demo's market as a recording.
fn generate(directory: &Path) -> PathBuf {
    let path = directory.join("generated.jsonl");
    let mut file = std::fs::File::create(&path).expect("room for a recording");
    GENERATED.write(&mut file, |_| Ok(())).expect("room for a recording");
    path
}

/// `bench` and what the peer has for it.
fn memory(recording: &Path, peer: Option<&Path>) {
    let recording = recording.to_str().expect("a path that is text");
    println!("\nIn memory, ns an event");
    for _ in 0..3 {
        let service = Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
        let ours = report(service, &["bench", recording, "--seconds", "3"]);
        print!("service {:.0}", ours["ns_per_event"].as_f64().expect("a number"));
        if let Some(peer) = peer {
            let theirs = report(peer, &["memory", recording, "3"]);
            print!("   peer {:.0}", theirs["ns_per_event"].as_f64().expect("a number"));
        }
        println!();
    }
}
