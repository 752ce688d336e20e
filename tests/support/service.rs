//! The service's own binary, as a process with an empty environment and directory, gone when its guard is.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::nats_server::unused_port;
use super::{eventually, holds, http, send_signal};

pub struct Service {
    process: Child,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
    _directory: TempDir,
}

/// The binary, with nothing of this process's environment, in a directory without `.env`.
pub fn command(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    command.env_clear().current_dir(directory.path()).stdin(Stdio::null());
    command
}

impl Service {
    /// Returns when it listens on HTTP; NATS may be connected or not.
    pub fn start(nats_url: &str, flags: &[&str]) -> Service {
        Service::start_on(0, nats_url, flags)
    }

    /// As [`start`](Self::start), on this port; 0: on one that is free.
    pub fn start_on(port: u16, nats_url: &str, flags: &[&str]) -> Service {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let mut process = command(&directory)
            .args(["run", "--http-port", &port.to_string(), "--nats-url", nats_url])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let written = log.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line)));
        let mut service = Service { process, address: String::new(), log, _directory: directory };
        service.address = eventually("the service's HTTP address", || {
            if let Ok(Some(status)) = service.process.try_wait() {
                panic!("the service has ended at once, {status}:\n{}", service.log());
            }
            let log = service.log.lock().unwrap();
            // As text, or in an object.
            let end = |after: &str| after.find('"').unwrap_or(after.len());
            let after = log.iter().find_map(|line| line.split_once("HTTP on http://").map(|(_, after)| after.trim()));
            let address = after.map(|after| &after[..end(after)]);
            address.map(str::to_owned).ok_or_else(|| "no such line in the log".to_owned())
        });
        service
    }

    /// As [`start`](Self::start), with a standard error of the caller's: the log is not read here.
    pub fn start_with_stderr(nats_url: &str, flags: &[&str], stderr: impl Into<Stdio>) -> Service {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let port = unused_port();
        let process = command(&directory)
            .args(["run", "--http-port", &port.to_string(), "--nats-url", nats_url])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        let address = format!("127.0.0.1:{port}");
        let mut service = Service { process, address, log: Arc::default(), _directory: directory };
        eventually("the service's /health", || {
            if let Ok(Some(status)) = service.process.try_wait() {
                panic!("the service has ended at once, {status}");
            }
            http::try_get(&service.address, "/health").map(drop).map_err(|error| error.to_string())
        });
        service
    }

    /// As [`start`](Self::start), and connected and subscribed.
    pub fn start_ready(nats_url: &str, flags: &[&str]) -> Service {
        let service = Service::start(nats_url, flags);
        service.wait_ready();
        service
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn wait_ready(&self) {
        eventually("/ready", || {
            let (status, body) = self.get("/ready");
            holds(status == 200, body)
        });
    }

    pub fn get(&self, target: &str) -> (u16, String) {
        http::get(&self.address, target)
    }

    /// A document that must be there.
    pub fn document(&self, target: &str) -> Value {
        let (status, body) = self.get(target);
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{target}: {error}: {body}"))
    }

    pub fn stats(&self) -> Value {
        self.document("/stats")
    }

    /// Until this many events have come in, whatever became of them; then no more must.
    pub fn wait_events_in(&self, count: usize) -> Value {
        eventually("events_in", || {
            let stats = self.stats();
            holds(stats["events_in"].as_u64() >= Some(count as u64), format!("of {count}: {}", stats["events_in"]))
                .map(|()| stats)
        })
    }

    /// A sample of /metrics; 0 when it is not there, as Prometheus's `or vector(0)` would have it.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let mut wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        wanted.sort();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        for (series, value) in samples {
            let (series_name, rest) = series.split_once('{').unwrap_or((series, "}"));
            let mut found: Vec<&str> =
                rest.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).collect();
            found.sort();
            if series_name == name && found == wanted {
                return value.parse().unwrap_or_else(|_| panic!("no number: {series} {value}"));
            }
        }
        0.0
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// SIGTERM, and how and how soon it ended.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        send_signal(&self.process, "TERM");
        let status = eventually("the service's end", || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err("it runs on".to_owned()),
        });
        (status, start.elapsed())
    }

    pub fn signal(&self, name: &str) {
        send_signal(&self.process, name);
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the service's threads:\n{}", threads_of(self.process.id()));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            let (earlier, last) = log.split_at(log.len().saturating_sub(100));
            eprintln!("the service's log, {} earlier lines left out:\n{}", earlier.len(), last.join("\n"));
        }
    }
}

/// Name, state and what it waits for, of each: where a process hangs that answers no more.
fn threads_of(process: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let figure = |task: &std::fs::DirEntry, name: &str| {
        std::fs::read_to_string(task.path().join(name)).unwrap_or_default().trim().to_owned()
    };
    let lines = tasks.map(|task| {
        let stat = figure(&task, "stat");
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().next()).unwrap_or("?");
        format!("{} {state} {} {}\n", figure(&task, "comm"), figure(&task, "wchan"), figure(&task, "syscall"))
    });
    lines.collect()
}
