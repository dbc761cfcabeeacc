//! Messages from a server: checked views of their bodies. Each function takes the body of one
//! frame; what it returns borrows from there and cannot fail any more. It keeps no state.

use crate::cursor::{Cursor, Oids};
use crate::error::{Fault, Malformed};
use crate::notice::NoticeView;
use crate::startup::CancelKey;
use crate::tag;
use crate::text::Text;

/// Where a session is, as its server says in ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// `I`: in no transaction.
    Idle,
    /// `T`: in a transaction block.
    InTransaction,
    /// `E`: in one that can only be rolled back.
    Failed,
}

impl TransactionStatus {
    /// The byte of ReadyForQuery.
    pub fn as_byte(self) -> u8 {
        match self {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        }
    }

    /// The status of that byte.
    pub fn from_byte(byte: u8) -> Option<TransactionStatus> {
        match byte {
            b'I' => Some(TransactionStatus::Idle),
            b'T' => Some(TransactionStatus::InTransaction),
            b'E' => Some(TransactionStatus::Failed),
            _ => None,
        }
    }
}

/// A step of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// 0: let in.
    Ok,
    /// 3: the password as it is.
    Cleartext,
    /// 5: the password through MD5.
    Md5 {
        /// Four random bytes.
        salt: [u8; 4],
    },
    /// 10: choose one of these.
    Sasl {
        /// Names in the server's order of preference.
        mechanisms: Vec<Text<'a>>,
    },
    /// 11: a challenge.
    SaslContinue(&'a [u8]),
    /// 12: the server's proof.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSS, SSPI and whatever comes later.
    Other(i32),
}

/// What NegotiateProtocolVersion says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The major version of `minor`: 3, or 0 from servers that send the minor version alone.
    pub major: u16,
    /// The newest minor version the server speaks.
    pub minor: u16,
    /// Options it does not know.
    pub unknown_options: Vec<Text<'a>>,
}

/// What NOTIFY sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process that sent it.
    pub pid: u32,
    /// Its channel.
    pub channel: Text<'a>,
    /// Its payload.
    pub payload: Text<'a>,
}

/// A column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Where it comes from, if from a table.
    pub table_oid: u32,
    /// Its number there.
    pub column: i16,
    /// Its type.
    pub type_oid: u32,
    /// Bytes of that type; negative: variable.
    pub type_bytes: i16,
    /// Modifier of that type.
    pub type_modifier: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// The columns of a RowDescription.
#[derive(Clone, Copy, Debug)]
pub struct RowDescription<'a>(Cursor<'a>, usize);

impl<'a> RowDescription<'a> {
    /// The columns in order.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> + 'a {
        let RowDescription(mut walk, count) = self;
        (0..count).map_while(move |_| field(&mut walk).ok())
    }

    /// How many.
    pub fn len(self) -> usize {
        self.1
    }

    /// None? PostgreSQL allows `SELECT`.
    pub fn is_empty(self) -> bool {
        self.1 == 0
    }
}

/// The values of a DataRow.
#[derive(Clone, Copy, Debug)]
pub struct DataRow<'a>(Cursor<'a>, usize);

impl<'a> DataRow<'a> {
    /// The values in order; `None` is NULL.
    pub fn values(self) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let DataRow(mut walk, count) = self;
        (0..count).map_while(move |_| walk.value("").ok())
    }

    /// How many.
    pub fn len(self) -> usize {
        self.1
    }

    /// None?
    pub fn is_empty(self) -> bool {
        self.1 == 0
    }
}

fn open(tag: u8, body: &[u8]) -> Cursor<'_> {
    Cursor::new(tag::backend::name(tag), body)
}

/// ReadyForQuery.
#[inline]
pub fn ready_for_query(body: &[u8]) -> Result<TransactionStatus, Malformed> {
    let mut cursor = open(tag::backend::READY_FOR_QUERY, body);
    let byte = cursor.byte("the status")?;
    cursor.end()?;
    TransactionStatus::from_byte(byte)
        .ok_or_else(|| cursor.fault(Fault::Value("the status", byte.into())))
}

/// ParameterStatus: name and value. Values are in the client's encoding.
pub fn parameter_status(body: &[u8]) -> Result<(Text<'_>, Text<'_>), Malformed> {
    let mut cursor = open(tag::backend::PARAMETER_STATUS, body);
    let pair = (cursor.text("the name")?, cursor.text("the value")?);
    cursor.end()?;
    Ok(pair)
}

/// BackendKeyData.
pub fn backend_key_data(body: &[u8]) -> Result<CancelKey, Malformed> {
    CancelKey::read(open(tag::backend::BACKEND_KEY_DATA, body))
}

/// A step of authentication.
pub fn authentication(body: &[u8]) -> Result<Authentication<'_>, Malformed> {
    let mut cursor = open(tag::backend::AUTHENTICATION, body);
    let step = match cursor.int32("the request")? {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5 { salt: cursor.four("the salt")? },
        10 => Authentication::Sasl { mechanisms: mechanisms(&mut cursor)? },
        11 => return Ok(Authentication::SaslContinue(cursor.rest())),
        12 => return Ok(Authentication::SaslFinal(cursor.rest())),
        other => return Ok(Authentication::Other(other)),
    };
    cursor.end()?;
    Ok(step)
}

fn mechanisms<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Text<'a>>, Malformed> {
    let mut names = Vec::new();
    loop {
        match cursor.text("the list of mechanisms")? {
            name if name.is_empty() => return Ok(names),
            name => names.push(name),
        }
    }
}

/// ErrorResponse.
pub fn error(body: &[u8]) -> Result<NoticeView<'_>, Malformed> {
    NoticeView::parse(tag::backend::name(tag::backend::ERROR_RESPONSE), body)
}

/// NoticeResponse.
pub fn notice(body: &[u8]) -> Result<NoticeView<'_>, Malformed> {
    NoticeView::parse(tag::backend::name(tag::backend::NOTICE_RESPONSE), body)
}

/// CommandComplete: the command tag, always ASCII.
pub fn command_complete(body: &[u8]) -> Result<&str, Malformed> {
    let mut cursor = open(tag::backend::COMMAND_COMPLETE, body);
    let text = cursor.text("the command")?;
    cursor.end()?;
    text.as_str().ok_or_else(|| cursor.fault(Fault::NotUtf8("the command")))
}

/// NegotiateProtocolVersion.
pub fn negotiate_protocol_version(body: &[u8]) -> Result<NegotiateProtocolVersion<'_>, Malformed> {
    let mut cursor = open(tag::backend::NEGOTIATE_PROTOCOL_VERSION, body);
    let [a, b, c, d] = cursor.four("the version")?;
    let count = cursor.int32("the number of options")?;
    let mut unknown_options = Vec::new();
    // Not sized by `count`, which the peer may have invented: each option takes a byte of the body.
    for _ in 0..count {
        unknown_options.push(cursor.text("an option")?);
    }
    cursor.end()?;
    let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Ok(NegotiateProtocolVersion { major, minor, unknown_options })
}

/// NotificationResponse.
pub fn notification(body: &[u8]) -> Result<Notification<'_>, Malformed> {
    let mut cursor = open(tag::backend::NOTIFICATION_RESPONSE, body);
    let pid = u32::from_be_bytes(cursor.four("the process id")?);
    let (channel, payload) = (cursor.text("the channel")?, cursor.text("the payload")?);
    cursor.end()?;
    Ok(Notification { pid, channel, payload })
}

/// RowDescription.
pub fn row_description(body: &[u8]) -> Result<RowDescription<'_>, Malformed> {
    let mut cursor = open(tag::backend::ROW_DESCRIPTION, body);
    let count = cursor.count("the number of columns")?;
    let mut walk = cursor;
    for _ in 0..count {
        field(&mut walk)?;
    }
    walk.end()?;
    Ok(RowDescription(cursor, count))
}

fn field<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, Malformed> {
    Ok(Field {
        name: cursor.text("the name of a column")?,
        table_oid: u32::from_be_bytes(cursor.four("a table")?),
        column: cursor.int16("a column number")?,
        type_oid: u32::from_be_bytes(cursor.four("a type")?),
        type_bytes: cursor.int16("the size of a type")?,
        type_modifier: cursor.int32("a type modifier")?,
        format: cursor.int16("a format")?,
    })
}

/// DataRow.
pub fn data_row(body: &[u8]) -> Result<DataRow<'_>, Malformed> {
    let mut cursor = open(tag::backend::DATA_ROW, body);
    let count = cursor.count("the number of values")?;
    let mut walk = cursor;
    for _ in 0..count {
        walk.value("a value")?;
    }
    walk.end()?;
    Ok(DataRow(cursor, count))
}

/// ParameterDescription: the types of a statement's parameters.
pub fn parameter_description(body: &[u8]) -> Result<Oids<'_>, Malformed> {
    let mut cursor = open(tag::backend::PARAMETER_DESCRIPTION, body);
    let oids = cursor.oids("the types")?;
    cursor.end()?;
    Ok(oids)
}

/// Any message whose body must be empty (ParseComplete and its like, CopyDone), by `tag`.
pub fn empty(tag: u8, body: &[u8]) -> Result<(), Malformed> {
    open(tag, body).end()
}
