//! What the log says of a shard's NATS connections, which servers and networks can end as often as they like.
//!
//! That one has begun, or has ended, is always said, so that the last line is how things stand. There are few such lines:
//! one of each kind a connection, and `ServerPool` sees to it that attempts at one server are soon a second apart, those
//! at servers that accept and drop us, too. What could be said more often has its limit, and says how many it stands for.

use std::collections::HashMap;
use std::fmt::Display;

use proto_nats::{ServerAddress, ServerInfo};

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::error::ServerTrouble;
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::printable;

/// What stays as it is is worth a warning this often.
/// Servers whose troubles are told apart.
const SERVERS_MAX: usize = 256;
const REMINDER_NS: u64 = 60 * NANOS_PER_SECOND as u64;

/// One for all connections of a shard. Times are ns of the shard's clock.
#[derive(Default)]
pub struct ConnectionLog {
    core: u32,
    /// By server: the last trouble that was said since the last good connection.
    troubles: HashMap<String, (String, LogLimit)>,
    no_other_server: LogLimit,
    untrusted: LogLimit,
    complaints: LogLimit,
}

impl ConnectionLog {
    /// `core` is named in every line.
    pub fn new(core: u32) -> ConnectionLog {
        ConnectionLog { core, ..ConnectionLog::default() }
    }

    /// Why an attempt, or a connection, has ended. The same again is for the debug log, but for a reminder. Another one is
    /// news at once.
    pub fn trouble(&mut self, about: &ServerTrouble, now_ns: u64) {
        let (core, server) = (self.core, about.server.endpoint());
        let cause = &*about.trouble.to_string();
        let trouble = about.to_string();
        if self.troubles.len() >= SERVERS_MAX && !self.troubles.contains_key(&server) {
            self.troubles.clear();
        }
        let (known, limit) = self.troubles.entry(server.clone()).or_default();
        let interval_ns = if *known == trouble { REMINDER_NS } else { 0 };
        match limit.count_within(now_ns, interval_ns) {
            Some(count) => {
                log::warn!(core, server:%, cause, count; "{trouble}; trying again{count}");
                known.clone_from(&trouble);
            }
            None => log::debug!(core, server:%, cause; "{trouble}; trying again"),
        }
    }

    /// All is well, or `refused` says what is not. The next trouble is news, whatever it is.
    pub fn connected(
        &mut self,
        server: &ServerAddress,
        info: &ServerInfo,
        is_secured: bool,
        refused: Option<&ServerTrouble>,
    ) {
        let (core, server) = (self.core, server.endpoint());
        self.troubles.values_mut().for_each(|(known, _)| known.clear());
        if let Some(refused) = refused {
            log::error!(core, server:%; "{refused}");
        }
        let how = if is_secured { " through TLS" } else { "" };
        let (name, version) = (printable(&info.server_name), printable(&info.version));
        log::info!(core, server:%; "connected to NATS {server}{how} (server {name} {version}), core {core}");
    }

    /// What the server has brought about, at most once a second: it may do so as often as it likes.
    pub fn complaint(&self, text: impl Display, now_ns: u64) {
        if let Some(count) = self.complaints.count(now_ns) {
            let core = self.core;
            log::warn!(core, count; "{text}{count}");
        }
    }

    /// The server has said that it shuts down.
    pub fn lame_duck(&self, server: &ServerAddress) {
        let (core, server) = (self.core, server.endpoint());
        log::warn!(core, server:%; "the NATS server is about to shut down (lame duck): looking for another one");
    }

    /// While it looks, and finds none.
    pub fn no_other_server(&self, server: &ServerAddress, now_ns: u64) {
        if let Some(count) = self.no_other_server.count_within(now_ns, REMINDER_NS) {
            let (core, server) = (self.core, server.endpoint());
            log::warn!(
                core, server:%, count;
                "no other NATS server can be reached: staying with this one for as long as it is there{count}"
            );
        }
    }

    /// The lame duck is drained, and another server serves.
    pub fn left(&self, server: &ServerAddress) {
        let (core, server) = (self.core, server.endpoint());
        log::info!(core, server:%; "left NATS {server}, which is about to shut down");
    }

    /// Advertised servers that are not used.
    pub fn untrusted(&self, server: &ServerAddress, count: usize, now_ns: u64) {
        if let Some(lines) = self.untrusted.count_within(now_ns, REMINDER_NS) {
            let (core, server) = (self.core, server.endpoint());
            log::warn!(
                core, server:%, servers = count;
                "NATS {server} advertises {count} servers of other networks, which are not used: the credentials would go \
                 there in clear text; use tls://, or name them in NATS_URL{lines}"
            );
        }
    }

    /// A stop's drain has ended with the connection: what the server had not sent by then is lost, and what it had not taken.
    pub fn drain_cut_short(&self, about: &ServerTrouble) {
        let (core, server) = (self.core, about.server.endpoint());
        let cause = &*about.trouble.to_string();
        log::warn!(core, server:%, cause; "{about}; the drain was cut short, and events may be lost");
    }

    /// At a stop, after the time for the drain is up.
    pub fn unconfirmed_drain(&self, server: &ServerAddress) {
        let (core, server) = (self.core, server.endpoint());
        log::warn!(core, server:%; "NATS did not confirm the drain in time");
    }
}
