//! The words of an HBA file: fields between blanks, in each of them words between commas, perhaps
//! in quotes. A `#` begins a comment, a backslash at the end joins two lines.

use std::fmt;

/// What stands between blanks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub words: Vec<Word>,
}

/// A word of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    /// It began with a quote: it is a name and no keyword.
    pub is_quoted: bool,
}

impl Field {
    /// The text of a field that is one word without quotes.
    pub fn only(&self) -> Option<&str> {
        match self.words.as_slice() {
            [Word { text, is_quoted: false }] => Some(text),
            _ => None,
        }
    }
}

/// As it is understood, without quotes.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.words.iter().map(|word| word.text.as_str()).collect();
        f.write_str(&words.join(","))
    }
}

/// The lines with their numbers from 1; what a backslash joins has the number of its first.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut numbered = text.split('\n').enumerate();
    std::iter::from_fn(move || {
        let (index, first) = numbered.next()?;
        let mut whole = without_return(first).to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((_, next)) = numbered.next() else { break };
            whole.push_str(without_return(next));
        }
        Some((index + 1, whole))
    })
}

fn without_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

/// The fields of a line.
pub(super) fn fields(line: &str) -> Result<Vec<Field>, &'static str> {
    let mut letters = line.chars().peekable();
    let mut fields = Vec::new();
    // A comma at the end of a word goes on with the list behind the blanks.
    let mut goes_on = false;
    loop {
        while letters.next_if(|letter| is_blank(*letter)).is_some() {}
        match letters.peek() {
            None | Some('#') => return Ok(fields),
            Some(',') => return Err("a name is missing in front of a comma"),
            Some(_) => {}
        }
        let word = word(&mut letters)?;
        match fields.last_mut() {
            Some(Field { words }) if goes_on => words.push(word),
            _ => fields.push(Field { words: vec![word] }),
        }
        goes_on = letters.next_if_eq(&',').is_some();
    }
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// Up to a blank, a comma or a comment that is not in quotes; two quotes in quotes are one.
fn word(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Word, &'static str> {
    let mut word = Word { is_quoted: letters.peek() == Some(&'"'), ..Word::default() };
    let mut in_quotes = false;
    while let Some(&letter) = letters.peek() {
        if !in_quotes && (is_blank(letter) || letter == ',' || letter == '#') {
            break;
        }
        letters.next();
        match letter {
            '"' if in_quotes && letters.next_if_eq(&'"').is_some() => word.text.push('"'),
            '"' => in_quotes = !in_quotes,
            _ => word.text.push(letter),
        }
    }
    if in_quotes {
        return Err("the string in quotes never ends");
    }
    Ok(word)
}
