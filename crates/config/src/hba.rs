//! `hba_file`: lines in the language of PostgreSQL's pg_hba.conf that let clients in or keep them
//! out before anybody asks for a password. Here it is read and checked; whom a line fits, `router`
//! decides.

mod words;

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;

use crate::diagnostic::{Complaints, Place};
use crate::files;
use crate::model::{AddressSelector, ConnectionType, Hba, HbaLine, HbaName};
use words::{Field, Word};

/// Each login may look at all of them.
const LINES_MAX: usize = 10_000;

/// What is wrong with a line.
type Wrong = (String, Option<&'static str>);

const METHODS: &str = "how they prove who they are is for the rules: authentication";
const NAMES: &str = "write the names themselves, with commas";
const ADDRESSES: &str = "an address with a prefix or a mask, or all";

/// Reads the file that stands at `place`; None after a complaint.
pub(crate) fn read(written: &str, place: &Place, complaints: &mut Complaints) -> Option<Hba> {
    let path = files::beside(written, &place.file);
    let name = path.display().to_string();
    match files::bytes(&path).map(|bytes| files::utf8(&name, bytes)) {
        Ok(Ok(text)) => parse(&path, &name, &text, place.file_index, complaints),
        Ok(Err(broken)) => {
            broken.0.into_iter().for_each(|one| complaints.add(place, one));
            None
        }
        Err(error) => {
            let message = format!("can't open hba_file '{written}': {error}");
            complaints.error_with_hint(place, message, files::WHERE);
            None
        }
    }
}

/// All lines, or a complaint about each that is wrong.
fn parse(
    path: &Path,
    name: &str,
    text: &str,
    file_index: usize,
    complaints: &mut Complaints,
) -> Option<Hba> {
    let mut lines = Vec::new();
    let mut broken = false;
    for (number, written) in words::lines(text) {
        let place = Place { file_index, file: name.into(), line: number, column: 1 };
        match words::fields(&written).map_err(|what| (what.to_owned(), None)).and_then(line) {
            Ok(None) => {}
            Ok(Some(_)) if lines.len() >= LINES_MAX => {
                complaints.error(&place, format!("more than {LINES_MAX} lines"));
                return None;
            }
            Ok(Some(line)) => lines.push(HbaLine { number, ..line }),
            Err((message, hint)) => {
                broken = true;
                match hint {
                    Some(hint) => complaints.error_with_hint(&place, message, hint),
                    None => complaints.error(&place, message),
                }
            }
        }
    }
    (!broken).then(|| Hba { path: path.to_owned(), lines })
}

/// One line; None if nothing stands in it.
fn line(fields: Vec<Field>) -> Result<Option<HbaLine>, Wrong> {
    let Some(first) = fields.first() else { return Ok(None) };
    let connection = connection(first)?;
    let least = if connection == ConnectionType::Local { 4 } else { 5 };
    if fields.len() < least {
        let got = fields.len();
        return Err((format!("too few fields (got {got}, expected at least {least})"), None));
    }
    let databases = names(&fields[1], true)?;
    let users = names(&fields[2], false)?;
    let (address, rest) = match connection {
        ConnectionType::Local => (AddressSelector::All, &fields[3..]),
        _ => address(&fields[3..])?,
    };
    let allows = match rest {
        [method] => allows(method)?,
        [] => return Err(("expected auth method".to_owned(), None)),
        [_, option, ..] => {
            let message = format!("auth options are not supported: '{option}'");
            return Err((message, Some("maps and the like change nothing here; leave them out")));
        }
    };
    Ok(Some(HbaLine { number: 0, connection, databases, users, address, allows }))
}

fn connection(field: &Field) -> Result<ConnectionType, Wrong> {
    match field.only() {
        Some("local") => Ok(ConnectionType::Local),
        Some("host") => Ok(ConnectionType::Host),
        Some("hostssl") => Ok(ConnectionType::HostSsl),
        Some("hostnossl") => Ok(ConnectionType::HostNoSsl),
        Some("include" | "include_if_exists" | "include_dir") => {
            Err((format!("'{field}' is not supported"), Some("write the lines into this file")))
        }
        _ => {
            let hint = "local, host, hostssl or hostnossl";
            Err((format!("unknown connection type '{field}'"), Some(hint)))
        }
    }
}

fn names(field: &Field, databases: bool) -> Result<Vec<HbaName>, Wrong> {
    field.words.iter().map(|word| name(word, databases)).collect()
}

/// A word in quotes is a name, whatever it says.
fn name(Word { text, is_quoted }: &Word, is_database: bool) -> Result<HbaName, Wrong> {
    if *is_quoted {
        return Ok(HbaName::Named(text.clone()));
    }
    match (text.as_str(), is_database) {
        ("all", _) => return Ok(HbaName::All),
        ("sameuser", true) => return Ok(HbaName::SameUser),
        ("replication", true) => return Ok(HbaName::Replication),
        ("samerole" | "samegroup", true) => {
            return Err((format!("'{text}' is not supported"), Some(NAMES)));
        }
        _ => {}
    }
    match text.split_at_checked(1) {
        Some(("+", group)) if !is_database && !group.is_empty() => {
            Ok(HbaName::Group(group.to_owned()))
        }
        Some(("@", _)) => Err((format!("files of names are not supported: '{text}'"), Some(NAMES))),
        Some(("/", _)) => {
            Err((format!("regular expressions are not supported: '{text}'"), Some(NAMES)))
        }
        _ => Ok(HbaName::Named(text.clone())),
    }
}

/// The address, and the fields behind it.
fn address(fields: &[Field]) -> Result<(AddressSelector, &[Field]), Wrong> {
    let (field, rest) = fields.split_first().expect("there are five fields at least");
    let Some(text) = field.only() else {
        return Err((format!("invalid IP address '{field}'"), Some(ADDRESSES)));
    };
    if text == "all" {
        return Ok((AddressSelector::All, rest));
    }
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        return Err((format!("invalid IP address '{host}'"), Some(ADDRESSES)));
    };
    let wide = if address.is_ipv4() { 32 } else { 128 };
    let (prefix, rest) = match (length, rest.split_first()) {
        (Some(length), _) => {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = length.parse().ok().filter(|prefix| digits && *prefix <= wide);
            let wrong = || (format!("invalid prefix length '{length}'"), None);
            (prefix.ok_or_else(wrong)?, rest)
        }
        (None, Some((mask, rest))) if !rest.is_empty() => (prefix_of(address, mask)?, rest),
        (None, _) => return Err(("expected network mask and auth method".to_owned(), None)),
    };
    Ok((AddressSelector::Network { address, prefix }, rest))
}

/// A mask of its own: ones, then zeros, as wide as the address.
fn prefix_of(address: IpAddr, mask: &Field) -> Result<u8, Wrong> {
    let wrong = |mask: &dyn Display| (format!("invalid network mask '{mask}'"), None);
    let bits = match (address, mask.only().and_then(|text| text.parse().ok())) {
        (IpAddr::V4(_), Some(IpAddr::V4(bits))) => u128::from(bits.to_bits()) << 96,
        (IpAddr::V6(_), Some(IpAddr::V6(bits))) => bits.to_bits(),
        _ => return Err(wrong(mask)),
    };
    match u8::try_from(bits.leading_ones()) {
        Ok(ones) if bits.count_ones() == u32::from(ones) => Ok(ones),
        _ => Err(wrong(mask)),
    }
}

fn allows(field: &Field) -> Result<bool, Wrong> {
    match field.only() {
        Some("allow" | "trust") => Ok(true),
        Some("deny" | "reject") => Ok(false),
        _ => {
            let message =
                format!("unknown auth method '{field}' (only allow/trust/deny/reject supported)");
            Err((message, Some(METHODS)))
        }
    }
}

/// For fuzzing: any text is lines or complaints.
#[doc(hidden)]
pub fn fuzz(text: &str) {
    let mut complaints = Complaints::default();
    let hba = parse(Path::new("hba"), "hba", text, 0, &mut complaints);
    let (errors, _) = complaints.finish();
    assert_eq!(hba.is_none(), !errors.is_empty(), "lines or complaints");
    for error in errors {
        assert!(error.line <= text.split('\n').count(), "{error:?}");
    }
}

#[cfg(test)]
mod tests;
