//! Connected TCP sockets on this thread's reactor.
//!
//! Reads and writes go through futures-lite's `AsyncReadExt` and `AsyncWriteExt`. Only tasks of an executor may use them.

use std::io;
use std::net::{IpAddr, Shutdown, TcpStream as StdStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use socket2::{SockRef, Socket};

use crate::runtime::unsafe_calls;

/// A connected TCP socket. Dropping it closes the descriptor, which the ring may hold for a while longer; the peer learns
/// of it at once only by [`shutdown`](Stream::shutdown).
#[derive(Debug)]
pub struct Stream(TcpStream);

/// Takes a connected socket in. Panics outside of an executor.
pub fn adopt(stream: StdStream) -> Stream {
    Stream(TcpStream::from(Socket::from(stream)))
}

impl Stream {
    pub(super) fn of(accepted: TcpStream) -> Stream {
        Stream(accepted)
    }

    /// Waits until there are bytes to read, or the end of the stream; takes nothing.
    pub async fn readable(&self) {
        // An error shows in the read that follows.
        let _ = self.0.peek(&mut [0]).await;
    }

    /// Works at once, also while a read or a write is waiting. Fails only where the peer is gone already.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = SockRef::from(&self.0).shutdown(how);
    }

    /// Sends small writes at once. Fails only where the peer is gone already, which the next read shows.
    pub fn set_nodelay(&self) {
        let _ = self.0.set_nodelay(true);
    }

    /// `None`: the peer is gone already.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        self.0.peer_addr().ok().map(|address| address.ip())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        unsafe_calls::descriptor_of(&self.0)
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// Ends this side's half of the connection.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
