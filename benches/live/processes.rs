//! nats-server, the service and the peer as processes that end with their guard; and what they cost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A process and the lines that it has written; killed when dropped.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    _directory: TempDir,
}

impl Process {
    /// With an empty environment, in an empty directory.
    fn start(mut command: Command) -> Process {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let program = command.get_program().to_owned();
        let mut child = command
            .env_clear()
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("it is piped")), Box::new(child.stderr.take().expect("it is piped"))];
        for pipe in pipes {
            let lines = lines.clone();
            std::thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line))
            });
        }
        Process { child, lines, _directory: directory }
    }

    fn wait_for_line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || self.lines.lock().unwrap().iter().find_map(|line| find(line)))
    }

    fn last_count(&self) -> u64 {
        self.lines.lock().unwrap().iter().rev().find_map(|line| line.parse().ok()).unwrap_or(0)
    }

    /// CPU time of all threads so far, in ns.
    pub fn cpu_ns(&self) -> u64 {
        self.of_threads(0)
    }

    /// How long its threads were ready to run and had no core, in ns.
    pub fn waiting_ns(&self) -> u64 {
        self.of_threads(1)
    }

    /// The sum over the threads of a figure of their `schedstat`.
    fn of_threads(&self, field: usize) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let of_thread = |path: &Path| -> Option<u64> {
            std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').nth(field)?.parse().ok()
        };
        threads.flatten().filter_map(|thread| of_thread(&thread.path())).sum()
    }

    pub fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0 / 1e6
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct NatsServer {
    _process: Process,
    pub port: u16,
}

impl NatsServer {
    pub fn start(binary: &Path) -> NatsServer {
        NatsServer::start_with(binary, &[])
    }

    pub fn start_with(binary: &Path, flags: &[&str]) -> NatsServer {
        let mut command = Command::new(binary);
        command.args(["-a", "127.0.0.1", "-p", "-1"]).args(flags);
        let process = Process::start(command);
        let port = process.wait_for_line("nats-server's port", |line| {
            line.split_once("Listening for client connections on 127.0.0.1:")?.1.trim().parse().ok()
        });
        process.wait_for_line("nats-server", |line| line.contains("Server is ready").then_some(()));
        NatsServer { _process: process, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// What takes the events, and says how many it has taken.
pub trait Consumer {
    fn process(&self) -> &Process;
    fn events(&self) -> u64;
}

/// A service with this flag is asked nothing before it has caught up: two hundred answers a second are CPU that is measured.
pub const JETSTREAM: &str = "--use-jetstream=true";

pub struct Service {
    process: Process,
    address: String,
}

impl Service {
    pub fn start(server: &NatsServer, flags: &[&str]) -> Service {
        Service::start_binary(Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer")), server, flags)
    }

    pub fn start_binary(binary: &Path, server: &NatsServer, flags: &[&str]) -> Service {
        let mut command = Command::new(binary);
        command.args(["run", "--http-port", "0", "--nats-url", &server.url()]).args(flags);
        let process = Process::start(command);
        let address = process
            .wait_for_line("the service's port", |line| Some(line.split_once("HTTP on http://")?.1.trim().to_owned()));
        if flags.contains(&JETSTREAM) {
            process.wait_for_line("the end of catching up", |line| line.contains(": caught up").then_some(()));
        }
        let service = Service { process, address };
        eventually("/ready", || service.get("/ready").filter(|(status, _)| *status == 200));
        service
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn get(&self, target: &str) -> Option<(u16, String)> {
        get(&self.address, target).ok()
    }

    pub fn stats(&self) -> Value {
        let (_, body) = self.get("/stats").expect("the service answers");
        serde_json::from_str(&body).expect("JSON")
    }
}

impl Consumer for Service {
    fn process(&self) -> &Process {
        &self.process
    }

    fn events(&self) -> u64 {
        self.stats()["events_in"].as_u64().expect("a count")
    }
}

/// This program again, as the process that answers at once.
pub struct Echo {
    _process: Process,
}

/// Makes this program an echo; the server's port follows.
pub const ECHO_FLAG: &str = "--echo";

impl Echo {
    pub fn start(server: &NatsServer) -> Echo {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args([ECHO_FLAG, &server.port.to_string()]);
        let process = Process::start(command);
        process.wait_for_line("the echo", |line| (line == "ready").then_some(()));
        Echo { _process: process }
    }
}

/// This program again, as a bare pull consumer of a stream.
pub struct Puller(Process);

/// Makes this program a pull consumer; the server's port and the filter follow.
pub const PULL_FLAG: &str = "--pull";

impl Puller {
    pub fn start(server: &NatsServer, filter: &str) -> Puller {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args([PULL_FLAG, &server.port.to_string(), filter]);
        let process = Process::start(command);
        process.wait_for_line("the bare consumer", |line| (line == "ready").then_some(()));
        Puller(process)
    }
}

impl Consumer for Puller {
    fn process(&self) -> &Process {
        &self.0
    }

    fn events(&self) -> u64 {
        self.0.last_count()
    }
}

pub struct Peer(Process);

impl Peer {
    pub fn start(binary: &Path, server: &NatsServer, prefix: &str) -> Peer {
        let mut command = Command::new(binary);
        command.args(["run", &server.url(), prefix]);
        let process = Process::start(command);
        process.wait_for_line("the peer", |line| (line == "ready").then_some(()));
        Peer(process)
    }
}

impl Consumer for Peer {
    fn process(&self) -> &Process {
        &self.0
    }

    fn events(&self) -> u64 {
        self.0.last_count()
    }
}

/// Status and body, over a connection of its own.
pub fn get(address: &str, target: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| std::io::Error::other("no HTTP response"))
}

/// Runs to its end; its standard output as JSON.
pub fn report(binary: &Path, args: &[&str]) -> Value {
    let output =
        Command::new(binary).args(args).output().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    assert!(output.status.success(), "{}: {}", binary.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
