//! A passage: bytes on their way from one peer to the other, with a mark between what may go on and
//! what nobody has judged yet. Messages are let pass, cut out, changed or preceded by others at the
//! mark; long bodies pass as they come and are never here as a whole. All it knows of a message is
//! where its length stands.

use std::ops::Range;

use machine::{Buffer, Progress, Stream};
use wire::frame::HEADER_BYTES;

/// Bytes in passing.
pub struct Passage {
    buffer: Buffer,
    /// Bytes at the front that may go on: the mark is behind them.
    cleared: usize,
    /// Bytes of the message that was judged last which have not come yet.
    body_left: usize,
    /// That message is cut out.
    cutting: bool,
}

impl Passage {
    /// Nothing has come.
    pub fn new() -> Self {
        Self::with(Buffer::lease())
    }

    /// These bytes have come already.
    pub fn with(buffer: Buffer) -> Self {
        Self { buffer, cleared: 0, body_left: 0, cutting: false }
    }

    /// Nothing is here.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.buffer.len() < self.buffer.capacity()
    }

    /// Reads what a peer sent, without waiting.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, stream: &Stream) -> Result<Progress, machine::Error> {
        stream.try_read_into(&mut self.buffer)
    }

    /// What nobody has judged yet, from the start of a message on; empty in the middle of one.
    #[inline]
    pub fn ahead(&mut self) -> &[u8] {
        if self.body_left > 0 {
            self.take_body();
        }
        match self.body_left {
            0 => &self.buffer.data()[self.cleared..],
            _ => &[],
        }
    }

    /// The same, to be changed in place.
    pub fn ahead_mut(&mut self) -> &mut [u8] {
        &mut self.buffer.data_mut()[self.cleared..]
    }

    /// The message ahead, of `bytes`, may pass, with what of it has not come yet.
    #[inline]
    pub fn pass(&mut self, bytes: usize) {
        self.judge(bytes, false);
    }

    /// The message ahead, of `bytes`, is cut out, with what of it has not come yet.
    pub fn cut(&mut self, bytes: usize) {
        self.judge(bytes, true);
    }

    /// The message ahead is to be here as a whole. Mostly there will be room when what is before it
    /// has gone; one that is longer than the buffer gets a longer buffer.
    pub fn want(&mut self, bytes: usize) {
        if bytes > self.buffer.capacity() {
            self.buffer.reserve(self.cleared + bytes);
        }
    }

    /// Can more of the message ahead come without a longer buffer?
    pub fn can_get_more(&self) -> bool {
        self.has_room() || self.cleared > 0
    }

    /// Puts whole messages before the one ahead; they may pass.
    pub fn insert(&mut self, messages: &[u8]) {
        self.splice(0, 0, messages);
        self.cleared += messages.len();
    }

    /// As `splice` inside the message ahead, whose header is here: its length follows. Returns how
    /// many bytes the message has now.
    pub fn amend(&mut self, at: usize, removed: usize, inserted: &[u8]) -> usize {
        self.splice(at, removed, inserted);
        let length = &mut self.ahead_mut()[1..HEADER_BYTES];
        let before = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let now = before + inserted.len() - removed;
        let field =
            u32::try_from(now).expect("a frame's length fits, and what is inserted is short");
        length.copy_from_slice(&field.to_be_bytes());
        1 + now
    }

    /// As `amend` for ranges in their order, counted from `at` on: what follows is moved once,
    /// however many they are.
    pub fn amend_all(&mut self, at: usize, edits: &[(Range<usize>, Vec<u8>)]) -> usize {
        let (Some((first, _)), Some((last, _))) = (edits.first(), edits.last()) else {
            return self.amend(at, 0, b"");
        };
        let text = &self.ahead()[at..];
        let mut words = Vec::with_capacity(2 * (last.end - first.start));
        let mut behind = first.start;
        for (range, new) in edits {
            words.extend_from_slice(&text[behind..range.start]);
            words.extend_from_slice(new);
            behind = range.end;
        }
        self.amend(at + first.start, last.end - first.start, &words)
    }

    /// Changes the `removed` bytes that begin `at` bytes ahead into `inserted`.
    pub fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        let (at, len) = (self.cleared + at, self.buffer.len());
        if let Some(more) = inserted.len().checked_sub(removed) {
            self.buffer.extend(&inserted[..more]); // any bytes: what is behind moves over them
            self.buffer.data_mut().copy_within(at + removed..len, at + inserted.len());
        } else {
            let fewer = removed - inserted.len();
            self.buffer.data_mut().copy_within(..at, fewer);
            self.buffer.consume(fewer);
        }
        self.buffer.data_mut()[at..at + inserted.len()].copy_from_slice(inserted);
    }

    /// What may go on.
    #[inline]
    pub fn passable(&self) -> &[u8] {
        &self.buffer.data()[..self.cleared]
    }

    /// The first `bytes` of it have gone (or are not wanted).
    #[inline]
    pub fn passed(&mut self, bytes: usize) {
        self.buffer.consume(bytes);
        self.cleared -= bytes;
    }

    /// In the middle of a message that was judged.
    pub fn in_message(&self) -> bool {
        self.body_left > 0
    }

    /// What may pass ends at the end of a message: only then may one of ours follow it.
    pub fn ends_at_boundary(&self) -> bool {
        self.body_left == 0 || self.cutting
    }

    /// Bytes that nobody has judged yet.
    pub fn unjudged(&self) -> usize {
        self.buffer.len() - self.cleared
    }

    fn judge(&mut self, bytes: usize, cutting: bool) {
        debug_assert!(self.body_left == 0, "one message after the other");
        self.cutting = cutting;
        self.body_left = bytes;
        self.take_body();
    }

    /// Lets the present bytes of the judged message pass, or cuts them out.
    fn take_body(&mut self) {
        let bytes = self.body_left.min(self.buffer.len() - self.cleared);
        if self.cutting && bytes > 0 {
            // What may pass moves up over what may not.
            self.buffer.data_mut().copy_within(..self.cleared, bytes);
            self.buffer.consume(bytes);
        } else {
            self.cleared += bytes;
        }
        self.body_left -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &[u8]) -> Passage {
        let mut buffer = Buffer::lease();
        buffer.extend(text);
        Passage::with(buffer)
    }

    #[test]
    fn what_is_cut_leaves_no_gap_and_what_is_long_passes_as_it_comes() {
        let mut passage = with(b"onetwothree");
        passage.pass(3);
        passage.cut(3);
        assert_eq!(passage.passable(), b"one");
        assert_eq!(passage.ahead(), b"three");
        passage.cut(7);
        assert!(passage.in_message() && passage.ends_at_boundary());
        passage.buffer.extend(b"..four");
        assert_eq!(passage.ahead(), b"four");
        assert_eq!(passage.passable(), b"one");
        passage.pass(10);
        assert_eq!(passage.passable(), b"onefour");
        assert!(!passage.ends_at_boundary());
    }

    #[test]
    fn messages_change_their_length_in_place() {
        for (removed, inserted, expected) in [
            (3, &b"LONGER"[..], &b"aabLONGERccc"[..]),
            (3, b"BBB", b"aabBBBccc"),
            (3, b"", b"aabccc"),
            (0, b"+", b"aab+bbbccc"),
        ] {
            let mut passage = with(b"aabbbbccc");
            passage.pass(2);
            passage.splice(1, removed, inserted);
            assert_eq!(passage.passable(), b"aa");
            passage.pass(passage.unjudged());
            assert_eq!(passage.passable(), expected);
        }
    }

    #[test]
    fn an_amended_message_says_how_long_it_is() {
        for (removed, inserted, expected) in [
            (1, &b"long"[..], &b"Q\0\0\0\x09long\0B"[..]),
            (1, b"", b"Q\0\0\0\x05\0B"),
            (0, b"", b"Q\0\0\0\x06a\0B"),
        ] {
            let mut passage = with(b"Q\0\0\0\x06a\0B");
            let expected = expected.to_vec();
            assert_eq!(passage.amend(5, removed, inserted), expected.len() - 1);
            assert_eq!(passage.ahead(), expected);
        }
    }

    #[test]
    fn several_changes_are_one() {
        let mut passage = with(b"Q\0\0\0\x0ea b c d e\0B");
        let edits = [(2..3, b"long".to_vec()), (4..5, Vec::new()), (8..9, b"x".to_vec())];
        let expected = b"Q\0\0\0\x10a long  d x\0B";
        assert_eq!(passage.amend_all(5, &edits), expected.len() - 1);
        assert_eq!(passage.ahead(), expected);
        assert_eq!(passage.amend_all(5, &[]), expected.len() - 1);
    }

    #[test]
    fn what_is_inserted_stands_before_the_message_ahead() {
        let mut passage = with(b"passedahead");
        passage.pass(6);
        passage.insert(b"-ours-");
        assert_eq!((passage.passable(), passage.unjudged()), (&b"passed-ours-"[..], 5));
        assert_eq!(passage.ahead(), b"ahead");
    }
}
