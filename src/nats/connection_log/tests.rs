//! What is said of troubles, in simulated time.

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
