//! CONNECT: what a client says of itself, right after INFO (and TLS).

use crate::json::{NotAnObject, object, or_default};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// The fields of CONNECT. `Debug` shows which secrets are there, never their text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default = "silent")]
pub struct ConnectOptions {
    /// `+OK` for every operation.
    #[serde(deserialize_with = "or_default")]
    pub verbose: bool,
    /// Stricter subject checks by the server.
    #[serde(deserialize_with = "or_default")]
    pub pedantic: bool,
    /// The client refuses to go on without TLS.
    #[serde(deserialize_with = "or_default")]
    pub tls_required: bool,
    /// The client library's language.
    #[serde(deserialize_with = "or_default")]
    pub lang: String,
    /// The client library's version.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// As shown in the server's log and `/connz`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// 1: INFO may come at any time.
    #[serde(deserialize_with = "or_default")]
    pub protocol: u32,
    /// HMSG is understood.
    #[serde(deserialize_with = "or_default")]
    pub headers: bool,
    /// A request without a subscriber is answered with a 503.
    #[serde(deserialize_with = "or_default")]
    pub no_responders: bool,
    /// Own publications come back on own subscriptions.
    #[serde(deserialize_with = "or_true")]
    pub echo: bool,
    /// With `pass`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// With `user`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub pass: Option<Secret>,
    /// A token alone.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<Secret>,
    /// The public key of an nkey user, with `sig`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// The user JWT, with `sig`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Secret>,
    /// INFO's nonce, signed.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Option::is_none")]
    pub sig: Option<Secret>,
}

impl Default for ConnectOptions {
    /// A quiet client that understands everything, without name or credentials.
    fn default() -> Self {
        ConnectOptions {
            verbose: false,
            pedantic: false,
            tls_required: false,
            lang: "rust".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            name: String::new(),
            protocol: 1,
            headers: true,
            no_responders: true,
            echo: true,
            user: None,
            pass: None,
            auth_token: None,
            nkey: None,
            jwt: None,
            sig: None,
        }
    }
}

impl ConnectOptions {
    /// Reads the text of [`ClientOp::Connect`](crate::ClientOp::Connect). An absent field reads as the server would
    /// take it: off, except for `echo`.
    pub fn from_json(text: &[u8]) -> Result<Self, NotAnObject> {
        object(text)
    }

    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("strings, numbers and booleans serialise");
    }
}

/// What a client that sends `{}` gets.
fn silent() -> ConnectOptions {
    ConnectOptions {
        lang: String::new(),
        version: String::new(),
        protocol: 0,
        headers: false,
        no_responders: false,
        ..ConnectOptions::default()
    }
}

fn or_true<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value: Option<bool> = or_default(deserializer)?;
    Ok(value.unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode;

    #[test]
    fn is_written_as_servers_expect_it() {
        let mut out = Vec::new();
        encode::connect(
            &mut out,
            &ConnectOptions { name: "md \"1\"".into(), version: "1".into(), ..Default::default() },
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"lang\":\"rust\",\"version\":\"1\",\
             \"name\":\"md \\\"1\\\"\",\"protocol\":1,\"headers\":true,\"no_responders\":true,\"echo\":true}\r\n"
        );
    }

    #[test]
    fn secrets_reach_the_wire_but_no_log() {
        let options = ConnectOptions {
            user: Some("bob".into()),
            pass: Some(Secret::new("hunter2")),
            auth_token: Some(Secret::new("hunter3")),
            jwt: Some(Secret::new("hunter4")),
            sig: Some(Secret::new("hunter5")),
            ..Default::default()
        };
        let shown = format!("{options:?} {options:#?}");
        assert!(shown.contains("bob") && !shown.contains("hunter"), "{shown}");
        let mut out = Vec::new();
        options.write_json(&mut out);
        assert_eq!(ConnectOptions::from_json(&out), Ok(options));
    }

    #[test]
    fn line_ends_in_a_name_stay_inside_the_json() {
        let mut out = Vec::new();
        encode::connect(&mut out, &ConnectOptions { name: "a\r\nPING\r\n".into(), ..Default::default() });
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }

    #[test]
    fn an_absent_field_is_off() {
        let options = ConnectOptions::from_json(b"{}").unwrap();
        assert!(options.echo && !options.headers && !options.no_responders && options.protocol == 0);
        assert!(ConnectOptions::from_json(b"[]").is_err());
    }
}
