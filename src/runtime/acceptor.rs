//! Listening sockets, for HTTP and the broker.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for the accept loop, which is fast: more than come in one burst.
const BACKLOG: i32 = 1024;
/// After an error of `accept`. Most mean that descriptors or memory ran out, and would come back at once.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about it: it may last.
pub const ACCEPT_LINES_NS: u64 = 60_000_000_000;

/// Not glommio's own `bind`: that sets SO_REUSEPORT, and a second instance would silently take half of the requests.
/// SO_REUSEADDR only lets a restarted service have its port back while old connections linger.
pub fn listen_alone(address: SocketAddr) -> io::Result<(StdListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = StdListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}
