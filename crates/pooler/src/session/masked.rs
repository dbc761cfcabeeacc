//! Texts of queries for the log: a password that stands in one where SQL or a connection string
//! has it is masked. It looks for the word and what follows it; it parses no SQL, and a secret
//! that is called otherwise it does not know.

use std::borrow::Cow;
use std::fmt;

/// What stands in a password's place.
const MASK: &str = "***";

const WORD: &str = "password";

/// A text, shown with its passwords masked.
pub(super) struct Masked<'a>(pub(super) Cow<'a, str>);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &*self.0;
        while let Some(at) = find_word(rest) {
            let (before, from) = rest.split_at(at + WORD.len());
            f.write_str(before)?;
            rest = from;
            if let Some((lead, secret)) = secret(from) {
                f.write_str(&from[..lead])?;
                f.write_str(MASK)?;
                rest = &from[lead + secret..];
            }
        }
        f.write_str(rest)
    }
}

fn find_word(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // Every byte of the word is ASCII, so what is found begins and ends between characters.
    bytes.windows(WORD.len()).position(|window| window.eq_ignore_ascii_case(WORD.as_bytes()))
}

/// What follows the word: how much of it stays, and how much behind that is the secret.
fn secret(text: &str) -> Option<(usize, usize)> {
    let trimmed = text.trim_start();
    let mut lead = text.len() - trimmed.len();
    let mut value = trimmed;
    if let Some(behind) = trimmed.strip_prefix('=') {
        value = behind.trim_start();
        lead = text.len() - value.len();
        if !value.starts_with(['\'', '$']) {
            // A connection string: up to the blank or the end of the literal it stands in.
            let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '&' | '$' | ';');
            return Some((lead, value.find(ends).unwrap_or(value.len())));
        }
    }
    let escapes = value.starts_with("e'") || value.starts_with("E'");
    if escapes || value.starts_with("U&'") || value.starts_with("u&'") {
        let quote = value.find('\'')?;
        return Some((lead + quote, literal(&value[quote..], escapes)));
    }
    match value.as_bytes().first()? {
        b'\'' => Some((lead, literal(value, false))),
        b'$' => Some((lead, dollar_quoted(value)?)),
        _ => None, // a parameter, a word such as NULL, a column
    }
}

/// The length of a literal with its quotes; one without an end goes to the end.
fn literal(text: &str, escapes: bool) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if escapes => _ = bytes.next(),
            b'\'' if bytes.peek().is_some_and(|(_, next)| *next == b'\'') => _ = bytes.next(),
            b'\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `$tag$ … $tag$`; None for `$1`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag = text[1..].find('$')? + 2;
    let delimiter = &text[..tag];
    let is_tag = |c: char| c.is_alphanumeric() || c == '_';
    if !delimiter[1..tag - 1].chars().all(is_tag) {
        return None;
    }
    Some(text[tag..].find(delimiter).map_or(text.len(), |end| end + 2 * tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Masked(text.into()).to_string(), expected);
    }

    #[test]
    fn passwords_do_not_come_through() {
        for (text, expected) in [
            ("select 1", "select 1"),
            ("alter role x password 's3'", "alter role x password ***"),
            (
                "ALTER ROLE x ENCRYPTED PASSWORD'a''b' login",
                "ALTER ROLE x ENCRYPTED PASSWORD*** login",
            ),
            ("create user u password\n E'a\\'b' ; x", "create user u password\n E*** ; x"),
            ("create user u password $$s3$$; x", "create user u password ***; x"),
            ("create user u password $a$s$b$3$a$; x", "create user u password ***; x"),
            ("options (user 'u', password 's3')", "options (user 'u', password ***)"),
            ("connection 'host=h password=s3 user=u'", "connection 'host=h password=*** user=u'"),
            ("connection 'password = s3'", "connection 'password = ***'"),
            ("password 'never ends", "password ***"),
            ("alter role x password null", "alter role x password null"),
            (
                "select password from t where password = $1",
                "select password from t where password = $1",
            ),
            ("update t set password = 's3' where é", "update t set password = *** where é"),
            ("password password 'x' password", "password password *** password"),
            ("password", "password"),
            ("é password é", "é password é"),
        ] {
            check(text, expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "(password|PASSWORD|'|\\\\|\\$|=|é| |e|a|\\$a\\$){0,24}") {
            let _ = Masked(text.into()).to_string();
        }
    }
}
