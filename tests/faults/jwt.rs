//! An operator with one account, for servers in operator mode: what `nsc` would make.
//!
//! A NATS JWT is `header.claims.signature`, each in base64url: claims about the key `sub`, signed with the key `iss`.
//! The operator signs itself and the account, the account its users. (NATS ADR-14, nats-io/jwt v2)

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

pub struct Operator {
    key: KeyPair,
    account: KeyPair,
}

pub struct User {
    pub jwt: String,
    pub key: KeyPair,
}

impl Operator {
    pub fn new() -> Operator {
        Operator { key: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    /// For nats-server: trusts the operator, knows the account.
    pub fn configuration(&self) -> String {
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let operator = sign("operator", &self.key, &self.key, json!({ "type": "operator", "version": 2 }));
        let claims = json!({ "type": "account", "version": 2, "limits": unlimited, "default_permissions": {} });
        let account = sign("account", &self.account, &self.key, claims);
        format!(
            "operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {account} }}\n",
            self.account.public_key()
        )
    }

    pub fn new_user(&self, name: &str) -> User {
        self.new_user_for(name, None, None)
    }

    /// Valid from one time on, and until another, in seconds since 1970.
    pub fn new_user_for(&self, name: &str, from: Option<u64>, until: Option<u64>) -> User {
        let key = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
        });
        User { jwt: sign_for(name, &key, &self.account, claims, from, until), key }
    }
}

impl User {
    /// The `.creds` file.
    pub fn creds(&self) -> String {
        let seed = self.key.seed().expect("a private half");
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n",
            self.jwt
        )
    }
}

pub fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs()
}

fn sign(name: &str, subject: &KeyPair, issuer: &KeyPair, nats: Value) -> String {
    sign_for(name, subject, issuer, nats, None, None)
}

fn sign_for(
    name: &str,
    subject: &KeyPair,
    issuer: &KeyPair,
    nats: Value,
    from: Option<u64>,
    until: Option<u64>,
) -> String {
    let mut claims = json!({
        "jti": subject.public_key(), "iat": now_s(), "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": nats,
    });
    for (claim, seconds) in [("nbf", from), ("exp", until)] {
        if let Some(seconds) = seconds {
            claims[claim] = seconds.into();
        }
    }
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("a private half");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
