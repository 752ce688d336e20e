//! What the log says of a shard's NATS connections, which servers and networks can end as often as they like.
//!
//! Lines are rationed by their kind and all together, so that no server and no number of servers gives more than
//! [`LINES_A_MINUTE_MAX`] of them: the first of a kind comes at once, the same again is a reminder, and each line says how
//! many it stands for. A kind is what an operator would call the same trouble, not the same text.
//!
//! The log ends with how things are: what was held back of the newest state is said once it has lasted
//! ([`handle_time`](ConnectionLog::handle_time)).

use std::collections::HashMap;
use std::fmt::Display;

use log::Level;
use proto_nats::{ServerAddress, ServerInfo};

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::error::{ServerTrouble, TroubleKind};
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_text::printable;

/// What stays as it is is worth a warning this often.
const REMINDER_NS: u64 = 60 * NANOS_PER_SECOND as u64;
/// Lines of one kind that may come one after another: of several servers, of several ends; then one in each
/// [`REMINDER_NS`].
const KIND_BURST: u32 = 3;
/// The same for all kinds together.
const BURST: u32 = 8;
const EARNED_NS: u64 = 6 * NANOS_PER_SECOND as u64;
/// What these come to.
const LINES_A_MINUTE_MAX: u64 = BURST as u64 + 60 * NANOS_PER_SECOND as u64 / EARNED_NS;
const _: () = assert!(LINES_A_MINUTE_MAX < 20);
/// A state that has lasted for so long is said, whatever has been said of its kind before.
const LASTING_NS: u64 = 2 * NANOS_PER_SECOND as u64;

/// One for all connections of a shard. Times are ns of the shard's clock.
pub struct ConnectionLog {
    core: u32,
    kinds: HashMap<Kind, Said>,
    all: LogLimit,
    /// How things are since when, and how they are in the log.
    state: State,
    since_ns: u64,
    logged: State,
    /// What would say so.
    held_back: Option<Line>,
    complaints: LogLimit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotConnected,
    /// So many subscriptions are refused.
    Connected {
        refused: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Trouble(TroubleKind),
    Connected,
    Refused,
    LameDuck,
    NoOtherServer,
    Left,
    Untrusted,
}

/// What the log has of a kind.
struct Said {
    limit: LogLimit,
    /// The server of the last line, since the last good connection: the same again is a reminder.
    server: Option<String>,
}

struct Line {
    kind: Kind,
    level: Level,
    server: String,
    cause: Option<String>,
    text: String,
}

impl ConnectionLog {
    /// `core` is named in every line.
    pub fn new(core: u32) -> ConnectionLog {
        ConnectionLog {
            core,
            kinds: HashMap::new(),
            all: LogLimit::new(BURST, EARNED_NS),
            state: State::NotConnected,
            since_ns: 0,
            logged: State::NotConnected,
            held_back: None,
            complaints: LogLimit::default(),
        }
    }

    /// Why the connection has ended.
    pub fn ended(&mut self, about: &ServerTrouble, now_ns: u64) {
        self.enter(State::NotConnected, Line::of_trouble(about), now_ns);
    }

    /// Why an attempt has ended; there may be a connection all the while.
    pub fn trouble(&mut self, about: &ServerTrouble, now_ns: u64) {
        match self.state {
            State::NotConnected => self.ended(about, now_ns),
            State::Connected { .. } => self.offer(Line::of_trouble(about), now_ns),
        }
    }

    /// All is well, or `refused` says what is not. The next trouble is news, whatever it is.
    pub fn connected(
        &mut self,
        server: &ServerAddress,
        info: &ServerInfo,
        is_secured: bool,
        refused: Option<&ServerTrouble>,
        now_ns: u64,
    ) {
        let (core, server) = (self.core, server.endpoint());
        self.kinds.values_mut().for_each(|said| said.server = None);
        let how = if is_secured { " through TLS" } else { "" };
        let (name, version) = (printable(&info.server_name), printable(&info.version));
        let text = format!("connected to NATS {server}{how} (server {name} {version}), core {core}");
        let line = Line { kind: Kind::Connected, level: Level::Info, server, cause: None, text };
        self.enter(State::Connected { refused: 0 }, line, now_ns);
        if let Some(refused) = refused {
            self.refused(refused, now_ns);
        }
    }

    /// The server refuses subscriptions: `about` names them, those that were said before as well.
    pub fn refused(&mut self, about: &ServerTrouble, now_ns: u64) {
        let line = Line {
            kind: Kind::Refused,
            level: Level::Error,
            server: about.server.endpoint(),
            cause: None,
            text: about.to_string(),
        };
        self.enter(State::Connected { refused: about.trouble.refused_count() }, line, now_ns);
    }

    /// Time passes: what was held back may be due.
    pub fn handle_time(&mut self, now_ns: u64) {
        if self.next_deadline().is_some_and(|due_ns| due_ns <= now_ns)
            && let Some(line) = self.held_back.take()
        {
            self.logged = self.state;
            self.say(&line, now_ns);
        }
    }

    /// When [`handle_time`](Self::handle_time) has something to say.
    pub fn next_deadline(&self) -> Option<u64> {
        self.held_back.as_ref().map(|_| (self.since_ns + LASTING_NS).max(self.all.next_line_ns()))
    }

    /// What the server has brought about: it may do so as often as it likes.
    pub fn complaint(&self, text: impl Display, now_ns: u64) {
        if let Some(count) = self.complaints.count(now_ns) {
            let core = self.core;
            log::warn!(core, count; "{text}{count}");
        }
    }

    /// The server has said that it shuts down.
    pub fn lame_duck(&mut self, server: &ServerAddress, now_ns: u64) {
        let text = "the NATS server is about to shut down (lame duck): looking for another one".to_owned();
        self.offer(
            Line { kind: Kind::LameDuck, level: Level::Warn, server: server.endpoint(), cause: None, text },
            now_ns,
        );
    }

    /// While it looks, and finds none.
    pub fn no_other_server(&mut self, server: &ServerAddress, now_ns: u64) {
        let text = "no other NATS server can be reached: staying with this one for as long as it is there".to_owned();
        let (kind, server) = (Kind::NoOtherServer, server.endpoint());
        self.offer(Line { kind, level: Level::Warn, server, cause: None, text }, now_ns);
    }

    /// The lame duck is drained, and another server serves.
    pub fn left(&mut self, server: &ServerAddress, now_ns: u64) {
        let server = server.endpoint();
        let text = format!("left NATS {server}, which is about to shut down");
        self.offer(Line { kind: Kind::Left, level: Level::Info, server, cause: None, text }, now_ns);
    }

    /// Advertised servers that are not used.
    pub fn untrusted(&mut self, server: &ServerAddress, count: usize, now_ns: u64) {
        let server = server.endpoint();
        let text = format!(
            "NATS {server} advertises {count} servers of other networks, which are not used: the credentials would go \
             there in clear text; use tls://, or name them in NATS_URL"
        );
        self.offer(Line { kind: Kind::Untrusted, level: Level::Warn, server, cause: None, text }, now_ns);
    }

    /// A stop's drain has ended with the connection: what the server had not sent by then is lost, and what it had not taken.
    pub fn drain_cut_short(&self, about: &ServerTrouble) {
        let (core, server) = (self.core, about.server.endpoint());
        let cause = &*about.trouble.to_string();
        log::warn!(core, server:%, cause; "{about}; the drain was cut short, and events may be lost");
    }

    /// The time for the drain is up, at a stop or where a lame duck is left.
    pub fn unconfirmed_drain(&self, server: &ServerAddress) {
        let (core, server) = (self.core, server.endpoint());
        log::warn!(core, server:%; "NATS {server} did not confirm the drain in time; events that it had not sent are lost");
    }

    /// `line` says how things are from now on. Where it may not be said and the log says otherwise, it waits for its time.
    fn enter(&mut self, state: State, line: Line, now_ns: u64) {
        if self.state != state {
            (self.state, self.since_ns) = (state, now_ns);
        }
        self.held_back = None;
        if self.may_say(&line, now_ns) {
            self.logged = state;
            self.say(&line, now_ns);
        } else if self.logged != state {
            self.held_back = Some(line);
            self.handle_time(now_ns);
        }
    }

    /// Says a line where its limits allow it.
    fn offer(&mut self, line: Line, now_ns: u64) {
        if self.may_say(&line, now_ns) {
            self.say(&line, now_ns);
        }
    }

    fn may_say(&mut self, line: &Line, now_ns: u64) -> bool {
        let said = self.kinds.entry(line.kind).or_insert_with(Said::new);
        said.limit.note();
        let interval_ns = if said.server.as_ref() == Some(&line.server) { REMINDER_NS } else { 0 };
        let may_say = said.limit.has_line(now_ns, interval_ns) && self.all.has_line(now_ns, 0);
        if !may_say {
            let (core, server, text) = (self.core, &line.server, &line.text);
            log::debug!(core, server:%; "{text}");
        }
        may_say
    }

    fn say(&mut self, line: &Line, now_ns: u64) {
        let Line { kind, level, server, cause, text } = line;
        let said = self.kinds.entry(*kind).or_insert_with(Said::new);
        said.server = Some(server.clone());
        self.all.take(now_ns);
        let count = said.limit.take(now_ns);
        let (core, cause) = (self.core, cause.as_deref());
        match level {
            Level::Error => log::error!(core, server:%, cause, count; "{text}{count}"),
            Level::Info => log::info!(core, server:%, cause, count; "{text}{count}"),
            _ => log::warn!(core, server:%, cause, count; "{text}{count}"),
        }
    }
}

impl Line {
    fn of_trouble(about: &ServerTrouble) -> Line {
        Line {
            kind: Kind::Trouble(about.trouble.kind()),
            level: Level::Warn,
            server: about.server.endpoint(),
            cause: Some(about.trouble.to_string()),
            text: format!("{about}; trying again"),
        }
    }
}

impl Said {
    fn new() -> Said {
        Said { limit: LogLimit::new(KIND_BURST, REMINDER_NS), server: None }
    }
}

#[cfg(test)]
mod tests;
