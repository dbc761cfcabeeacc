//! Randomness for ids, nonces, salts and keys, from the kernel. Each machine fetches a stock at a
//! time, as one system call costs as much for a few bytes as for many; what is handed out is wiped.
//! It stretches nothing: every byte was the kernel's.

use std::cell::RefCell;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gives so many at once, whole.
const STOCK_BYTES: usize = 256;

/// What the kernel gave and nobody has got.
struct Stock {
    bytes: [u8; STOCK_BYTES],
    /// So many, in front, are left.
    left: usize,
}

/// So many random bytes.
///
/// # Errors
/// The kernel has no entropy; nobody may be let in then.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= STOCK_BYTES) };
    match machine::local(|| RefCell::new(Stock { bytes: [0; STOCK_BYTES], left: 0 })) {
        Ok(stock) => stock.borrow_mut().take(),
        // On a thread without a machine.
        Err(_) => fetch(),
    }
}

fn fetch<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom(&mut bytes, GetRandomFlags::empty())? {
        given if given == N => Ok(bytes),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Stock {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        if self.left < N {
            (self.bytes, self.left) = (fetch()?, STOCK_BYTES);
        }
        self.left -= N;
        let taken = &mut self.bytes[self.left..self.left + N];
        let bytes = std::array::from_fn(|at| taken[at]);
        taken.fill(0);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Seen to fail: a stock that forgets to count gives the same bytes twice.
    #[test]
    fn no_byte_is_handed_out_twice() {
        let mut stock = Stock { bytes: [0; STOCK_BYTES], left: 0 };
        let all: HashSet<[u8; 24]> = (0..100).map(|_| stock.take().unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert!(stock.bytes[stock.left..].iter().all(|byte| *byte == 0), "what is out is wiped");
        assert!(stock.bytes[..stock.left].iter().any(|byte| *byte != 0));
    }
}
