//! Learning: from what a server told of settings that may have changed, to what its client wants
//! from now on and what the server holds.

use std::collections::BTreeSet;

use wire::settings::{Settings, TooMany};

use super::Belongings;
use crate::backend::{Core, Finding};
use crate::session::Voice;

/// Reads as set, and is not carried: what belongs to one transaction, and a command in the clothes
/// of a setting. PostgreSQL 16 and later refuse to reset them.
const NOBODYS: [&[u8]; 4] =
    [b"transaction_isolation", b"transaction_read_only", b"transaction_deferrable", b"seed"];

impl Belongings {
    /// What the server told of settings that may have changed: the client wants what it has, and
    /// what it gave up falls back to what it came with.
    ///
    /// # Errors
    /// It has more than anybody may have.
    pub fn learn(&mut self, core: &mut Core, user: &str, voice: &Voice) -> Result<(), TooMany> {
        let holdings = &mut core.holdings;
        self.unanswered = 0;
        let mut findings = std::mem::take(&mut holdings.findings);
        let asked = std::mem::take(&mut holdings.asked);
        let found = names_of(&findings);
        let asked_all = asked.names().all(|(name, _)| found.contains(name));
        if !asked_all {
            return Err(TooMany::Bytes); // a value that is longer than what is read
        }
        findings.retain(|finding| !NOBODYS.contains(&&*finding.name));
        let (mut wanted, mut held) = ((*self.wanted).clone(), (*holdings.settings).clone());
        if asked.all() {
            forget_missing(&mut wanted, &mut held, &findings);
        }
        for Finding { name, value } in &findings {
            let came_with = self.startup.get(name).is_some();
            let is_set = |value: &&[u8]| came_with || !is_absent(name, value, &wanted, user);
            let value = value.as_deref().filter(is_set);
            let reset = asked.is_reset(name);
            let was_reset = |value| asked.is_certain() || is_emptied(name, value, &wanted);
            match value {
                Some(value) if !(reset && was_reset(value)) => {
                    held.set(name, value)?;
                    wanted.set(name, value)?;
                }
                _ => {
                    held.remove(name);
                    wanted.remove(name);
                    if asked.is_unseen(name) {
                        holdings.rebase(name);
                    }
                }
            }
        }
        for (name, first) in self.startup.iter() {
            if wanted.get(name).is_none() {
                wanted.set(name, first)?;
            }
        }
        self.add_suffix(&mut wanted)?;
        holdings.unclean |= asked.all();
        holdings.settings = voice.intern_settings(held);
        self.wanted = voice.intern_settings(wanted);
        Ok(())
    }
}

fn names_of(findings: &[Finding]) -> BTreeSet<&[u8]> {
    findings.iter().map(|finding| &*finding.name).collect()
}

/// All settings were looked at: those that were not found are not set any more. What has no place
/// in the server's list is looked at by name.
fn forget_missing(wanted: &mut Settings, held: &mut Settings, findings: &[Finding]) {
    let found = names_of(findings);
    let missing = |settings: &Settings| -> Vec<Vec<u8>> {
        settings
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !found.contains(name))
            .map(<[u8]>::to_vec)
            .collect()
    };
    for settings in [wanted, held] {
        for name in missing(settings) {
            settings.remove(&name);
        }
    }
}

/// Values that say that nothing is set.
fn is_absent(name: &[u8], value: &[u8], wanted: &Settings, user: &str) -> bool {
    match name {
        b"role" => value == b"none",
        b"session_authorization" => value == user.as_bytes(),
        // A setting of the application's own cannot be unset, only be emptied.
        _ => value.is_empty() && name.contains(&b'.') && wanted.get(name).is_none(),
    }
}

/// A setting of the application's own that has lost its value: if it may have been reset, it was.
/// Others say by themselves where their value comes from.
fn is_emptied(name: &[u8], value: &[u8], wanted: &Settings) -> bool {
    let was = wanted.get(name).unwrap_or_default();
    value.is_empty() && name.contains(&b'.') && !was.is_empty()
}
