//! `NATS_URL`: servers, and what to say to them. Passwords and tokens never show: not in `Debug`, not in an error.

use std::fmt;

const PORT_DEFAULT: u16 = 4222;

/// Servers in the order given; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerList(pub Vec<ServerAddress>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    pub port: u16,
    pub credentials: Option<Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    UserPassword { user: String, password: String },
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::UserPassword { .. } => f.write_str("UserPassword(***)"),
            Credentials::Token(_) => f.write_str("Token(***)"),
        }
    }
}

/// `host:port`, as logs and errors may show it.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl ServerList {
    pub(super) fn parse(text: &str) -> Result<ServerList, String> {
        let servers: Result<Vec<_>, String> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(ServerAddress::parse)
            .collect();
        match servers? {
            servers if servers.is_empty() => Err(accepted("")),
            servers => Ok(ServerList(servers)),
        }
    }
}

/// What `NATS_URL` may be, and why this one is not.
fn accepted(why: &str) -> String {
    format!("a comma list of nats://[user:password@]host[:port]{why}")
}

impl ServerAddress {
    /// ```text
    ///   nats://user:password@host:4222
    ///          token@host
    ///   scheme └ credentials ┘ └ host and port; an IPv6 host in brackets
    /// ```
    fn parse(text: &str) -> Result<ServerAddress, String> {
        let rest = match text.split_once("://") {
            None => text,
            Some(("nats", rest)) => rest,
            Some(("tls" | "wss", _)) => {
                return Err(accepted("; this version connects without TLS"));
            }
            Some(_) => return Err(accepted("")),
        };
        // A password may hold an `@`, a host may not.
        let (userinfo, host_port) = match rest.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo), host_port),
            None => (None, rest),
        };
        let host_port = host_port.strip_suffix('/').unwrap_or(host_port);
        let (host, port) = split_port(host_port).ok_or_else(|| accepted(""))?;
        let credentials = match userinfo {
            None => None,
            Some(userinfo) => Some(Credentials::parse(userinfo).ok_or_else(|| {
                accepted("; the user or password has an invalid percent escape, or is empty")
            })?),
        };
        Ok(ServerAddress {
            host: super::values::host(host).map_err(|_| accepted(""))?,
            port,
            credentials,
        })
    }
}

fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port.map(str::parse) {
        None => Some((host, PORT_DEFAULT)),
        Some(Ok(port)) if port > 0 => Some((host, port)),
        Some(_) => None,
    }
}

impl Credentials {
    fn parse(userinfo: &str) -> Option<Credentials> {
        match userinfo.split_once(':') {
            Some(("", _)) => None,
            Some((user, password)) => Some(Credentials::UserPassword {
                user: percent_decode(user)?,
                password: percent_decode(password)?,
            }),
            None if userinfo.is_empty() => None,
            None => Some(Credentials::Token(percent_decode(userinfo)?)),
        }
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || (bytes.next()? as char).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// The value as an error may show it: everything that could be credentials is a `***`, even where the text is so
/// wrong that nobody can tell where a password ends.
pub(super) fn redact(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((before, after)) => {
            let scheme = before.find("://").map_or("", |at| &before[..at + 3]);
            format!("{scheme}***@{after}")
        }
    }
}
