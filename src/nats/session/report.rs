//! How the session is doing, for /health and /ready.

use proto_nats::{Connection, ConnectionState};

use crate::nats::session::{Session, SessionReport};

impl<M: Copy> Session<M> {
    /// How it is doing.
    pub fn report(&self, now_ns: u64) -> SessionReport {
        // While the lame duck is drained, all that it should bring comes to its successor.
        let is_moving = self.successor.as_ref().is_some_and(|successor| successor.drain_at_ns.is_some());
        let is_ready = self.connection().is_some_and(Connection::is_ready) || is_moving;
        let is_moving_on = is_ready && self.trouble.is_none();
        SessionReport {
            is_connected: self.serving.as_ref().is_some_and(|serving| serving.has_been_ready),
            is_ready,
            reconnects: self.ready_count.saturating_sub(1),
            slow_consumer_cuts: self.slow_consumer_cuts,
            trouble: (!is_moving_on).then(|| self.in_words()),
            publish_troubles: self.refusals.troubles(now_ns).map(|trouble| trouble.to_string()).collect(),
        }
    }

    /// Ends of a connection that look like the server gave up on a slow consumer.
    pub fn slow_consumer_cuts(&self) -> u64 {
        self.slow_consumer_cuts
    }

    /// Why it is not ready, or what is not as it should be.
    fn in_words(&self) -> String {
        match (&self.trouble, &self.serving) {
            (Some(trouble), _) => trouble.to_string(),
            (None, Some(serving)) => {
                let endpoint = serving.server.endpoint();
                match serving.connection.state() {
                    ConnectionState::Draining => format!("NATS {endpoint}: leaving, its last messages are awaited"),
                    _ => format!("NATS {endpoint}: it has not confirmed the subscriptions yet"),
                }
            }
            (None, None) => match self.attempts.servers().next() {
                Some(server) => format!("NATS {}: connecting", server.endpoint()),
                None => "NATS: not connected yet".to_owned(),
            },
        }
    }
}
