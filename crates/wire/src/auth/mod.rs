//! skeleton
#![allow(missing_docs, dead_code, unused_variables, clippy::todo, reason = "skeleton")]
pub mod md5;
pub mod scram;

use scram::ScramVerifier;
use std::borrow::Cow;

#[derive(Clone, PartialEq, Eq)]
pub enum StoredSecret {
    Plain(String),
    Md5(String),
    Scram(ScramVerifier),
}
impl StoredSecret {
    /// never fails: what is neither md5… nor SCRAM-SHA-256$… is plain
    pub fn parse(text: &str) -> StoredSecret {
        todo!()
    }
}
/// constant time in the contents
pub fn cleartext_matches(expected: impl AsRef<[u8]>, given: impl AsRef<[u8]>) -> bool {
    todo!()
}
/// SASLprep as PostgreSQL does it (falls back to the raw bytes)
pub fn normalize(password: &[u8]) -> Cow<'_, [u8]> {
    todo!()
}
