//! A client's names for its statements. It refuses to know what a taken name means in the protocol.

use std::collections::HashMap;
use std::fmt;

use super::Interned;

/// Names a client may have. Drivers keep some hundreds; who reaches this one never closes any.
pub const NAMES_MAX: usize = 65_536;

/// Bytes of all names and texts of a client, each text counted for each name it has. Drivers keep
/// some hundreds of KB; texts that others prepare too are kept once, however many count them.
pub const NAMED_BYTES_MAX: usize = 16 << 20;

/// Bytes of a name that count: PostgreSQL takes two names for one when these are the same.
pub const NAME_BYTES_MAX: usize = 63;

/// The statements of one client, by the names it gave them.
#[derive(Debug, Default)]
pub struct Names {
    /// The one without a name, apart: most drivers use no other, and then there is no heap.
    unnamed: Option<Interned>,
    /// Those with a name, if there are any: an idle client should be small.
    named: Option<Box<Named>>,
}

#[derive(Debug, Default)]
struct Named {
    /// Clients choose the names, so their hashes are keyed.
    by_name: HashMap<Box<[u8]>, Interned>,
    /// Of names and texts.
    bytes: usize,
}

/// A client has [`NAMES_MAX`] names already, or [`NAMED_BYTES_MAX`] bytes of names and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesFull;

impl fmt::Display for NamesFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a client may have no more than {NAMES_MAX} prepared statements of {NAMED_BYTES_MAX} \
             bytes"
        )
    }
}

impl std::error::Error for NamesFull {}

impl Names {
    /// No names, and no heap used.
    pub fn new() -> Names {
        Names::default()
    }

    /// Gives `name` to `statement`, and returns whose it was. The empty name is one like others.
    ///
    /// # Errors
    /// [`NamesFull`] when the name is new and one too many, or the text too long; nothing has
    /// changed then.
    pub fn bind(
        &mut self,
        name: &[u8],
        statement: Interned,
    ) -> Result<Option<Interned>, NamesFull> {
        let name = significant_name(name);
        if !name.is_empty() {
            let named = self.named.get_or_insert_default();
            let before = named.by_name.get(name).map_or(0, |bound| weight(name, bound));
            let bytes = named.bytes - before + weight(name, &statement);
            if bytes > NAMED_BYTES_MAX || (before == 0 && named.by_name.len() >= NAMES_MAX) {
                return Err(NamesFull);
            }
        }
        Ok(self.restore(name, statement))
    }

    /// As [`Names::bind`] for a name that was there when what is undone began: it has room, for no
    /// more is undone than was under way.
    pub fn restore(&mut self, name: &[u8], statement: Interned) -> Option<Interned> {
        let name = significant_name(name);
        if name.is_empty() {
            return self.unnamed.replace(statement);
        }
        let named = self.named.get_or_insert_default();
        named.bytes += weight(name, &statement);
        let replaced = match named.by_name.get_mut(name) {
            Some(bound) => Some(std::mem::replace(bound, statement)),
            None => named.by_name.insert(name.into(), statement),
        };
        named.bytes -= replaced.as_ref().map_or(0, |replaced| weight(name, replaced));
        replaced
    }

    /// Takes the name away, and returns whose it was.
    pub fn unbind(&mut self, name: &[u8]) -> Option<Interned> {
        let name = significant_name(name);
        if name.is_empty() {
            return self.unnamed.take();
        }
        let named = self.named.as_mut()?;
        let unbound = named.by_name.remove(name)?;
        named.bytes -= weight(name, &unbound);
        // A quarter, so that it is seldom: who closed all but a few waits with a small table.
        let left = named.by_name.len();
        if left < named.by_name.capacity() / 4 {
            named.by_name.shrink_to(left * 2);
        }
        Some(unbound)
    }

    /// Takes all names away, the empty one too, and gives the heap back.
    pub fn clear(&mut self) {
        *self = Names::new();
    }

    /// The statement of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Interned> {
        match significant_name(name) {
            [] => self.unnamed.as_ref(),
            name => self.named.as_ref()?.by_name.get(name),
        }
    }

    /// Names given, the empty one included.
    pub fn len(&self) -> usize {
        usize::from(self.unnamed.is_some()) + self.named().len()
    }

    /// True when no name is given.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names with their statements, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Interned)> {
        let unnamed = self.unnamed.iter().map(|statement| (&[][..], statement));
        unnamed.chain(self.named().map(|(name, statement)| (&**name, statement)))
    }

    fn named(&self) -> impl ExactSizeIterator<Item = (&Box<[u8]>, &Interned)> {
        self.named.as_deref().map_or_else(Default::default, |named| named.by_name.iter())
    }
}

/// What counts of a name: PostgreSQL looks at no more.
pub fn significant_name(name: &[u8]) -> &[u8] {
    &name[..name.len().min(NAME_BYTES_MAX)]
}

fn weight(name: &[u8], statement: &Interned) -> usize {
    name.len() + statement.body().len()
}

#[cfg(test)]
mod tests {
    use super::super::Statements;
    use super::*;

    #[test]
    fn a_name_means_what_it_was_bound_to_last() {
        let statements = Statements::new();
        let (one, two) = (statements.intern(b"one"), statements.intern(b"two"));
        for name in [&b""[..], b"s1"] {
            let mut names = Names::new();
            assert_eq!(names.get(name), None);
            assert_eq!(names.bind(name, one.clone()), Ok(None));
            assert_eq!(names.bind(name, two.clone()), Ok(Some(one.clone())));
            assert_eq!(names.get(name), Some(&two));
            assert_eq!(names.len(), 1);
            assert_eq!(names.unbind(name), Some(two.clone()));
            assert_eq!(names.unbind(name), None);
            assert!(names.is_empty());
        }
    }

    #[test]
    fn the_empty_name_is_one_of_them() {
        let statements = Statements::new();
        let (one, two) = (statements.intern(b"one"), statements.intern(b"two"));
        let mut names = Names::new();
        names.bind(b"", one.clone()).unwrap();
        names.bind(b"s", two.clone()).unwrap();
        assert!(names.iter().eq([(&b""[..], &one), (b"s", &two)]));
        assert_eq!(names.len(), 2);
        names.clear();
        assert!(names.is_empty() && names.iter().next().is_none());
    }

    #[test]
    fn one_name_too_many_changes_nothing() {
        let statement = Statements::new().intern(b"");
        let mut names = Names::new();
        for n in 0..NAMES_MAX {
            assert_eq!(names.bind(format!("s{n}").as_bytes(), statement.clone()), Ok(None));
        }
        assert_eq!(names.bind(b"more", statement.clone()), Err(NamesFull));
        assert_eq!((names.len(), names.get(b"more")), (NAMES_MAX, None));
        assert!(names.bind(b"s0", statement.clone()).unwrap().is_some(), "that one is no more");
        assert_eq!(names.bind(b"", statement.clone()), Ok(None), "takes no room");
        assert!(names.unbind(b"s1").is_some());
        assert_eq!(names.bind(b"more", statement), Ok(None));
    }

    /// Seen to fail: names that are counted and not weighed.
    #[test]
    fn long_texts_fill_the_names_too() {
        let statements = Statements::new();
        let text = |byte: u8| statements.intern(&vec![byte; 1 << 20]);
        let mut names = Names::new();
        for n in 0..15_u8 {
            assert_eq!(names.bind(&[b's', n], text(n)), Ok(None));
        }
        assert_eq!(names.bind(b"more", statements.intern(&vec![9; 1 << 20])), Err(NamesFull));
        assert_eq!((names.len(), names.get(b"more")), (15, None));
        assert_eq!(names.bind(b"short", statements.intern(b"select 1")), Ok(None));
        assert!(names.bind(&[b's', 1], text(99)).unwrap().is_some(), "instead of another");
        assert_eq!(names.bind(b"", text(100)), Ok(None), "takes no room");
        let kept = names.unbind(&[b's', 2]).unwrap();
        assert_eq!(names.bind(b"more", text(101)), Ok(None));
        assert_eq!(names.restore(&[b's', 2], kept), None, "what was there comes back");
        for n in 0..15_u8 {
            names.unbind(&[b's', n]);
        }
        names.unbind(b"short");
        names.unbind(b"more");
        assert_eq!(names.named.as_ref().unwrap().bytes, 0);
        names.clear();
        assert!(names.named.is_none());
    }

    /// PostgreSQL answers 42P05 to the second of two names that differ in their 64th byte only.
    #[test]
    fn long_names_are_cut_as_the_server_cuts_them() {
        let statements = Statements::new();
        let (one, two) = (statements.intern(b"one"), statements.intern(b"two"));
        let mut names = Names::new();
        names.bind(&[b'x'; 64], one.clone()).unwrap();
        names.bind(&[b'x'; 62], two.clone()).unwrap();
        assert_eq!(names.get(&[b'x'; 63]), Some(&one));
        assert_eq!(names.get(&[b'x'; 1_000_000]), Some(&one));
        assert_eq!(names.get(&[b'x'; 62]), Some(&two));
    }

    #[test]
    fn closed_names_give_their_memory_back() {
        let statement = Statements::new().intern(b"");
        let mut names = Names::new();
        names.bind(b"", statement.clone()).unwrap();
        assert!(names.named.is_none());
        for n in 0..10_000 {
            names.bind(format!("s{n}").as_bytes(), statement.clone()).unwrap();
        }
        for n in 1..10_000 {
            assert!(names.unbind(format!("s{n}").as_bytes()).is_some());
        }
        let places = names.named.as_ref().unwrap().by_name.capacity();
        assert!(places < 16, "{places} places for one");
        assert_eq!(names.get(b"s0"), Some(&statement));
    }
}
