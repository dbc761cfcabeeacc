//! A text that is one plain statement about one setting: SHOW, SET with one value, RESET. Whoever
//! answers it in a server's stead must be sure, so that anything unusual is none.

use std::borrow::Cow;

use super::lexer::{Kind, Lexer};
use super::words::{Words, lower, unquoted};

/// What is wanted of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// SHOW.
    Show,
    /// SET, SET SESSION, SET LOCAL.
    Set(Cow<'a, [u8]>),
    /// SET … TO DEFAULT, RESET.
    Reset {
        /// It is said by SET.
        by_set: bool,
    },
}

/// What the text wants of this setting; None when it is about anything else, or about anything
/// more. White space, comments and `;` around it do not count.
pub fn about<'a>(text: &'a [u8], setting: &[u8]) -> Option<About<'a>> {
    let mut words = Words(Lexer::new(text));
    let about = if words.take("show") {
        named(&mut words, setting)?;
        About::Show
    } else if words.take("reset") {
        named(&mut words, setting)?;
        About::Reset { by_set: false }
    } else if words.take("set") {
        let _ = words.take_scope("local") || words.take_scope("session");
        named(&mut words, setting)?;
        assigned(&mut words)?
    } else {
        return None;
    };
    let mut rest = words.0;
    while let Some(token) = rest.next() {
        if token.kind != Kind::Mark(b';') {
            return None;
        }
    }
    (!rest.doubtful).then_some(about)
}

fn named(words: &mut Words<'_>, setting: &[u8]) -> Option<()> {
    (*words.setting() == *setting).then_some(())
}

fn assigned<'a>(words: &mut Words<'a>) -> Option<About<'a>> {
    if !(words.take("to") || words.take_mark(b'=')) {
        return None;
    }
    let token = words.next()?;
    let bytes = &words.0.text[token.start..token.end];
    match token.kind {
        Kind::Word if words.is(token, "default") => Some(About::Reset { by_set: true }),
        Kind::Word => Some(About::Set(lower(bytes.into()))),
        Kind::Plain => {
            let inner = bytes[1..].strip_suffix(b"'"); // else it has no end
            inner.map(|value| About::Set(value.into()))
        }
        Kind::Quoted if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 0 => {
            Some(About::Set(unquoted(bytes)))
        }
        Kind::Quoted | Kind::Unicode | Kind::Literal | Kind::Mark(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{About, about};
    use proptest::prelude::*;

    fn check(text: &str, expected: &str) {
        let said = match about(text.as_bytes(), b"a.b") {
            None => "-".to_owned(),
            Some(About::Show) => "show".to_owned(),
            Some(About::Reset { by_set }) => if by_set { "default" } else { "reset" }.to_owned(),
            Some(About::Set(value)) => format!("={}", String::from_utf8_lossy(&value)),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn one_statement_about_one_setting() {
        check("show a.b", "show");
        check(" /* c */ ; SHOW A . \"b\" ; -- d", "-");
        check("/* c */ SHOW A . \"b\" ;; -- d", "show");
        check("set a.b = 'read-only'", "=read-only");
        check("SET SESSION a.b TO \"Read-Only\";", "=Read-Only");
        check("set local a.b to ANY", "=any");
        check("set a.b = ''", "=");
        check("set a.b to default", "default");
        check("reset a.b", "reset");
    }

    #[test]
    fn anything_more_is_the_servers() {
        for text in [
            "",
            ";",
            "select 1",
            "show a",
            "show a.b.c",
            "show a.b, c",
            "show a.b; show a.b",
            "show a.b; select 1",
            "set a.b = read-only",
            "set a.b = 'x', 'y'",
            "set a.b 'x'",
            "set a.b = 1",
            "set a.b = E'x'",
            "set a.b = U&\"x\"",
            "set a.b = 'x\\'",
            "set a.b = $$x$$",
            "set a.b = 'x",
            "set a.b =",
            "set a.b from current",
            "explain show a.b",
            "set a.b = \"x",
            "set a.b = \"x\"\"",
            "reset all",
        ] {
            check(text, "-");
        }
    }

    proptest! {
        /// Anything may come; and what is answered here is one statement to the scan, too.
        #[test]
        fn it_is_about_nothing_else(text in r#"(set|show|reset|local|a|b|[ .='";/\\*-]|x|\PC){0,12}"#) {
            if about(text.as_bytes(), b"a.b").is_some() {
                prop_assert!(super::super::only(text.as_bytes()).is_some(), "{}", text);
            }
        }

        #[test]
        fn any_bytes_are_a_text(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = about(&text, b"a.b");
            let set = [b"set a.b = ", text.as_slice()].concat();
            let _ = about(&set, b"a.b");
        }
    }
}
