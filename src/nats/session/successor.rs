//! A move: the connection that is to serve in a lame duck's place, from its login to the lame duck's drain.

use crate::nats::attempt::AttemptEvent;
use crate::nats::error::Trouble;
use crate::nats::session::{MOVE_SETTLE_NS, Output, Session};

impl<M: Copy> Session<M> {
    /// What the successor asks for, or tells; once it is confirmed and has had its time, the lame duck is drained.
    pub(super) fn poll_successor(&mut self, now_ns: u64) -> Option<Output> {
        let is_in_use = self.is_in_use();
        let successor = self.successor.as_mut()?;
        let attempt = &mut successor.attempt;
        let failed = match attempt.poll(&mut self.attempts.pool, self.attempts.discovers, now_ns) {
            Some(AttemptEvent::Complaint(error)) => return Some(Output::Complaint(error)),
            Some(AttemptEvent::UnreadableInfo) => return Some(Output::UnreadableInfo),
            Some(AttemptEvent::Untrusted { count }) => {
                return Some(Output::Untrusted { server: attempt.server.clone(), count });
            }
            Some(AttemptEvent::Confirmed { refused: 0 }) => {
                successor.drain_at_ns = Some(now_ns + MOVE_SETTLE_NS);
                // It is not read until it serves, so that its silence means nothing until then.
                let connection = attempt.connection.as_mut();
                connection.into_iter().for_each(|connection| connection.handle_reading_paused(now_ns));
                None
            }
            // Here it would be worse off.
            Some(AttemptEvent::Confirmed { .. }) => attempt.connection.as_deref().and_then(Trouble::of_refusals),
            Some(AttemptEvent::Failed(trouble)) => Some(trouble),
            Some(AttemptEvent::StartTls) | None => None,
        };
        if let Some(trouble) = failed {
            let attempt = self.successor.take().expect("it has failed").attempt;
            return Some(self.told(now_ns, |attempts| attempts.give_up(attempt, trouble, now_ns)));
        }
        if is_in_use && successor.drain_at_ns.is_some_and(|at_ns| at_ns <= now_ns) {
            let serving = self.serving.as_mut().expect("it is in use");
            // What is published from here on would not be known to have been taken.
            serving.takes_publications = false;
            let limit_ns = self.settings.drain_limit_ns;
            serving.connection.begin_drain(now_ns, limit_ns, self.send_buffer.control_frames(now_ns));
        }
        None
    }
}
