//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it: bound to the server's certificate
//! where there is TLS, with the user name of the startup packet instead of SCRAM's own. Here:
//! secrets and what they are made of. The two sides of the exchange are in `server` and `client`.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::{memcmp, pkcs5};
use sha2::{Digest, Sha256};

use crate::auth::normalize;

pub use client::{Binding, Challenge, Client, Proved};
pub use server::{Accepted, Offer, Server};

/// The mechanism that everybody has.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// The same, bound to the server's certificate.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// PostgreSQL's default, and so the count that stands out least.
pub const ITERATIONS_DEFAULT: u32 = 4096;
/// What a server may make us do: 0.4 s of a core. PostgreSQL's `scram_iterations` allows any count.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// Random bytes of each half of the nonce; PostgreSQL's SCRAM_RAW_NONCE_LEN.
pub const NONCE_BYTES: usize = 18;
/// Of a client's half, written: libpq sends 24, no driver a hundred. The RFC has no bound, and what
/// is said twice in each exchange needs one.
pub const NONCE_CHARACTERS_MAX: usize = 256;
/// PostgreSQL's SCRAM_DEFAULT_SALT_LEN.
pub const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// Why an exchange ended. What a client gets to read of it is the caller's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This part of a message is not what the grammar says.
    Malformed(&'static str),
    /// The client chose something that was not offered.
    UnsupportedMechanism,
    /// The client wants channel binding (`p=`) of another kind, or without the mechanism for it:
    /// 0A000.
    ChannelBinding,
    /// The client could bind and was told that we cannot, which we did not say.
    Downgrade,
    /// The client wants to be somebody else (`a=`): 0A000.
    AuthorizationIdentity,
    /// The peer insists on something unknown (`m=`): 0A000.
    MandatoryExtension,
    /// The client's nonce has more than [`NONCE_CHARACTERS_MAX`].
    LongNonce,
    /// The nonce is not the one of this exchange.
    NonceMismatch,
    /// The client's last message repeats another header than its first one had.
    BindingMismatch,
    /// Wrong password.
    WrongProof,
    /// The server asks for a count outside 1..=[`ITERATIONS_MAX`].
    Iterations(u32),
    /// These keys were derived for another salt or count.
    KeysDoNotFit,
    /// The server does not know the password: it is not who it says.
    ServerSignature,
    /// The server reports an error (`e=`) instead of a proof.
    ServerError,
    /// OpenSSL refused: its policy, or memory.
    Crypto,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Malformed(part) => write!(f, "SCRAM: malformed {part}"),
            Failure::UnsupportedMechanism => f.write_str("SCRAM: unsupported mechanism"),
            Failure::ChannelBinding => f.write_str("SCRAM: channel binding is not supported"),
            Failure::Downgrade => f.write_str("SCRAM: the offer of channel binding was taken away"),
            Failure::AuthorizationIdentity => {
                f.write_str("SCRAM: authorization identity is not supported")
            }
            Failure::MandatoryExtension => {
                f.write_str("SCRAM: mandatory extensions are not supported")
            }
            Failure::LongNonce => f.write_str("SCRAM: the nonce is too long"),
            Failure::NonceMismatch => f.write_str("SCRAM: the nonce does not match"),
            Failure::BindingMismatch => f.write_str("SCRAM: the header does not match"),
            Failure::WrongProof => f.write_str("SCRAM: wrong password"),
            Failure::Iterations(count) => {
                write!(f, "SCRAM: {count} iterations, not in 1..={ITERATIONS_MAX}")
            }
            Failure::KeysDoNotFit => f.write_str("SCRAM: keys of another salt or iteration count"),
            Failure::ServerSignature => {
                f.write_str("SCRAM: the server has not proved that it knows the password")
            }
            Failure::ServerError => f.write_str("SCRAM: the server reports an error"),
            Failure::Crypto => f.write_str("SCRAM: OpenSSL refused"),
        }
    }
}

impl Error for Failure {}

impl From<ErrorStack> for Failure {
    fn from(_: ErrorStack) -> Failure {
        Failure::Crypto
    }
}

type Key = [u8; KEY_BYTES];

fn hmac(key: &[u8], pieces: &[&[u8]]) -> Result<Key, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Failure::Crypto)?;
    pieces.iter().for_each(|piece| mac.update(piece));
    Ok(mac.finalize().into_bytes().into())
}

pub(super) fn sha256(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(mut a: Key, b: Key) -> Key {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

/// What a client proves itself with. Enough to log in wherever the same verifier is stored; the
/// password cannot be had from it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {
    /// The two they were derived for.
    salt: Vec<u8>,
    iterations: u32,
    client_key: Key,
    server_key: Key,
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys(***)")
    }
}

impl ClientKeys {
    /// EXPENSIVE (PBKDF2, 1.5 ms at 4096): for another thread, and to be kept by its arguments.
    pub fn derive(
        password: impl AsRef<[u8]>,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ClientKeys, Failure> {
        if !(1..=ITERATIONS_MAX).contains(&iterations) {
            return Err(Failure::Iterations(iterations));
        }
        let password = normalize(password.as_ref());
        let mut salted = [0; KEY_BYTES];
        let (count, digest) = (iterations as usize, MessageDigest::sha256());
        pkcs5::pbkdf2_hmac(&password, salt, count, digest, &mut salted)?;
        Ok(ClientKeys {
            salt: salt.to_vec(),
            iterations,
            client_key: hmac(&salted, &[b"Client Key"])?,
            server_key: hmac(&salted, &[b"Server Key"])?,
        })
    }

    /// Were they derived for this salt and count?
    pub fn fit(&self, salt: &[u8], iterations: u32) -> bool {
        self.salt == salt && self.iterations == iterations
    }

    /// Everything, for another process of ours; as secret as a password.
    pub fn to_bytes(&self) -> Vec<u8> {
        let iterations = self.iterations.to_be_bytes();
        [&self.client_key[..], &self.server_key, &iterations, &self.salt].concat()
    }

    /// What another process of ours had.
    pub fn from_bytes(bytes: &[u8]) -> Option<ClientKeys> {
        let (client_key, rest) = bytes.split_first_chunk()?;
        let (server_key, rest) = rest.split_first_chunk()?;
        let (iterations, salt) = rest.split_first_chunk()?;
        Some(ClientKeys {
            salt: salt.to_vec(),
            iterations: u32::from_be_bytes(*iterations),
            client_key: *client_key,
            server_key: *server_key,
        })
    }

    /// What a server stores for them.
    pub fn verifier(&self) -> ScramVerifier {
        ScramVerifier {
            iterations: self.iterations,
            salt: self.salt.clone(),
            stored_key: sha256(&self.client_key),
            server_key: self.server_key,
            is_mock: false,
        }
    }
}

/// What a server stores instead of a password: `SCRAM-SHA-256$iterations:salt$stored:server`.
/// Nobody can log in with it, but whoever has it can pretend to be the server.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
    /// Made up for a user without a secret: no proof fits.
    is_mock: bool,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(***)")
    }
}

impl ScramVerifier {
    /// The stored form, if it is one.
    pub fn parse(text: &str) -> Option<ScramVerifier> {
        let text = text.strip_prefix(MECHANISM)?.strip_prefix('$')?;
        let (parameters, keys) = text.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        Some(ScramVerifier {
            iterations: count(iterations)?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: key(stored)?,
            server_key: key(server)?,
            is_mock: false,
        })
    }

    /// EXPENSIVE (PBKDF2), like [`ClientKeys::derive`]. `salt`: [`SALT_BYTES`] random ones.
    ///
    /// Make it once for each user, not at each login: [`ScramVerifier::mock`] costs nothing, and
    /// the difference tells which users exist.
    pub fn from_password(
        password: impl AsRef<[u8]>,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramVerifier, Failure> {
        Ok(ClientKeys::derive(password, salt, iterations)?.verifier())
    }

    /// For a user without a secret, so that the exchange does not tell: the salt is always the
    /// same for the same name, as long as `process_secret` (random bytes) is.
    pub fn mock(user: &str, process_secret: &[u8]) -> Result<ScramVerifier, Failure> {
        let made_up = |what: &[u8]| hmac(process_secret, &[what, user.as_bytes()]);
        Ok(ScramVerifier {
            iterations: ITERATIONS_DEFAULT,
            salt: made_up(b"salt of ")?[..SALT_BYTES].to_vec(),
            stored_key: made_up(b"stored key of ")?,
            server_key: made_up(b"server key of ")?,
            is_mock: true,
        })
    }

    /// EXPENSIVE (PBKDF2): does a password that came in clear fit?
    pub fn matches_password(&self, password: impl AsRef<[u8]>) -> Result<bool, Failure> {
        let keys = ClientKeys::derive(password, &self.salt, self.iterations)?;
        Ok(self.is_client_key(keys.client_key))
    }

    fn is_client_key(&self, client_key: Key) -> bool {
        memcmp::eq(&sha256(&client_key), &self.stored_key) && !self.is_mock
    }

    /// The stored form.
    pub fn to_secret(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        format!("{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }

    /// The salt: any number of bytes.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count, at least 1.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }
}

fn count(digits: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    let count = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    count.filter(|&count| count > 0)
}

fn key(text: impl AsRef<[u8]>) -> Option<Key> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The fields of a message, separated by commas: each a letter, `=` and a value.
struct Attributes<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    fn new(message: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: Some(message) }
    }

    /// The value of the next field, which must be this one.
    fn expect(&mut self, letter: u8, part: &'static str) -> Result<&'a [u8], Failure> {
        match self.next() {
            Some(Ok((found, value))) if found == letter => Ok(value),
            Some(Ok((b'm', _))) => Err(Failure::MandatoryExtension),
            _ => Err(Failure::Malformed(part)),
        }
    }

    /// What is left are extensions that may be ignored, if they are well-formed.
    fn end(mut self) -> Result<(), Failure> {
        self.try_for_each(|attribute| attribute.map(|_| ()))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u8, &'a [u8]), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let comma = rest.iter().position(|&byte| byte == b',');
        let field = &rest[..comma.unwrap_or(rest.len())];
        self.rest = comma.map(|comma| &rest[comma + 1..]);
        Some(match field {
            [letter, b'=', value @ ..] if letter.is_ascii_alphabetic() => Ok((*letter, value)),
            _ => Err(Failure::Malformed("attribute")),
        })
    }
}

/// A nonce: printable ASCII without commas, at least one character.
fn nonce(bytes: &[u8]) -> Result<&str, Failure> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let is_printable = |byte: u8| matches!(byte, 0x21..=0x7e) && byte != b',';
    match !text.is_empty() && text.bytes().all(is_printable) {
        true => Ok(text),
        false => Err(Failure::Malformed("nonce")),
    }
}
