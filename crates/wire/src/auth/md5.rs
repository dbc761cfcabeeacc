//! PostgreSQL's md5 method: `"md5" + hex(md5(hex(md5(password + user)) + salt))`. Whoever has the
//! stored form can log in with it; it is here because old servers and old clients need it.

use md5::{Digest, Md5};
use openssl::memcmp;

/// In front of both the stored form and the answer.
const PREFIX: &str = "md5";
/// Prefix and 32 digits.
const STORED_BYTES: usize = 35;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The form of both the stored one and the answer.
type Form = [u8; STORED_BYTES];

/// `"md5" + hex(md5(bytes))`, of several pieces.
fn hash(pieces: [&[u8]; 2]) -> Form {
    let [first, second] = pieces;
    let digest = Md5::new().chain_update(first).chain_update(second).finalize();
    let mut form = [0; STORED_BYTES];
    let (prefix, digits) = form.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    for (two, byte) in digits.chunks_exact_mut(2).zip(digest) {
        two.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    form
}

fn text(form: Form) -> String {
    form.map(char::from).iter().collect()
}

/// Has it the stored form: the prefix and 32 lower case digits?
pub fn is_stored(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == STORED_BYTES
        && text.strip_prefix(PREFIX).is_some_and(|digits| digits.bytes().all(is_digit))
}

/// The stored form of a password: `md5…`, bound to the user's name.
pub fn stored(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> String {
    text(hash([password.as_ref(), user.as_ref()]))
}

/// The answer to AuthenticationMD5Password, from the password.
pub fn response(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>, salt: [u8; 4]) -> String {
    response_from_stored(&stored(user, password), salt)
}

/// The answer to AuthenticationMD5Password, from the stored form.
pub fn response_from_stored(stored: &str, salt: [u8; 4]) -> String {
    text(answer_to(stored, salt))
}

fn answer_to(stored: &str, salt: [u8; 4]) -> Form {
    let digits = stored.strip_prefix(PREFIX).unwrap_or(stored);
    hash([digits.as_bytes(), &salt])
}

/// Is `answer` the right one? In a time that does not depend on where it is wrong. For a plain
/// password make the stored form first.
pub fn matches(stored: &str, salt: [u8; 4], answer: impl AsRef<[u8]>) -> bool {
    let (expected, answer) = (answer_to(stored, salt), answer.as_ref());
    // Their length is no secret.
    answer.len() == expected.len() && memcmp::eq(&expected, answer)
}
