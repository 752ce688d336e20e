//! When a user JWT is valid, by its own claims: `exp` and `nbf`, in seconds since 1970.
//!
//! ```text
//!   header . claims . signature      each in base64url without padding
//! ```
//!
//! A server whose clock says otherwise refuses the login without saying why, or sends the client away at that moment. Claims that
//! cannot be read say nothing here: to judge a JWT is the server's job. (RFC 7519 section 4.1; NATS ADR-14)

use crate::json;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// When a JWT is valid, and when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JwtValidity {
    /// Not before then.
    pub not_before_s: Option<i64>,
    /// Not from then on.
    pub expires_s: Option<i64>,
    /// The driver's time of day when it was read.
    pub read_at_s: i64,
}

/// Why a JWT is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtFault {
    /// Not any more, since then.
    Expired {
        /// In seconds since 1970.
        since_s: i64,
    },
    /// Not yet, before then.
    NotYetValid {
        /// In seconds since 1970.
        from_s: i64,
    },
}

/// Absent, 0 and what is no number all mean "at any time", as for nats-server.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Claims {
    #[serde(deserialize_with = "json::or_default")]
    exp: i64,
    #[serde(deserialize_with = "json::or_default")]
    nbf: i64,
}

impl JwtValidity {
    /// By the claims of `jwt`, which was read at `read_at_s`.
    pub fn of(jwt: &str, read_at_s: i64) -> JwtValidity {
        let claims = jwt.split('.').nth(1).unwrap_or_default().trim_end_matches('=');
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap_or_default();
        let Claims { exp, nbf } = json::object(&claims).unwrap_or_default();
        let stated = |seconds: i64| (seconds > 0).then_some(seconds);
        JwtValidity { not_before_s: stated(nbf), expires_s: stated(exp), read_at_s }
    }

    /// Why it was not valid when it was read.
    pub fn fault(&self) -> Option<JwtFault> {
        match *self {
            JwtValidity { expires_s: Some(since_s), read_at_s, .. } if read_at_s >= since_s => {
                Some(JwtFault::Expired { since_s })
            }
            JwtValidity { not_before_s: Some(from_s), read_at_s, .. } if read_at_s < from_s => {
                Some(JwtFault::NotYetValid { from_s })
            }
            _ => None,
        }
    }

    /// Why it is not valid where the server says that the credentials have expired.
    pub fn expired(&self) -> Option<JwtFault> {
        self.fault().or(self.expires_s.map(|since_s| JwtFault::Expired { since_s }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validity(claims: &str, read_at_s: i64) -> JwtValidity {
        JwtValidity::of(&format!("eyJ0.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes())), read_at_s)
    }

    #[test]
    fn valid_from_and_until() {
        let check = |claims: &str, read_at_s: i64, expected: Option<JwtFault>| {
            assert_eq!(validity(claims, read_at_s).fault(), expected, "{claims} at {read_at_s}");
        };
        let (expired, early) = (JwtFault::Expired { since_s: 200 }, JwtFault::NotYetValid { from_s: 100 });
        check(r#"{"exp":200,"nbf":100}"#, 99, Some(early));
        check(r#"{"exp":200,"nbf":100}"#, 100, None);
        check(r#"{"exp":200,"nbf":100}"#, 199, None);
        check(r#"{"exp":200,"nbf":100}"#, 200, Some(expired));
        check(r#"{"exp":200}"#, i64::MAX, Some(expired));
        check(r#"{"nbf":100}"#, i64::MIN, Some(early));
        for always in [r#"{}"#, r#"{"exp":0,"nbf":0}"#, r#"{"exp":null}"#, r#"{"exp":"x","nbf":[]}"#, "[]", "", "{"] {
            check(always, 1_000, None);
        }
        assert_eq!(validity(r#"{"exp":200}"#, 100).expired(), Some(expired));
        assert_eq!(validity(r#"{}"#, 100).expired(), None);
        for text in ["", ".", "..", "a.%.b", "a.eyJq.b"] {
            assert_eq!(JwtValidity::of(text, 7).fault(), None, "{text}");
        }
    }
}
