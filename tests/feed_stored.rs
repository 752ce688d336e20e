//! `feed --jetstream` against real servers: what it says is stored is stored, once, whatever becomes of the server meanwhile.

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self, consumer};
use futures_lite::StreamExt;
use support::nats_server::{NatsServer, Release};
use support::{Killed, eventually, holds};

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn recording(directory: &tempfile::TempDir, events: u64) -> std::path::PathBuf {
    let file = directory.path().join("recording.jsonl");
    let line = |n| format!("{{\"subject\":\"md.events.trade.A\",\"payload\":{{\"n\":{n},\"pad\":\"{:0100}\"}}}}\n", n);
    std::fs::write(&file, (0..events).map(line).collect::<String>()).unwrap();
    file
}

fn command(file: &std::path::Path, url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.args(["feed", "--jetstream", "--speed", "max", "--nats-url", url]).arg(file);
    command.current_dir(file.parent().unwrap()).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Its end, within the time that a test may wait.
fn output(mut running: Killed) -> Output {
    eventually("feed ends", || holds(running.0.try_wait().unwrap().is_some(), "it runs"));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    std::io::Read::read_to_end(running.0.stdout.as_mut().unwrap(), &mut stdout).unwrap();
    std::io::Read::read_to_end(running.0.stderr.as_mut().unwrap(), &mut stderr).unwrap();
    Output { status: running.0.wait().unwrap(), stdout, stderr }
}

/// Of the server's JetStream, on a client that connects again.
struct Operator {
    runtime: tokio::runtime::Runtime,
    context: jetstream::Context,
}

impl Operator {
    fn new(server: &NatsServer) -> Operator {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let context = runtime.block_on(async { jetstream::new(async_nats::connect(server.url()).await.unwrap()) });
        Operator { runtime, context }
    }

    fn create(&self) {
        let config = Config {
            name: "MD_EVENTS".to_owned(),
            subjects: vec!["md.events.>".to_owned()],
            storage: StorageType::File,
            ..Config::default()
        };
        self.runtime.block_on(async { self.context.create_stream(config).await.unwrap() });
    }

    /// What the stream holds; `None`: the server is not there.
    fn count(&self) -> Option<u64> {
        self.runtime.block_on(async {
            let stream = self.context.get_stream("MD_EVENTS").await.ok()?;
            Some(stream.cached_info().state.messages)
        })
    }

    /// The numbers of the events that the stream holds, in its order.
    fn numbers(&self, count: u64) -> Vec<u64> {
        let read = async {
            let stream = self.context.get_stream("MD_EVENTS").await.unwrap();
            let config = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
            let consumer = stream.create_consumer(config).await.unwrap();
            let mut messages = consumer.messages().await.unwrap();
            let mut numbers = Vec::new();
            while (numbers.len() as u64) < count {
                let message = messages.next().await.unwrap().unwrap();
                let payload: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
                numbers.push(payload["n"].as_u64().unwrap());
            }
            numbers
        };
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, read).await.expect("the stream is read") })
    }
}

fn jetstream_server(release: Release, directory: &tempfile::TempDir) -> NatsServer {
    let store = directory.path().join("store");
    NatsServer::start_with(release, &format!("jetstream {{ store_dir: \"{}\" }}\n", store.display()))
}

#[test]
fn all_is_stored_once_though_the_server_is_killed() {
    const EVENTS: u64 = 100_000;
    for release in [Release::Current, Release::Old] {
        if release.is_skipped("all_is_stored_once_though_the_server_is_killed") {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut server = jetstream_server(release, &directory);
        let operator = Operator::new(&server);
        operator.create();
        let running = Killed(command(&recording(&directory, EVENTS), &server.url()).spawn().unwrap());
        eventually("some is stored", || {
            let count = operator.count().unwrap_or(0);
            holds(count >= 2_000, count)
        });
        server.kill();
        server.start_again();
        let output = output(running);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{told}");
        let line = told.lines().find(|line| line.contains("are stored in the stream MD_EVENTS")).expect(&told);
        assert!(line.starts_with("100000 events are stored") && line.contains("connected again once"), "{told}");
        eventually("the server answers", || holds(operator.count().is_some(), "it does not"));
        assert_eq!(operator.count(), Some(EVENTS), "{told}");
        let numbers = operator.numbers(EVENTS);
        assert!(numbers.iter().copied().eq(0..EVENTS), "each once, in order");
    }
}

#[test]
fn what_cannot_be_stored_is_one_clear_line() {
    for release in [Release::Current, Release::Old] {
        if release.is_skipped("what_cannot_be_stored_is_one_clear_line") {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = recording(&directory, 10);
        let check = |url: &str, words: &str| {
            let output = output(Killed(command(&file, url).spawn().unwrap()));
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.lines().last().unwrap().contains(words), "{told}");
        };
        check(&NatsServer::start_with(release, "").url(), "no stream takes md.events.trade.A, or JetStream is off");
        let server = jetstream_server(release, &directory);
        check(&server.url(), "no stream takes md.events.trade.A, or JetStream is off");
        let operator = Operator::new(&server);
        let config = Config {
            name: "SMALL".to_owned(),
            subjects: vec!["md.events.>".to_owned()],
            max_messages: 3,
            discard: jetstream::stream::DiscardPolicy::New,
            ..Config::default()
        };
        operator.runtime.block_on(async { operator.context.create_stream(config).await.unwrap() });
        check(&server.url(), "the stream does not store it: maximum messages exceeded");
    }
}
