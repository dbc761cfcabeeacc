//! Messages from a client: checked views of their bodies. Each function takes the body of one
//! frame; what it returns borrows from there and cannot fail any more. It keeps no state.

use crate::cursor::{Cursor, Oids, Words16};
use crate::error::{Fault, Malformed};
use crate::tag;
use crate::text::Text;

/// A Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement to make; empty: the unnamed one.
    pub name: Text<'a>,
    /// Its text.
    pub query: Text<'a>,
    /// Types of its parameters, as far as the client says.
    pub types: Oids<'a>,
    /// The body behind the name, for sending it under another one.
    pub behind_name: &'a [u8],
}

/// A Bind.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    /// The portal to make; empty: the unnamed one.
    pub portal: Text<'a>,
    /// The statement to make it of.
    pub statement: Text<'a>,
    /// Formats of the parameters: none (all text), one for all, or one each.
    pub formats: Words16<'a>,
    /// Formats of the columns, likewise.
    pub result_formats: Words16<'a>,
    values: Cursor<'a>,
    values_count: usize,
}

impl<'a> Bind<'a> {
    /// The parameters in order; `None` is NULL.
    pub fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let mut walk = self.values;
        (0..self.values_count).map_while(move |_| walk.value("").ok())
    }
}

/// What Describe and Close point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `S`: a prepared statement.
    Statement,
    /// `P`: a portal.
    Portal,
}

impl Target {
    /// The byte that says so.
    pub fn as_byte(self) -> u8 {
        match self {
            Target::Statement => b'S',
            Target::Portal => b'P',
        }
    }
}

/// An Execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal to run.
    pub portal: Text<'a>,
    /// After how many rows to stop; not above 0: never.
    pub rows_max: i32,
}

fn open(tag: u8, body: &[u8]) -> Cursor<'_> {
    Cursor::new(tag::frontend::name(tag), body)
}

/// One string that is the whole body.
fn only_text<'a>(mut cursor: Cursor<'a>, field: &'static str) -> Result<Text<'a>, Malformed> {
    let text = cursor.text(field)?;
    cursor.end()?;
    Ok(text)
}

/// Query: its text, in the client's encoding.
pub fn query(body: &[u8]) -> Result<Text<'_>, Malformed> {
    only_text(open(tag::frontend::QUERY, body), "the query")
}

/// PasswordMessage: what the client gave, without the NUL.
pub fn password(body: &[u8]) -> Result<&[u8], Malformed> {
    only_text(Cursor::new("PasswordMessage", body), "the password").map(Text::as_bytes)
}

/// SASLInitialResponse: the chosen mechanism and the first data. Absent data (length −1) is empty.
pub fn sasl_initial_response(body: &[u8]) -> Result<(Text<'_>, &[u8]), Malformed> {
    let mut cursor = Cursor::new("SASLInitialResponse", body);
    let mechanism = cursor.text("the mechanism")?;
    let data = cursor.value("the response")?.unwrap_or_default();
    cursor.end()?;
    Ok((mechanism, data))
}

/// Parse.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, Malformed> {
    let mut cursor = open(tag::frontend::PARSE, body);
    let name = cursor.text("the statement's name")?;
    let behind_name = cursor.rest();
    let query = cursor.text("the query")?;
    let types = cursor.oids("the types")?;
    cursor.end()?;
    Ok(Parse { name, query, types, behind_name })
}

/// Bind.
pub fn bind(body: &[u8]) -> Result<Bind<'_>, Malformed> {
    let mut cursor = open(tag::frontend::BIND, body);
    let portal = cursor.text("the portal's name")?;
    let statement = cursor.text("the statement's name")?;
    let formats = cursor.int16s("the formats")?;
    let values_count = cursor.count("the number of parameters")?;
    let values = cursor;
    for _ in 0..values_count {
        cursor.value("a parameter")?;
    }
    let result_formats = cursor.int16s("the formats of the columns")?;
    cursor.end()?;
    Ok(Bind { portal, statement, formats, result_formats, values, values_count })
}

/// The names at the front of a Bind: portal and statement. Enough for most, and does not walk the
/// parameters.
pub fn bind_names(body: &[u8]) -> Result<(Text<'_>, Text<'_>), Malformed> {
    let mut cursor = open(tag::frontend::BIND, body);
    Ok((cursor.text("the portal's name")?, cursor.text("the statement's name")?))
}

/// Describe.
pub fn describe(body: &[u8]) -> Result<(Target, Text<'_>), Malformed> {
    targeted(open(tag::frontend::DESCRIBE, body))
}

/// Close.
pub fn close(body: &[u8]) -> Result<(Target, Text<'_>), Malformed> {
    targeted(open(tag::frontend::CLOSE, body))
}

fn targeted(mut cursor: Cursor<'_>) -> Result<(Target, Text<'_>), Malformed> {
    let target = match cursor.byte("the kind")? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        other => return Err(cursor.fault(Fault::Value("the kind", other.into()))),
    };
    Ok((target, only_text(cursor, "the name")?))
}

/// Execute.
pub fn execute(body: &[u8]) -> Result<Execute<'_>, Malformed> {
    let mut cursor = open(tag::frontend::EXECUTE, body);
    let execute =
        Execute { portal: cursor.text("the portal's name")?, rows_max: cursor.int32("the limit")? };
    cursor.end()?;
    Ok(execute)
}

/// CopyFail: the reason.
pub fn copy_fail(body: &[u8]) -> Result<Text<'_>, Malformed> {
    only_text(open(tag::frontend::COPY_FAIL, body), "the reason")
}

/// Any message whose body must be empty (Sync, Flush, Terminate, CopyDone), by `tag`.
pub fn empty(tag: u8, body: &[u8]) -> Result<(), Malformed> {
    open(tag, body).end()
}
