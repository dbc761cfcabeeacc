//! ErrorResponse and NoticeResponse: the owned value that is built, the borrowed one that is read.
//! It does not decide which SQLSTATE an event deserves.

use std::borrow::Cow;

use crate::cursor::Cursor;
use crate::error::Malformed;
use crate::text::Text;

/// How bad it is, in PostgreSQL's untranslated words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// The whole server restarts.
    Panic,
    /// Something to look at.
    Warning,
    /// Something to know.
    Notice,
    /// Asked-for information.
    Info,
    /// For the server's log.
    Log,
    /// For developers.
    Debug,
}

impl Severity {
    /// The word as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
            Severity::Info => "INFO",
            Severity::Log => "LOG",
            Severity::Debug => "DEBUG",
        }
    }

    /// The severity with that word.
    pub fn from_word(word: &[u8]) -> Option<Severity> {
        use Severity::*;
        let all = [Error, Fatal, Panic, Warning, Notice, Info, Log, Debug];
        all.into_iter().find(|severity| severity.as_str().as_bytes() == word)
    }
}

/// An error or a notice that we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// The SQLSTATE: five characters.
    pub code: Cow<'static, str>,
    /// One line for a human.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Notice {
    /// A message of that severity, without detail and hint.
    pub fn new(
        severity: Severity,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Notice {
        let (code, message) = (code.into(), message.into());
        Notice { severity, code, message, detail: None, hint: None }
    }

    /// An ERROR: the connection goes on.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Notice {
        Notice::new(Severity::Error, code, message)
    }

    /// A FATAL: the connection ends behind it.
    pub fn fatal(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Notice {
        Notice::new(Severity::Fatal, code, message)
    }

    /// With a DETAIL.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Notice {
        self.detail = Some(detail.into());
        self
    }

    /// With a HINT.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Notice {
        self.hint = Some(hint.into());
        self
    }
}

/// A checked error or notice that lies in its message.
#[derive(Clone, Copy, Debug)]
pub struct NoticeView<'a> {
    /// All fields, without the terminator.
    fields: Cursor<'a>,
}

impl<'a> NoticeView<'a> {
    pub(crate) fn parse(place: &'static str, body: &'a [u8]) -> Result<Self, Malformed> {
        let fields = Cursor::new(place, body);
        let mut walk = fields;
        while walk.byte("the field type")? != 0 {
            walk.text("a field")?;
        }
        walk.end()?;
        Ok(NoticeView { fields })
    }

    /// The fields in order: type byte and text.
    pub fn fields(&self) -> impl Iterator<Item = (u8, Text<'a>)> + 'a {
        let mut walk = self.fields;
        std::iter::from_fn(move || match walk.byte("").ok()? {
            0 => None,
            kind => Some((kind, walk.text("").ok()?)),
        })
    }

    /// The first field of that type.
    pub fn field(&self, kind: u8) -> Option<Text<'a>> {
        self.fields().find_map(|(found, text)| (found == kind).then_some(text))
    }

    /// The untranslated severity where there is one (since 9.6), else the translated one.
    pub fn severity(&self) -> Text<'a> {
        self.field(b'V').or_else(|| self.field(b'S')).unwrap_or_default()
    }

    /// Does the connection end behind it?
    pub fn is_fatal(&self) -> bool {
        let severity = Severity::from_word(self.severity().as_bytes());
        matches!(severity, Some(Severity::Fatal | Severity::Panic))
    }

    /// The SQLSTATE; empty if there is none.
    pub fn code(&self) -> Text<'a> {
        self.field(b'C').unwrap_or_default()
    }

    /// The message; empty if there is none.
    pub fn message(&self) -> Text<'a> {
        self.field(b'M').unwrap_or_default()
    }

    /// The DETAIL.
    pub fn detail(&self) -> Option<Text<'a>> {
        self.field(b'D')
    }

    /// The HINT.
    pub fn hint(&self) -> Option<Text<'a>> {
        self.field(b'H')
    }

    /// An owned copy for sending in our name: lossy where the text is not UTF-8.
    pub fn to_notice(&self) -> Notice {
        let severity = Severity::from_word(self.severity().as_bytes()).unwrap_or(Severity::Error);
        Notice {
            severity,
            code: self.code().to_string().into(),
            message: self.message().to_string(),
            detail: self.detail().map(|text| text.to_string()),
            hint: self.hint().map(|text| text.to_string()),
        }
    }
}
