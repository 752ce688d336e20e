//! What an error or a log line repeats of a text that the user gave: nothing that may be a secret.
//!
//! A password may stand in any setting's place, since flags slip, lines wrap and hosts are forgotten. So what is refused
//! is repeated only where it can hardly be one, and never in a setting about NATS, where secrets belong.

use std::path::Path;

/// Stands for a text that may be a secret.
const MASK: &str = "***";
/// Longest value that is repeated, in characters.
const SHOWN_CHARS_MAX: usize = 120;
/// A run of letters and digits from this length on is a key or token, if it has both.
const KEY_CHARS_MIN: usize = 20;

/// In quotes, on one line, not endless; masked where it may be a secret.
pub fn shown(text: &str) -> String {
    if may_be_secret(text) {
        return MASK.to_owned();
    }
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A value that a setting does not accept; where that is about NATS, any part of the value may be secret.
pub fn shown_refused(setting: &str, value: &str) -> String {
    if is_about_nats(setting) { MASK.to_owned() } else { shown(value) }
}

/// A value that is in force.
pub fn shown_accepted(setting: &str, value: &str) -> String {
    match setting {
        "NATS_PASSWORD" | "NATS_TOKEN" => MASK.to_owned(),
        "NATS_URL" => shown_servers(value),
        "NATS_NKEY" | "NATS_CREDS" | "NATS_CA" | "NATS_CERT" | "NATS_KEY" => shown_path(Path::new(value)),
        _ => shown(value),
    }
}

/// The settings that hold secrets, and those that stand beside them.
pub fn is_about_nats(setting: &str) -> bool {
    setting.starts_with("NATS_")
}

/// An address with user and password, a key, a token, a certificate's or a key's file: by their look.
pub fn may_be_secret(text: &str) -> bool {
    let is_key = |word: &str| {
        let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
        word.len() >= KEY_CHARS_MIN && has(u8::is_ascii_alphabetic) && has(u8::is_ascii_digit)
    };
    text.contains('@')
        || text.contains("://")
        || text.contains("-----")
        || text.contains(['\n', '\r'])
        || text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_key)
}

/// In quotes if there is such a file: then it is no secret.
pub fn shown_path(path: &Path) -> String {
    match path.symlink_metadata() {
        Ok(_) => format!("{path:?}"),
        Err(_) => MASK.to_owned(),
    }
}

fn shown_servers(list: &str) -> String {
    let Ok(servers) = proto_nats::parse_servers(list) else {
        return MASK.to_owned();
    };
    let shown = servers.iter().map(|server| {
        let scheme = if server.tls { "tls" } else { "nats" };
        let login = if server.credentials.is_some() { "***@" } else { "" };
        format!("{scheme}://{login}{}", server.endpoint())
    });
    format!("{:?}", shown.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_harmless_is_repeated() {
        for harmless in ["", "file", "127.0.0.1", "md.events", "BTCUSDT,ETHUSDT", "1000SHIBUSDT", "n\to", "8MiB", "ß"]
        {
            assert_eq!(shown(harmless), format!("{harmless:?}"));
        }
        for secret in [
            "nats://u:hunter2@h",
            "nats://u:hunter2",
            "u:hunter2@h",
            "-----BEGIN",
            "a\nb",
            "/etc/SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY/",
            "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5",
        ] {
            assert_eq!(shown(secret), "***", "{secret}");
        }
        let long = shown(&"9".repeat(1000));
        assert!(long.ends_with("9\"…") && long.chars().count() == SHOWN_CHARS_MAX + 3, "{long}");
    }

    #[test]
    fn values_in_force() {
        let check = |setting: &str, value: &str, expected: &str| {
            assert_eq!(shown_accepted(setting, value), expected, "{setting}");
        };
        check(
            "NATS_URL",
            "nats://u:hunter2@a, tls://b:1,t0k3n@[::1]",
            r#""nats://***@a:4222,tls://b:1,nats://***@[::1]:4222""#,
        );
        check("NATS_PASSWORD", "hunter2", "***");
        check("NATS_TOKEN", "hunter2", "***");
        check("NATS_CREDS", "/none/hunter2", "***");
        check("NATS_CREDS", "/dev/null", r#""/dev/null""#);
        check("NATS_USER", "bob", r#""bob""#);
        check("CORES", "2", r#""2""#);
    }
}
