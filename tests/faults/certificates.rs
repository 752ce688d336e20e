//! A certificate authority of the test's own, and what it signs.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// `ca.pem`, and what was issued, in a directory.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file");
        Authority { issuer, directory }
    }

    /// Writes `{file}.pem` and `{file}-key.pem`, for servers and clients.
    pub fn issue(&self, file: &str, name: &str, is_expired: bool) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if is_expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.directory.path().join(format!("{file}.pem")), certificate.pem()).expect("a file");
        std::fs::write(self.directory.path().join(format!("{file}-key.pem")), key.serialize_pem()).expect("a file");
    }

    /// Writes the authority's own certificate and key under these names.
    pub fn show_own(&self, file: &str) {
        let write = |name: String, text: String| {
            std::fs::write(self.directory.path().join(name), text).expect("a file");
        };
        write(format!("{file}.pem"), self.issuer.pem());
        write(format!("{file}-key.pem"), self.issuer.key().serialize_pem());
    }

    pub fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().expect("text").to_owned()
    }

    /// For the test's own publisher, with a client certificate if there is one of that name.
    pub fn client(&self, file: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("TLS 1.3").with_root_certificates(roots);
        Arc::new(match file {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let pem = |name: String| self.directory.path().join(name);
                let certificate = certificate(&pem(format!("{file}.pem")));
                let key = PrivateKeyDer::from_pem_file(pem(format!("{file}-key.pem"))).expect("a key");
                builder.with_client_auth_cert(vec![certificate], key).expect("a certificate and its key")
            }
        })
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}
