//! The look that every query gets: is there anything that a closer one should see? One pass over
//! the text without branches, in blocks that the compiler turns into vector code.

use super::lexer::{Kind, Lexer, is_blank};
use super::words::Words;

/// First words of statements that leave nothing behind, if none of [`WORDS`] is in them.
const PLAIN: [&[u8]; 11] = [
    b"select", b"insert", b"update", b"delete", b"with", b"values", b"copy", b"fetch", b"merge",
    b"table", b"move",
];

/// Words that leave something behind wherever they are.
const WORDS: [&[u8]; 3] = [b"set_config", b"advisory_lock", b"temp"];

/// Four letters of each of [`WORDS`]: seldom elsewhere, and quickly looked for.
const LETTERS: [[u8; 4]; 3] = [*b"t_co", *b"y_lo", *b"temp"];

/// Bytes looked at in one step: enough that the compiler keeps it a loop and makes vectors of it.
const BLOCK: usize = 64;
/// The last byte of a block is looked at with the three behind it.
const WINDOW: usize = BLOCK + 3;

/// Is there anything to look for in this text? Every query is asked. False for a single SELECT,
/// INSERT, UPDATE (but of `pg_settings`), DELETE, WITH and the like; never false if
/// [`statements`](super::statements) tells of anything but [`Head::Other`](super::Head::Other), or
/// if one of the words `set_config`, `advisory_lock`, `temp` is there, in any case, be it inside
/// another.
pub fn is_remarkable(text: &[u8]) -> bool {
    let end = text.iter().rposition(|&byte| byte != b';' && !is_blank(byte));
    let text = &text[..end.map_or(0, |end| end + 1)];
    !starts_plainly(text) || (is_suspect(text) && (text.contains(&b';') || has_a_word(text)))
}

/// Is one of [`WORDS`] there?
pub(super) fn has_word(text: &[u8]) -> bool {
    is_suspect(text) && has_a_word(text)
}

fn has_a_word(text: &[u8]) -> bool {
    WORDS.iter().any(|word| contains(text, word))
}

/// Whether the first word is one of [`PLAIN`], or there is none.
fn starts_plainly(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        match token.kind {
            Kind::Mark(b'(') => {}
            Kind::Word => {
                let words = Words(lexer);
                let sets = words.is(token, "update") && words.are_settings();
                let word = &text[token.start..token.end];
                return !sets && PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(word));
            }
            _ => return false,
        }
    }
    true
}

/// Could there be a `;` or one of the words?
fn is_suspect(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<WINDOW>() else {
        let mut padded = [0; WINDOW]; // with NUL, which is in no word
        padded[..text.len()].copy_from_slice(text);
        return distance(&padded) == 0 || ends_suspiciously(text);
    };
    let mut least = distance(last);
    let mut rest = text;
    while let Some((window, _)) = rest.split_first_chunk::<WINDOW>() {
        least = least.min(distance(window));
        rest = &rest[BLOCK..];
    }
    least == 0 || ends_suspiciously(text)
}

/// A block asks for three bytes more than it looks at.
fn ends_suspiciously(text: &[u8]) -> bool {
    text.iter().rev().take(WINDOW - BLOCK).any(|&byte| byte == b';')
}

/// Zero if there is a `;` or the letters of a word in the block. Differences and their least
/// instead of conditions: so many bytes are compared at once.
fn distance(window: &[u8; WINDOW]) -> u8 {
    let mut least = u8::MAX;
    for i in 0..BLOCK {
        least = least.min(window[i] ^ b';');
        for word in LETTERS {
            let [a, b, c, d] = word;
            let different =
                (window[i] ^ a) | (window[i + 1] ^ b) | (window[i + 2] ^ c) | (window[i + 3] ^ d);
            least = least.min(different & !0x20); // which tells upper from lower case
        }
    }
    least
}

/// Whether `text` contains `word` (lower case), in any case.
pub fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w[0] | 0x20 == word[0] && w.eq_ignore_ascii_case(word))
}
