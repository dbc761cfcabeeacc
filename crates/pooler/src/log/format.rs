//! One log line from `log_format`: the flags of Odyssey (`%t`, `%i`, `%m` …), parsed once.
//! Missing values print `none`. Times are UTC.

use std::fmt::{Arguments, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::id::Id;

/// How bad it is; the words are Odyssey's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `info`; warnings are info, as in Odyssey.
    Info,
    /// `error`.
    Error,
    /// `debug`.
    Debug,
}

/// Whom a line is about. Everything is optional: a listener has no client, a login no user yet.
#[derive(Clone, Copy, Default)]
pub struct Who<'a> {
    /// The client's id, `%i`.
    pub client: Option<Id>,
    /// The server's id, `%s`.
    pub server: Option<Id>,
    /// The startup user, `%u`.
    pub user: Option<&'a str>,
    /// The startup database, `%d`.
    pub database: Option<&'a str>,
    /// The client's address, `%h` and `%r`.
    pub address: Option<&'a machine::Address>,
    /// The storage's host, `%H`.
    pub storage: Option<&'a str>,
}

/// A parsed `log_format`.
pub struct Format {
    parts: Vec<Part>,
    pid: u32,
}

enum Part {
    Text(String),
    Flag(char),
}

impl Format {
    /// Every text is a format: an unknown flag is copied as it is.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek().copied()) {
                ('%', Some(flag)) => {
                    chars.next();
                    flush(&mut parts, &mut plain);
                    parts.push(Part::Flag(flag));
                }
                ('\\', Some(escape @ ('n' | 't' | 'r' | '\\'))) => {
                    chars.next();
                    plain.push(unescape(escape));
                }
                _ => plain.push(c),
            }
        }
        flush(&mut parts, &mut plain);
        Self { parts, pid: std::process::id() }
    }

    /// The line, ending in a newline.
    pub fn line(
        &self,
        level: Level,
        context: &str,
        who: &Who<'_>,
        message: Arguments<'_>,
    ) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut line = String::with_capacity(160);
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Flag('m') => clean(&mut line, message),
                Part::Flag('M') => escape_tskv(&mut line, &message.to_string()),
                Part::Flag('n') => put(&mut line, now.as_secs()),
                Part::Flag('e') => put(&mut line, format_args!("{:03}", now.subsec_millis())),
                Part::Flag('t') => put_utc(&mut line, now.as_secs()),
                Part::Flag('p') => put(&mut line, self.pid),
                Part::Flag('T') => {
                    put(&mut line, format_args!("{:?}", std::thread::current().id()))
                }
                Part::Flag('l') => line.push_str(level.word()),
                Part::Flag('c') => line.push_str(context),
                Part::Flag(flag) => put_who(&mut line, *flag, who),
            }
        }
        if !line.ends_with('\n') {
            line.push('\n');
        }
        line.into_bytes()
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Error => "error",
            Level::Debug => "debug",
        }
    }
}

fn flush(parts: &mut Vec<Part>, plain: &mut String) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
}

fn unescape(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}

fn put(line: &mut String, value: impl std::fmt::Display) {
    let _ = write!(line, "{value}"); // writing to a String cannot fail
}

fn put_who(line: &mut String, flag: char, who: &Who<'_>) {
    let tcp = match who.address {
        Some(machine::Address::Tcp(address)) => Some(address),
        _ => None,
    };
    match flag {
        'i' => put_or_none(line, who.client),
        's' => put_or_none(line, who.server),
        'u' => put_clean_or_none(line, who.user),
        'd' => put_clean_or_none(line, who.database),
        'H' => put_clean_or_none(line, who.storage),
        'h' => match (tcp, who.address) {
            (Some(address), _) => put(line, address.ip()),
            (None, Some(_)) => line.push_str("<unix socket>"),
            (None, None) => line.push_str("none"),
        },
        'r' => put_or_none(line, tcp.map(std::net::SocketAddr::port)),
        'x' => line.push_str("none"),
        '%' => line.push('%'),
        other => {
            line.push('%');
            line.push(other);
        }
    }
}

fn put_or_none(line: &mut String, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => put(line, value),
        None => line.push_str("none"),
    }
}

fn put_clean_or_none(line: &mut String, value: Option<&str>) {
    match value {
        Some(value) => clean(line, format_args!("{value}")),
        None => line.push_str("none"),
    }
}

/// What a client chose (names, messages) must not forge a line of its own: no control characters.
fn clean(line: &mut String, text: Arguments<'_>) {
    let start = line.len();
    put(line, text);
    if line[start..].contains(|c: char| c.is_control() && c != '\t') {
        let safe: String = line[start..]
            .chars()
            .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
            .collect();
        line.truncate(start);
        line.push_str(&safe);
    }
}

fn escape_tskv(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\0' => line.push_str("\\0"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\\' => line.push_str("\\\\"),
            '=' => line.push_str("\\="),
            other => line.push(other),
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
fn put_utc(line: &mut String, unix: u64) {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    put(
        line,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    );
}

/// Days since 1970 to a Gregorian date: years are counted from March, so that the leap day is the
/// last of its year, in eras of 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // 1970-01-01 counted from 0000-03-01
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, who: &Who<'_>, message: &str, expected: &str) {
        let line = Format::new(format).line(Level::Info, "startup", who, format_args!("{message}"));
        assert_eq!(String::from_utf8_lossy(&line), expected, "{format}");
    }

    #[test]
    fn flags_print_what_is_known_and_none_for_the_rest() {
        let address = machine::Address::Tcp("10.0.0.7:4242".parse().unwrap());
        let who = Who { user: Some("u"), address: Some(&address), ..Who::default() };
        check("%l [%i %s] (%c) %m\n", &who, "hi", "info [none none] (startup) hi\n");
        check("%u %d %h:%r %% %q", &who, "", "u none 10.0.0.7:4242 % %q\n");
        check(r"a\tb\x%m", &who, "m", "a\tb\\xm\n");
        let unix = machine::Address::Unix("".into());
        check("%h:%r", &Who { address: Some(&unix), ..Who::default() }, "", "<unix socket>:none\n");
    }

    #[test]
    fn a_user_name_cannot_forge_a_line() {
        let who = Who { user: Some("eve\n1 error forged"), ..Who::default() };
        check("%u %m", &who, "two\nlines", "eve 1 error forged two lines\n");
        check("msg=%M", &who, "a=b\nc", "msg=a\\=b\\nc\n");
    }

    #[test]
    fn dates_are_right_at_the_edges() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            let mut line = String::new();
            put_utc(&mut line, unix);
            assert_eq!(line, expected);
        }
    }
}
