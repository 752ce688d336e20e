//! A real nats-server on a loopback port of its own, gone when its guard is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, eventually, http, is_skipped, send_signal};

/// Which nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Current,
    /// What distributions ship: Debian 12's is 2.9.
    Old,
}

impl Release {
    /// The script is the one place that knows where a nats-server may be.
    fn binary(self) -> &'static Path {
        static BINARIES: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
        BINARIES[self as usize].get_or_init(|| {
            let which = ["current", "old"][self as usize];
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats-server.sh");
            let found = Command::new(script).args([which, "--find"]).stderr(Stdio::inherit()).output();
            let found = found.expect("the script runs");
            assert!(
                found.status.success(),
                "the {which} nats-server is missing: run scripts/nats-server.sh {which}, or scripts/test.sh in the place of cargo test"
            );
            PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
        })
    }

    /// See [`is_skipped`].
    pub fn is_skipped(self, test: &str) -> bool {
        is_skipped(test, ["nats-server-current", "nats-server-old"][self as usize])
    }

    /// Major, minor, patch.
    pub fn version(self) -> [u32; 3] {
        static VERSIONS: [OnceLock<[u32; 3]>; 2] = [OnceLock::new(), OnceLock::new()];
        *VERSIONS[self as usize].get_or_init(|| {
            let output = Command::new(self.binary()).arg("--version").output().expect("it says its version");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let numbers = text.rsplit('v').next().map(|version| version.trim().split('.').map(str::parse));
            let numbers: Option<Vec<u32>> = numbers.and_then(|numbers| numbers.collect::<Result<_, _>>().ok());
            numbers.and_then(|numbers| numbers.try_into().ok()).unwrap_or_else(|| panic!("no version in {text:?}"))
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.version();
        write!(f, "{major}.{minor}.{patch}")
    }
}

pub struct NatsServer {
    release: Release,
    process: Option<Child>,
    port: u16,
    monitoring: String,
    /// Its configuration, log and port files.
    directory: TempDir,
}

impl NatsServer {
    pub fn start() -> NatsServer {
        NatsServer::start_with(Release::Current, "")
    }

    pub fn start_with(release: Release, configuration: &str) -> NatsServer {
        // A port can be taken between being chosen and being used; then the server ends and the next one is tried.
        let mut log = String::new();
        for _ in 0..20 {
            let mut server = NatsServer::stopped_with(release, configuration);
            match server.try_start() {
                Ok(_) => return server,
                Err(text) => log = text,
            }
        }
        panic!("{} does not start on any of 20 ports: {log}", release.binary().display());
    }

    /// One that has a port and does not run yet.
    pub fn stopped() -> NatsServer {
        NatsServer::stopped_with(Release::Current, "")
    }

    pub fn stopped_with(release: Release, configuration: &str) -> NatsServer {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let server = NatsServer { release, process: None, port: unused_port(), monitoring: String::new(), directory };
        server.configure(configuration);
        server
    }

    /// Takes effect at the next start or [`reload`](Self::reload).
    pub fn configure(&self, configuration: &str) {
        std::fs::write(self.directory.path().join("configuration"), configuration).expect("a file");
    }

    /// The binary of the next start.
    pub fn replace_by(&mut self, release: Release) {
        self.release = release;
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// As it dies in an accident: SIGKILL, no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// As an operator stops it: SIGTERM.
    pub fn terminate(&mut self) {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        let ended = process.wait();
        assert!(ended.is_ok(), "{ended:?}");
    }

    pub fn signal(&self, name: &str) {
        send_signal(self.process.as_ref().expect("it runs"), name);
    }

    /// Makes it read its configuration again, and returns when it has.
    pub fn reload(&self) {
        let count = |log: &str| log.matches("Reloaded server configuration").count();
        let before = count(&self.log());
        self.signal("HUP");
        eventually("nats-server's reload", || {
            let log = self.log();
            if count(&log) > before { Ok(()) } else { Err(log) }
        });
    }

    /// On the same port. Returns since when it takes connections.
    pub fn start_again(&mut self) -> Instant {
        self.try_start().unwrap_or_else(|log| panic!("nats-server on port {}: {log}", self.port))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// What its monitoring says, `/varz` and so on.
    pub fn report(&self, target: &str) -> Value {
        // By HTTP/1.0, which has no chunks.
        let asked = http::Connection::open(&self.monitoring).and_then(|mut connection| {
            connection.send(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes())?;
            connection.read_reply()
        });
        let reply = asked.unwrap_or_else(|error| panic!("nats-server's {target}: {error}"));
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).expect("JSON")
    }

    /// Of the client named `name`: the connections it has, and with `all` also those it had.
    pub fn connections_of(&self, name: &str, all: bool) -> Vec<Value> {
        let state = if all { "all" } else { "open" };
        let report = self.report(&format!("/connz?subs=1&limit=65536&state={state}"));
        let connections = report["connections"].as_array().expect("a list").iter();
        connections.filter(|connection| connection["name"] == name).cloned().collect()
    }

    /// The subscriptions of the client named `name`, sorted; from the server's own monitoring.
    pub fn subscriptions_of(&self, name: &str) -> Vec<String> {
        let connections = self.connections_of(name, false);
        let mut subjects: Vec<String> = connections
            .iter()
            .flat_map(|connection| connection["subscriptions_list"].as_array().cloned().unwrap_or_default())
            .map(|subject| subject.as_str().expect("a subject").to_owned())
            .collect();
        subjects.sort();
        subjects
    }

    /// The server writes the file with its ports when it listens on them. An error is its log.
    fn try_start(&mut self) -> Result<Instant, String> {
        assert!(self.process.is_none(), "one at a time");
        let binary = self.release.binary();
        let directory = self.directory.path();
        let mut process = Command::new(binary)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-m", "-1"])
            .arg("--ports_file_dir")
            .arg(directory)
            .arg("-l")
            .arg(directory.join("log"))
            .arg("-c")
            .arg(directory.join("configuration"))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let id = process.id();
        let mut listens_since = None;
        let started = eventually("nats-server's port file", || {
            if listens_since.is_none() && std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                listens_since = Some(Instant::now());
            }
            match process.try_wait() {
                Ok(Some(_)) => Ok(None),
                _ => read_ports(directory, id).map(Some).ok_or_else(|| format!("none after {PATIENCE:?}")),
            }
        });
        match started {
            Some(ports) => {
                self.monitoring = ports["monitoring"][0].as_str().expect("a URL").replace("http://", "");
                self.process = Some(process);
                Ok(listens_since.unwrap_or_else(Instant::now))
            }
            None => Err(self.log()),
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"],…}`, in a file named after the process.
fn read_ports(directory: &Path, process: u32) -> Option<Value> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let suffix = format!("_{process}.ports");
    let file = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(&suffix))?;
    serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()
}

/// Below the ports that the kernel hands out: otherwise a client that keeps trying a dead server's port could be given that
/// very port, and connect to itself. Each is given out once.
pub fn unused_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test processes that run side by side start far apart.
        let port = (FIRST + (std::process::id() % 200 * 100 + step) % COUNT) as u16;
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return port,
            Err(error) => assert!(step < COUNT, "no port is free: {error}"),
        }
    }
}
