//! `NATS_URL`: read by [`proto_nats`], which knows its rules; its errors do not repeat any part of it.

use proto_nats::ServerAddress;

/// Servers in the order given; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerList(pub Vec<ServerAddress>);

impl ServerList {
    /// The error says what is accepted, and no part of `text`.
    pub(super) fn parse(text: &str) -> Result<ServerList, String> {
        let accepted = "a comma list of nats://[user:password@]host[:port] or tls://...";
        let servers = proto_nats::parse_servers(text).map_err(|error| format!("{accepted}; {error}"))?;
        match servers.iter().position(|server| NO_HOSTS.contains(&&*server.host.to_ascii_lowercase())) {
            None => Ok(ServerList(servers)),
            Some(index) => {
                Err(format!("{accepted}; the host of address {} is true or false, or a word for it", index + 1))
            }
        }
    }
}

/// Words that a flag without its value leaves behind, or another setting's value; no server is called so.
const NO_HOSTS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_show() {
        let list = ServerList::parse("nats://user:hunter2@a").unwrap();
        assert!(!format!("{list:?}").contains("hunter2"), "{list:?}");
    }

    #[test]
    fn a_flag_without_its_value_is_no_server() {
        for list in ["true", "a,nats://FALSE:4222", "on"] {
            assert!(ServerList::parse(list).is_err(), "{list}");
        }
    }
}
