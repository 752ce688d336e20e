//! What can be wrong with a NATS connection: who is at fault, and what follows. The texts for operators are made here, from
//! these types, and nowhere else.

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem::{Discriminant, discriminant};

use proto_nats::{Cause, Connection, CredentialsError, JwtFault, Operation, Reason, ServerAddress, ServerError};
use rustix::io::Errno;
use rustls::pki_types::pem::Error as PemError;

use crate::config::NamedFile;
use crate::nats::tls_error::TlsError;
use crate::runtime::MachineError;
use crate::runtime::log_text::{date, plain, printable};

/// Refused subscriptions are named up to so many, then counted.
const REFUSED_NAMED_MAX: usize = 8;

/// Why there is no TCP connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The resolver has no answer.
    Unresolved(io::Error),
    /// The resolver's answer is empty.
    NoAddress,
    /// Nothing listens there.
    Refused,
    /// Nothing came back in time.
    NoAnswer {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Something else.
    Failed(io::Error),
}

impl ConnectError {
    /// What `error` says of a connect that was given so many seconds.
    pub(crate) fn of(error: io::Error, seconds: u64) -> ConnectError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused,
            io::ErrorKind::TimedOut => ConnectError::NoAnswer { seconds },
            _ => ConnectError::Failed(error),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Unresolved(error) => {
                let text = plain(error);
                // Which is what the line already says.
                let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
                write!(
                    f,
                    "the name cannot be resolved ({text}): is it right in NATS_URL, and is the resolver reachable?"
                )
            }
            ConnectError::NoAddress => f.write_str("the name has no address"),
            ConnectError::Refused => f.write_str("connection refused: is nats-server running there?"),
            ConnectError::NoAnswer { seconds } => {
                write!(f, "no answer within {seconds} s: is the address right, a firewall between?")
            }
            ConnectError::Failed(error) => write!(f, "cannot connect: {}", of_connect(error)),
        }
    }
}

/// What the system says of a connect that fails, and what to do about it.
fn of_connect(error: &io::Error) -> String {
    let what_to_do = match error.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            ": is the address right, and the network between up?"
        }
        ErrorKind::PermissionDenied => ": a firewall or a policy of this machine does not allow it",
        ErrorKind::AddrNotAvailable => ": is the address one to connect to, and are local ports left?",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ": is nats-server running there?",
        _ if [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) => {
            ": raise the limit (ulimit -n, LimitNOFILE)"
        }
        _ if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            ": this machine has no IPv6, or no IPv4: use an address of the other kind"
        }
        _ => "",
    };
    plain(error) + what_to_do
}

/// What the system says of a connection that breaks, and what that may mean.
fn of_break(error: &io::Error) -> String {
    let meaning = match error.kind() {
        ErrorKind::ConnectionReset => {
            "the server's process or machine has ended, or something between ends connections"
        }
        ErrorKind::BrokenPipe => "the server had closed it before",
        ErrorKind::TimedOut => "the server's machine, or the network between, does not answer any more",
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            "the network between is down, or its routes have changed"
        }
        _ => "the network has ended the connection",
    };
    format!("{} ({meaning})", plain(error))
}

/// Why the JWT in the file of `NATS_CREDS` is not valid.
pub struct CredsFault(pub JwtFault);

impl fmt::Display for CredsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            JwtFault::Expired { since_s } => write!(
                f,
                "the user JWT in the file of NATS_CREDS has expired at {} (or a clock is wrong): put a renewed one in its \
                 place, it is read again for each connection",
                date(since_s)
            ),
            JwtFault::NotYetValid { from_s } => write!(
                f,
                "the user JWT in the file of NATS_CREDS is not valid before {} (or a clock is wrong)",
                date(from_s)
            ),
        }
    }
}

/// What is wrong with a setting about credentials or TLS, or with the file that it names.
#[derive(Debug)]
pub enum AccessError {
    /// A file is of no use.
    File {
        /// The setting that names it, as in the environment.
        setting: &'static str,
        /// As the setting names it.
        file: NamedFile,
        /// Why.
        problem: FileProblem,
        /// What it should be, in words.
        accepted: &'static str,
    },
    /// There is no `NATS_CA`, and the machine has no authorities either.
    NoAuthorities,
    /// No certificate could be for a name.
    ServerName {
        /// The setting that has it; `None` where it is that of a server's address.
        setting: Option<&'static str>,
        /// The name.
        name: String,
    },
    /// rustls cannot begin.
    Tls(TlsError),
}

/// Why a file is of no use.
#[derive(Debug)]
pub enum FileProblem {
    /// The system does not let it be read: not there, not permitted, too large.
    Unreadable(io::Error),
    /// Not UTF-8.
    NotText,
    /// No nkey seed, or no credentials.
    Credentials(CredentialsError),
    /// No PEM.
    Pem(PemError),
    /// An authority's certificate that rustls does not take.
    Certificate,
    /// The private key belongs to another certificate.
    OtherKey,
    /// The private key and its certificate cannot be used together.
    UnusableKey,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessError::File { setting, file, problem, accepted } => {
                write!(f, "{}; accepted is {accepted}", file.refused(setting, &problem.to_string()))
            }
            AccessError::NoAuthorities => f.write_str(
                "TLS: this machine has no trusted authorities: install ca-certificates, or set NATS_CA to a file with the \
                 authority that signs the server's certificate",
            ),
            AccessError::ServerName { setting, name } => {
                if let Some(setting) = setting {
                    write!(f, "{setting}: ")?;
                }
                write!(f, "{name} is no name that a certificate could be for")
            }
            AccessError::Tls(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileProblem::Unreadable(error) => write!(f, "it cannot be read ({})", plain(error)),
            FileProblem::NotText => f.write_str("it is not text"),
            FileProblem::Credentials(error) => error.fmt(f),
            FileProblem::Pem(PemError::NoItemsFound) => f.write_str("it holds none"),
            FileProblem::Pem(PemError::MissingSectionEnd { .. }) => f.write_str("a BEGIN line has no END line"),
            FileProblem::Pem(_) => f.write_str("it is damaged"),
            FileProblem::Certificate => f.write_str("a certificate in it cannot be read"),
            FileProblem::OtherKey => f.write_str("it is not the key of the certificate in NATS_CERT"),
            FileProblem::UnusableKey => f.write_str("it cannot be used with the certificate in NATS_CERT"),
        }
    }
}

/// Why a connection, or an attempt at one, is over; or why a connection is of no use.
#[derive(Debug)]
pub enum Trouble {
    /// No TCP connection.
    Connect(ConnectError),
    /// Resolving, connecting or reading files took too long.
    ConnectTooSlow {
        /// The time that they have together.
        seconds: u64,
    },
    /// The machine does not give what is needed: a thread.
    Machine(MachineError),
    /// The socket cannot be used.
    Socket(io::Error),
    /// The settings, or a file that they name.
    Access(AccessError),
    /// The files that TLS needs were not read in time.
    FilesTooSlow,
    /// TLS ended the connection.
    Tls(TlsError),
    /// The protocol, or the server, ended it.
    Ended(Reason),
    /// The network ended it.
    Broken {
        /// What the protocol took it for.
        reason: Reason,
        /// What the system said.
        error: io::Error,
    },
    /// The server refuses subscriptions; the connection lives on.
    SubscriptionsRefused {
        /// Subjects that it has refused by name, the first 8 of them; empty where it names none.
        named: Vec<String>,
        /// All that it refuses, at least as many as are named.
        count: usize,
    },
}

impl From<MachineError> for Trouble {
    fn from(error: MachineError) -> Trouble {
        Trouble::Machine(error)
    }
}

impl Trouble {
    /// What it is, without its particulars.
    pub fn kind(&self) -> TroubleKind {
        match self {
            Trouble::Connect(error) => TroubleKind::Connect(discriminant(error)),
            Trouble::Access(error) => TroubleKind::Access(discriminant(error)),
            Trouble::Tls(error) => {
                let (error, certificate) = error.kind();
                TroubleKind::Tls(error, certificate)
            }
            Trouble::Ended(Reason::InvalidJwt { fault, .. })
            | Trouble::Broken { reason: Reason::InvalidJwt { fault, .. }, .. } => TroubleKind::Jwt(discriminant(fault)),
            Trouble::Ended(reason) | Trouble::Broken { reason, .. } => {
                let said = match reason {
                    Reason::Refused { error, .. } | Reason::Closed { after: Some(error), .. } => Some(error),
                    _ => None,
                };
                TroubleKind::Ended(discriminant(reason), said.map(discriminant), reason.is_slow_consumer_cut())
            }
            other => TroubleKind::Other(discriminant(other)),
        }
    }

    /// The subscriptions that the server of `connection` refuses, if it does.
    pub(crate) fn of_refusals(connection: &Connection) -> Option<Trouble> {
        let count = connection.refused_count();
        let named = connection.refused_subscriptions().take(REFUSED_NAMED_MAX);
        let named = named.map(|subscription| subscription.subject.clone()).collect();
        (count > 0).then_some(Trouble::SubscriptionsRefused { named, count })
    }

    /// A connection is over for this reason, or as the network had an error.
    pub(crate) fn of_end(reason: Reason, error: Option<io::Error>) -> Trouble {
        match error {
            Some(error) => Trouble::Broken { reason, error },
            None => Trouble::Ended(reason),
        }
    }

    /// The subscriptions that it is about.
    pub fn refused_count(&self) -> usize {
        match self {
            Trouble::SubscriptionsRefused { count, .. } => *count,
            _ => 0,
        }
    }

    /// What the pool of servers makes of it.
    pub fn cause(&self) -> Cause {
        match self {
            Trouble::Tls(_) | Trouble::Access(_) | Trouble::FilesTooSlow => Cause::Refused,
            Trouble::SubscriptionsRefused { .. } => Cause::Refused,
            Trouble::Ended(reason) | Trouble::Broken { reason, .. } => reason.cause(),
            _ => Cause::Trouble,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connect(error) => error.fmt(f),
            Trouble::ConnectTooSlow { seconds } => {
                write!(f, "no connection within {seconds} s: is the name's resolver slow, or a disk?")
            }
            Trouble::Machine(error) => error.fmt(f),
            Trouble::Socket(error) => write!(f, "cannot use the socket: {}", plain(error)),
            Trouble::Access(error) => error.fmt(f),
            Trouble::FilesTooSlow => f.write_str("the files that TLS needs could not be read in time"),
            Trouble::Tls(error) => error.fmt(f),
            Trouble::Ended(Reason::InvalidJwt { fault, .. }) => {
                write!(f, "the server refuses the login, and {}", CredsFault(*fault))
            }
            Trouble::Ended(reason) => reason.fmt(f),
            Trouble::Broken { reason, error } => write!(f, "{}; {reason}", of_break(error)),
            Trouble::SubscriptionsRefused { named, count } => {
                let names = named.iter().map(|subject| printable(subject)).collect::<Vec<_>>().join(", ");
                match (count, count.saturating_sub(named.len())) {
                    // It has another name at each start.
                    (1, 0) if names.starts_with("_INBOX.") => write!(
                        f,
                        "NATS refuses the subscription to {names}: grant this user permissions: {{subscribe: [\"_INBOX.>\"]}} in the \
                         server's configuration"
                    ),
                    (1, 0) => write!(f, "NATS refuses the subscription to {names}: grant this user that permission"),
                    (_, 0) => {
                        write!(f, "NATS refuses {count} subscriptions, to {names}: grant this user these permissions")
                    }
                    (_, more) if !named.is_empty() => write!(
                        f,
                        "NATS refuses {count} subscriptions, to {names} and {more} more: grant this user these permissions"
                    ),
                    _ => write!(
                        f,
                        "NATS has refused {count} of this service's subscriptions and not said which: grant this user the \
                         permission to subscribe, and to as many subjects"
                    ),
                }
            }
        }
    }
}

/// What two troubles that an operator would call the same have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TroubleKind {
    /// No TCP connection.
    Connect(Discriminant<ConnectError>),
    /// The settings, or a file that they name.
    Access(Discriminant<AccessError>),
    /// TLS, and what it has against the server's certificate.
    Tls(Discriminant<rustls::Error>, Option<Discriminant<rustls::CertificateError>>),
    /// Our JWT.
    Jwt(Discriminant<JwtFault>),
    /// The protocol or the server: with what the server had said, and whether events may be lost.
    Ended(Discriminant<Reason>, Option<Discriminant<ServerError>>, bool),
    /// Anything else.
    Other(Discriminant<Trouble>),
}

/// A trouble and the server that it is about.
#[derive(Debug)]
pub struct ServerTrouble {
    /// May have credentials: only [`endpoint`](ServerAddress::endpoint) is shown.
    pub server: ServerAddress,
    /// Why its connection is over, or of no use.
    pub trouble: Trouble,
}

impl fmt::Display for ServerTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trouble {
            // These name NATS themselves: it is what every server of the cluster would say.
            trouble @ Trouble::SubscriptionsRefused { .. } => trouble.fmt(f),
            trouble => write!(f, "NATS {}: {trouble}", self.server.endpoint()),
        }
    }
}

/// Why outputs reach no subscriber though the connection works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishTrouble {
    /// The server refuses to take what is published to some subjects.
    Refused {
        /// One of them.
        subject: String,
        /// How many there are.
        count: usize,
        /// There are more than were counted.
        are_more: bool,
    },
    /// Outputs are larger than the server takes, and are not sent.
    TooLarge {
        /// Of the largest of them.
        largest_bytes: u64,
        /// Of the server.
        max_payload: u64,
    },
}

impl fmt::Display for PublishTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishTrouble::Refused { subject, count: 1, are_more: false } => {
                let subject = printable(subject);
                write!(f, "NATS refuses to take {subject}: grant this user permission to publish to it")
            }
            PublishTrouble::Refused { subject, count, are_more } => {
                let (more, subject) = (if *are_more { "more than " } else { "" }, printable(subject));
                write!(
                    f,
                    "NATS refuses to take {more}{count} subjects, {subject} among them: grant this user permission to \
                     publish to senpai.>"
                )
            }
            PublishTrouble::TooLarge { largest_bytes, max_payload } => write!(
                f,
                "NATS takes {max_payload} bytes at most (its max_payload), and the largest output that was not sent has \
                 {largest_bytes}: raise max_payload"
            ),
        }
    }
}

/// What to say of an `-ERR` that leaves the connection alive.
pub struct Complaint<'a>(pub &'a ServerError);

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NATS: {}", self.0)?;
        match self.0 {
            ServerError::PermissionsViolation { operation: Operation::Publish, .. } => {
                f.write_str(": grant it that permission")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
