//! What happens between the service and a server that is well: bytes one by one, late, or not at all.

use std::time::{Duration, Instant};

use crate::publisher::Login;
use crate::stage::{Loss, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::proxy::{Direction, Plan, Proxy};
use crate::support::{eventually, holds};

/// The service waits longer and longer before it tries an address again that has failed it; many addresses of one
/// server let it try at once, hundreds of times.
const ADDRESSES: usize = 100;
/// Of the handshake, which ends with the PONG that confirms the subscriptions.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

struct Proxied {
    server: NatsServer,
    proxy: Proxy,
    stage: Stage,
    recoveries: Vec<Duration>,
}

impl Proxied {
    fn start(release: Release) -> Proxied {
        let server = NatsServer::start_with(release, "");
        let proxy = Proxy::start(server.port(), ADDRESSES);
        let stage = Stage::start(&proxy.url(), server.port(), Login::default(), &[]);
        Proxied { server, proxy, stage, recoveries: Vec::new() }
    }

    /// Ends the connection there is; the next one gets the plan.
    fn cut_and_plan(&mut self, plan: Plan) {
        // This connection's, and the next one's.
        self.stage.note_break();
        self.stage.note_break();
        self.proxy.plan(plan);
        self.proxy.cut();
    }

    /// After `connections` the service comes through on the next one.
    #[track_caller]
    fn wait_through(&mut self, since: Instant, connections: usize, plan: Plan) {
        eventually("another connection", || {
            let accepted = self.proxy.accepted();
            let log = self.stage.service.log();
            holds(accepted > connections, format!("{accepted} connections after {plan:?}; log:\n{log}"))
        });
        self.stage.service.wait_ready();
        self.stage.wait_flow(self.stage.received_count());
        self.recoveries.push(self.stage.end_break(since, RECOVERY_LIMIT));
    }

    #[track_caller]
    fn settle(mut self, note: String) -> Report {
        let mut report = self.stage.settle(self.recoveries, Loss::InHand, Some(&self.server));
        report.note = note;
        report
    }
}

pub fn byte_by_byte(release: Release) -> Result<Report, &'static str> {
    through(release, Plan::Bytewise)
}

pub fn late(release: Release) -> Result<Report, &'static str> {
    through(release, Plan::Delay(Duration::from_millis(100)))
}

fn through(release: Release, plan: Plan) -> Result<Report, &'static str> {
    let mut proxied = Proxied::start(release);
    let connections = proxied.proxy.accepted();
    let since = Instant::now();
    proxied.cut_and_plan(plan);
    proxied.wait_through(since, connections, plan);
    let before = proxied.stage.received_count();
    proxied.stage.wait_flow(before + 200);
    assert_eq!(proxied.stage.reconnect_count(), 1, "on one connection");
    Ok(proxied.settle(String::new()))
}

pub fn closed_at_every_byte_from_the_server(release: Release) -> Result<Report, &'static str> {
    closed_at_every_byte(release, Direction::ToClient)
}

pub fn closed_at_every_byte_to_the_server(release: Release) -> Result<Report, &'static str> {
    closed_at_every_byte(release, Direction::ToServer)
}

fn closed_at_every_byte(release: Release, direction: Direction) -> Result<Report, &'static str> {
    let mut proxied = Proxied::start(release);
    let len = handshake_len(&proxied.proxy, direction);
    for offset in 0..=len {
        let (connections, tripped) = (proxied.proxy.accepted(), proxied.proxy.tripped());
        let plan = Plan::Close(direction, offset);
        proxied.cut_and_plan(plan);
        eventually("the close", || holds(proxied.proxy.tripped() > tripped, format!("not yet: {plan:?}")));
        proxied.wait_through(Instant::now(), connections + 1, plan);
    }
    Ok(proxied.settle(format!("closed at each of {} bytes", len + 1)))
}

/// Up to the end of the second PONG, or PING.
fn handshake_len(proxy: &Proxy, direction: Direction) -> usize {
    let word: &[u8] = if direction == Direction::ToClient { b"PONG\r\n" } else { b"PING\r\n" };
    let passed = proxy.passed(direction);
    let mut ends = passed.windows(word.len()).enumerate().filter(|(_, bytes)| *bytes == word);
    ends.nth(1).expect("two of them make the handshake").0 + word.len()
}

/// A connection that falls silent before INFO, within it, and after it.
pub fn cut_short(release: Release) -> Result<Report, &'static str> {
    let mut proxied = Proxied::start(release);
    let plans = [(Direction::ToClient, 0), (Direction::ToClient, 100), (Direction::ToServer, 0)];
    for (direction, len) in plans {
        let (connections, plan) = (proxied.proxy.accepted(), Plan::Swallow(direction, len));
        proxied.cut_and_plan(plan);
        eventually("the silence", || holds(proxied.proxy.accepted() > connections, format!("not yet: {plan:?}")));
        let since = Instant::now();
        // It has the first one's time, then it gives up and takes another.
        proxied.wait_through(since + HANDSHAKE_LIMIT, connections + 1, plan);
    }
    Ok(proxied.settle("recovery from the handshake's time limit on".to_owned()))
}
