//! How the session is doing, for /health and /ready.

use proto_nats::{Connection, ConnectionState, ServerAddress, ServerInfo};

use crate::nats::error::ServerTrouble;
use crate::nats::session::{Session, SessionReport};

impl<M: Copy> Session<M> {
    /// How it is doing.
    pub fn report(&self, now_ns: u64) -> SessionReport {
        // While the lame duck is drained, all that it should bring comes to its successor.
        let is_moving = self.successor.as_ref().is_some_and(|successor| successor.drain_at_ns.is_some());
        let is_ready = self.connection().is_some_and(Connection::is_ready) || is_moving;
        let stream = self.stream.as_deref();
        let stream_trouble = stream.filter(|_| is_ready).and_then(|stream| stream.trouble(now_ns));
        let is_moving_on = is_ready && self.trouble.is_none();
        SessionReport {
            is_connected: self.serving.as_ref().is_some_and(|serving| serving.has_been_ready),
            is_ready: is_ready && stream_trouble.is_none(),
            reconnects: self.ready_count.saturating_sub(1),
            slow_consumer_cuts: self.slow_consumer_cuts,
            trouble: stream_trouble.or_else(|| (!is_moving_on).then(|| self.in_words())),
            stream: stream.map(|stream| stream.reader.report(now_ns)),
            publish_troubles: self.refusals.troubles(now_ns).map(|trouble| trouble.to_string()).collect(),
        }
    }

    /// Servers that it knows of.
    pub fn server_count(&self) -> usize {
        self.attempts.pool.addresses().count()
    }

    /// Another connection brings what the one that serves brings.
    pub fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    /// The session has been stopped, and nothing is left of it but what was not sent.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Connected, logged in, subscribed, and not about to leave.
    #[inline]
    pub fn is_serving(&self) -> bool {
        self.connection().is_some_and(|connection| connection.state() == ConnectionState::Ready)
    }

    /// Something is subscribed to, so messages are what was asked for. Others are for [`handle_op`](Self::handle_op).
    #[inline]
    pub fn takes_messages(&self) -> bool {
        self.connection().is_some_and(Connection::takes_messages)
    }

    /// Of the server of the connection that serves: its address, its last INFO, and whether everything goes through TLS.
    pub fn server(&self) -> Option<(&ServerAddress, &ServerInfo, bool)> {
        let serving = self.serving.as_ref()?;
        Some((&serving.server, serving.connection.info(), serving.connection.is_secured()))
    }

    /// Why there is no connection, or why it is not ready, or why the last one ended.
    pub fn trouble(&self) -> Option<&ServerTrouble> {
        self.trouble.as_deref()
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
