//! Who this client is to NATS servers, and which servers it trusts.
//!
//! Files are read when the service starts, so that a wrong one ends the start, and again for each connection:
//! credentials and certificates are renewed while the service runs. Whatever cannot be used is said with the setting's
//! name and what it should be; nothing that could be a secret is quoted.

use std::sync::{Arc, Mutex, PoisonError};

use proto_nats::{ConnectOptions, Credentials, JwtFault, Secret, ServerAddress, Tls};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{NamedFile, NatsArgs, read_regular};
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::error::{AccessError, CredsFault, FileProblem};
use crate::nats::tls_session::{TlsSession, server_name};
use crate::runtime::clock::Clock;

/// Servers, credentials and TLS as the settings name them. Files are read again for each connection.
pub struct Access {
    args: NatsArgs,
    /// What was last said of the JWT in NATS_CREDS.
    said_fault: Mutex<Option<JwtFault>>,
}

impl Access {
    /// Checks what the settings name. The error is one line for the user.
    pub fn new(args: NatsArgs) -> Result<Access, AccessError> {
        let access = Access { args, said_fault: Mutex::new(None) };
        access.warn_of_fault(&access.credentials()?);
        if access.servers().iter().any(|server| access.tls(server) != Tls::WhenAsked) {
            access.client_config()?;
        }
        if let Some(name) = &access.args.nats_tls_server_name
            && server_name(name).is_none()
        {
            return Err(AccessError::ServerName { setting: Some("NATS_TLS_SERVER_NAME"), name: name.clone() });
        }
        Ok(access)
    }

    /// In the order of NATS_URL; at least one.
    pub fn servers(&self) -> &[ServerAddress] {
        &self.args.nats_url.0
    }

    /// NATS_DISCOVER: servers that the named ones advertise are used as well.
    pub fn discovers(&self) -> bool {
        self.args.nats_discover
    }

    /// A connection's credentials are in a file.
    pub fn reads_files(&self) -> bool {
        self.args.nats_nkey.is_some() || self.args.nats_creds.is_some()
    }

    /// NATS_NAME: what the server shows of this client.
    pub fn client_name(&self) -> &str {
        &self.args.nats_name
    }

    /// What a connection to `server` is made with. Reads files.
    pub fn connection_settings(
        &self,
        server: &ServerAddress,
        name: String,
    ) -> Result<proto_nats::ConnectionSettings, AccessError> {
        let credentials = match &server.credentials {
            Some(credentials) => credentials.clone(),
            None => self.credentials()?,
        };
        self.warn_of_fault(&credentials);
        Ok(proto_nats::ConnectionSettings {
            connect: ConnectOptions { name, ..ConnectOptions::default() },
            credentials,
            tls: self.tls(server),
            ping_interval_ns: self.args.nats_ping_interval_ns as u64,
            ..proto_nats::ConnectionSettings::default()
        })
    }

    /// A JWT that has expired, or is not valid yet, is said once, and shown all the same: the server's clock decides.
    fn warn_of_fault(&self, credentials: &Credentials) {
        let Credentials::Jwt { validity, .. } = credentials else { return };
        let fault = validity.fault();
        let before = std::mem::replace(&mut *self.said_fault.lock().unwrap_or_else(PoisonError::into_inner), fault);
        if let Some(fault) = fault.filter(|fault| before != Some(*fault)) {
            log::warn!("{}", CredsFault(fault));
        }
    }

    /// A TLS session with `server`, yet to begin. Reads files.
    pub fn tls_session(&self, server: &ServerAddress) -> Result<TlsSession, AccessError> {
        let name = self.args.nats_tls_server_name.as_deref().unwrap_or(server.certificate_name());
        let certificate_name =
            server_name(name).ok_or_else(|| AccessError::ServerName { setting: None, name: name.to_owned() })?;
        TlsSession::new(self.client_config()?, certificate_name).map_err(AccessError::Tls)
    }

    /// Who sets anything about TLS wants it, and a server that does not offer it is not talked to.
    fn tls(&self, server: &ServerAddress) -> Tls {
        let NatsArgs { nats_ca, nats_cert, nats_tls_server_name, nats_tls_first, .. } = &self.args;
        if *nats_tls_first {
            Tls::First
        } else if server.tls || nats_ca.is_some() || nats_cert.is_some() || nats_tls_server_name.is_some() {
            Tls::Required
        } else {
            Tls::WhenAsked
        }
    }

    /// For servers whose address has none of its own.
    fn credentials(&self) -> Result<Credentials, AccessError> {
        let NatsArgs { nats_user, nats_password, nats_token, nats_nkey, nats_creds, .. } = &self.args;
        if let (Some(user), Some(password)) = (nats_user, nats_password) {
            return Ok(Credentials::UserPassword { user: user.clone(), password: password.clone() });
        }
        if let Some(token) = nats_token {
            return Ok(Credentials::Token(token.clone()));
        }
        if let Some(file) = nats_nkey {
            let accepted = "a file with a user's nkey seed, SU...";
            let text = read("NATS_NKEY", file, accepted)?;
            return Credentials::from_seed_text(text.expose())
                .map_err(|error| refused("NATS_NKEY", file, FileProblem::Credentials(error), accepted));
        }
        if let Some(file) = nats_creds {
            let accepted = "a .creds file, as nsc writes it";
            let text = read("NATS_CREDS", file, accepted)?;
            let read_at_s = Clock::start().now().0 / NANOS_PER_SECOND;
            return Credentials::from_creds_text(text.expose(), read_at_s)
                .map_err(|error| refused("NATS_CREDS", file, FileProblem::Credentials(error), accepted));
        }
        Ok(Credentials::None)
    }

    fn client_config(&self) -> Result<Arc<ClientConfig>, AccessError> {
        let NatsArgs { nats_ca, nats_cert, nats_key, .. } = &self.args;
        let mut roots = RootCertStore::empty();
        match nats_ca {
            Some(file) => {
                for authority in certificates("NATS_CA", file)? {
                    roots
                        .add(authority)
                        .map_err(|_| refused("NATS_CA", file, FileProblem::Certificate, CERTIFICATES))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(AccessError::NoAuthorities);
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let (Some(cert_file), Some(key_file)) = (nats_cert, nats_key) else {
            return Ok(Arc::new(config.with_no_client_auth()));
        };
        let chain = certificates("NATS_CERT", cert_file)?;
        let key = PrivateKeyDer::from_pem_slice(read("NATS_KEY", key_file, PRIVATE_KEY)?.expose().as_bytes())
            .map_err(|error| refused("NATS_KEY", key_file, FileProblem::Pem(error), PRIVATE_KEY))?;
        let config = config.with_client_auth_cert(chain, key).map_err(|error| {
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => FileProblem::OtherKey,
                _ => FileProblem::UnusableKey,
            };
            refused("NATS_KEY", key_file, problem, PRIVATE_KEY)
        })?;
        Ok(Arc::new(config))
    }
}

const CERTIFICATES: &str = "a PEM file with certificates";
const PRIVATE_KEY: &str = "a PEM file with the private key of NATS_CERT, unencrypted";

fn refused(setting: &'static str, file: &NamedFile, problem: FileProblem, accepted: &'static str) -> AccessError {
    AccessError::File { setting, file: file.clone(), problem, accepted }
}

fn read(setting: &'static str, file: &NamedFile, accepted: &'static str) -> Result<Secret, AccessError> {
    let text =
        read_regular(&file.0).map_err(|error| refused(setting, file, FileProblem::Unreadable(error), accepted))?;
    String::from_utf8(text).map(Secret::new).map_err(|_| refused(setting, file, FileProblem::NotText, accepted))
}

fn certificates(setting: &'static str, file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let text = read(setting, file, CERTIFICATES)?;
    let damaged = |error| refused(setting, file, FileProblem::Pem(error), CERTIFICATES);
    let list: Vec<_> =
        CertificateDer::pem_slice_iter(text.expose().as_bytes()).collect::<Result<_, _>>().map_err(damaged)?;
    if list.is_empty() { Err(damaged(PemError::NoItemsFound)) } else { Ok(list) }
}
