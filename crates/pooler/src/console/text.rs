//! The console's language: words, quoted or not, in statements that end at a semicolon. It knows
//! comments and quotes, and no command.

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without its quotes.
    pub text: String,
    /// It stood in quotes: it is no keyword.
    pub is_quoted: bool,
}

/// A statement, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// Its words; signs are words of one letter.
    pub words: Vec<Word>,
}

/// Quotes or a comment have no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished;

impl Statement {
    /// The words as they are compared: keywords in capital letters, quoted ones as they are.
    pub fn keyword(&self, at: usize) -> Option<String> {
        let word = self.words.get(at)?;
        Some(match word.is_quoted {
            true => format!("'{}'", word.text),
            false => word.text.to_ascii_uppercase(),
        })
    }

    /// Its words, for a message.
    pub fn shown(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        words.join(" ")
    }
}

/// The statements of a text; those without a word are left out.
///
/// # Errors
/// Quotes or a comment have no end.
pub fn split(text: &str) -> Result<Vec<Statement>, Unfinished> {
    let mut statements = Vec::new();
    let mut now = Statement::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            ';' => {
                statements.push(std::mem::take(&mut now));
                1
            }
            _ if first.is_whitespace() || first == '\0' => first.len_utf8(),
            '#' => line(rest),
            '-' if rest.starts_with("--") => line(rest),
            '/' if rest.starts_with("/*") => comment(rest)?,
            '\'' | '"' => {
                let (text, length) = quoted(rest, first)?;
                now.words.push(Word { text, is_quoted: true });
                length
            }
            _ => {
                let length = plain(rest);
                now.words.push(Word { text: rest[..length].to_owned(), is_quoted: false });
                length
            }
        };
        rest = &rest[length..];
    }
    statements.push(now);
    statements.retain(|one| !one.words.is_empty());
    Ok(statements)
}

/// Bytes to the end of the line.
fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Bytes of a comment; comments may hold comments.
fn comment(text: &str) -> Result<usize, Unfinished> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [] => return Err(Unfinished),
            _ => at += 1,
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// What stands in quotes, and how many bytes that takes; a doubled quote is one.
fn quoted(text: &str, quote: char) -> Result<(String, usize), Unfinished> {
    let mut inside = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letters.peek() {
            Some((_, next)) if letter == quote && *next == quote => {
                inside.push(quote);
                letters.next();
            }
            _ if letter == quote => return Ok((inside, at + 1)),
            _ => inside.push(letter),
        }
    }
    Err(Unfinished)
}

/// Bytes of a plain word, or of one sign.
fn plain(text: &str) -> usize {
    let is_part = |letter: char| letter.is_alphanumeric() || "_.$:-%".contains(letter);
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    end.max(text.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_words_between_semicolons() {
        for (text, expected) in [
            ("", ""),
            (" ; ;", ""),
            ("show pools", "SHOW POOLS"),
            ("Show\tPools;\nSHOW \"Pools\"", "SHOW POOLS|SHOW 'Pools'"),
            ("# a comment\nSHOW -- another\n STATS /* and /* one */ more */;", "SHOW STATS"),
            ("set a='x''y';", "SET A = 'x'y'"),
            ("select 1,version()", "SELECT 1 , VERSION ( )"),
            ("kill_client c0123456789ab", "KILL_CLIENT C0123456789AB"),
            ("pause \"a;b\"; resume", "PAUSE 'a;b'|RESUME"),
            ("drop servers\0", "DROP SERVERS"),
            ("é ü", "é ü"),
        ] {
            let statements = split(text).unwrap();
            let words = |one: &Statement| {
                let words = (0..one.words.len()).filter_map(|at| one.keyword(at));
                words.collect::<Vec<_>>().join(" ")
            };
            let shown: Vec<String> = statements.iter().map(words).collect();
            assert_eq!(shown.join("|"), expected, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        for text in ["'", "\"a", "show 'it''", "/* /* */"] {
            assert_eq!(split(text), Err(Unfinished), "{text}");
        }
    }
}
