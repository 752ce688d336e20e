//! What TLS has against a connection, in an operator's words: what is wrong, and what to do.
//!
//! rustls's errors are numbers of its code, and each text here is one of ours: nothing of an error is printed as it is. What is
//! not listed (rustls may have new errors, and those of webpki come through [`CertificateError::Other`]) gets the sentence of
//! its kind. The debug log has rustls's own words.

use std::fmt;
use std::mem::{Discriminant, discriminant};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::runtime::log_text::{date, printable};

/// What TLS has against a connection.
#[derive(Debug)]
pub struct TlsError(Error);

impl From<Error> for TlsError {
    fn from(error: Error) -> TlsError {
        log::debug!("rustls says: {error:?}");
        TlsError(error)
    }
}

impl TlsError {
    /// What it is, without its particulars.
    pub fn kind(&self) -> (Discriminant<Error>, Option<Discriminant<CertificateError>>) {
        let certificate = match &self.0 {
            Error::InvalidCertificate(error) => Some(discriminant(error)),
            _ => None,
        };
        (discriminant(&self.0), certificate)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::InvalidCertificate(error) => write!(f, "the server's certificate {}", of_certificate(error)),
            Error::NoCertificatesPresented => f.write_str("the server showed no certificate: set its cert_file"),
            Error::AlertReceived(alert) => of_alert(*alert, f),
            Error::InvalidMessage(message) => f.write_str(of_message(*message)),
            Error::PeerIncompatible(lack) => f.write_str(of_lack(lack)),
            Error::PeerMisbehaved(PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported) => f.write_str(
                "the server knows TLS 1.3 and TLS 1.2 was chosen: something between may be weakening the connection",
            ),
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::NoApplicationProtocol
            | Error::InvalidEncryptedClientHello(_) => f.write_str(
                "the server breaks the rules of TLS: is it nats-server, and does nothing between change what it sends?",
            ),
            Error::DecryptError | Error::PeerSentOversizedRecord => f.write_str(
                "what came through TLS is damaged: something between this machine and the server changes the bytes",
            ),
            Error::UnsupportedNameType => f.write_str(
                "certificates for names of this kind cannot be checked: connect by a host name or an IP address, or set \
                 NATS_TLS_SERVER_NAME",
            ),
            Error::FailedToGetCurrentTime => {
                f.write_str("TLS cannot read this machine's clock, which it needs to check certificates: set the clock")
            }
            Error::FailedToGetRandomBytes => {
                f.write_str("TLS gets no random numbers from this machine: is getrandom(2) allowed?")
            }
            _ => f.write_str("TLS has failed for a rare reason; LOG_LEVEL=debug shows what the TLS library says"),
        }
    }
}

fn of_certificate(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::Expired => "has expired (or this machine's clock is wrong): renew it",
        CertificateError::ExpiredContext { not_after, .. } => {
            let since = date(seconds(not_after));
            return format!("has expired at {since} (or this machine's clock is wrong): renew it");
        }
        CertificateError::NotValidYet => "is not valid yet (or this machine's clock is wrong)",
        CertificateError::NotValidYetContext { not_before, .. } => {
            return format!("is not valid before {} (or this machine's clock is wrong)", date(seconds(not_before)));
        }
        CertificateError::UnknownIssuer => {
            "is signed by no authority that is trusted here: NATS_CA names a file with that authority"
        }
        CertificateError::NotValidForName => "is for another name: connect by that name, or set NATS_TLS_SERVER_NAME",
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().filter_map(|name| bare_name(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { printable(&names.join(", ")) };
            let expected = expected.to_str();
            return format!("is not for {expected} but for {names}: connect by that name, or set NATS_TLS_SERVER_NAME");
        }
        CertificateError::BadEncoding => "is damaged, or no X.509 certificate: make it anew",
        CertificateError::Revoked => "has been revoked: give the server a new one",
        CertificateError::UnhandledCriticalExtension => UNKNOWN_EXTENSION,
        CertificateError::BadSignature => {
            "has a signature that does not match: NATS_CA may hold another authority of the same name, or the server has \
             not the key of its certificate"
        }
        #[expect(deprecated, reason = "rustls still gives it where webpki's error says no more")]
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "is signed in a way that is not accepted: use ECDSA (P-256, P-384), Ed25519, or RSA of 2048 bits or more, with \
             SHA-256 or better"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => NOT_FOR_SERVERS,
        CertificateError::InvalidOcspResponse
        | CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => "cannot be checked for revocation: renew it",
        CertificateError::Other(error) => match error.0.downcast_ref() {
            Some(error) => of_chain(error),
            None => NOT_TRUSTED,
        },
        _ => NOT_TRUSTED,
    };
    text.to_owned()
}

const UNKNOWN_EXTENSION: &str =
    "has an extension that is marked critical and not known here: make one without that extension";
const NOT_FOR_SERVERS: &str = "is not for servers: make one with serverAuth among its extended key usages";
const NOT_TRUSTED: &str = "cannot be trusted for a rare reason; LOG_LEVEL=debug shows what the TLS library says";

/// What webpki has against a certificate or those that it is signed by, beside what has an error in rustls.
fn of_chain(error: &webpki::Error) -> &'static str {
    use webpki::Error;
    match error {
        Error::CaUsedAsEndEntity => {
            "is that of an authority: sign one for the server with it (basic constraints CA:FALSE), and name the authority \
             in NATS_CA"
        }
        Error::EndEntityUsedAsCa => {
            "is signed by one that is no authority (basic constraints CA:FALSE): sign it by an authority"
        }
        Error::PathLenConstraintViolated => {
            "has more authorities between it and the one in NATS_CA than an authority allows (path length)"
        }
        Error::NameConstraintViolation => {
            "is for a name that its authority may not sign for (name constraints): use another name or authority"
        }
        Error::UnsupportedCertVersion => "is of an old version: make one of X.509 version 3",
        Error::UnsupportedCriticalExtension => UNKNOWN_EXTENSION,
        Error::EmptyEkuExtension => NOT_FOR_SERVERS,
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => {
            "comes with too many others: let cert_file hold the server's certificate and the authorities above it, in that \
             order"
        }
        Error::BadDer
        | Error::BadDerTime
        | Error::ExtensionValueInvalid
        | Error::InvalidNetworkMaskConstraint
        | Error::InvalidSerialNumber
        | Error::MalformedDnsIdentifier
        | Error::MalformedExtensions
        | Error::MalformedNameConstraint
        | Error::SignatureAlgorithmMismatch => "has a part that breaks the rules of X.509: make it anew",
        _ => NOT_TRUSTED,
    }
}

fn of_alert(alert: AlertDescription, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match alert {
        AlertDescription::CertificateRequired => {
            "the server wants a certificate of this client: set NATS_CERT and NATS_KEY"
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the server broke off the TLS handshake: it may want a client certificate (NATS_CERT, NATS_KEY), or ciphers that \
             are not used here"
        }
        AlertDescription::CertificateExpired => {
            "the server says that this client's certificate has expired: renew NATS_CERT (or the server's clock is wrong)"
        }
        AlertDescription::CertificateRevoked => "the server says that this client's certificate is revoked: renew NATS_CERT",
        AlertDescription::UnknownCA => {
            "the server does not know the authority that signed this client's certificate (NATS_CERT): its ca_file must \
             hold it"
        }
        AlertDescription::DecryptError => {
            "the server found a signature of this client wrong: NATS_CERT may be signed by another authority of the name \
             that the server knows"
        }
        AlertDescription::BadCertificate
        | AlertDescription::NoCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateUnobtainable
        | AlertDescription::BadCertificateStatusResponse
        | AlertDescription::BadCertificateHashValue
        | AlertDescription::AccessDenied => {
            "the server does not accept this client's certificate (NATS_CERT), or wants one and got none"
        }
        AlertDescription::ProtocolVersion | AlertDescription::InappropriateFallback => OLD_TLS,
        AlertDescription::UnrecognisedName => {
            "the server has no certificate for the name it is asked for: connect by another name, or set \
             NATS_TLS_SERVER_NAME"
        }
        AlertDescription::InternalError => "the server has failed within TLS: its log says more",
        AlertDescription::UserCanceled | AlertDescription::CloseNotify => "the server broke off TLS: its log says more",
        AlertDescription::BadRecordMac
        | AlertDescription::DecryptionFailed
        | AlertDescription::RecordOverflow
        | AlertDescription::DecompressionFailure
        | AlertDescription::DecodeError => {
            "the server says that this client's bytes came damaged: something between changes them"
        }
        AlertDescription::UnexpectedMessage
        | AlertDescription::IllegalParameter
        | AlertDescription::MissingExtension
        | AlertDescription::UnsupportedExtension
        | AlertDescription::NoApplicationProtocol
        | AlertDescription::NoRenegotiation
        | AlertDescription::ExportRestriction
        | AlertDescription::UnknownPSKIdentity
        | AlertDescription::EncryptedClientHelloRequired => {
            "the server does not go along with this client's TLS: is it nats-server, or a proxy of another protocol?"
        }
        other => {
            return write!(f, "the server broke off TLS with alert {}: its log says more", u8::from(other));
        }
    })
}

const OLD_TLS: &str = "the server speaks no TLS that is safe: TLS 1.2 or 1.3 is needed";

fn of_message(message: InvalidMessage) -> &'static str {
    match message {
        InvalidMessage::InvalidContentType => {
            "the server answers in clear text where TLS should start: with NATS_TLS_FIRST it must have handshake_first"
        }
        InvalidMessage::UnknownProtocolVersion => OLD_TLS,
        InvalidMessage::CertificatePayloadTooLarge | InvalidMessage::HandshakePayloadTooLarge => {
            "the server's certificates are too long together: let cert_file hold those that are needed, 64 KiB at most"
        }
        _ => "the server's TLS cannot be read: is it nats-server, and does nothing between change what it sends?",
    }
}

fn of_lack(lack: &PeerIncompatible) -> &'static str {
    match lack {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => OLD_TLS,
        _ => {
            "the server and this client have no way of TLS in common: allow its default cipher_suites and \
             curve_preferences"
        }
    }
}

fn seconds(time: &UnixTime) -> i64 {
    time.as_secs().try_into().unwrap_or(i64::MAX)
}

/// rustls lists a certificate's names as `DnsName("nats.example")` and `IpAddress(127.0.0.1)`; others are none to connect by.
fn bare_name(listed: &str) -> Option<&str> {
    let (kind, inside) = listed.strip_suffix(')')?.split_once('(')?;
    matches!(kind, "DnsName" | "IpAddress").then_some(inside.trim_matches('"'))
}

#[cfg(test)]
mod tests;
