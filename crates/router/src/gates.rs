//! Gates: which databases an operator has paused or disabled. They hold for routes there are and
//! for those to come. It knows names, and refuses to know pools or why somebody wants it.

use std::collections::BTreeSet;

/// Names an operator can have said; one more is refused.
pub const GATES_MAX: usize = 1 << 14;

/// What of all databases is paused or disabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// All of them are paused, whatever they are called.
    everything: bool,
    paused: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

/// Why a gate stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// There are [`GATES_MAX`] names already.
    Full,
    /// One database cannot be resumed while all of them are paused.
    EverythingIsPaused,
}

impl Gates {
    /// Pauses a database; None: all of them.
    ///
    /// # Errors
    /// [`Stuck::Full`].
    pub fn pause(&mut self, database: Option<&str>) -> Result<(), Stuck> {
        match database {
            None => self.everything = true,
            Some(name) => insert(&mut self.paused, name)?,
        }
        Ok(())
    }

    /// Ends the pause of a database; None: every pause there is.
    ///
    /// # Errors
    /// [`Stuck::EverythingIsPaused`].
    pub fn resume(&mut self, database: Option<&str>) -> Result<(), Stuck> {
        match database {
            None => {
                self.everything = false;
                self.paused.clear();
            }
            Some(_) if self.everything => return Err(Stuck::EverythingIsPaused),
            Some(name) => _ = self.paused.remove(name),
        }
        Ok(())
    }

    /// Nobody comes to this database any more.
    ///
    /// # Errors
    /// [`Stuck::Full`].
    pub fn disable(&mut self, database: &str) -> Result<(), Stuck> {
        insert(&mut self.disabled, database)
    }

    /// Everybody may come again.
    pub fn enable(&mut self, database: &str) {
        self.disabled.remove(database);
    }

    /// Whether all databases are paused.
    pub fn is_all_paused(&self) -> bool {
        self.everything
    }

    /// Whether a database that has these names is paused.
    pub fn is_paused<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        self.everything || names.into_iter().any(|name| self.paused.contains(name))
    }

    /// Whether a database that has these names is disabled.
    pub fn is_disabled<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| self.disabled.contains(name))
    }
}

fn insert(names: &mut BTreeSet<String>, name: &str) -> Result<(), Stuck> {
    if names.len() >= GATES_MAX && !names.contains(name) {
        return Err(Stuck::Full);
    }
    names.insert(name.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_all_outlasts_no_resume_of_all() {
        let mut gates = Gates::default();
        assert_eq!(gates.pause(Some("shop")), Ok(()));
        assert!(gates.is_paused(["other", "shop"]) && !gates.is_paused(["other"]));
        assert_eq!(gates.pause(None), Ok(()));
        assert!(gates.is_paused(["other"]));
        assert_eq!(gates.resume(Some("shop")), Err(Stuck::EverythingIsPaused));
        assert!(gates.is_paused(["shop"]));
        assert_eq!(gates.resume(None), Ok(()));
        assert_eq!(gates, Gates::default());
        assert_eq!(gates.resume(Some("never paused")), Ok(()));
    }

    #[test]
    fn a_disabled_database_is_not_paused() {
        let mut gates = Gates::default();
        assert_eq!(gates.disable("shop"), Ok(()));
        assert!(gates.is_disabled(["shop"]) && !gates.is_paused(["shop"]));
        gates.enable("shop");
        assert!(!gates.is_disabled(["shop"]));
    }

    #[test]
    fn names_are_bounded() {
        let mut gates = Gates::default();
        for n in 0..GATES_MAX {
            assert_eq!(gates.pause(Some(&n.to_string())), Ok(()));
        }
        assert_eq!(gates.pause(Some("one more")), Err(Stuck::Full));
        assert_eq!(gates.pause(Some("7")), Ok(()), "known already");
    }
}
