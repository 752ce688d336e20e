//! A real nats-server on a loopback port of its own, gone when its guard is.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, eventually, http};

pub struct NatsServer {
    process: Option<Child>,
    port: u16,
    monitoring: String,
    arguments: Vec<String>,
    /// Its log and its port files.
    directory: TempDir,
}

impl NatsServer {
    pub fn start() -> NatsServer {
        NatsServer::start_with(&[])
    }

    /// With more arguments than those that say where it listens, which have the last word.
    pub fn start_with(arguments: &[&str]) -> NatsServer {
        // A port can be taken between being chosen and being used; then the server ends and the next one is tried.
        for _ in 0..20 {
            let mut server = NatsServer::stopped();
            server.arguments = arguments.iter().map(|argument| argument.to_string()).collect();
            if server.try_start().is_ok() {
                return server;
            }
        }
        panic!("nats-server does not start on any of 20 ports; {} says why", binary().display());
    }

    /// One that has a port and does not run yet.
    pub fn stopped() -> NatsServer {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        NatsServer { process: None, port: unused_port(), monitoring: String::new(), arguments: Vec::new(), directory }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// As it dies in an accident: SIGKILL, no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// On the same port, from when on it listens.
    pub fn start_again(&mut self) {
        self.try_start().unwrap_or_else(|log| panic!("nats-server on port {}: {log}", self.port));
    }

    /// The subscriptions of the client named `name`, sorted; from the server's own monitoring.
    pub fn subscriptions_of(&self, name: &str) -> Vec<String> {
        let (status, body) = http::get(&self.monitoring, "/connz?subs=1");
        assert_eq!(status, 200, "{body}");
        let report: Value = serde_json::from_str(&body).expect("JSON");
        let connections = report["connections"].as_array().expect("a list").iter();
        let of_name = connections.filter(|connection| connection["name"] == name);
        let mut subjects: Vec<String> = of_name
            .flat_map(|connection| connection["subscriptions_list"].as_array().cloned().unwrap_or_default())
            .map(|subject| subject.as_str().expect("a subject").to_owned())
            .collect();
        subjects.sort();
        subjects
    }

    /// The server writes the file with its ports when it listens on them. An error is its log.
    fn try_start(&mut self) -> Result<(), String> {
        assert!(self.process.is_none(), "one at a time");
        let directory = self.directory.path();
        let log = directory.join("log");
        let mut process = Command::new(binary())
            .args(&self.arguments)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-m", "-1"])
            .arg("--ports_file_dir")
            .arg(directory)
            .arg("-l")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let id = process.id();
        let started = eventually("nats-server's port file", || match process.try_wait() {
            Ok(Some(_)) => Ok(None),
            _ => read_ports(directory, id).map(Some).ok_or_else(|| format!("none after {PATIENCE:?}")),
        });
        match started {
            Some(ports) => {
                self.monitoring = ports["monitoring"][0].as_str().expect("a URL").replace("http://", "");
                self.process = Some(process);
                Ok(())
            }
            None => Err(std::fs::read_to_string(log).unwrap_or_default()),
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
fn unused_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Test processes that run side by side start far apart.
        let port = FIRST + ((std::process::id() as u16 % 200) * 100 + step) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The script is the one place that knows where a nats-server may be.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/nats-server.sh");
        let found = Command::new(script).arg("--find").stderr(Stdio::inherit()).output().expect("the script runs");
        assert!(found.status.success(), "there is no nats-server: run scripts/nats-server.sh");
        PathBuf::from(String::from_utf8(found.stdout).expect("a path").trim())
    })
}
