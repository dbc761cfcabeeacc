//! `application_name` with the client's address behind it (`application_name_add_host`), however
//! the client sets it.

use std::ops::Range;

use wire::scan::{self, Head};
use wire::settings::{Settings, TooMany};

use super::Belongings;

const APPLICATION_NAME: &[u8] = b"application_name";
/// PostgreSQL keeps so many bytes of an `application_name`.
const APPLICATION_NAME_BYTES_MAX: usize = 63;

impl Belongings {
    /// What `SET application_name` lacks of the client's address behind the name, if that is the
    /// text and the rule wants it: where the name is, and what stands there then.
    pub fn suffixed(&self, text: &[u8]) -> Option<(Range<usize>, Vec<u8>)> {
        let suffix = self.address_suffix.as_ref()?;
        let statement = scan::only(text)?;
        match &statement.head {
            Head::Set { name } if **name == *APPLICATION_NAME => {}
            _ => return None,
        }
        let text = statement.text.trim_ascii_end();
        let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
        let inner = text.strip_suffix(b"'")?;
        let start = inner.iter().position(|&byte| byte == b'\'')? + 1;
        let name = &inner[start..];
        if name.iter().any(|byte| b"'\\".contains(byte)) {
            return None; // it gets it with the next transaction
        }
        let at = statement.at + start;
        Some((at..at + name.len(), with_suffix(name, suffix)))
    }

    pub(super) fn add_suffix(&self, wanted: &mut Settings) -> Result<(), TooMany> {
        let found = (&self.address_suffix, wanted.get(APPLICATION_NAME));
        let (Some(suffix), Some(name)) = found else { return Ok(()) };
        match name.ends_with(suffix.as_bytes()) {
            true => Ok(()),
            false => {
                let name = with_suffix(name, suffix);
                wanted.set(APPLICATION_NAME, &name)
            }
        }
    }
}

/// The name with the suffix behind it; what is too long of the name goes.
pub fn with_suffix(name: &[u8], suffix: &str) -> Vec<u8> {
    let kept = name.len().min(APPLICATION_NAME_BYTES_MAX.saturating_sub(suffix.len()));
    [&name[..kept], suffix.as_bytes()].concat()
}
