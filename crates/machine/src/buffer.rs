//! Byte buffers, leased from the thread's pool for as long as there is something in them. A buffer
//! is a queue of bytes in one piece: filled behind, consumed in front. It never grows by itself.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

/// Bytes of a pooled buffer. One read of a busy socket; more gains nothing (measured up to 64 KiB).
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Free buffers a thread keeps: 4 MiB.
const POOLED_MAX: usize = 256;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: Vec::new(), leased_bytes: 0 }) };
}

/// The buffers of a thread.
struct Pool {
    free: Vec<Box<[u8]>>,
    /// Storage of the buffers that are leased now.
    leased_bytes: usize,
}

/// Storage of the buffers of this thread that are leased now.
pub(crate) fn leased_bytes() -> usize {
    POOL.with_borrow(|pool| pool.leased_bytes)
}

/// A leased buffer. Dropping it gives it back.
pub struct Buffer {
    storage: Box<[u8]>,
    /// First byte not consumed.
    start: usize,
    /// First byte not filled.
    end: usize,
    /// It goes back to this thread's pool.
    not_send: PhantomData<Rc<()>>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len(), self.capacity())
    }
}

impl Buffer {
    /// An empty buffer of [`BUFFER_BYTES`].
    #[must_use]
    pub fn lease() -> Buffer {
        let pooled = POOL.with_borrow_mut(|pool| {
            pool.leased_bytes += BUFFER_BYTES;
            pool.free.pop()
        });
        let storage = pooled.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Buffer { storage, start: 0, end: 0, not_send: PhantomData }
    }

    /// What is in it.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// What is in it, to be changed in place.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    /// The room behind the data. The data moves to the front when that gives notably more room.
    /// Empty only when the buffer is full.
    #[must_use]
    pub fn space(&mut self) -> &mut [u8] {
        let (room, gap) = (self.storage.len() - self.end, self.start);
        if gap > 0 && (room < gap || room == 0) {
            self.compact();
        }
        &mut self.storage[self.end..]
    }

    /// `bytes` of the space were written.
    ///
    /// # Panics
    /// If there was not so much space.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.storage.len() - self.end, "filled more than the space");
        self.end += bytes;
    }

    /// The first `bytes` are done with.
    ///
    /// # Panics
    /// If there is not so much data.
    pub fn consume(&mut self, bytes: usize) {
        assert!(bytes <= self.len(), "consumed more than the data");
        self.start += bytes;
        if self.start == self.end {
            self.clear();
        }
    }

    /// Bytes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Is nothing in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Can nothing be added before something is consumed or room reserved?
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.storage.len()
    }

    /// Bytes it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// Makes it hold at least `total_bytes`, those in it included. Storage beyond [`BUFFER_BYTES`]
    /// is freed afterwards, not pooled; how much is sensible is the caller's to bound.
    pub fn reserve(&mut self, total_bytes: usize) {
        if total_bytes <= self.storage.len() {
            return;
        }
        let mut larger = vec![0; total_bytes].into_boxed_slice();
        let len = self.len();
        larger[..len].copy_from_slice(self.data());
        POOL.with_borrow_mut(|pool| pool.leased_bytes += larger.len());
        give_back(std::mem::replace(&mut self.storage, larger));
        (self.start, self.end) = (0, len);
    }

    /// Appends `bytes`, making room for them.
    pub fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() > self.storage.len() - self.end {
            self.compact();
            self.reserve((self.end + bytes.len()).next_multiple_of(BUFFER_BYTES));
        }
        self.storage[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Throws away what is in it.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn compact(&mut self) {
        self.storage.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.storage));
    }
}

fn give_back(storage: Box<[u8]>) {
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        pool.leased_bytes -= storage.len();
        if storage.len() == BUFFER_BYTES && pool.free.len() < POOLED_MAX {
            pool.free.push(storage);
        }
    }); // the pool is gone when the thread ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = Buffer::lease();
        buffer.space()[..5].copy_from_slice(b"hello");
        buffer.filled(5);
        buffer.extend(b" world");
        buffer.consume(6);
        assert_eq!((buffer.data(), buffer.len()), (b"world".as_slice(), 5));
        buffer.data_mut()[0] = b'W';
        assert_eq!(buffer.data(), b"World");
        buffer.consume(5);
        assert!(buffer.is_empty());
        assert_eq!(buffer.space().len(), BUFFER_BYTES);
    }

    #[test]
    fn space_moves_the_data_to_the_front() {
        let mut buffer = Buffer::lease();
        let room = buffer.space().len();
        buffer.filled(room);
        assert!(buffer.space().is_empty() && buffer.is_full());
        buffer.consume(room - 3);
        assert_eq!(buffer.space().len(), room - 3);
        assert_eq!(buffer.len(), 3);
    }

    #[test]
    fn growing_keeps_the_data_and_the_pool_keeps_its_class() {
        let mut buffer = Buffer::lease();
        buffer.extend(&[7; 100]);
        buffer.reserve(100_000);
        assert_eq!((buffer.data(), buffer.capacity()), ([7; 100].as_slice(), 100_000));
        buffer.extend(&[8; 200_000]);
        assert_eq!(buffer.len(), 200_100);
        assert_eq!(leased_bytes(), buffer.capacity());
        drop(buffer);
        assert_eq!(leased_bytes(), 0);
        assert_eq!(Buffer::lease().capacity(), BUFFER_BYTES);
    }

    #[test]
    #[should_panic(expected = "consumed more than the data")]
    fn consuming_too_much_is_a_bug() {
        Buffer::lease().consume(1);
    }
}
