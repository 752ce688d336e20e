//! `check`: whether the service would work here. A line for each thing that was looked at, on standard output:
//!
//! ```text
//!   ok    NATS: connected to 127.0.0.1:4222 (server n1 2.11.1)
//!   warn  events: none came on md.events.> within 5 s: does the producer run, and publish to this server?
//!   fail  HTTP: HTTP_PORT 8892 on 127.0.0.1 is taken by another process: stop that one, or set another HTTP_PORT
//! ```
//!
//! What is looked at are the service's own steps (the kernel's limits, the port, the session with NATS, `Service::start`), so
//! that the two cannot differ. What needs something that has failed already is not looked at, so that each cause is one line.
//! Nothing is left behind, and nothing is published (`check/nats.rs` says how permissions are found out).

mod health;
mod jetstream;
mod nats;

use std::io::{self, Write};

use crate::commands::run::{Service, worker_settings};
use crate::config::{HttpArgs, Notes, Settings};
use crate::http::listen_error::ListenError;
use crate::http::server::{HttpLimits, HttpServer};
use crate::nats::credentials::Access;
use crate::runtime::kernel;
use crate::runtime::log_text::plain;

pub use health::health;

/// Width of a setting's name in `--print`.
const NAME_WIDTH: usize = 30;

/// Looks at everything; says whether nothing has failed. The error is that standard output takes no more.
pub fn check(settings: Settings, notes: &Notes, out: impl Write) -> Result<bool, String> {
    let mut lines = Lines { out, has_failed: false };
    lines.run(settings, notes).map_err(writing)?;
    Ok(!lines.has_failed)
}

/// The settings themselves are refused: nothing else can be looked at.
pub fn refused_settings(line: &str, out: impl Write) -> Result<(), String> {
    let mut lines = Lines { out, has_failed: false };
    lines.say(Level::Fail, "settings", line).map_err(writing)
}

/// Every setting in force, its value (masked where it may be a secret) and where that is from.
pub fn print(notes: &Notes, mut out: impl Write) -> Result<(), String> {
    let written = notes.settings.iter().try_for_each(|setting| {
        let value = setting.value.as_deref().unwrap_or("-");
        writeln!(out, "{:<NAME_WIDTH$} {value} (from {})", setting.name, setting.from)
    });
    written.and_then(|()| out.flush()).map_err(writing)
}

fn writing(error: io::Error) -> String {
    format!("cannot write the report: {}", plain(&error))
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// The report, line by line as things are found out.
struct Lines<W> {
    out: W,
    has_failed: bool,
}

impl<W: Write> Lines<W> {
    fn say(&mut self, level: Level, what: &str, found: &str) -> io::Result<()> {
        self.has_failed |= level == Level::Fail;
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        writeln!(self.out, "{level:<5} {what}: {found}")?;
        self.out.flush()
    }

    /// Says what came of a step; whether it was well.
    fn judge<T, E: ToString>(&mut self, what: &str, found: &str, step: Result<T, E>) -> io::Result<bool> {
        match &step {
            Ok(_) => self.say(Level::Ok, what, found)?,
            Err(error) => self.say(Level::Fail, what, &error.to_string())?,
        }
        Ok(step.is_ok())
    }

    fn run(&mut self, settings: Settings, notes: &Notes) -> io::Result<()> {
        for warning in &notes.warnings {
            self.say(Level::Warn, "settings", warning)?;
        }
        let changed = notes.settings.iter().filter(|setting| setting.is_changed).count();
        self.say(Level::Ok, "settings", &format!("{changed} differ from their defaults (check --print shows all)"))?;

        let cores = settings.cores.cores;
        let is_granted = self.kernel(cores)?;
        let has_address = self.http(&settings.http)?;
        let access = match Access::new(settings.nats) {
            Ok(access) => access,
            Err(error) => return self.say(Level::Fail, "NATS", &error.to_string()),
        };
        let jetstream = Some(&settings.jetstream).filter(|jetstream| jetstream.use_jetstream);
        let shards = worker_settings(access, jetstream, &settings.subjects, &settings.cores, &settings.engine);
        if nats::look(self, &shards, &settings.subjects)? {
            jetstream::look(self, &shards)?;
        }

        // The last, as signals do what they do in the service from here on.
        if is_granted && has_address {
            let found = format!("memory, threads and rings are there for CORES {cores}");
            let anywhere = HttpArgs { http_port: 0, ..settings.http };
            self.judge("start", &found, Service::start(shards, &anywhere))?;
        }
        Ok(())
    }

    /// What the kernel must grant; whether it does.
    fn kernel(&mut self, cores: usize) -> io::Result<bool> {
        let connections = HttpLimits::default().connections;
        let has_files = self.judge("open files", "the limit suffices", kernel::grant_files(cores, connections))?;
        let has_memory = self.judge("locked memory", "the limit suffices", kernel::grant_locked_memory(cores))?;
        // Without locked memory that fails as well, for the same reason.
        let has_ring = has_memory && self.judge("io_uring", "may be used", kernel::probe_io_uring(cores))?;
        Ok(has_files && has_ring)
    }

    /// The port; whether the host is one to listen on.
    fn http(&mut self, http: &HttpArgs) -> io::Result<bool> {
        match HttpServer::bind(&http.http_host, http.http_port) {
            Ok(server) => self.say(Level::Ok, "HTTP", &format!("{} is free", server.local_addr()))?,
            Err(error @ ListenError::Taken { .. }) => match health(http) {
                Ok(address) => {
                    let found = format!(
                        "the service runs already, http://{address}/health answers: a second one needs another HTTP_PORT"
                    );
                    self.say(Level::Warn, "HTTP", &found)?;
                }
                Err(_) => self.say(Level::Fail, "HTTP", &error.to_string())?,
            },
            Err(error @ ListenError::NotAllowed { .. }) => self.say(Level::Fail, "HTTP", &error.to_string())?,
            Err(error) => {
                self.say(Level::Fail, "HTTP", &error.to_string())?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}
