//! `NATS_URL`: read by [`proto_nats`], which knows its rules; here is what the setting's errors say and hide.

use proto_nats::ServerAddress;

/// Servers in the order given; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerList(pub Vec<ServerAddress>);

impl ServerList {
    pub(super) fn parse(text: &str) -> Result<ServerList, String> {
        proto_nats::parse_servers(text)
            .map(ServerList)
            .map_err(|error| format!("a comma list of nats://[user:password@]host[:port] or tls://...; {error}"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_show() {
        let check = |text, expected| assert_eq!(redact(text), expected);
        check("nats://a:4222", "nats://a:4222");
        check("nats://user:secret@a:4222", "nats://***@a:4222");
        check("nats://b,nats://user:sec,ret@a", "nats://***@a");
        check("user:s@cret@a", "***@a");
        check("secret://user:s@a", "secret://***@a");
        let list = ServerList::parse("nats://user:hunter2@a").unwrap();
        assert!(!format!("{list:?}").contains("hunter2"), "{list:?}");
    }
}
