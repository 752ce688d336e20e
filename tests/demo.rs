//! `demo`, as a process: what it prints works as printed, and it ends in good order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use senpai_md_consumer::engine::time::UnixNanos;
use senpai_md_consumer::market::generator::Market;
use serde_json::Value;

/// Nothing is waited for this long unless the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The process; killed on failure.
struct Demo {
    process: Child,
    /// What it prints on standard output, up to the line that says how it ends.
    text: String,
    directory: tempfile::TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        Demo::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(directory: tempfile::TempDir, arguments: &[&str]) -> Demo {
        let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
        command.arg("demo").args(["--http-port", "0", "--max-symbols", "100"]).args(arguments);
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let text: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.starts_with("Ctrl-C")).collect();
        Demo { process, text: text.join("\n"), directory }
    }

    /// The printed commands that begin with `program`.
    fn commands(&self, program: &str) -> Vec<String> {
        let lines = self.text.lines().map(str::trim);
        lines.filter(|line| line.starts_with(program)).map(str::to_owned).collect()
    }

    /// What a curl line gives, once `is_good` says so.
    fn curl(&self, path: &str, is_good: impl Fn(&str) -> bool) -> String {
        let command = self.commands("curl").into_iter().find(|line| line.contains(path)).expect("a line for it");
        let begin = Instant::now();
        loop {
            let output = Command::new("sh").args(["-c", &format!("{command} -sf")]).output().unwrap();
            let body = String::from_utf8(output.stdout).unwrap();
            if output.status.success() && is_good(&body) {
                return body;
            }
            assert!(begin.elapsed() < PATIENCE, "{command}: {} {body}", output.status);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn check_all_endpoints(&self, symbol: &str) {
        assert_eq!(self.commands("curl").len(), 5, "{}", self.text);
        let page =
            self.text.lines().next().and_then(|line| line.strip_prefix("The live page:  ")).expect("it comes first");
        let page = Command::new("curl").args(["-sf", "-m", "20", page]).output().unwrap();
        assert!(String::from_utf8(page.stdout).unwrap().starts_with("<!DOCTYPE html>"));
        let json = |body: &str| serde_json::from_str::<Value>(body).unwrap();
        self.curl("/health", |body| json(body)["nats_connected"] == true && json(body)["symbol_count"] != 0);
        self.curl("/stats", |body| json(body)["events_in"].as_u64() > Some(10));
        self.curl("/state/latest", |body| {
            let state = json(body);
            state["symbol"] == symbol && ["trade", "quote", "book"].iter().all(|kind| state[kind].is_object())
        });
        self.curl("/features/latest", |body| {
            let features = &json(body)["features"];
            features["mid"].is_f64() && features["trade_count_10s"].as_u64() > Some(0)
        });
        self.curl("/metrics", |body| body.contains("senpai_events_in_total"));
    }

    /// It ends within 5 s, with 0.
    fn check_end(mut self, signal: &str) {
        let begin = Instant::now();
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = &self.directory;
    }
}

#[test]
fn the_generated_market_is_live_at_every_endpoint_and_on_nats() {
    let demo = Demo::start(&["--port", "0"]);
    demo.check_all_endpoints("BTCUSDT");
    let listen = demo.commands("bash").pop().expect("a line to listen in").replace("signals", "features");
    let mut listening = Command::new("sh").args(["-c", &listen]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let heard: Vec<String> = lines.map(Result::unwrap).take(6).collect();
    let _ = listening.kill();
    let _ = listening.wait();
    assert!(heard[0].starts_with("INFO ") && heard[2].starts_with("MSG senpai.features."), "{heard:?}");
    demo.check_end("-TERM");
}

#[test]
fn a_taken_port_is_said_and_the_next_one_used() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let demo = Demo::start(&["--port", &port.to_string(), "--seed", "9"]);
    assert!(demo.text.contains(&format!("port {port} is taken, so it is ")), "{}", demo.text);
    demo.curl("/health", |body| body.contains("\"nats_connected\":true"));
    demo.check_end("-INT");
}

#[test]
fn a_recording_plays_as_if_it_happened_now() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(directory.path().join("recording.jsonl")).unwrap();
    let mut market = Market::new(1, "md.events");
    let mut payload = Vec::new();
    for _ in 0..1_000 {
        let subject = market.next_event(UnixNanos(1_721_347_022_000_000_000), &mut payload).subject.to_owned();
        let subject = subject.replace("BTCUSDT", "BTC/USDT");
        writeln!(file, "{{\"subject\":\"{subject}\",\"payload\":{}}}", std::str::from_utf8(&payload).unwrap()).unwrap();
    }
    let demo = Demo::start_in(directory, &["--port", "0", "--file", "recording.jsonl"]);
    demo.check_all_endpoints("BTC/USDT");
    // It is a few seconds long; in its second time round nothing is late or from the future.
    let stats =
        demo.curl("/stats", |body| serde_json::from_str::<Value>(body).unwrap()["events_in"].as_u64() > Some(1_500));
    let metrics = demo.curl("/metrics", |_| true);
    let unbelieved = |line: &&str| line.starts_with("senpai_timestamps_rejected_total") && !line.ends_with(" 0");
    assert_eq!(metrics.lines().find(unbelieved), None);
    let dropped = |line: &&str| line.starts_with("senpai_events_dropped_total") && !line.ends_with(" 0");
    assert_eq!(metrics.lines().find(dropped), None, "{stats}");
    demo.check_end("-TERM");
}

#[test]
fn what_cannot_work_is_one_clear_line() {
    let check = |arguments: &[&str], expected: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
        let output = command.arg("demo").args(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        let lines: Vec<&str> = error.lines().filter(|line| !line.contains("config::notes]")).collect();
        let [line] = lines[..] else { panic!("{error}") };
        assert!(line.starts_with("error: ") && line.contains(expected), "{error}");
    };
    check(&["--file", "missing.jsonl"], "cannot read missing.jsonl");
    check(&["--file", "-"], "standard input");
    check(&["--file", "Cargo.toml"], "holds no record");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["--port", "0", "--http-port", &port], "HTTP_PORT");
}
