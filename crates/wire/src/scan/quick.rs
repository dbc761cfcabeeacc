//! The look that every query gets: is there anything that a closer one should see? One pass over
//! the text without branches, in blocks that the compiler turns into vector code.

use super::lexer::{Kind, Lexer, is_blank};

/// First words of statements that leave nothing behind, if none of [`WORDS`] is in them.
const PLAIN: [&[u8]; 11] = [
    b"select", b"insert", b"update", b"delete", b"with", b"values", b"copy", b"fetch", b"merge",
    b"table", b"move",
];

/// Words that leave something behind wherever they are.
const WORDS: [&[u8]; 3] = [b"set_config", b"advisory_lock", b"temp"];

/// Four letters of each of [`WORDS`]: seldom elsewhere, and quickly looked for.
const LETTERS: [[u8; 4]; 3] = [*b"t_co", *b"y_lo", *b"temp"];

/// Bytes looked at in one step. Each needs the three behind it as well.
const BLOCK: usize = 16;
const WINDOW: usize = BLOCK + 3;

/// Is there anything to look for in this text? Every query is asked. False for a single SELECT,
/// INSERT, UPDATE, DELETE, WITH and the like; never false if [`statements`](super::statements)
/// tells of anything but [`Head::Other`](super::Head::Other), or if one of the words `set_config`,
/// `advisory_lock`, `temp` is there, in any case, be it inside another.
pub fn is_remarkable(text: &[u8]) -> bool {
    let end = text.iter().rposition(|&byte| byte != b';' && !is_blank(byte));
    let text = &text[..end.map_or(0, |end| end + 1)];
    !starts_plainly(text) || {
        let seen = look(text);
        seen.semicolon || (seen.letters && has_word(text))
    }
}

/// Could one of the words be there?
pub(super) fn has_word(text: &[u8]) -> bool {
    look(text).letters && WORDS.iter().any(|word| contains(text, word))
}

/// Whether the first word is one of [`PLAIN`], or there is none.
fn starts_plainly(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        match token.kind {
            Kind::Mark(b'(') => {}
            Kind::Word => {
                let word = &text[token.start..token.end];
                return PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(word));
            }
            _ => return false,
        }
    }
    true
}

/// What a pass over the text has seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    semicolon: bool,
    /// Some of [`LETTERS`].
    letters: bool,
}

fn look(text: &[u8]) -> Seen {
    let mut seen = [0; 2];
    let mut rest = text;
    while let Some((window, _)) = rest.split_first_chunk::<WINDOW>() {
        look_at(window, &mut seen);
        rest = &rest[BLOCK..];
    }
    // The last bytes, up to WINDOW - 1, padded with NUL, which is in no word.
    let mut padded = [0; BLOCK + WINDOW];
    padded[..rest.len()].copy_from_slice(rest);
    for start in [0, BLOCK] {
        let window = padded[start..].first_chunk().expect("padded is two blocks and more");
        look_at(window, &mut seen);
    }
    Seen { semicolon: seen[0] != 0, letters: seen[1] != 0 }
}

/// Arithmetic instead of conditions, so that sixteen bytes are compared at once.
#[inline(always)]
fn look_at(window: &[u8; WINDOW], seen: &mut [u8; 2]) {
    let mut semicolons = [0; BLOCK];
    let mut letters = [0; BLOCK];
    for i in 0..BLOCK {
        semicolons[i] = u8::from(window[i] == b';');
        for word in LETTERS {
            let mut equal = 1;
            for (j, letter) in word.into_iter().enumerate() {
                equal &= u8::from(window[i + j] | 0x20 == letter | 0x20);
            }
            letters[i] |= equal;
        }
    }
    seen[0] |= semicolons.iter().fold(0, |any, one| any | one);
    seen[1] |= letters.iter().fold(0, |any, one| any | one);
}

/// Whether `text` contains `word` (lower case), in any case.
fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w[0] | 0x20 == word[0] && w.eq_ignore_ascii_case(word))
}
