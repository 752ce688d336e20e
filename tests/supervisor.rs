//! The service as systemd's `Type=notify` with a watchdog sees it: what it says on `NOTIFY_SOCKET`, and when.

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use support::service::command;
use support::{PATIENCE, send_signal};
use tempfile::TempDir;

/// A service without NATS that is told of a supervisor; it is gone when this is.
struct Supervised {
    process: Child,
    socket: UnixDatagram,
    _directory: TempDir,
}

impl Supervised {
    fn start(environment: &[(&str, &str)]) -> Supervised {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("the directory is new");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let process = command(&directory)
            .args(["run", "--http-port", "0", "--nats-url", "nats://127.0.0.1:1", "--cores", "2"])
            .env("NOTIFY_SOCKET", &path)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Supervised { process, socket, _directory: directory }
    }

    fn told(&self) -> String {
        let mut line = [0; 64];
        let length = self.socket.recv(&mut line).expect("the supervisor is told something");
        String::from_utf8(line[..length].to_vec()).expect("text")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn ready_working_stopping() {
    let mut supervised = Supervised::start(&[("WATCHDOG_USEC", "200000")]);
    assert_eq!(supervised.told(), "READY=1");
    for _ in 0..5 {
        assert_eq!(supervised.told(), "WATCHDOG=1");
    }
    send_signal(&supervised.process, "TERM");
    let after = std::iter::repeat_with(|| supervised.told()).find(|line| line != "WATCHDOG=1");
    assert_eq!(after.as_deref(), Some("STOPPING=1"));
    assert!(supervised.process.wait().expect("it ends").success());
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    for environment in [&[][..], &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]] {
        let supervised = Supervised::start(environment);
        assert_eq!(supervised.told(), "READY=1");
        send_signal(&supervised.process, "TERM");
        assert_eq!(supervised.told(), "STOPPING=1");
    }
}
