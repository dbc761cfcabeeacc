//! The gist of a text: what whoever runs it again asks of it, read once and of bounded size. A
//! prepared statement may be a megabyte long and run a thousand times in one read. It remembers
//! heads, names and a few words, and no text.

use std::borrow::Cow;

use super::{Head, Name, Statement, contains, statements};

/// Heads that are kept. A prepared statement is one, and what else is told of it are calls of
/// `set_config`; whoever has more of them is taken to have done anything.
const PARTS_MAX: usize = 32;

/// What a text says, for whoever runs it again.
#[derive(Clone, Debug)]
pub struct Gist {
    mentions: Mentions,
    /// Does it mention a word of what takes something away?
    removes: bool,
    parts: Vec<Part>,
    /// There were more.
    is_cut: bool,
}

/// One of the [`statements`] of a text, without the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub head: Head<'static>,
    /// See [`Look::qualifies`].
    pub qualified: bool,
    /// It is told of the first statement: a Parse takes no other, and what follows it in some
    /// reading is in a string.
    pub first: bool,
}

/// Words in a text that may leave something behind, wherever they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// Temporary tables.
    pub temp: bool,
    /// Advisory locks.
    pub advisory: bool,
    /// Cursors WITH HOLD.
    pub hold: bool,
}

/// A look at the statements of one text, one after the other.
#[derive(Debug, Default)]
pub struct Look {
    /// Where the statement begins that was searched last, for which word, and if that is there.
    searched: Option<(usize, &'static [u8], bool)>,
}

impl Gist {
    /// Of this text.
    pub fn of(text: &[u8]) -> Gist {
        let mut look = Look::default();
        let mut all = statements(text);
        let mut first_at = None;
        let part = |one: Statement<'_>| {
            let qualified = look.qualifies(&one);
            let first = *first_at.get_or_insert(one.at) == one.at;
            Part { head: one.head.into_owned(), qualified, first }
        };
        let parts = all.by_ref().take(PARTS_MAX).map(part).collect();
        let is_cut = all.next().is_some();
        Gist { mentions: Mentions::of(text), removes: removes(text), parts, is_cut }
    }

    /// The words in it that may leave something behind.
    pub fn mentions(&self) -> Mentions {
        self.mentions
    }

    /// May it take away what was left?
    pub fn removes(&self) -> bool {
        self.removes
    }

    /// What it does, in its order, as far as that was kept.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Does it do more than was kept?
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The one thing it does, if that is all.
    pub fn only(&self) -> Option<&Head<'static>> {
        match (&*self.parts, self.is_cut) {
            ([one], false) => Some(&one.head),
            _ => None,
        }
    }

    /// The name of the prepared statement that its first statement speaks of, if of one.
    pub fn spoken_of(&self) -> Option<&[u8]> {
        self.parts.iter().filter(|part| part.first).find_map(|part| match &part.head {
            Head::Deallocate { name } | Head::Execute { name } | Head::Prepare { name } => {
                Some(&*name.folded)
            }
            _ => None,
        })
    }
}

impl Mentions {
    /// In this text.
    pub fn of(text: &[u8]) -> Mentions {
        Mentions {
            temp: contains(text, b"temp"),
            advisory: contains(text, b"advisory"),
            hold: contains(text, b"hold"),
        }
    }
}

/// Are there words in it of what takes away what was left?
pub fn removes(text: &[u8]) -> bool {
    const REMOVALS: [&[u8]; 6] =
        [b"drop", b"close", b"deallocate", b"discard", b"unlisten", b"unlock"];
    REMOVALS.iter().any(|word| contains(text, word))
}

impl Look {
    /// Is a SET a RESET? May a call of `set_config` be given a NULL, which resets, too? May a
    /// PREPARE prepare such a call? A statement that calls a thousand times is searched once.
    pub fn qualifies(&mut self, statement: &Statement<'_>) -> bool {
        match &statement.head {
            Head::Set { name } => sets_default(name, statement.text),
            Head::SetConfig { .. } => self.finds(statement, b"null"),
            Head::Prepare { .. } => self.finds(statement, b"set_config"),
            _ => false,
        }
    }

    fn finds(&mut self, statement: &Statement<'_>, word: &'static [u8]) -> bool {
        if let Some((at, last, found)) = self.searched
            && (at, last) == (statement.at, word)
        {
            return found;
        }
        let found = contains(statement.text, word);
        self.searched = Some((statement.at, word, found));
        found
    }
}

/// `SET x TO DEFAULT`, `SET TIME ZONE LOCAL`, `SET NAMES`.
fn sets_default(name: &[u8], text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    let ends_with = |word: &[u8]| {
        text.len() > word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word)
    };
    ends_with(b"default")
        || (name == b"timezone" && ends_with(b"local"))
        || (name == b"client_encoding" && ends_with(b"names"))
}

impl Head<'_> {
    /// The same, without the text.
    fn into_owned(self) -> Head<'static> {
        let own = |name: Cow<'_, [u8]>| Cow::Owned(name.into_owned());
        let named = |name: Name<'_>| Name { range: name.range, folded: own(name.folded) };
        match self {
            Head::Set { name } => Head::Set { name: own(name) },
            Head::Reset { name } => Head::Reset { name: own(name) },
            Head::Prepare { name } => Head::Prepare { name: named(name) },
            Head::Execute { name } => Head::Execute { name: named(name) },
            Head::Deallocate { name } => Head::Deallocate { name: named(name) },
            Head::SetConfig { name, local } => Head::SetConfig { name: name.map(own), local },
            Head::SetCharacteristics => Head::SetCharacteristics,
            Head::SetLocal => Head::SetLocal,
            Head::ResetAll => Head::ResetAll,
            Head::DiscardAll => Head::DiscardAll,
            Head::DiscardTemp => Head::DiscardTemp,
            Head::DiscardOther => Head::DiscardOther,
            Head::BeginPlain => Head::BeginPlain,
            Head::Begin => Head::Begin,
            Head::Commit => Head::Commit,
            Head::Rollback => Head::Rollback,
            Head::RollbackTo => Head::RollbackTo,
            Head::Savepoint => Head::Savepoint,
            Head::Release => Head::Release,
            Head::PrepareTransaction => Head::PrepareTransaction,
            Head::DeallocateAll => Head::DeallocateAll,
            Head::Listen => Head::Listen,
            Head::Unlisten => Head::Unlisten,
            Head::Declare => Head::Declare,
            Head::Close => Head::Close,
            Head::Show => Head::Show,
            Head::Do => Head::Do,
            Head::Call => Head::Call,
            Head::CreateTemp => Head::CreateTemp,
            Head::Other => Head::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gist_is_short_however_long_the_text_is() {
        let text = format!("select {}", "set_config('a.b', null, false), ".repeat(10_000));
        let gist = Gist::of(text.as_bytes());
        assert_eq!((gist.parts().len(), gist.is_cut()), (PARTS_MAX, true));
        assert!(gist.parts().iter().all(|part| part.qualified));
        assert_eq!(gist.only(), None);
        assert!(Gist::of(b"deallocate a").only().is_some());
    }

    proptest! {
        /// What is kept is what is read.
        #[test]
        fn a_gist_says_what_its_text_says(
            text in r#"(set |to default|a|reset |;|execute |prepare |null|set_config\('a',|temp| )*"#
        ) {
            let gist = Gist::of(text.as_bytes());
            let mut look = Look::default();
            let all: Vec<_> = statements(text.as_bytes())
                .map(|one| (look.qualifies(&one), one.head.into_owned()))
                .collect();
            let kept: Vec<_> =
                gist.parts().iter().map(|part| (part.qualified, part.head.clone())).collect();
            prop_assert_eq!(&kept[..], &all[..all.len().min(PARTS_MAX)]);
            prop_assert_eq!(gist.is_cut(), all.len() > PARTS_MAX);
        }
    }
}
