//! What a server is asked for the secret of a user, and what its answer means. It reads messages
//! and knows the time; it sends nothing.

use std::time::{Duration, SystemTime};

use config::Secret;
use wire::backend::{data_row, error, row_description};
use wire::encode;
use wire::frame::{self, HEADER_BYTES, Side};
use wire::frontend::Target;
use wire::tag::backend as tag;

use crate::calendar::days_since_1970;

/// No function or table of the query is to be found in a schema that somebody else may write to,
/// and the third column is to be readable. It holds for this one transaction.
const PREPARATION: &str = "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), \
     pg_catalog.set_config('DateStyle', 'ISO, YMD', true), \
     pg_catalog.set_config('TimeZone', 'UTC', true)";

/// One more than there may be.
const ROWS_MAX: i32 = 2;

/// A SCRAM verifier has 133 bytes with a salt of 16; PostgreSQL takes no longer password from a
/// client.
const SECRET_BYTES_MAX: usize = 1024;

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// None: a user without a password.
    pub(super) secret: Option<Secret>,
    /// VALID UNTIL; None: for ever.
    pub(super) until: Option<SystemTime>,
}

/// The messages that ask `query` for `user`. All of them are one transaction, whose end is the
/// Sync; nobody waits between them.
pub(super) fn request(query: &str, user: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let none: &[Option<&str>] = &[];
    encode::parse(&mut bytes, "", PREPARATION, &[]);
    encode::bind(&mut bytes, "", "", none);
    encode::execute(&mut bytes, "", 0);
    encode::parse(&mut bytes, "", query, &[]);
    match query.contains("$1") {
        true => encode::bind(&mut bytes, "", "", &[Some(user)]),
        false => encode::bind(&mut bytes, "", "", none),
    }
    encode::describe(&mut bytes, Target::Portal, "");
    encode::execute(&mut bytes, "", ROWS_MAX);
    encode::sync(&mut bytes);
    bytes
}

/// What the server's messages say of the user; None: there is no such user.
///
/// # Errors
/// In words for the log.
pub(super) fn read(mut answer: &[u8]) -> Result<Option<Known>, String> {
    let malformed = |error: wire::Malformed| error.to_string();
    let (mut columns, mut rows) = (None, Vec::new());
    while let Some(header) = frame::header(Side::Backend, answer).map_err(malformed)? {
        let Some(message) = answer.split_off(..header.frame_bytes()) else { break };
        let body = &message[HEADER_BYTES..];
        match header.tag {
            tag::ERROR_RESPONSE => {
                let error = error(body).map_err(malformed)?;
                return Err(crate::backend::words(&error));
            }
            tag::ROW_DESCRIPTION => {
                columns = Some(row_description(body).map_err(malformed)?.len());
            }
            tag::DATA_ROW if columns.is_some() => rows.push(data_row(body).map_err(malformed)?),
            _ => {}
        }
    }
    match columns {
        Some(2 | 3) => {}
        other => {
            let count = other.unwrap_or(0);
            return Err(format!(
                "it has {count} columns, and 2 or 3 are expected: user, secret, valid until"
            ));
        }
    }
    match rows.as_slice() {
        [] => Ok(None),
        [row] => known(row.values().skip(1)).map(Some),
        _ => Err("it has more than one row".into()),
    }
}

fn known<'a>(mut values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<Known, String> {
    let text = |value: &'a [u8], what| {
        str::from_utf8(value).map_err(|_| format!("the {what} is not UTF-8"))
    };
    let secret = values.next().flatten().map(|value| text(value, "secret")).transpose()?;
    if secret.is_some_and(|secret| secret.len() > SECRET_BYTES_MAX) {
        return Err(format!("the secret has more than {SECRET_BYTES_MAX} bytes"));
    }
    let until = values.next().flatten().map(|value| text(value, "third column")).transpose()?;
    let until = until.map(|until| {
        instant(until).ok_or("the third column, valid until, is neither a timestamp nor infinity")
    });
    // In PostgreSQL an empty password is none.
    let secret = secret.filter(|secret| !secret.is_empty()).map(Secret::new);
    Ok(Known { secret, until: until.transpose()?.flatten() })
}

/// A timestamp as PostgreSQL writes it with `DateStyle` ISO and `TimeZone` UTC; `Some(None)` is
/// infinity.
fn instant(text: &str) -> Option<Option<SystemTime>> {
    match text {
        "infinity" => return Some(None),
        "-infinity" => return Some(Some(SystemTime::UNIX_EPOCH)),
        _ => {}
    }
    if let Some(before_christ) = text.strip_suffix(" BC") {
        let parses = before_christ.split_once('-')?.0.parse::<u64>().is_ok();
        return parses.then_some(Some(SystemTime::UNIX_EPOCH));
    }
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let time = time.strip_suffix("+00").unwrap_or(time);
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let seconds = days.checked_mul(86_400)? + hour * 3600 + minute * 60 + second;
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(SystemTime::UNIX_EPOCH.checked_add(since))
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u32>().ok().map(i64::from)).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Known, Secret, SystemTime, instant, read};
    use wire::encode::{self, Column};
    use wire::{Notice, encode::data_row};

    fn answer(columns: usize, rows: &[&[Option<&str>]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        data_row(&mut bytes, &[Some("pg_catalog"), Some("ISO"), Some("UTC")]);
        encode::row_description(&mut bytes, &vec![Column::text("c"); columns]);
        rows.iter().for_each(|row| data_row(&mut bytes, row));
        encode::command_complete(&mut bytes, "SELECT");
        bytes
    }

    fn said(columns: usize, rows: &[&[Option<&str>]]) -> Result<Option<Known>, String> {
        read(&answer(columns, rows))
    }

    #[test]
    fn a_row_is_a_user_and_its_secret() {
        let known = |secret: Option<&str>| Known { secret: secret.map(Secret::new), until: None };
        assert_eq!(said(2, &[]), Ok(None));
        assert_eq!(said(2, &[&[Some("u"), Some("s")]]), Ok(Some(known(Some("s")))));
        assert_eq!(said(2, &[&[None, None]]), Ok(Some(known(None))));
        assert_eq!(said(2, &[&[Some("u"), Some("")]]), Ok(Some(known(None))));
        assert_eq!(said(3, &[&[Some("u"), Some("s"), None]]), Ok(Some(known(Some("s")))));
        let forever = said(3, &[&[Some("u"), Some("s"), Some("infinity")]]);
        assert_eq!(forever, Ok(Some(known(Some("s")))));
    }

    #[test]
    fn what_is_not_is_told() {
        let columns = "columns, and 2 or 3 are expected: user, secret, valid until";
        assert_eq!(said(1, &[]).unwrap_err(), format!("it has 1 {columns}"));
        assert_eq!(said(4, &[]).unwrap_err(), format!("it has 4 {columns}"));
        let row: &[Option<&str>] = &[Some("u"), Some("s")];
        assert_eq!(said(2, &[row, row]).unwrap_err(), "it has more than one row");
        let late = said(3, &[&[Some("u"), Some("s"), Some("tomorrow")]]).unwrap_err();
        assert!(late.contains("neither a timestamp nor infinity"), "{late}");
        let long = "x".repeat(2000);
        assert!(said(2, &[&[Some("u"), Some(&long)]]).unwrap_err().contains("1024 bytes"));
        let mut failed = answer(2, &[row]);
        encode::error(&mut failed, &Notice::error("42P01", "no such table"));
        assert_eq!(read(&failed).unwrap_err(), "ERROR 42P01 no such table");
    }

    /// The numbers are those of `extract(epoch from …)`.
    #[test]
    fn timestamps_are_postgresqls() {
        let check = |text: &str, epoch: Option<u64>| {
            let expected = epoch.map(|s| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(s)));
            assert_eq!(instant(text), expected, "{text}");
        };
        check("1970-01-01 00:00:00+00", Some(0));
        check("2000-02-29 12:34:56.789+00", Some(951_827_696));
        check("2026-11-22 21:45:14+00", Some(1_795_383_914));
        check("2100-03-01", Some(4_107_542_400));
        check("10000-01-01 00:00:00", Some(253_402_300_800));
        check("1901-12-14 00:00:00+00", Some(0));
        check("0044-03-15 00:00:00+00 BC", Some(0));
        check("-infinity", Some(0));
        for text in ["", "soon", "2026-13-01", "2026-1", "1-2-3-4", "2026-01-01 1:2", "9x BC"] {
            check(text, None);
        }
        assert_eq!(instant("infinity"), Some(None));
    }
}
