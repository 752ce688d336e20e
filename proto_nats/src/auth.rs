//! Who the client is: credentials, how seed and `.creds` texts are read, how a nonce is signed.
//!
//! ```text
//!   -----BEGIN NATS USER JWT-----
//!   eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ...      sent as it is
//!   ------END NATS USER JWT------
//!
//!   -----BEGIN USER NKEY SEED-----
//!   SUAOY5JZ2WJKVR4UO2KJ2P3SW6FZFNWEOIMAXF4WZEUNVQXXUOKGM55CYE   never sent: signs the nonce of INFO
//!   ------END USER NKEY SEED------
//! ```
//!
//! Text in, credentials out: reading the files is the driver's job. No error quotes what it read.

use crate::connect::ConnectOptions;
use crate::info::ServerInfo;
use crate::jwt::JwtValidity;
use crate::secret::Secret;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use std::fmt;

/// How the client proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// It doesn't.
    #[default]
    None,
    /// By name and password.
    UserPassword {
        /// The name: may be logged.
        user: String,
        /// The password.
        password: Secret,
    },
    /// By a token alone.
    Token(Secret),
    /// By signing with a key whose public half the server knows.
    NKey(UserSeed),
    /// By a JWT that the server's operator trusts, and signing with the key that it names (a `.creds` file).
    Jwt {
        /// The user JWT.
        jwt: Secret,
        /// Its key.
        seed: UserSeed,
        /// When it is valid.
        validity: JwtValidity,
    },
}

impl Credentials {
    /// Reads a seed file's text: [`UserSeed::from_text`].
    pub fn from_seed_text(text: &str) -> Result<Self, CredentialsError> {
        UserSeed::from_text(text).map(Credentials::NKey)
    }

    /// Reads a `.creds` file's text, at the time of day `read_at_s`, which may be after the JWT has expired.
    pub fn from_creds_text(text: &str, read_at_s: i64) -> Result<Self, CredentialsError> {
        let jwt = block(text, "JWT").ok_or(CredentialsError::NoJwt)?;
        // Three base64url parts; anything else would only be refused by the server, with less to say about it.
        if jwt.split('.').count() != 3 || !jwt.bytes().all(is_jwt_byte) {
            return Err(CredentialsError::BadJwt);
        }
        let seed = block(text, "SEED").ok_or(CredentialsError::NoSeed)?;
        let validity = JwtValidity::of(&jwt, read_at_s);
        Ok(Credentials::Jwt { jwt: Secret::new(jwt), seed: UserSeed::from_seed(&seed)?, validity })
    }

    /// Fills in CONNECT's fields for a server that introduced itself with `info`.
    pub fn apply(&self, info: &ServerInfo, options: &mut ConnectOptions) {
        let nonce = info.nonce.as_deref();
        match self {
            Credentials::None => {}
            Credentials::UserPassword { user, password } => {
                options.user = Some(user.clone());
                options.pass = Some(password.clone());
            }
            Credentials::Token(token) => options.auth_token = Some(token.clone()),
            // No nonce: the server does not ask for keys, and would have nothing to check the signature against.
            Credentials::NKey(_) if nonce.is_none() => {}
            Credentials::NKey(seed) => {
                options.nkey = Some(seed.public_key());
                options.sig = Some(seed.sign(nonce.unwrap_or_default()));
            }
            Credentials::Jwt { jwt, seed, .. } => {
                options.jwt = Some(jwt.clone());
                options.sig = Some(seed.sign(nonce.unwrap_or_default()));
            }
        }
    }
}

/// The private key of a user. `Debug` shows the public one.
#[derive(Clone)]
pub struct UserSeed(Box<KeyPair>);

impl UserSeed {
    /// Reads the text of a seed file: the seed on a line of its own, with or without `BEGIN` and `END` lines around it.
    pub fn from_text(text: &str) -> Result<Self, CredentialsError> {
        match block(text, "SEED") {
            Some(seed) => Self::from_seed(&seed),
            None => {
                let mut lines = text.lines().map(str::trim);
                let seed = lines.find(|line| line.starts_with('S')).ok_or(CredentialsError::NoSeed)?;
                Self::from_seed(seed)
            }
        }
    }

    /// Reads the seed itself, `SU...`.
    pub fn from_seed(seed: &str) -> Result<Self, CredentialsError> {
        // nkeys' own errors may quote a character of the seed, so they are not passed on.
        let pair = KeyPair::from_seed(seed).map_err(|_| CredentialsError::BadSeed)?;
        match pair.key_pair_type() {
            KeyPairType::User => Ok(UserSeed(Box::new(pair))),
            _ => Err(CredentialsError::NotAUserSeed),
        }
    }

    /// `U...`
    pub fn public_key(&self) -> String {
        self.0.public_key()
    }

    /// Ed25519 over the nonce as it stands in INFO, base64url without padding.
    pub fn sign(&self, nonce: &str) -> Secret {
        let signature = self.0.sign(nonce.as_bytes()).expect("a pair made from a seed can sign");
        Secret::new(BASE64URL_NOPAD.encode(&signature))
    }
}

impl fmt::Debug for UserSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserSeed({})", self.public_key())
    }
}

impl PartialEq for UserSeed {
    fn eq(&self, other: &Self) -> bool {
        self.public_key() == other.public_key()
    }
}

impl Eq for UserSeed {}

/// What is wrong with a seed or `.creds` text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsError {
    /// No JWT block.
    NoJwt,
    /// A JWT block with something else in it.
    BadJwt,
    /// No seed.
    NoSeed,
    /// A seed that doesn't decode.
    BadSeed,
    /// The seed of an account, an operator, a server.
    NotAUserSeed,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialsError::NoJwt => "there is no \"BEGIN NATS USER JWT\" block, as a .creds file has it",
            CredentialsError::BadJwt => "the JWT block does not hold a JWT (three parts joined by dots)",
            CredentialsError::NoSeed => "there is no nkey seed (a line that starts with SU)",
            CredentialsError::BadSeed => {
                "the nkey seed is damaged: it should be 58 characters, start with SU and match its checksum"
            }
            CredentialsError::NotAUserSeed => "the nkey seed is not a user's (those start with SU)",
        })
    }
}

impl std::error::Error for CredentialsError {}

/// What stands between the `BEGIN` line whose label has `word` and the next line of dashes, without white space.
fn block(text: &str, word: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(word))?;
    let inside: String = lines.take_while(|line| !line.starts_with("---")).collect();
    (!inside.is_empty()).then_some(inside)
}

fn is_jwt_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for these tests from 32 bytes of 7.
    fn seed_text(kind: KeyPairType) -> String {
        KeyPair::new_from_raw(kind, [7; 32]).unwrap().seed().unwrap()
    }

    fn creds_text() -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n",
            seed_text(KeyPairType::User)
        )
    }

    fn applied(credentials: &Credentials, nonce: Option<&str>) -> ConnectOptions {
        let mut options = ConnectOptions::default();
        let info = ServerInfo { nonce: nonce.map(str::to_string), ..ServerInfo::default() };
        credentials.apply(&info, &mut options);
        options
    }

    #[test]
    fn seed_files() {
        let seed = seed_text(KeyPairType::User);
        let expected = UserSeed::from_seed(&seed).unwrap();
        let check = |text: String| assert_eq!(UserSeed::from_text(&text), Ok(expected.clone()));
        check(seed.clone());
        check(format!("{seed}\n"));
        check(format!("\r\n# Some comment\r\n  {seed}  \r\n"));
        check(format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"));
        check(creds_text());
    }

    #[test]
    fn seed_files_that_are_wrong() {
        let check = |text: &str, expected| assert_eq!(UserSeed::from_text(text), Err(expected));
        let seed = seed_text(KeyPairType::User);
        check("", CredentialsError::NoSeed);
        check("hello", CredentialsError::NoSeed);
        check("SUNNY", CredentialsError::BadSeed);
        check(&seed[..57], CredentialsError::BadSeed);
        check(&seed.replace('7', "6").replace('D', "E"), CredentialsError::BadSeed);
        check(&"Sé".repeat(29)[..58], CredentialsError::BadSeed);
        check(&seed_text(KeyPairType::Account), CredentialsError::NotAUserSeed);
        check(&seed_text(KeyPairType::Operator), CredentialsError::NotAUserSeed);
        check("-----BEGIN USER NKEY SEED-----\n------END USER NKEY SEED------\n", CredentialsError::NoSeed);
    }

    #[test]
    fn creds_files() {
        let expected = UserSeed::from_seed(&seed_text(KeyPairType::User)).unwrap();
        for text in [creds_text(), creds_text().replace('\n', "\r\n"), creds_text().replace("eyJq", "ey\nJq")] {
            match Credentials::from_creds_text(&text, 0) {
                Ok(Credentials::Jwt { jwt, seed, .. }) => {
                    assert_eq!((jwt.expose(), seed), ("eyJ0.eyJq.c2ln", expected.clone()));
                }
                other => panic!("{other:?}"),
            }
        }
        let check = |text: &str, expected| assert_eq!(Credentials::from_creds_text(text, 0), Err(expected));
        check("", CredentialsError::NoJwt);
        check(&seed_text(KeyPairType::User), CredentialsError::NoJwt);
        check(&creds_text().replace("eyJ0.eyJq.c2ln", "nope"), CredentialsError::BadJwt);
        check(&creds_text().replace("eyJq", "ey\"Jq"), CredentialsError::BadJwt);
        check(creds_text().split("-----BEGIN USER").next().unwrap(), CredentialsError::NoSeed);
        check(&creds_text().replace("\nSU", "\nSV"), CredentialsError::BadSeed);
    }

    #[test]
    fn the_signature_is_what_a_server_checks() {
        let seed = UserSeed::from_seed(&seed_text(KeyPairType::User)).unwrap();
        let options = applied(&Credentials::NKey(seed.clone()), Some("PXoWU7zWAMt75FY"));
        assert_eq!(options.nkey, Some(seed.public_key()));
        let signature = BASE64URL_NOPAD.decode(options.sig.unwrap().expose().as_bytes()).unwrap();
        let server_side = KeyPair::from_public_key(&seed.public_key()).unwrap();
        server_side.verify(b"PXoWU7zWAMt75FY", &signature).unwrap();
        assert!(server_side.verify(b"another", &signature).is_err());
    }

    #[test]
    fn each_kind_fills_its_own_fields() {
        let set = |options: ConnectOptions| {
            let ConnectOptions { user, pass, auth_token, nkey, jwt, sig, .. } = options;
            let set =
                [user.is_some(), pass.is_some(), auth_token.is_some(), nkey.is_some(), jwt.is_some(), sig.is_some()];
            set.map(u8::from)
        };
        let check = |credentials: Credentials, nonce, expected| assert_eq!(set(applied(&credentials, nonce)), expected);
        let user_password = Credentials::UserPassword { user: "bob".into(), password: Secret::new("x") };
        let nkey = Credentials::from_seed_text(&seed_text(KeyPairType::User)).unwrap();
        let jwt = Credentials::from_creds_text(&creds_text(), 0).unwrap();
        //                                            user, pass, auth_token, nkey, jwt, sig
        check(Credentials::None, Some("n"), [0, 0, 0, 0, 0, 0]);
        check(user_password, None, [1, 1, 0, 0, 0, 0]);
        check(Credentials::Token(Secret::new("x")), None, [0, 0, 1, 0, 0, 0]);
        check(nkey.clone(), Some("n"), [0, 0, 0, 1, 0, 1]);
        check(nkey, None, [0, 0, 0, 0, 0, 0]);
        check(jwt.clone(), Some("n"), [0, 0, 0, 0, 1, 1]);
        check(jwt, None, [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn debug_shows_no_secret() {
        let all = [
            Credentials::UserPassword { user: "bob".into(), password: Secret::new("hunter2") },
            Credentials::Token(Secret::new("hunter2")),
            Credentials::from_creds_text(&creds_text(), 0).unwrap(),
            Credentials::from_seed_text(&seed_text(KeyPairType::User)).unwrap(),
        ];
        let shown = format!("{all:?} {all:#?}");
        assert!(!shown.contains("hunter2") && !shown.contains("eyJq"), "{shown}");
        assert!(!shown.contains(&seed_text(KeyPairType::User)[..20]), "{shown}");
    }
}
