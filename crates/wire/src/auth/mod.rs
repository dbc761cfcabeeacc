//! Authentication, both sides, as steps between bytes: what a secret is, whether an answer fits.
//! Randomness comes as an argument. What burns time (PBKDF2) is a step of its own, named so, for
//! the caller to run elsewhere. No type here shows a secret in `Debug`.

pub mod md5;
pub mod scram;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use openssl::memcmp;

use scram::{Failure, ScramVerifier};

/// A password as it is kept: in the configuration, or in `pg_authid`.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredSecret {
    /// The password itself.
    Plain(String),
    /// `md5` and the hash of password and user, 32 lower case digits.
    Md5(String),
    /// `SCRAM-SHA-256$…`
    Scram(ScramVerifier),
}

impl fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoredSecret::Plain(_) => "Plain(***)",
            StoredSecret::Md5(_) => "Md5(***)",
            StoredSecret::Scram(_) => "Scram(***)",
        })
    }
}

impl StoredSecret {
    /// As PostgreSQL tells them apart: what has the form of neither hash is a plain password.
    pub fn parse(text: &str) -> StoredSecret {
        if md5::is_stored(text) {
            return StoredSecret::Md5(text.to_owned());
        }
        match ScramVerifier::parse(text) {
            Some(verifier) => StoredSecret::Scram(verifier),
            None => StoredSecret::Plain(text.to_owned()),
        }
    }

    /// Does a password that came in clear fit? EXPENSIVE for `Scram` (PBKDF2).
    pub fn accepts(&self, user: &str, password: impl AsRef<[u8]>) -> Result<bool, Failure> {
        match self {
            StoredSecret::Plain(expected) => Ok(cleartext_matches(expected, password)),
            StoredSecret::Md5(expected) => {
                Ok(cleartext_matches(expected, md5::stored(user, password)))
            }
            StoredSecret::Scram(verifier) => verifier.matches_password(password),
        }
    }
}

/// Equality in a time that tells nothing: neither where they differ nor how long `expected` is.
pub fn cleartext_matches(expected: impl AsRef<[u8]>, given: impl AsRef<[u8]>) -> bool {
    memcmp::eq(&scram::sha256(expected.as_ref()), &scram::sha256(given.as_ref()))
}

/// SASLprep as PostgreSQL does it before SCRAM: not for ASCII, and where the profile forbids the
/// password (or it is not UTF-8) the bytes stay as they are.
pub fn normalize(password: &[u8]) -> Cow<'_, [u8]> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    let prepared = std::str::from_utf8(password).ok().map(stringprep::saslprep);
    match prepared {
        Some(Ok(prepared)) if !prepared.is_empty() => {
            Cow::Owned(prepared.into_owned().into_bytes())
        }
        _ => Cow::Borrowed(password),
    }
}
