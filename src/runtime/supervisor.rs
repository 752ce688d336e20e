//! What systemd wants to be told of a service of `Type=notify` (sd_notify(3)): that it is ready, that it stops, and, with
//! `WatchdogSec=`, again and again that it works.
//!
//! In: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` of the environment. Out: datagrams of one line.
//! Invariant: telling never blocks and never fails the service. Where there is no such supervisor nothing is told.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::runtime::log_text::plain;

/// The state of a service, as its supervisor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has started whole.
    Ready,
    /// It works: to be told more often than the watchdog's interval.
    Working,
    /// It ends by itself from here on.
    Stopping,
}

impl State {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Working => b"WATCHDOG=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Who is told; nobody where the environment names no socket.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that started this process. One that cannot be reached is said in the log, and is not told anything.
    pub fn of_this_process() -> Supervisor {
        let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Supervisor::default();
        };
        let watchdog = watchdog_interval(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"));
        match connect(&address) {
            Ok(socket) => Supervisor { socket: Some(socket), watchdog },
            Err(error) => {
                log::warn!(
                    "NOTIFY_SOCKET cannot be reached ({}), so systemd is not told that the service is ready",
                    plain(&error)
                );
                Supervisor::default()
            }
        }
    }

    /// After so long without [`State::Working`] the supervisor takes this process for hung and ends it.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// What cannot be told is left out: it is told again, or the supervisor acts on its silence.
    pub fn tell(&self, state: State) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.line())
        {
            log::debug!("systemd could not be told {state:?}: {}", plain(&error));
        }
    }
}

/// `@` begins a name in Linux's abstract space, else it is a path.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    Ok(socket)
}

/// The watchdog's, if it is this process that it watches. 0 or no number means that there is none.
fn watchdog_interval(microseconds: Option<OsString>, process: Option<OsString>) -> Option<Duration> {
    let is_other = process.is_some_and(|process| process != *std::process::id().to_string());
    let microseconds = microseconds?.to_str()?.parse().ok().filter(|microseconds| *microseconds > 0)?;
    (!is_other).then(|| Duration::from_micros(microseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_intervals() {
        let check = |microseconds: Option<&str>, process: Option<&str>, expected: Option<u64>| {
            let interval = watchdog_interval(microseconds.map(OsString::from), process.map(OsString::from));
            assert_eq!(interval, expected.map(Duration::from_micros), "{microseconds:?} {process:?}");
        };
        let this = std::process::id().to_string();
        check(None, None, None);
        check(Some("10000000"), None, Some(10_000_000));
        check(Some("1"), Some(&this), Some(1));
        check(Some("1"), Some("1"), None);
        check(Some("1"), Some(""), None);
        for none in ["", "0", "-1", "1.5", "no", "18446744073709551616"] {
            check(Some(none), None, None);
        }
    }

    #[test]
    fn sockets_of_both_kinds_are_told() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("notify");
        let name = format!("senpai-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("it is short");
        let by_path = UnixDatagram::bind(&path).expect("the folder is new");
        let by_name = UnixDatagram::bind_addr(&abstract_address).expect("the name is this process's");
        for (address, receiver) in [(path.into_os_string(), by_path), (format!("@{name}").into(), by_name)] {
            let supervisor = Supervisor { socket: Some(connect(&address).expect("it is bound")), watchdog: None };
            for state in [State::Ready, State::Working, State::Stopping] {
                supervisor.tell(state);
                let mut line = [0; 64];
                let length = receiver.recv(&mut line).expect("a datagram");
                assert_eq!(&line[..length], state.line());
            }
        }
    }

    #[test]
    fn one_that_does_not_listen_is_no_trouble() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).expect("the folder is new");
        let supervisor = Supervisor { socket: Some(connect(path.as_os_str()).expect("it is bound")), watchdog: None };
        // It reads nothing: its queue is full long before this.
        for _ in 0..10_000 {
            supervisor.tell(State::Working);
        }
        drop(receiver);
        supervisor.tell(State::Stopping);
        assert!(connect(OsStr::new("/no such folder/notify")).is_err());
        Supervisor::default().tell(State::Ready);
    }
}
