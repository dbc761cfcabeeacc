//! Settings that may have changed, by name, until the server says what they are. It does not know
//! values.

use std::collections::BTreeMap;

/// Names of settings that are remembered as touched; behind it all settings are looked at.
const TOUCHED_MAX: usize = 1000;

/// Settings that may have changed. Too many is as good as few: the server is asked.
#[derive(Debug, Default)]
pub struct Touched {
    names: BTreeMap<Box<[u8]>, Reset>,
    /// Any of them.
    all: bool,
    /// Command tags of statements whose names are known are still to come.
    foreseen: u32,
    /// Something was rolled back, or was not done after all: what was reset may not have been.
    undone: bool,
}

/// Was it set, or reset?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// To a value.
    No,
    /// To what the session began with.
    Yes,
    /// The same, and it was set since.
    Over,
    /// The same, and its client's own beginning was set over it since.
    Mended,
    /// It has changed, and nobody is known to have set it: a function did, or the server's own
    /// configuration is another one.
    Unseen,
    /// To a value, or by a call of `set_config` with NULL to what the session began with.
    Either,
}

impl Touched {
    /// `name` is set or reset by a statement whose command tag is to come.
    pub fn foresee(&mut self, name: &[u8], reset: Reset) {
        self.foreseen += 1;
        self.touch(name, reset);
    }

    /// A SET is to come that changes nothing beyond its transaction.
    pub fn foresee_nothing(&mut self) {
        self.foreseen += 1;
    }

    /// `name` may have changed; an empty one: nobody knows which.
    pub fn touch(&mut self, name: &[u8], reset: Reset) {
        if name.is_empty() || self.names.len() >= TOUCHED_MAX {
            self.all = true;
            return;
        }
        match self.names.get_mut(name) {
            Some(last @ (Reset::Yes | Reset::Mended)) if reset == Reset::No => *last = Reset::Over,
            Some(Reset::Over) if reset == Reset::No => {}
            Some(last) => *last = reset,
            None => drop(self.names.insert(name.into(), reset)),
        }
    }

    /// `name` has changed, and perhaps nobody is known to have touched it.
    pub fn suspect(&mut self, name: &[u8]) {
        if !self.names.contains_key(name) {
            self.touch(name, Reset::Unseen);
        }
    }

    /// What has changed so far, and nobody is known to have set it, is as it was.
    pub fn forget_unseen(&mut self) {
        self.names.retain(|_, reset| *reset != Reset::Unseen);
    }

    /// Has it changed, and nobody is known to have set it?
    pub fn is_unseen(&self, name: &[u8]) -> bool {
        self.names.get(name) == Some(&Reset::Unseen)
    }

    /// May it have its default again, and may it not?
    pub fn is_unclear(&self, name: &[u8]) -> bool {
        let reset = self.names.get(name).copied();
        matches!(reset, Some(Reset::Unseen | Reset::Either))
            || (reset == Some(Reset::Yes) && !self.is_certain())
    }

    /// Anything may have changed.
    pub fn touch_all(&mut self) {
        self.all = true;
    }

    /// Something was rolled back, or may be.
    pub fn undo(&mut self) {
        self.undone = true;
        for reset in self.names.values_mut() {
            if matches!(reset, Reset::Mended | Reset::Over) {
                *reset = Reset::Yes;
            }
        }
    }

    /// What was to be reset was reset, for sure: all that was foreseen has come to pass.
    pub fn is_certain(&self) -> bool {
        self.foreseen == 0 && !self.undone
    }

    /// What was asked and not answered is to be asked again.
    pub fn ask_again(&mut self, asked: Touched) {
        self.all |= asked.all;
        self.undone |= asked.undone;
        for (name, reset) in asked.names {
            if !self.names.contains_key(&name) {
                self.touch(&name, reset);
            }
        }
    }

    /// A command tag SET or RESET came.
    pub fn completed(&mut self) {
        match self.foreseen.checked_sub(1) {
            Some(fewer) => self.foreseen = fewer,
            None => self.all = true,
        }
    }

    /// May anything have changed?
    pub fn any(&self) -> bool {
        self.all || !self.names.is_empty()
    }

    /// Was it reset, and not set since?
    pub fn is_reset(&self, name: &[u8]) -> bool {
        self.names.get(name) == Some(&Reset::Yes)
    }

    /// May anything have gone back to what the session began with?
    pub fn any_reset(&self) -> bool {
        let resets = |reset: &Reset| matches!(reset, Reset::Yes | Reset::Either);
        self.all || self.names.values().any(resets)
    }

    /// What was set by a call that is given a NULL may have been reset.
    pub fn doubt(&mut self) {
        for reset in self.names.values_mut().filter(|reset| **reset == Reset::No) {
            *reset = Reset::Either;
        }
    }

    /// The names that were reset and are `wanted`; they count as mended from now on. The role comes
    /// behind the session's user, who takes it away.
    pub fn take_resets(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Box<[u8]>> {
        let mut taken = Vec::new();
        for (name, reset) in self.names.iter_mut().rev() {
            if *reset == Reset::Yes && wanted(name) {
                *reset = Reset::Mended;
                taken.push(name.clone());
            }
        }
        taken
    }

    /// All that was touched, and `more`, is reset.
    pub fn reset_all<'a>(&mut self, more: impl Iterator<Item = &'a [u8]>) {
        const KEPT: [&[u8]; 2] = [b"role", b"session_authorization"];
        self.foreseen += 1;
        for (name, reset) in &mut self.names {
            if !KEPT.contains(&&**name) {
                *reset = Reset::Yes;
            }
        }
        more.filter(|name| !KEPT.contains(name)).for_each(|name| self.touch(name, Reset::Yes));
    }

    /// All that was touched is reset by a DISCARD ALL.
    pub fn discard(&mut self) {
        self.names.values_mut().for_each(|reset| *reset = Reset::Yes);
    }

    /// May everything have changed?
    pub fn all(&self) -> bool {
        self.all
    }

    /// May `name` have changed, as far as that is known by name?
    pub fn is_named(&self, name: &[u8]) -> bool {
        self.names.contains_key(name)
    }

    /// What may have changed, by name.
    pub fn names(&self) -> impl Iterator<Item = (&[u8], Reset)> {
        self.names.iter().map(|(name, reset)| (&**name, *reset))
    }

    /// Nothing has changed any more.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// At the end of all that was asked for: tags that have not come will not come.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.foreseen) > 0 {
            self.undo();
        }
        self.undone &= self.any();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail: names in their alphabetical order, by which the user takes the role away.
    #[test]
    fn a_role_is_mended_behind_the_sessions_user() {
        let mut touched = Touched::default();
        for name in [&b"role"[..], b"geqo", b"session_authorization", b"datestyle"] {
            touched.touch(name, Reset::Yes);
        }
        let resets = touched.take_resets(|name| name != b"geqo");
        assert_eq!(
            resets.iter().map(|name| &**name).collect::<Vec<_>>(),
            [&b"session_authorization"[..], b"role", b"datestyle"]
        );
    }

    /// Seen to fail: names that are asked about again on top of as many new ones. An inquiry has
    /// more answers then than a conversation takes.
    #[test]
    fn what_is_asked_about_is_bounded_though_it_is_asked_again() {
        let mut asked = Touched::default();
        let mut touched = Touched::default();
        for number in 0..TOUCHED_MAX {
            asked.touch(format!("asked.n{number}").as_bytes(), Reset::No);
            touched.touch(format!("touched.n{number}").as_bytes(), Reset::No);
        }
        assert!(!touched.all());
        touched.ask_again(asked);
        assert_eq!(touched.names().count(), TOUCHED_MAX);
        assert!(touched.all(), "the rest is asked about as a whole");
    }
}
