//! Randomness for nonces, salts and keys, from the kernel: one system call, which costs a tenth of
//! what OpenSSL's generator does for so few bytes.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gives so many at once, whole; nobody here needs as many.
const BYTES_MAX: usize = 256;

/// So many random bytes.
///
/// # Errors
/// The kernel has no entropy; nobody may be let in then.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= BYTES_MAX) };
    let mut bytes = [0; N];
    match getrandom(&mut bytes, GetRandomFlags::empty())? {
        given if given == N => Ok(bytes),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
