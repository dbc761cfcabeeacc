//! Settings of a session, a client's or a server's, and what leads from one to the other. It knows
//! no default values: a setting that is absent has whatever the server gives it; and of SQL only
//! how SET is written (`statement`).

pub mod search_path;
mod statement;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

pub use statement::statement;

/// How many settings a session may have. PostgreSQL 18 itself has about 400.
pub const SETTINGS_MAX: usize = 1000;
/// Bytes of all names and values together: what a client can make the pooler keep.
pub const SETTINGS_BYTES_MAX: usize = 1 << 20;

const ENCODING: &[u8] = b"client_encoding";
const AUTHORIZATION: &[u8] = b"session_authorization";
const ROLE: &[u8] = b"role";

/// Names that PostgreSQL still takes for others, as in its `map_old_guc_names`.
const OLD_NAMES: [(&[u8], &[u8]); 2] =
    [(b"sort_mem", b"work_mem"), (b"vacuum_mem", b"maintenance_work_mem")];

type Bytes = Box<[u8]>;

/// Settings by name, as `set_config` takes them: names in lower case, values as the client wrote
/// them (bytes, in its encoding).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// By name, each name once.
    sorted: Vec<(Bytes, Bytes)>,
    /// Of all names and values.
    bytes: usize,
}

impl Settings {
    /// Nothing is set.
    pub fn new() -> Settings {
        Settings::default()
    }

    /// Sets a setting; the name may be in any case. An error changes nothing.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), TooMany> {
        let found = self.find(name);
        let added = match found {
            Ok(_) => value.len(),
            Err(_) => normalised(name).len() + value.len(),
        };
        let replaced = found.map_or(0, |at| self.sorted[at].1.len());
        let bytes = self.bytes - replaced + added;
        if bytes > SETTINGS_BYTES_MAX {
            return Err(TooMany::Bytes);
        }
        match found {
            Ok(at) => self.sorted[at].1 = value.into(),
            Err(_) if self.sorted.len() >= SETTINGS_MAX => return Err(TooMany::Settings),
            Err(at) => self.sorted.insert(at, (normalised(name).into(), value.into())),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Forgets a setting, in any case; whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let found = self.find(name).map(|at| self.sorted.remove(at));
        if let Ok((name, value)) = &found {
            self.bytes -= name.len() + value.len();
        }
        found.is_ok()
    }

    /// The value of a setting, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).ok().map(|at| &*self.sorted[at].1)
    }

    /// Is nothing set?
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// How many settings.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.sorted.iter().map(|(name, value)| (&**name, &**value))
    }

    /// What brings a session that has `self` to `wanted`, in an order in which PostgreSQL lets it
    /// happen. Nothing if they are equal.
    ///
    /// A role that is set may not be allowed to change the others, so it goes first and comes
    /// last; setting session_authorization resets the role. Behind client_encoding the values are
    /// in the encoding of the client they came from.
    pub fn changes_to<'a>(&'a self, wanted: &'a Settings) -> Vec<Change<'a>> {
        if self == wanted {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let applied = |name: &&[u8]| self.get(name).is_some();
        changes.extend([ROLE, AUTHORIZATION].into_iter().filter(applied).map(Change::reset));
        let encoding = wanted.get(ENCODING);
        if encoding != self.get(ENCODING) {
            changes.push(Change { name: ENCODING, value: encoding });
        }
        let ordinary = |(name, _): &(&[u8], &[u8])| ![ENCODING, ROLE, AUTHORIZATION].contains(name);
        let gone = |(name, _): &(&[u8], &[u8])| wanted.get(name).is_none();
        let lacks = |(name, value): &(&[u8], &[u8])| self.get(name) != Some(value);
        let removals = self.iter().filter(ordinary).filter(gone);
        changes.extend(removals.map(|(name, _)| Change::reset(name)));
        changes.extend(wanted.iter().filter(ordinary).filter(lacks).map(Change::set));
        let last = [AUTHORIZATION, ROLE].into_iter();
        changes.extend(last.filter_map(|name| Some(Change::set((name, wanted.get(name)?)))));
        changes
    }

    /// Where a name is or belongs. Nearly always it comes in lower case and costs no copy.
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        if self.sorted.is_empty() {
            return Err(0);
        }
        let name = normalised(name);
        self.sorted.binary_search_by(|(known, _)| (**known).cmp(&*name))
    }
}

/// The one spelling of a name.
fn normalised(name: &[u8]) -> Cow<'_, [u8]> {
    let lower: Cow<'_, [u8]> = match name.iter().any(u8::is_ascii_uppercase) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    };
    match OLD_NAMES.iter().find(|(old, _)| **old == *lower) {
        Some((_, new)) => (*new).into(),
        None => lower,
    }
}

/// One step from one set of settings to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// In lower case.
    pub name: &'a [u8],
    /// The new value; `None` is RESET.
    pub value: Option<&'a [u8]>,
}

impl<'a> Change<'a> {
    fn set((name, value): (&'a [u8], &'a [u8])) -> Change<'a> {
        Change { name, value: Some(value) }
    }

    fn reset(name: &'a [u8]) -> Change<'a> {
        Change { name, value: None }
    }
}

/// A session wants more settings than we keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// More than [`SETTINGS_MAX`].
    Settings,
    /// Names and values are longer than [`SETTINGS_BYTES_MAX`] together.
    Bytes,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooMany::Settings => write!(f, "more than {SETTINGS_MAX} settings in a session"),
            TooMany::Bytes => write!(f, "more than {SETTINGS_BYTES_MAX} bytes of settings"),
        }
    }
}

impl Error for TooMany {}

#[cfg(test)]
mod tests;
