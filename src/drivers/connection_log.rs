//! What the log says of a shard's NATS connections. Servers and networks can end them as often as they like, so each kind
//! of line has its limit, over all connections, and says how many it stands for.

use std::collections::HashMap;
use std::fmt::Display;

use proto_nats::ServerAddress;
use proto_nats::pool::SERVERS_MAX;

use super::log_limit::LogLimit;

/// What stays as it is is worth a warning this often.
const REMINDER_NS: u64 = 60_000_000_000;

/// One for all connections of a shard. Times are ns of the shard's clock.
#[derive(Default)]
pub struct ConnectionLog {
    core: u32,
    /// By server: the last trouble that was said since the last good connection.
    troubles: HashMap<String, (String, LogLimit)>,
    connected: LogLimit,
    refused: LogLimit,
    lame_duck: LogLimit,
    no_refuge: LogLimit,
    unconfirmed: LogLimit,
}

impl ConnectionLog {
    pub fn new(core: u32) -> ConnectionLog {
        ConnectionLog { core, ..ConnectionLog::default() }
    }

    /// Why an attempt, or a connection, has ended; gives the text back with the server in front. The same again is for the
    /// debug log. Another one is news at once: attempts at one server are a second apart before long, see `ServerPool`.
    pub fn trouble(&mut self, server: &ServerAddress, cause: &str, now_ns: u64) -> String {
        let (core, server) = (self.core, server.endpoint());
        let trouble = format!("NATS {server}: {cause}");
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
        trouble
    }

    /// All is well, or `refused` says what is not. The next trouble is news, whatever it is.
    pub fn connected(&mut self, server: &ServerAddress, about: impl Display, refused: Option<&str>, now_ns: u64) {
        let (core, server) = (self.core, server.endpoint());
        self.troubles.values_mut().for_each(|(known, _)| known.clear());
        if let Some(refused) = refused
            && let Some(count) = self.refused.count(now_ns)
        {
            log::error!(core, server:%, count; "{refused}{count}");
        }
        if let Some(count) = self.connected.count(now_ns) {
            log::info!(core, server:%, count; "connected to NATS {server}{about}, core {core}{count}");
        }
    }

    pub fn lame_duck(&self, server: &ServerAddress, now_ns: u64) {
        if let Some(count) = self.lame_duck.count(now_ns) {
            let (core, server) = (self.core, server.endpoint());
            log::warn!(
                core, server:%, count;
                "the NATS server is about to shut down (lame duck): looking for another one{count}"
            );
        }
    }

    pub fn no_refuge(&self, server: &ServerAddress, now_ns: u64) {
        if let Some(count) = self.no_refuge.count_within(now_ns, REMINDER_NS) {
            let (core, server) = (self.core, server.endpoint());
            log::warn!(
                core, server:%, count;
                "no other NATS server can be reached: staying with this one for as long as it is there{count}"
            );
        }
    }

    pub fn unconfirmed_drain(&self, server: &ServerAddress, now_ns: u64) {
        if let Some(count) = self.unconfirmed.count(now_ns) {
            let (core, server) = (self.core, server.endpoint());
            log::warn!(core, server:%, count; "NATS did not confirm the drain in time{count}");
        }
    }
}
