//! Server addresses, as an operator writes them in `NATS_URL` and as a server lists them in `connect_urls`.
//!
//! ```text
//!   nats://a:4222,tls://user:p%40ss@b,[::1]:4222,host
//!   └┬─┘   ┬ └─┬┘       └─┬┘ └─┬──┘
//!  scheme host port     user  password, percent-encoded; a user alone is a token
//! ```
//!
//! A password never leaves this file but inside [`Credentials`]: errors name the part that is wrong and repeat none.

use crate::auth::Credentials;
use crate::secret::Secret;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The port of NATS.
pub const DEFAULT_PORT: u16 = 4222;

/// Where a server is, and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// `tls://`: never in clear text. Otherwise the server decides.
    pub tls: bool,
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// From the address itself. `None`: those of the settings.
    pub credentials: Option<Credentials>,
    /// The name that the server's certificate must have, where that is not `host`; see [`pool`](crate::pool).
    pub certificate_name: Option<String>,
}

impl ServerAddress {
    /// Reads one address.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse(text.trim()).map_err(|problem| UrlError { position: 1, problem })
    }

    /// `host:4222`, an IPv6 address in brackets.
    pub fn endpoint(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The name that the server's certificate must have.
    pub fn certificate_name(&self) -> &str {
        self.certificate_name.as_deref().unwrap_or(&self.host)
    }

    /// Whether both are the same place.
    pub fn is_same_endpoint(&self, other: &ServerAddress) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Whether `host` is an IP address rather than a name.
    pub fn is_ip(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok() || self.host.contains(':')
    }
}

/// `nats://host:4222`, without user or password.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "nats" };
        write!(f, "{scheme}://{}", self.endpoint())
    }
}

/// Reads a list of addresses separated by commas.
pub fn parse_servers(list: &str) -> Result<Vec<ServerAddress>, UrlError> {
    let mut servers = Vec::new();
    // A comma too many does no harm.
    for (text, position) in list.split(',').map(str::trim).zip(1..).filter(|(text, _)| !text.is_empty()) {
        servers.push(parse(text).map_err(|problem| UrlError { position, problem })?);
    }
    match servers.is_empty() {
        true => Err(UrlError { position: 1, problem: UrlProblem::Empty }),
        false => Ok(servers),
    }
}

/// Which address of a list is wrong, and how. It repeats nothing of the list: where a host or an `@` was forgotten, or
/// a password has a raw `,` or `/` in it, any part of the text may be one of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlError {
    /// Its place in the list, from 1.
    pub position: usize,
    /// What is wrong with it.
    pub problem: UrlProblem,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlProblem {
    /// Nothing there.
    Empty,
    /// Neither `nats://` nor `tls://`.
    Scheme,
    /// No host name.
    NoHost,
    /// Characters that no host name has, or a number alone.
    Host,
    /// Not an IPv6 address inside the brackets.
    Ipv6,
    /// An IPv6 address without brackets.
    Ipv6Brackets,
    /// Not a number from 1 to 65535.
    Port,
    /// Something behind the port.
    Path,
    /// A `%` that no two hexadecimal digits follow, or bytes that are no UTF-8.
    PercentEncoding,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UrlError { position, problem } = self;
        if *problem == UrlProblem::Empty {
            return f.write_str("there is no server address; a right one is nats://host:4222");
        }
        write!(f, "address {position}: ")?;
        f.write_str(match problem {
            UrlProblem::Empty | UrlProblem::NoHost => "the host is missing; a right address is nats://host:4222",
            UrlProblem::Scheme => "the scheme is not one of nats:// and tls:// (WebSocket is not supported)",
            UrlProblem::Host => "the host is no host name; a right address is nats://host:4222",
            UrlProblem::Ipv6 => "the host is not an IPv6 address; a right one is [::1]:4222",
            UrlProblem::Ipv6Brackets => {
                "the host has several colons; an IPv6 address is written in brackets, [::1]:4222, and a user and a \
                 password end with @"
            }
            UrlProblem::Port => "the port is not a number from 1 to 65535; a user and a password end with @",
            UrlProblem::Path => "what follows the port has no meaning here; a right address ends with the port",
            UrlProblem::PercentEncoding => {
                "the user or password has a % that is not followed by two hexadecimal digits; % itself is %25"
            }
        })?;
        match problem {
            UrlProblem::PercentEncoding => Ok(()),
            _ => f.write_str(" (in a user or password write , / @ : % as %2C %2F %40 %3A %25)"),
        }
    }
}

impl std::error::Error for UrlError {}

fn parse(text: &str) -> Result<ServerAddress, UrlProblem> {
    let (tls, rest) = match text.split_once("://") {
        None => (false, text),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("nats") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tls") => (true, rest),
        Some(_) => return Err(UrlProblem::Scheme),
    };
    // The last `@`, so that an unescaped one in a password does no harm.
    let (user_info, place) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user_info, place)) => (Some(user_info), place),
    };
    let credentials = match user_info {
        None | Some("") => None,
        Some(user_info) => Some(credentials(user_info).ok_or(UrlProblem::PercentEncoding)?),
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains(['/', '?', '#']) {
        return Err(UrlProblem::Path);
    }

    let (host, port) = if let Some(inside) = place.strip_prefix('[') {
        let Some((host, behind)) = inside.split_once(']') else {
            return Err(UrlProblem::Ipv6);
        };
        // A zone, `fe80::1%eth0`, is for the resolver to judge.
        let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
        let is_zone = !zone.is_empty() && zone.bytes().all(is_host_byte);
        if address.parse::<Ipv6Addr>().is_err() || !is_zone {
            return Err(UrlProblem::Ipv6);
        }
        match behind.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if behind.is_empty() => (host, None),
            None => return Err(UrlProblem::Port),
        }
    } else {
        match place.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(UrlProblem::Ipv6Brackets),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    if host.is_empty() {
        return Err(UrlProblem::NoHost);
    }
    // A number alone would be read as an IPv4 address: 4222 is 0.0.16.126.
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || !host.contains(':') && !host.bytes().all(is_host_byte) {
        return Err(UrlProblem::Host);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => return Err(UrlProblem::Port),
        },
    };
    Ok(ServerAddress { tls, host: host.to_string(), port, credentials, certificate_name: None })
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn credentials(user_info: &str) -> Option<Credentials> {
    Some(match user_info.split_once(':') {
        None => Credentials::Token(Secret::new(percent_decode(user_info)?)),
        Some((user, password)) => {
            Credentials::UserPassword { user: percent_decode(user)?, password: Secret::new(percent_decode(password)?) }
        }
    })
}

fn percent_decode(text: &str) -> Option<String> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::UserPassword { user: user.into(), password: Secret::new(password) })
    }

    #[test]
    fn right_addresses() {
        let check = |text: &str, shown: &str, credentials: Option<Credentials>| {
            let address = ServerAddress::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.credentials, credentials, "{text}");
        };
        let token = |text: &str| Some(Credentials::Token(Secret::new(text)));
        check("localhost", "nats://localhost:4222", None);
        check("nats://a:4223", "nats://a:4223", None);
        check("NATS://a", "nats://a:4222", None);
        check("tls://a-1.b_c.example", "tls://a-1.b_c.example:4222", None);
        check("nats://a:4222/", "nats://a:4222", None);
        check("  10.0.0.1:1  ", "nats://10.0.0.1:1", None);
        check("[::1]:4223", "nats://[::1]:4223", None);
        check("tls://[2001:db8::1]", "tls://[2001:db8::1]:4222", None);
        check("[fe80::1%eth0]:1", "nats://[fe80::1%eth0]:1", None);
        check("nats://bob:hunter2@a", "nats://a:4222", password("bob", "hunter2"));
        check("bob:hunter2@a:1", "nats://a:1", password("bob", "hunter2"));
        check("tls://u%3A1:p%40s%2fs%25@b", "tls://b:4222", password("u:1", "p@s/s%"));
        check("nats://bob:p@ss@a", "nats://a:4222", password("bob", "p@ss"));
        check("nats://bob:p:ss@a", "nats://a:4222", password("bob", "p:ss"));
        check("nats://bob:@a", "nats://a:4222", password("bob", ""));
        check("nats://t0k3n@a", "nats://a:4222", token("t0k3n"));
        check("nats://@a", "nats://a:4222", None);
        check("nats://%C3%A9@[::1]:5", "nats://[::1]:5", token("é"));
    }

    #[test]
    fn lists() {
        let check = |list: &str, expected: &[&str]| {
            let servers = parse_servers(list).unwrap();
            assert_eq!(servers.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{list}");
        };
        check("a", &["nats://a:4222"]);
        check("nats://a:1, tls://b ,", &["nats://a:1", "tls://b:4222"]);
        check(
            "nats://a:4222,tls://user:p%40ss@b,[::1]:4222,host",
            &["nats://a:4222", "tls://b:4222", "nats://[::1]:4222", "nats://host:4222"],
        );
    }

    #[test]
    fn wrong_addresses_say_which_part() {
        let check = |list: &str, expected: &str| match parse_servers(list) {
            Ok(servers) => panic!("{list}: {servers:?}"),
            Err(error) => assert!(error.to_string().starts_with(expected), "{list}: {error}"),
        };
        check("", "there is no server address; a right one is nats://host:4222");
        check(" , ", "there is no server address; a right one is nats://host:4222");
        check("ws://a", "address 1: the scheme is not one of nats:// and tls:// (WebSocket is not supported)");
        let port = "the port is not a number from 1 to 65535";
        check("a,b:x", &format!("address 2: {port}"));
        for list in ["a:0", "a:65536", "a:+1", "a:", "nats://u:hunter2", "[::1]4222"] {
            check(list, &format!("address 1: {port}"));
        }
        check("::1", "address 1: the host has several colons; an IPv6 address is written in brackets, [::1]:4222");
        check("[::1", "address 1: the host is not an IPv6 address; a right one is [::1]:4222");
        check("[abc]", "address 1: the host is not an IPv6 address; a right one is [::1]:4222");
        for list in ["nats://a b", "4222", "nats://1:4222"] {
            check(list, "address 1: the host is no host name; a right address is nats://host:4222");
        }
        check("a:1/x", "address 1: what follows the port has no meaning here; a right address ends with the port");
        let percent = "the user or password has a % that is not followed by two hexadecimal digits; % itself is %25";
        check("u:%zz@a", &format!("address 1: {percent}"));
        check("nats://u:p@", "address 1: the host is missing; a right address is nats://host:4222");
    }

    #[test]
    fn no_error_repeats_any_part() {
        for list in [
            "nats://bob:hunter2,more@a",
            "nats://bob:hunter2/more@a/b",
            "nats://bob:hunter2?more@a:x",
            "nats://bob:hunter2#@a:b:c",
            "nats://bob:hunter2%@a",
            "nats://bob:hunter2",
            "nats://bob:p@hunter2:x",
            "nats://bob:hunter2a:4222",
            "ws://bob:hunter2@a",
            "hunter2://bob@a",
            "bob:hunter2,ws://b,nats://b@c",
            "nats://bob:hunter2@[::1",
            "[hunter2,x@a",
            "[::1]hunter2",
        ] {
            let shown = match parse_servers(list) {
                Ok(servers) => format!("{servers:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hunter"), "{list}: {shown}");
        }
        let address = ServerAddress::parse("nats://bob:hunter2@a").unwrap();
        assert!(!format!("{address} {address:?}").contains("hunter"));
    }
}
