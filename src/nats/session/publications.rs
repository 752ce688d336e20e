//! What the session publishes: in the send buffer, or left over from connections that did not take it.

use proto_nats::Connection;

use crate::nats::send_buffer::{Publication, Unsent};
use crate::nats::session::Session;

impl<M: Copy> Session<M> {
    /// Publications are taken: from [`Output::Ready`] until the connection is left or closed.
    #[inline]
    pub fn takes_publications(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.takes_publications)
    }

    /// Another publication is to be encoded now; otherwise they should wait as values, where newer ones replace older.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.send_buffer.has_room()
    }

    /// Publishes; to be called while [`takes_publications`](Self::takes_publications), with a payload of
    /// [`max_payload`](Self::max_payload) bytes at most.
    #[inline]
    pub fn publish(&mut self, subject: &[u8], payload: &[u8], about: M, now_ns: u64) {
        self.send_buffer.publish(subject, payload, about, now_ns);
    }

    /// Publishes what an earlier connection did not take.
    pub fn publish_again(&mut self, publication: &Publication<'_, M>, now_ns: u64) {
        self.send_buffer.publish_again(publication, now_ns);
    }

    /// Publishes whole PUB frames that are one publication here, however long.
    pub fn publish_frames(&mut self, frames: &[u8], about: M, now_ns: u64) {
        self.send_buffer.publish_frames(frames, about, now_ns);
    }

    /// How many PINGs the connection that serves has sent, and to how many the server has answered. It has taken what was
    /// published before one that is answered.
    pub fn pings(&self) -> Option<(u64, u64)> {
        self.connection().map(Connection::pings)
    }

    /// What the connections before this one did not take; it is the caller's to judge now.
    pub fn take_unsent(&mut self) -> Unsent<M> {
        std::mem::take(&mut self.unsent)
    }

    /// Takes back publications of which nothing has been sent yet: those that `is_outdated` picks. Says how many.
    pub fn withdraw(&mut self, is_outdated: impl Fn(&M) -> bool) -> usize {
        self.send_buffer.withdraw(is_outdated)
    }

    /// Connections before this one have left publications unsent.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Bytes for the socket.
    #[inline]
    pub fn bytes_to_send(&self) -> &[u8] {
        self.send_buffer.unsent()
    }

    /// The socket has taken so many of [`bytes_to_send`](Self::bytes_to_send).
    #[inline]
    pub fn note_sent(&mut self, len: usize, now_ns: u64) {
        self.send_buffer.note_sent(len, now_ns);
    }

    /// Header and payload of a publication may be so long together.
    #[inline]
    pub fn max_payload(&self) -> u64 {
        self.connection().map_or(0, Connection::max_payload)
    }
}
