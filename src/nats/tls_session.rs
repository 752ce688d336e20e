//! TLS between a [`Transport`](crate::nats::transport::Transport) and its socket: rustls over byte slices, and its errors in words.
//!
//! The session reads and writes what the socket takes and gives this moment; the handshake happens on the way.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error};

/// Reads of the socket in one attempt, some 4 KiB each.
const ROUNDS_MAX: usize = 256;

/// A connection's TLS, without the socket.
pub struct TlsSession {
    session: Box<ClientConnection>,
    /// What ended it.
    error: Option<TlsError>,
}

/// What TLS has against a connection.
#[derive(Debug)]
pub struct TlsError(Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(&self.0))
    }
}

impl TlsSession {
    /// A session with a server whose certificate must be for `name`.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<TlsSession, TlsError> {
        let session = ClientConnection::new(config, name).map_err(TlsError)?;
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
                        self.error = Some(TlsError(error));
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

/// rustls's errors as an operator can use them.
fn describe(error: &Error) -> String {
    let certificate = |what: &str| format!("the server's certificate {what}");
    match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                certificate("has expired (or this machine's clock is wrong)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                certificate("is not valid yet (or this machine's clock is wrong)")
            }
            CertificateError::UnknownIssuer => {
                certificate("is signed by no authority that is trusted here: NATS_CA names a file with that authority")
            }
            CertificateError::NotValidForName => {
                certificate("is for another name: connect by that name, or set NATS_TLS_SERVER_NAME")
            }
            CertificateError::NotValidForNameContext { expected, presented } => certificate(&format!(
                "is not for {} but for {}: connect by that name, or set NATS_TLS_SERVER_NAME",
                expected.to_str(),
                match presented.is_empty() {
                    true => "no name at all".to_owned(),
                    false => presented.iter().map(|name| bare_name(name)).collect::<Vec<_>>().join(", "),
                }
            )),
            CertificateError::Revoked => certificate("has been revoked"),
            other => certificate(&format!("cannot be trusted: {}", in_words(other))),
        },
        Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        Error::InvalidMessage(_) => {
            "the server answers in clear text where TLS should start: with NATS_TLS_FIRST it must have handshake_first"
                .to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "the server broke off the TLS handshake: it may want a client certificate (NATS_CERT, NATS_KEY)".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate,
        ) => "the server does not accept this client's certificate (NATS_CERT), or wants one and got none".to_owned(),
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            "the server speaks no TLS that is safe: TLS 1.2 or 1.3 is needed".to_owned()
        }
        other => format!("TLS: {}", in_words(other)),
    }
}

/// rustls lists a certificate's names as `DnsName("nats.example")` and `IpAddress(127.0.0.1)`.
fn bare_name(listed: &str) -> &str {
    let inside = listed.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(listed).trim_matches('"')
}

/// rustls's rarer errors end in a name of its code: `received fatal alert: InternalError`.
fn in_words(error: &impl ToString) -> String {
    let text = error.to_string();
    // What stands in braces is the state of that code.
    let text = text.split('{').next().unwrap_or_default().replace(['(', ')', '"'], " ");
    let mut words = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.trim().chars() {
        match before.is_ascii_lowercase() && c.is_ascii_uppercase() {
            true => words.extend([' ', c.to_ascii_lowercase()]),
            false => words.push(c),
        }
        before = c;
    }
    words
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

    #[test]
    fn no_error_is_a_debug_dump() {
        for error in [
            Error::InvalidCertificate(CertificateError::Expired),
            Error::InvalidCertificate(CertificateError::NotValidYet),
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::InvalidCertificate(CertificateError::NotValidForName),
            Error::InvalidCertificate(CertificateError::Revoked),
            Error::AlertReceived(AlertDescription::BadCertificate),
            Error::AlertReceived(AlertDescription::CertificateRequired),
            Error::AlertReceived(AlertDescription::ProtocolVersion),
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
            Error::NoCertificatesPresented,
        ] {
            let text = describe(&error);
            assert!(!text.contains(['{', '"']) && text.contains("the server"), "{text}");
        }
        let check = |error: &Error, expected: &str| assert_eq!(describe(error), expected);
        check(&Error::AlertReceived(AlertDescription::InternalError), "TLS: received fatal alert: Internal error");
        check(
            &Error::InvalidCertificate(CertificateError::BadSignature),
            "the server's certificate cannot be trusted: Bad signature",
        );
        check(
            &Error::PeerMisbehaved(rustls::PeerMisbehaved::TooMuchEarlyDataReceived),
            "TLS: peer misbehaved: Too much early data received",
        );
    }

    #[test]
    fn a_certificate_for_others_says_for_whom() {
        let check = |presented: &[&str], expected: &str| {
            let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a").expect("a name"),
                presented: presented.iter().map(|name| name.to_string()).collect(),
            });
            let expected = format!("the server's certificate is not for a but for {expected}: connect by");
            assert!(describe(&error).starts_with(&expected), "{}", describe(&error));
        };
        check(&["DnsName(\"nats.example\")", "IpAddress(127.0.0.1)"], "nats.example, 127.0.0.1");
        check(&["IpAddress(::1)"], "::1");
        check(&[], "no name at all");
    }
}
