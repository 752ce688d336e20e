//! Each error is made: by certificates that are wrong in one way, by a peer that sends what no server should, and, where that is
//! not possible, by its value.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, NameConstraints, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertRevocationListError, ClientConfig, ContentType, HandshakeType, OtherError, RootCertStore};

use super::*;
use crate::nats::tls_session::TlsSession;

const NAME: &str = "nats.example";
/// 2026-01-31T09:30:00Z
const NOW_S: u64 = 1_769_851_800;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A text for an operator: no name of the code, nothing that `Debug` has written.
fn assert_plain(text: &str) {
    assert!(!text.contains(['{', '}', '"', '[', ']']) && !text.contains("::") && !text.contains("Some("), "{text}");
    let words = text.split(|c: char| !c.is_alphanumeric());
    let is_camel =
        |word: &&str| word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    let camel: Vec<&str> = words.filter(is_camel).filter(|word| !["serverAuth", "KiB"].contains(word)).collect();
    assert!(camel.is_empty(), "{camel:?} in: {text}");
    assert!(text.split(' ').count() >= 5, "a sentence: {text}");
}

fn text(error: Error) -> String {
    let text = TlsError::from(error).to_string();
    assert_plain(&text);
    text
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    Issuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn server_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn signed(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = server_params();
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    params.signed_by(&key, issuer).expect("a certificate").der().clone()
}

/// Signs others, and is itself signed by `issuer`.
fn between(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    Issuer::signed_by(params, KeyPair::generate().expect("a key"), issuer).expect("a certificate")
}

/// What is said of a server with this certificate, and `others` beside it, where `trusted` is in NATS_CA.
fn refusal(trusted: &Issuer, certificate: &CertificateDer<'static>, others: &[CertificateDer<'static>]) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der().clone()).expect("an authority");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let verifier = verifier.build().expect("an authority is there");
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW_S));
    let name = ServerName::try_from(NAME).expect("a name");
    let verified = verifier.verify_server_cert(certificate, others, &name, &[], now);
    text(verified.expect_err("it is refused"))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert!(text.contains(expected), "{text:?} has no {expected:?}");
}

#[test]
fn certificates_that_are_wrong_in_one_way() {
    let trusted = authority("trusted", |_| {});
    let alone = |change: fn(&mut CertificateParams)| refusal(&trusted, &signed(&trusted, change), &[]);
    let expired =
        alone(|params| (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)));
    check(&expired, "has expired at 2021-01-01T00:00:00Z");
    check(&alone(|params| params.not_before = date_time_ymd(2027, 1, 1)), "not valid before 2027-01-01T00:00:00Z");
    check(
        &alone(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        "is not for servers",
    );
    check(
        &alone(|params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
            extension.set_criticality(true);
            params.custom_extensions = vec![extension];
        }),
        "marked critical",
    );
    let other_name = signed(&trusted, |params| {
        *params = CertificateParams::new(vec!["other.example".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    });
    check(&refusal(&trusted, &other_name, &[]), "is not for nats.example but for other.example, 127.0.0.1: connect by");
    let no_name = signed(&trusted, |params| *params = CertificateParams::new(Vec::new()).expect("no name"));
    check(&refusal(&trusted, &no_name, &[]), "but for no name at all");
    check(&refusal(&trusted, trusted.der(), &[]), "is that of an authority: sign one for the server with it");
    check(&refusal(&trusted, &CertificateDer::from(vec![1, 2, 3]), &[]), "is damaged, or no X.509 certificate");
    check(
        &refusal(&trusted, &signed(&authority("another", |_| {}), |_| {}), &[]),
        "signed by no authority that is trusted",
    );
    check(&refusal(&trusted, &signed(&authority("trusted", |_| {}), |_| {}), &[]), "a signature that does not match");
}

#[test]
fn chains_that_are_wrong_in_one_way() {
    let trusted = authority("trusted", |_| {});
    let no_authority = between(&trusted, |params| params.is_ca = IsCa::ExplicitNoCa);
    let chain = [no_authority.der().clone()];
    check(&refusal(&trusted, &signed(&no_authority, |_| {}), &chain), "signed by one that is no authority");

    // An authority in NATS_CA may always have others between.
    let short = between(&trusted, |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let link = between(&short, |params| params.distinguished_name.push(DnType::CommonName, "link"));
    let chain = [short.der().clone(), link.der().clone()];
    check(&refusal(&trusted, &signed(&link, |_| {}), &chain), "path length");

    let narrow = authority("narrow", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("elsewhere.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    check(&refusal(&narrow, &signed(&narrow, |_| {}), &[]), "its authority may not sign for");

    let mut chain = Vec::new();
    let mut issuer = between(&trusted, |_| {});
    chain.push(issuer.der().clone());
    for number in 0..10 {
        issuer =
            between(&issuer, |params| params.distinguished_name.push(DnType::CommonName, format!("link {number}")));
        chain.push(issuer.der().clone());
    }
    check(&refusal(&trusted, &signed(&issuer, |_| {}), &chain), "comes with too many others");
}

/// A server that sends `bytes` whatever it is told.
struct Peer<'a>(&'a [u8]);

impl Read for Peer<'_> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        self.0.read(place)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is said of a server that answers the beginning of the handshake so.
fn answered(bytes: &[u8]) -> String {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config =
        config.with_safe_default_protocol_versions().expect("TLS 1.3").with_root_certificates(RootCertStore::empty());
    let name = ServerName::try_from(NAME).expect("a name");
    let mut session = TlsSession::new(Arc::new(config.with_no_client_auth()), name).expect("a session");
    let outcome = session.read(&mut [0; 100], &mut Peer(bytes));
    let error = session.take_error().unwrap_or_else(|| panic!("{outcome:?}: TLS has nothing against {bytes:?}"));
    let text = error.to_string();
    assert_plain(&text);
    text
}

/// A TLS record of a ServerHello: this version and this cipher suite.
fn server_hello(version: [u8; 2], cipher_suite: [u8; 2]) -> Vec<u8> {
    let mut hello = [&version[..], &[7; 32], &[0], &cipher_suite, &[0]].concat();
    hello = [&[2, 0, 0, hello.len() as u8][..], &hello].concat();
    [&[22, 3, 3, 0, hello.len() as u8][..], &hello].concat()
}

#[test]
fn peers_that_are_no_servers_of_tls() {
    for clear_text in ["INFO {\"server_id\":\"A\"}\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"]
    {
        check(&answered(clear_text.as_bytes()), "in clear text where TLS should start");
    }
    check(&answered(&server_hello([3, 1], [0x13, 1])), "no TLS that is safe");
    check(&answered(&server_hello([3, 2], [0xc0, 0x2f])), "no TLS that is safe");
    // TLS_RSA_WITH_NULL_SHA, which was not offered.
    check(&answered(&server_hello([3, 3], [0, 2])), "breaks the rules of TLS");
    check(&answered(&[22, 3, 3, 0, 4, 2, 0, 0, 0]), "cannot be read");
    check(&answered(&[22, 3, 3, 0xff, 0xff]), "the server's TLS");
    check(&answered(&[23, 3, 3, 0, 1, 0]), "breaks the rules of TLS");
    // An encrypted record before there is a key, an empty one, a type that there is not.
    for odd in [&[20, 3, 3, 0, 2, 1, 1][..], &[22, 3, 3, 0, 0], &[99, 3, 3, 0, 1, 0]] {
        answered(odd);
    }
}

#[test]
fn alerts() {
    let alert = |number: u8| answered(&[21, 3, 3, 0, 2, 2, number]);
    // 0 is the end of TLS, and no error.
    for number in 1..=255 {
        alert(number);
    }
    check(&alert(40), "it may want a client certificate (NATS_CERT, NATS_KEY)");
    check(&alert(42), "does not accept this client's certificate (NATS_CERT)");
    check(&alert(44), "is revoked: renew NATS_CERT");
    check(&alert(45), "has expired: renew NATS_CERT");
    check(&alert(48), "its ca_file must hold it");
    check(&alert(70), "TLS 1.2 or 1.3 is needed");
    check(&alert(80), "its log says more");
    check(&alert(112), "NATS_TLS_SERVER_NAME");
    check(&alert(116), "set NATS_CERT and NATS_KEY");
    check(&alert(200), "the server broke off TLS with alert 200: its log says more");
}

#[test]
fn errors_that_only_rarer_peers_can_cause() {
    for error in [
        Error::NoCertificatesPresented,
        Error::UnsupportedNameType,
        Error::DecryptError,
        Error::EncryptError,
        Error::PeerSentOversizedRecord,
        Error::NoApplicationProtocol,
        Error::BadMaxFragmentSize,
        Error::HandshakeNotComplete,
        Error::FailedToGetCurrentTime,
        Error::FailedToGetRandomBytes,
        Error::General("SomeCode { of: \"it\" }".to_owned()),
        Error::Other(OtherError(Arc::new(io::Error::other("SomeCode { of: \"it\" }")))),
        Error::InvalidCertRevocationList(CertRevocationListError::ParseError),
        Error::InappropriateMessage { expect_types: vec![ContentType::Handshake], got_type: ContentType::Alert },
        Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::Finished,
        },
        Error::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge),
        Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion),
        Error::InvalidMessage(InvalidMessage::MissingData("ServerHelloPayload")),
        Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig),
        Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests),
        Error::PeerMisbehaved(PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported),
    ] {
        text(error);
    }
    for error in [
        CertificateError::Expired,
        CertificateError::NotValidYet,
        CertificateError::NotValidForName,
        CertificateError::Revoked,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::UnknownRevocationStatus,
        CertificateError::ExpiredRevocationList,
        CertificateError::InvalidPurpose,
        CertificateError::InvalidOcspResponse,
        CertificateError::ApplicationVerificationFailure,
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![1, 2],
            public_key_algorithm_id: vec![3],
        },
        CertificateError::Other(OtherError(Arc::new(io::Error::other("SomeCode { of: \"it\" }")))),
        CertificateError::Other(OtherError(Arc::new(webpki::Error::UnsupportedCertVersion))),
        CertificateError::Other(OtherError(Arc::new(webpki::Error::EmptyEkuExtension))),
        CertificateError::Other(OtherError(Arc::new(webpki::Error::MalformedExtensions))),
        CertificateError::Other(OtherError(Arc::new(webpki::Error::CertDistrusted))),
    ] {
        check(&text(Error::InvalidCertificate(error)), "the server's certificate ");
    }
}

/// A peer may name itself as it likes.
#[test]
fn names_stay_on_their_line() {
    let presented = vec![
        "DnsName(\"a\\u{1b}[2J\")".to_owned(),
        "DirectoryName".to_owned(),
        format!("DnsName(\"{}\")", "x".repeat(500)),
    ];
    let expected = ServerName::try_from("a").expect("a name");
    let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented });
    let text = TlsError::from(error).to_string();
    assert!(!text.contains(['\n', '\u{1b}']) && !text.contains("DirectoryName") && text.len() < 400, "{text}");
}
