//! INFO: what a server says of itself, first thing and whenever something changes.

use crate::json::{NotAnObject, object, or_default};
use serde::{Deserialize, Serialize};

/// The fields of INFO. Any of them may be missing; unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Unique for as long as the server's process lives: another one means a restart.
    #[serde(deserialize_with = "or_default")]
    pub server_id: String,
    /// As in the server's settings.
    #[serde(deserialize_with = "or_default")]
    pub server_name: String,
    /// Of nats-server, `2.15.1`.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// Of the protocol: 1 means that INFO may come at any time.
    #[serde(deserialize_with = "or_default")]
    pub proto: u32,
    /// Where the server listens.
    #[serde(deserialize_with = "or_default")]
    pub host: String,
    /// Where the server listens.
    #[serde(deserialize_with = "or_default")]
    pub port: u16,
    /// Header and payload of a publication together, in bytes.
    #[serde(deserialize_with = "max_payload")]
    pub max_payload: u64,
    /// HPUB and HMSG are understood.
    #[serde(deserialize_with = "or_default")]
    pub headers: bool,
    /// Some form of credentials is wanted.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// The server expects a TLS handshake right after INFO.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// The server accepts a TLS handshake right after INFO.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_available: bool,
    /// The server wants a client certificate.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// To be signed by nkey and JWT users.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub nonce: Option<String>,
    /// The other servers of the cluster, `host:port`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub connect_urls: Vec<String>,
    /// The server is about to go: move while there is time (ADR-5). Sent as `ldm`.
    #[serde(rename = "ldm", deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub lame_duck_mode: bool,
    /// JetStream is on.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub jetstream: bool,
    /// This connection's number, as in the server's log and `/connz`.
    #[serde(deserialize_with = "or_default")]
    pub client_id: u64,
    /// This client's address as the server sees it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub client_ip: String,
    /// The cluster's name.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub cluster: Option<String>,
    /// The JetStream domain.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub domain: Option<String>,
    /// The git commit of the server's build.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub git_commit: String,
}

/// nats-server's own default, for an INFO that does not say.
const MAX_PAYLOAD_DEFAULT: u64 = 1 << 20;

impl Default for ServerInfo {
    fn default() -> Self {
        ServerInfo {
            server_id: String::new(),
            server_name: String::new(),
            version: String::new(),
            proto: 0,
            host: String::new(),
            port: 0,
            max_payload: MAX_PAYLOAD_DEFAULT,
            headers: false,
            auth_required: false,
            tls_required: false,
            tls_available: false,
            tls_verify: false,
            nonce: None,
            connect_urls: Vec::new(),
            lame_duck_mode: false,
            jetstream: false,
            client_id: 0,
            client_ip: String::new(),
            cluster: None,
            domain: None,
            git_commit: String::new(),
        }
    }
}

impl ServerInfo {
    /// Reads the text of [`ServerOp::Info`](crate::ServerOp::Info).
    pub fn from_json(text: &[u8]) -> Result<Self, NotAnObject> {
        object(text)
    }

    /// One line of JSON, for [`encode::info`](crate::encode::info).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and booleans serialise")
    }
}

fn max_payload<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value: Option<u64> = or_default(deserializer)?;
    Ok(value.unwrap_or(MAX_PAYLOAD_DEFAULT))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nats-server 2.15 sends it to a client of an unsecured server, shortened.
    const PLAIN: &str = r#"{"server_id":"NDX","server_name":"n1","version":"2.15.1","proto":1,"git_commit":"abc",
        "go":"go1.25","host":"0.0.0.0","port":4222,"headers":true,"max_payload":1048576,"jetstream":true,
        "client_id":7,"client_ip":"127.0.0.1","xkey":"X","api_lvl":2,"feature_flags":{"a":true}}"#;

    #[test]
    fn reads_what_a_server_sends() {
        let info = ServerInfo::from_json(PLAIN.as_bytes()).unwrap();
        assert_eq!((info.server_id.as_str(), info.proto, info.port), ("NDX", 1, 4222));
        assert_eq!((info.max_payload, info.client_id, info.jetstream), (1 << 20, 7, true));
        assert!(!info.auth_required && !info.lame_duck_mode && info.connect_urls.is_empty());
    }

    #[test]
    fn every_field_has_a_default() {
        let check =
            |text: &str| assert_eq!(ServerInfo::from_json(text.as_bytes()), Ok(ServerInfo::default()), "{text}");
        check("{}");
        check(r#"{"something":{"new":[1,2,{}]}}"#);
        check(r#"{"connect_urls":null,"nonce":null,"max_payload":null,"port":null}"#);
        check(r#"{"port":99999,"headers":"yes","connect_urls":[1,2],"max_payload":-1,"client_id":1.5}"#);
    }

    #[test]
    fn a_field_given_twice_takes_its_last_value() {
        assert!(ServerInfo::from_json(br#"{"ldm":false,"ldm":true}"#).unwrap().lame_duck_mode);
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in ["", "[]", "null", "{", "{\"a\":}", "\"INFO\"", &"[".repeat(100_000)] {
            assert_eq!(ServerInfo::from_json(text.as_bytes()), Err(NotAnObject), "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn round_trips() {
        let info = ServerInfo {
            server_id: "N".into(),
            nonce: Some("abc".into()),
            connect_urls: vec!["a:1".into(), "[::1]:2".into()],
            lame_duck_mode: true,
            tls_required: true,
            domain: Some("hub".into()),
            ..ServerInfo::default()
        };
        assert_eq!(ServerInfo::from_json(&info.to_json()), Ok(info.clone()));
        assert!(String::from_utf8(info.to_json()).unwrap().contains(r#""ldm":true"#));
    }
}
