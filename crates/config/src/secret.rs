//! A password in memory which no log line can show by accident, and the words behind which one
//! stands in a file.

use std::fmt;

use crate::options;

/// The options whose values are secrets; each has a twin with `_file` behind it.
pub(crate) const OPTIONS: [&str; 4] =
    ["password", "storage_password", "ldapbindpasswd", "ldap_storage_password"];

const TYPOS_MAX: usize = 3; // in a word of eight letters or more

const WORD_BYTES_MAX: usize = 40; // no option is that long

/// Whether a secret may stand behind that word of a file, misspelt or not.
pub(crate) fn may_precede_one(word: &str) -> bool {
    if options::is_keyword(word) || word.len() > WORD_BYTES_MAX {
        return OPTIONS.contains(&word);
    }
    let word = word.to_ascii_lowercase();
    ["pass", "pwd", "secret"].iter().any(|part| word.contains(part))
        || OPTIONS.iter().any(|option| options::distance(&word, option) <= TYPOS_MAX)
}

/// A password or a stored verifier; printing it prints asterisks.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text as a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself; every caller of this is a place to read twice.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
