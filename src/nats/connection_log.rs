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

    /// At a stop, after the time for the drain is up.
    pub fn unconfirmed_drain(&self, server: &ServerAddress) {
        let (core, server) = (self.core, server.endpoint());
        log::warn!(core, server:%; "NATS did not confirm the drain in time");
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
mod tests {
    use super::*;
    use crate::nats::error::{ConnectError, Trouble};
    use proto_nats::{ConnectionState, Reason, ServerError};
    use std::cell::RefCell;

    const SECOND: u64 = NANOS_PER_SECOND as u64;
    const MINUTE: u64 = 60 * SECOND;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    struct Capture;

    impl log::Log for Capture {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
        }

        fn flush(&self) {}
    }

    /// A log, and what it has said when.
    struct Simulated {
        log: ConnectionLog,
        now_ns: u64,
        lines: Vec<(u64, String)>,
    }

    impl Simulated {
        fn new() -> Simulated {
            // The only one in this process that sets it.
            let _ = log::set_logger(&Capture);
            log::set_max_level(log::LevelFilter::Info);
            Simulated { log: ConnectionLog::new(0), now_ns: 0, lines: Vec::new() }
        }

        fn collect(&mut self) {
            self.lines.extend(LINES.take().into_iter().map(|line| (self.now_ns, line)));
        }

        /// The end of an attempt, or of the connection.
        fn trouble(&mut self, server: &str, trouble: Trouble) -> &mut Self {
            let server = ServerAddress::parse(server).expect("an address");
            self.log.ended(&ServerTrouble { server, trouble }, self.now_ns);
            self.collect();
            self
        }

        /// An attempt that fails, whatever the connection does.
        fn attempt(&mut self, server: &str, trouble: Trouble) -> &mut Self {
            let server = ServerAddress::parse(server).expect("an address");
            self.log.trouble(&ServerTrouble { server, trouble }, self.now_ns);
            self.collect();
            self
        }

        fn connected(&mut self) -> &mut Self {
            let server = ServerAddress::parse("a").expect("an address");
            self.log.connected(&server, &ServerInfo::default(), false, None, self.now_ns);
            self.collect();
            self
        }

        /// Time passes, as the loop lets it.
        fn pass(&mut self, duration_ns: u64) -> &mut Self {
            let end_ns = self.now_ns + duration_ns;
            while let Some(due_ns) = self.log.next_deadline()
                && due_ns <= end_ns
            {
                self.now_ns = due_ns.max(self.now_ns);
                self.log.handle_time(self.now_ns);
                self.collect();
            }
            self.now_ns = end_ns;
            self
        }

        fn said(&mut self, expected: &[&str]) -> &mut Self {
            let said = std::mem::take(&mut self.lines);
            let is_as_expected =
                said.len() == expected.len() && said.iter().zip(expected).all(|((_, line), part)| line.contains(part));
            assert!(is_as_expected, "{said:#?}\nare not {expected:#?}");
            self
        }

        /// Whatever happened, in no minute there were too many lines.
        fn check_rate(&self) -> &Self {
            for (start, _) in &self.lines {
                let count = self.lines.iter().filter(|(at, _)| (*start..start + MINUTE).contains(at)).count() as u64;
                assert!(count <= LINES_A_MINUTE_MAX, "{count} lines in a minute: {:#?}", self.lines);
            }
            self
        }

        fn check_last(&self, part: &str) {
            let (_, last) = self.lines.last().expect("something was said");
            assert!(last.contains(part), "{last}");
        }
    }

    fn refused() -> Trouble {
        Trouble::Connect(ConnectError::Refused)
    }

    fn closed() -> Trouble {
        Trouble::Ended(Reason::Closed { after: None, was_behind: false })
    }

    #[test]
    fn what_is_new_is_said_at_once_and_what_stays_once_a_minute() {
        let mut simulated = Simulated::new();
        simulated.trouble("a", refused()).said(&["NATS a:4222: connection refused"]);
        // Another server, another trouble.
        simulated.trouble("b", refused()).said(&["NATS b:4222: connection refused"]);
        simulated.trouble("b", closed()).said(&["the server closed the connection"]);
        for _ in 0..59 {
            simulated.pass(SECOND).trouble("b", refused());
        }
        simulated.said(&[]).pass(SECOND).trouble("b", refused());
        simulated.said(&["connection refused: is nats-server running there?; trying again (and 59 more"]);
        simulated.pass(SECOND).connected().said(&["connected to NATS a:4222"]);
        // After a good connection the same is news.
        simulated.pass(10 * MINUTE).trouble("b", refused()).said(&["refused"]);
        simulated.pass(SECOND).connected().said(&["connected to NATS a:4222"]);
    }

    #[test]
    fn a_server_that_lets_it_in_and_hangs_up() {
        for stays_connected in [true, false] {
            let mut simulated = Simulated::new();
            for _ in 0..3_000 {
                simulated.connected().trouble("a", closed()).pass(100 * SECOND / 1_000);
            }
            assert!(simulated.lines[1].0 == 0, "the first of both are said at once");
            let count = simulated.lines.len();
            if stays_connected {
                simulated.connected();
            }
            simulated.pass(10 * SECOND).check_rate();
            simulated.check_last(if stays_connected { "connected to NATS a" } else { "closed the connection" });
            assert!(simulated.lines.len() <= count + 1, "how things are is said once");
            // Most of them stand in a line.
            let counted = simulated.lines.iter().filter(|(_, line)| line.contains("more since the last such")).count();
            assert!(counted > 4, "{:#?}", simulated.lines);
        }
    }

    /// While a connection serves, or none does: how things are stays as it was.
    #[test]
    fn an_attempt_changes_nothing() {
        let mut simulated = Simulated::new();
        simulated.attempt("b", refused()).said(&["NATS b:4222"]);
        simulated.connected().said(&["connected to NATS a"]);
        for _ in 0..100 {
            simulated.attempt("b", refused()).attempt("c", refused()).pass(SECOND / 10);
        }
        assert_eq!(simulated.lines.len(), 2, "{:#?}", simulated.lines);
        simulated.lines.clear();
        simulated.pass(MINUTE).said(&[]);
        simulated.trouble("a", closed()).said(&["closed the connection"]);
    }

    #[test]
    fn troubles_in_turn() {
        let state = ConnectionState::AwaitPong;
        let kinds: [&dyn Fn() -> Trouble; 9] = [
            &|| Trouble::Ended(Reason::ClosedBeforeInfo { secured: true }),
            &|| Trouble::Ended(Reason::DataBeforeTls),
            &refused,
            &closed,
            &|| Trouble::Ended(Reason::HandshakeTimeout { state }),
            &|| Trouble::Ended(Reason::UnaskedMessage),
            &|| Trouble::Ended(Reason::Closed { after: Some(ServerError::StaleConnection), was_behind: false }),
            &|| Trouble::Ended(Reason::Closed { after: None, was_behind: true }),
            &|| Trouble::ConnectTooSlow { seconds: 15 },
        ];
        for count in [2, kinds.len()] {
            let mut simulated = Simulated::new();
            for turn in 0..600 {
                simulated.trouble("a", kinds[turn % count]()).pass(SECOND / 2);
            }
            assert!(simulated.lines.len() >= count, "each is said");
            simulated.check_rate();
        }
    }

    #[test]
    fn servers_without_end_hide_no_other_trouble() {
        let mut simulated = Simulated::new();
        for number in 0..20_000 {
            let trouble = Trouble::Connect(ConnectError::NoAnswer { seconds: 2 });
            simulated.trouble(&format!("10.0.{}.{}", number / 250, number % 250), trouble).pass(SECOND / 1_000);
        }
        assert_eq!(simulated.check_rate().lines.len(), 3);
        simulated.lines.clear();
        let refused = Reason::Refused { error: ServerError::AuthorizationViolation, with_credentials: true };
        simulated.trouble("a", Trouble::Ended(refused)).said(&["refused the login"]);
        simulated.connected().said(&["connected to NATS a"]);
    }

    #[test]
    fn a_refused_subscription_is_said_whatever_was_said_before() {
        let refuse = |simulated: &mut Simulated, trouble: Trouble| {
            let server = ServerAddress::parse("a").expect("an address");
            simulated.log.refused(&ServerTrouble { server, trouble }, simulated.now_ns);
            simulated.collect();
        };
        let mut simulated = Simulated::new();
        // Many complaints before it change nothing.
        (0..50_000).for_each(|number| simulated.log.complaint("NATS: so", number * SECOND / 1_000));
        simulated.collect();
        simulated.check_rate();
        simulated.lines.clear();
        simulated.connected().said(&["connected"]);
        let refused = |names: &[&str], count| {
            let named = names.iter().map(|name| (*name).to_owned()).collect();
            Trouble::SubscriptionsRefused { named, count }
        };
        refuse(&mut simulated, refused(&["one"], 1));
        simulated.said(&["NATS refuses the subscription to one: grant"]);
        refuse(&mut simulated, refused(&["one", "two"], 2));
        refuse(&mut simulated, refused(&["one", "two", "three"], 5));
        simulated.said(&[]).pass(LASTING_NS);
        simulated.said(&["NATS refuses 5 subscriptions, to one, two, three and 2 more: grant"]);
        simulated.pass(MINUTE).said(&[]);
    }
}
