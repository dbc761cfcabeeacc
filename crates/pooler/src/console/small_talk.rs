//! Small talk: what drivers and tools say to any server before they ask what they want to know, and
//! what they expect to hear. Nothing here says or changes anything about the pooler.

use std::borrow::Cow;

use wire::Notice;

use super::row::{Cell, Column, Row, Type, text};
use super::text::Statement;
use crate::session::Voice;

/// Tools compare it with the versions they know: that of the PostgreSQL whose protocol is spoken
/// here.
const SERVER_VERSION: &str = "16.0";

/// A statement that is answered out of courtesy.
#[derive(Clone)]
pub struct Talk {
    /// The columns of its row, if it has one.
    pub columns: Vec<Column>,
    /// Its row.
    pub row: Option<Row>,
    /// The tag of its answer.
    pub tag: &'static str,
}

/// What a server tells of itself at login, as far as it does not depend on the client.
const PARAMETERS: [(&str, &str); 11] = [
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "GMT"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    ("default_transaction_read_only", "off"),
    ("in_hot_standby", "off"),
    ("search_path", "\"$user\", public"),
];

/// What drivers ask for beside.
const SETTINGS: [(&str, &str); 4] = [
    ("extra_float_digits", "1"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("max_identifier_length", "63"),
];

/// What the console tells a client at its login: names and values of ParameterStatus.
pub fn parameters(user: &str, application_name: &str) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("server_version", server_version()),
        ("session_authorization", user.to_owned()),
        ("application_name", application_name.to_owned()),
    ];
    told.extend(PARAMETERS.map(|(name, value)| (name, value.to_owned())));
    told
}

fn server_version() -> String {
    format!("{SERVER_VERSION} (odyssey pooler {})", crate::version::OURS)
}

/// What it is, if it is one of those.
///
/// # Errors
/// It looks like one, and is one that nobody can answer.
pub fn understand(statement: &Statement, voice: &Voice) -> Result<Option<Talk>, Notice> {
    let keyword = |at: usize| statement.keyword(at).unwrap_or_default();
    let done = |tag| Ok(Some(Talk { columns: Vec::new(), row: None, tag }));
    match keyword(0).as_str() {
        "BEGIN" | "START" => done("BEGIN"),
        "COMMIT" | "END" => done("COMMIT"),
        "ROLLBACK" | "ABORT" => done("ROLLBACK"),
        "RESET" => done("RESET"),
        "DEALLOCATE" if keyword(1) == "ALL" => done("DEALLOCATE ALL"),
        "DEALLOCATE" => done("DEALLOCATE"),
        "DISCARD" => done("DISCARD ALL"),
        "SET" => set(statement).map(Some),
        "SHOW" => Ok(shown(&words(statement, 1), voice)),
        "SELECT" => select(statement, voice).map(Some),
        _ => Ok(None),
    }
}

/// A setting of a session makes no difference here. An option of the pooler would, and is set
/// elsewhere.
fn set(statement: &Statement) -> Result<Talk, Notice> {
    let skipped = usize::from(matches!(statement.keyword(1).as_deref(), Some("SESSION" | "LOCAL")));
    let name = statement.words.get(1 + skipped).map(|word| word.text.to_ascii_lowercase());
    let Some(name) = name else {
        return Err(Notice::error("42601", "console command error: SET of what?"));
    };
    if config::is_option(&name) {
        let text = format!("option \"{name}\" cannot be set here");
        let hint = "options stand in the configuration file; RELOAD reads it again";
        return Err(Notice::error("0A000", text).with_hint(hint));
    }
    Ok(Talk { columns: Vec::new(), row: None, tag: "SET" })
}

fn words(statement: &Statement, from: usize) -> String {
    let words: Vec<&str> = statement.words[from..].iter().map(|word| &*word.text).collect();
    words.join(" ").to_ascii_lowercase()
}

/// A setting, as a server shows it.
fn shown(name: &str, voice: &Voice) -> Option<Talk> {
    let name = match name {
        "transaction isolation level" => "transaction_isolation",
        "time zone" => "timezone",
        name => name,
    };
    let mut known = parameters(&voice.asked().user, "");
    known.extend(SETTINGS.map(|(name, value)| (name, value.to_owned())));
    let (name, value) = known.into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name))?;
    Some(row(name.to_owned(), Type::Text, value.into(), "SHOW"))
}

/// The few things that are selected to see whether anybody is there, and who.
fn select(statement: &Statement, voice: &Voice) -> Result<Talk, Notice> {
    let asked = words(statement, 1).replace(' ', "");
    let asked = asked.strip_prefix("pg_catalog.").unwrap_or(&asked);
    let named = |name: &str, value: String| row(name.into(), Type::Text, value.into(), "SELECT");
    if let Ok(number) = asked.parse::<i32>() {
        return Ok(row("?column?".into(), Type::Int4, Cell::Int(number.into()), "SELECT"));
    }
    match asked {
        "version()" => Ok(named("version", format!("PostgreSQL {}", server_version()))),
        "current_user" | "session_user" | "user" | "current_user()" => {
            Ok(named("current_user", voice.asked().user.clone()))
        }
        "current_database()" => Ok(named("current_database", voice.asked().database.clone())),
        "current_schema()" | "current_schema" => Ok(named("current_schema", "public".into())),
        "pg_is_in_recovery()" => {
            Ok(row("pg_is_in_recovery".into(), Type::Bool, false.into(), "SELECT"))
        }
        _ => {
            let hint = "SHOW HELP lists the commands";
            Err(Notice::error("0A000", "the console has no tables and no functions")
                .with_hint(hint))
        }
    }
}

fn row(name: String, kind: Type, value: Cell, tag: &'static str) -> Talk {
    let column = Column { name: Cow::Owned(name), kind, ..text("", "") };
    Talk { columns: vec![column], row: Some(vec![value]), tag }
}
