//! TLS between a [`Transport`](crate::nats::transport::Transport) and its socket: rustls over byte slices.
//!
//! The session reads and writes what the socket takes and gives this moment; the handshake happens on the way.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::nats::tls_error::TlsError;

/// Reads of the socket in one attempt, some 4 KiB each.
const ROUNDS_MAX: usize = 256;

/// A connection's TLS, without the socket.
pub struct TlsSession {
    session: Box<ClientConnection>,
    /// What ended it.
    error: Option<TlsError>,
}

impl TlsSession {
    /// A session with a server whose certificate must be for `name`.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<TlsSession, TlsError> {
        let session = ClientConnection::new(config, name).map_err(TlsError::from)?;
        Ok(TlsSession { session: Box::new(session), error: None })
    }

    /// No payload passes yet.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// What ended the session; `None` where TLS has nothing against it.
    pub fn take_error(&mut self) -> Option<TlsError> {
        self.error.take()
    }

    /// There are TLS records to be sent.
    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Reads as much as there is and fits; `Ok(0)` is the end of the stream.
    pub fn read(&mut self, place: &mut [u8], socket: &mut (impl Read + Write)) -> io::Result<usize> {
        let mut len = 0;
        let mut rounds = 0;
        let outcome = loop {
            match self.session.reader().read(&mut place[len..]) {
                Ok(0) => break Ok(()),
                Ok(more) => {
                    len += more;
                    if len == place.len() {
                        break Ok(());
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => break Err(error),
            }
            // Records need not hold anything, and a peer may have no end of such.
            rounds += 1;
            if rounds > ROUNDS_MAX {
                break Err(ErrorKind::WouldBlock.into());
            }
            match self.session.read_tls(socket) {
                // An end without close_notify: the protocol above knows what was to come.
                Ok(0) => break Ok(()),
                Ok(_) => {
                    let processed = self.session.process_new_packets();
                    // Answers of the handshake, or an alert that says what was wrong.
                    self.flush(socket);
                    if let Err(error) = processed {
                        self.error = Some(error.into());
                        break Err(ErrorKind::InvalidData.into());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // What was read before the trouble comes first; the trouble comes again.
        match outcome {
            Err(error) if len == 0 => Err(error),
            _ => Ok(len),
        }
    }

    /// Takes in what there is room for, and sends as much as the socket takes.
    pub fn write(&mut self, bytes: &[u8], socket: &mut impl Write) -> io::Result<usize> {
        let len = self.session.writer().write(bytes)?;
        match self.flush(socket) {
            false => Err(ErrorKind::BrokenPipe.into()),
            true if len == 0 => Err(ErrorKind::WouldBlock.into()),
            true => Ok(len),
        }
    }

    /// Sends what there is to send; false when the connection is gone.
    pub fn flush(&mut self, socket: &mut impl Write) -> bool {
        while self.session.wants_write() {
            match self.session.write_tls(socket) {
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Tells the server, as far as the socket takes it.
    pub fn close(&mut self, socket: &mut impl Write) {
        self.session.send_close_notify();
        self.flush(socket);
    }
}

/// The name that a certificate must be for: a host name or an IP address. `None`: no certificate could be for it.
pub fn server_name(name: &str) -> Option<ServerName<'static>> {
    // A zone (`fe80::1%eth0`) is this machine's affair.
    let bare = name.split('%').next().unwrap_or_default();
    ServerName::try_from(bare.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(server_name(name).map(|name| name.to_str().into_owned()).as_deref(), expected, "{name}");
        };
        check("nats.example", Some("nats.example"));
        check("127.0.0.1", Some("127.0.0.1"));
        check("::1", Some("::1"));
        check("fe80::1%eth0", Some("fe80::1"));
        check("", None);
        check("a b", None);
    }
}
