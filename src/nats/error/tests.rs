//! What an operator reads of each error.

use super::*;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::nats::transport::{Attempt, StreamError, Transport};

/// Every error that a socket can have on its way to a server, and on it: a sentence, and what it may mean.
#[test]
fn errors_of_sockets_are_plain_words() {
    let connect = |errno: Errno| ConnectError::of(io::Error::from_raw_os_error(errno.raw_os_error()), 2).to_string();
    for (errno, words) in [
        (Errno::CONNREFUSED, "connection refused: is nats-server running there?"),
        (Errno::TIMEDOUT, "no answer within 2 s: is the address right, a firewall between?"),
        (Errno::NETUNREACH, "is the address right, and the network between up?"),
        (Errno::HOSTUNREACH, "is the address right, and the network between up?"),
        (Errno::NETDOWN, "is the address right, and the network between up?"),
        (Errno::ACCESS, "a firewall or a policy of this machine does not allow it"),
        (Errno::PERM, "a firewall or a policy of this machine does not allow it"),
        (Errno::ADDRNOTAVAIL, "are local ports left?"),
        (Errno::CONNRESET, "is nats-server running there?"),
        (Errno::CONNABORTED, "is nats-server running there?"),
        (Errno::MFILE, "raise the limit (ulimit -n, LimitNOFILE)"),
        (Errno::NFILE, "raise the limit (ulimit -n, LimitNOFILE)"),
        (Errno::AFNOSUPPORT, "this machine has no IPv6, or no IPv4"),
        (Errno::PROTO, "cannot connect: "),
    ] {
        let text = connect(errno);
        assert!(text.contains(words) && !text.contains("os error"), "{errno:?}: {text}");
    }
    let broken = |errno: Errno| {
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        let reason = Reason::Closed { after: None, was_behind: false };
        Trouble::of_end(reason, Some(error)).to_string()
    };
    for (errno, words) in [
        (Errno::CONNRESET, "the server's process or machine has ended, or something between ends connections"),
        (Errno::PIPE, "the server had closed it before"),
        (Errno::TIMEDOUT, "the server's machine, or the network between, does not answer any more"),
        (Errno::NETUNREACH, "the network between is down, or its routes have changed"),
        (Errno::HOSTUNREACH, "the network between is down, or its routes have changed"),
        (Errno::NETDOWN, "the network between is down, or its routes have changed"),
        (Errno::PROTO, "the network has ended the connection"),
    ] {
        let text = broken(errno);
        assert!(text.contains(words) && text.ends_with("; the server closed the connection"), "{errno:?}: {text}");
        assert!(!text.contains("os error"), "{errno:?}: {text}");
    }
}

/// A server's machine that answers with a reset: the transport says so, and not that the server has closed.
#[test]
fn a_reset_is_seen_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let mut transport = Transport::new(stream).expect("it is a socket");
    let (peer, _) = listener.accept().expect("it was connected to");
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("it can be set");
    drop(peer);
    let mut place = [0; 8];
    while transport.try_read(&mut place) == Attempt::WouldBlock {
        transport.wait(false, Duration::from_secs(1));
    }
    let Some(StreamError::Network(error)) = transport.take_trouble() else { panic!("the reset") };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
