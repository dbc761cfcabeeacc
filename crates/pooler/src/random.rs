//! Randomness for nonces, salts and keys, from OpenSSL's generator.

use openssl::error::ErrorStack;

/// So many random bytes.
///
/// # Errors
/// OpenSSL has no entropy; nobody may be let in then.
pub fn bytes<const N: usize>() -> Result<[u8; N], ErrorStack> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes)
}
