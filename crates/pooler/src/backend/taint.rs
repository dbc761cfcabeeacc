//! Taint: what a client may have left in a server, known from what passes by. A clean server goes
//! to the next client at once; a tainted one is reset first. There is no SQL parser here: command
//! tags, the heads of Parse messages and a few words. What a function sets inside is not seen.

/// Whether a server must be reset before another client gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taint(bool);

/// Command tags that leave nothing behind when their transaction is over. Everything else does or
/// might: SET, LISTEN, PREPARE, DECLARE CURSOR (WITH HOLD), DISCARD, CREATE TABLE (TEMP), LOAD, DO
/// …
const CLEAN_TAGS: [&str; 16] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "COPY",
    "MERGE",
    "FETCH",
    "SHOW",
    "EXPLAIN",
    "VACUUM",
    "ANALYZE",
    "TRUNCATE TABLE",
    "START TRANSACTION",
];

/// Words in a query's text that leave something behind though the command tag says SELECT.
const WORDS: [&[u8]; 3] = [b"set_config", b"advisory_lock", b"temp"];

impl Taint {
    /// Nothing was left.
    pub const CLEAN: Taint = Taint(false);

    /// Must the server be reset?
    pub fn is_tainted(self) -> bool {
        self.0
    }

    /// Somebody did something we cannot see through.
    pub fn unknown(&mut self) {
        self.0 = true;
    }

    /// A command completed with this tag.
    pub fn completed(&mut self, tag: &[u8]) {
        self.0 = self.0 || !CLEAN_TAGS.iter().any(|clean| starts_with_word(tag, clean.as_bytes()));
    }

    /// A Query's or a Parse's text passes by.
    pub fn text(&mut self, text: &[u8]) {
        self.0 = self.0 || (is_suspect(text) && WORDS.iter().any(|word| contains(text, word)));
    }

    /// A Parse message passes by: a named statement outlives the transaction.
    pub fn parse(&mut self, body: &[u8]) {
        match body {
            [0, text @ ..] => self.text(text),
            _ => self.0 = true,
        }
    }
}

fn starts_with_word(tag: &[u8], word: &[u8]) -> bool {
    tag.strip_prefix(word).is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | 0)))
}

/// Four letters of each word, as a number in any case: `temp`, se`t_co`nfig, advisor`y_lo`ck.
const LETTERS: [u32; 3] = [four(*b"temp"), four(*b"t_co"), four(*b"y_lo")];

/// Four bytes as a number that is the same in upper and lower case.
const fn four(bytes: [u8; 4]) -> u32 {
    u32::from_ne_bytes(bytes) | 0x2020_2020
}

/// Could there be one of the words? This sees every query, so it is one pass without branches that
/// the compiler turns into vector code: 55 bytes cost 28 ns where a search for each word cost 87.
fn is_suspect(text: &[u8]) -> bool {
    text.windows(4).fold(false, |suspect, w| {
        let letters = four([w[0], w[1], w[2], w[3]]);
        suspect | LETTERS.iter().fold(false, |found, &wanted| found | (letters == wanted))
    })
}

/// Whether `text` contains `word` (lower case), in any case.
fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w[0] | 0x20 == word[0] && w.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: &str, tainted: bool) {
        let mut taint = Taint::CLEAN;
        taint.completed(tag.as_bytes());
        assert_eq!(taint.is_tainted(), tainted, "{tag}");
    }

    fn text(sql: &str, tainted: bool) {
        let mut taint = Taint::CLEAN;
        taint.text(sql.as_bytes());
        assert_eq!(taint.is_tainted(), tainted, "{sql}");
    }

    #[test]
    fn tags_tell_what_stays_behind() {
        for clean in ["SELECT 1", "INSERT 0 1", "BEGIN", "COMMIT", "COPY 5", "TRUNCATE TABLE\0"] {
            tag(clean, false);
        }
        for dirty in
            ["SET", "LISTEN", "PREPARE", "DECLARE CURSOR", "CREATE TABLE", "DO", "SELECTED"]
        {
            tag(dirty, true);
        }
    }

    #[test]
    fn words_tell_what_the_tag_hides() {
        text("select abalance from accounts", false);
        text("insert into history values (1)", false);
        text("SELECT Set_Config('search_path', '', false)", true);
        text("select pg_try_advisory_lock(1)", true);
        text("create TEMP table t as select 1", true);
        text("", false);
    }

    #[test]
    fn a_named_statement_stays_behind() {
        let mut taint = Taint::CLEAN;
        taint.parse(b"\0select 1\0\0\0");
        assert!(!taint.is_tainted());
        taint.parse(b"s1\0select 1\0\0\0");
        assert!(taint.is_tainted());
    }
}
