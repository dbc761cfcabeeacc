//! A text that was changed on its way: where, so that a place the server speaks of can be told as
//! one in the client's text, and of which statements it speaks. It does not read SQL.

use std::ops::Range;

/// A text of a client that its server got in other words.
#[derive(Debug, Default)]
pub struct Changed {
    edits: Vec<Edit>,
    /// The server's text, in characters.
    length: usize,
    /// Of which prepared statement its statements speak, by their number in the text.
    spoken: Vec<(usize, Box<[u8]>)>,
    /// Statements of the text that are done.
    completed: usize,
}

/// One change, in characters.
#[derive(Debug)]
struct Edit {
    /// Where it begins in the server's text.
    start: usize,
    removed: usize,
    inserted: usize,
}

impl Changed {
    /// Of this text, these ranges became these words; `wide` if its encoding is UTF-8. (Other
    /// encodings of several bytes a character are counted in bytes: a place may be told as one
    /// behind it.)
    pub fn new(text: &[u8], edits: &[(Range<usize>, Vec<u8>)], wide: bool) -> Self {
        let chars = |bytes: &[u8]| match wide {
            true => bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count(),
            false => bytes.len(),
        };
        let mut changed = Self::default();
        let mut behind = 0;
        for (range, new) in edits {
            let start = changed.length + chars(&text[behind..range.start]);
            let (removed, inserted) = (chars(&text[range.clone()]), chars(new));
            changed.edits.push(Edit { start, removed, inserted });
            changed.length = start + inserted;
            behind = range.end;
        }
        changed.length += chars(&text[behind..]);
        changed
    }

    /// The text goes on behind what was given, for so many bytes; as many characters, or fewer.
    pub fn goes_on(&mut self, bytes: usize) {
        self.length += bytes;
    }

    /// Its statement of this number speaks of that prepared one.
    pub fn speaks(&mut self, number: usize, name: &[u8]) {
        self.spoken.push((number, name.into()));
    }

    /// One more of its statements is done.
    pub fn completed(&mut self) {
        self.completed += 1;
    }

    /// The name of what it speaks of just now.
    pub fn speaking(&self) -> Option<&[u8]> {
        let now = |(number, _): &&(usize, Box<[u8]>)| *number == self.completed;
        self.spoken.iter().find(now).map(|(_, name)| &**name)
    }

    /// A place in the server's text, the first being 1, as one in the client's. One that is not in
    /// the text, or in a word that the client never said, is one in the text of a statement which
    /// is executed: there nothing has changed.
    pub fn place(&self, told: usize) -> usize {
        let mut place = told;
        for Edit { start, removed, inserted } in &self.edits {
            match told.checked_sub(1 + start) {
                Some(inside) if inside < *inserted => return told,
                Some(_) => place = place + removed - inserted,
                None => break,
            }
        }
        if told > self.length + 1 { told } else { place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_in_the_clients_text() {
        let text = "/* äö */ execute s; execute name; x".as_bytes();
        let edits = [(19..20, b"odyssey_pstmt_1".to_vec()), (30..34, b"o_2".to_vec())];
        let changed = Changed::new(text, &edits, true);
        for same in [1, 17, 18, 32, 43, 50] {
            assert_eq!(changed.place(same), same, "before all, in new words, or not in the text");
        }
        for (told, place) in [(33, 19), (42, 28), (46, 33), (49, 36)] {
            assert_eq!(changed.place(told), place, "{told}");
        }
    }

    #[test]
    fn places_behind_the_beginning_of_a_text_are_told_too() {
        let mut changed =
            Changed::new(b"execute s; ", &[(8..9, b"odyssey_pstmt_1".to_vec())], true);
        assert_eq!(changed.place(100), 100, "in the text of a statement");
        changed.goes_on(1000);
        assert_eq!([changed.place(100), changed.place(1025)], [86, 1011]);
        assert_eq!(changed.place(1027), 1027);
    }
}
