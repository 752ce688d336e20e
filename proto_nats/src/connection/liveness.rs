//! Whether the server is still there.
//!
//! **Silence.** Two clocks run once a connection is ready. PING every two minutes with two outstanding at most, whatever
//! else arrives (ADR-40), finds a server that sends but does not listen. And when nothing at all has arrived for 4 s a
//! PING goes out that has 4 s to bring anything, so that a half-open connection is noticed within 10 s. Both are
//! off while the driver has stopped reading on purpose: what the server has sent by then is still unread.

use crate::connection::{Connection, ConnectionState};
use crate::reason::Reason;

/// A PING that silence has brought about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    sent_ns: u64,
    repeated: bool,
}

impl Connection {
    /// Nothing has come for too long: asks, then gives up.
    pub(super) fn handle_silence(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let due_ns = self.silence_due_ns();
        if now_ns < due_ns {
            return;
        }
        let repeated = match self.probe {
            None => false,
            // We are late ourselves (the process was stopped, the machine slept): the answer may lie in the socket.
            Some(Probe { repeated: false, .. }) if now_ns - due_ns > self.settings.silence_ns / 2 => true,
            Some(_) => {
                let silent_ns = now_ns.saturating_sub(self.last_received_ns);
                return self.disconnect(Reason::Stale { silent_ns });
            }
        };
        self.send_ping(out);
        self.probe = Some(Probe { sent_ns: now_ns, repeated });
    }

    /// A PING is due, whatever has come.
    pub(super) fn handle_ping_due(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        if self.state != ConnectionState::Ready || now_ns < self.ping_due_ns {
            return;
        }
        let count = self.pings_unanswered;
        if count >= self.settings.pings_outstanding_max {
            return self.disconnect(Reason::PingsUnanswered { count });
        }
        self.pings_unanswered += 1;
        self.send_ping(out);
        self.ping_due_ns = now_ns.saturating_add(self.settings.ping_interval_ns);
    }

    /// When silence has lasted long enough for the next step.
    pub(super) fn silence_due_ns(&self) -> u64 {
        let since_ns = self.probe.map_or(self.last_received_ns, |probe| probe.sent_ns);
        since_ns.saturating_add(self.settings.silence_ns)
    }
}
