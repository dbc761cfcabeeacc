//! Everything we send, either way, appended to a buffer as whole frames. Strings end at their first
//! NUL, whatever they hold: what a peer made us say cannot break the frame it is said in.

use std::ffi::CStr;

use crate::backend::TransactionStatus;
use crate::frontend::Target;
use crate::notice::Notice;
use crate::startup::{self, CancelKey};
use crate::tag::{backend, frontend};

/// A length word and what `fill` writes behind it.
pub(crate) fn counted(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    fill(out);
    let length = u32::try_from(out.len() - start).expect("callers pass on what came in a frame");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A string and its NUL.
pub(crate) fn text(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let end = CStr::from_bytes_until_nul(text).map_or(text.len(), CStr::count_bytes);
    out.extend_from_slice(&text[..end]);
    out.push(0);
}

/// A length and so many bytes; −1 is NULL.
fn value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => out.extend((-1i32).to_be_bytes()),
        Some(bytes) => counted_without_itself(out, bytes),
    }
}

fn counted_without_itself(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("callers pass on what came in a frame");
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

/// A count as the protocol has it: 16 bits.
fn count(out: &mut Vec<u8>, items: usize) {
    let items = u16::try_from(items).expect("PostgreSQL has at most 65,535 of anything");
    out.extend(items.to_be_bytes());
}

/// A frame of that type; `fill` writes the body.
pub fn frame(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    counted(out, fill);
}

/// A frame with an empty body: Sync, ParseComplete and their like.
pub fn empty(out: &mut Vec<u8>, tag: u8) {
    out.extend([tag, 0, 0, 0, 4]);
}

// ---- to clients ----

fn authentication(out: &mut Vec<u8>, request: i32, data: &[u8]) {
    frame(out, backend::AUTHENTICATION, |out| {
        out.extend(request.to_be_bytes());
        out.extend(data);
    });
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    authentication(out, 0, &[]);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut Vec<u8>) {
    authentication(out, 3, &[]);
}

/// AuthenticationMD5Password.
pub fn authentication_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    authentication(out, 5, &salt);
}

/// AuthenticationSASL: the mechanisms, the preferred one first.
pub fn authentication_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    frame(out, backend::AUTHENTICATION, |out| {
        out.extend(10i32.to_be_bytes());
        for mechanism in mechanisms {
            text(out, mechanism);
        }
        out.push(0);
    });
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 11, data);
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    authentication(out, 12, data);
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    frame(out, backend::PARAMETER_STATUS, |out| {
        text(out, name);
        text(out, value);
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, key: &CancelKey) {
    frame(out, backend::BACKEND_KEY_DATA, |out| {
        out.extend(key.pid.to_be_bytes());
        out.extend(&key.secret);
    });
}

/// NegotiateProtocolVersion: the newest minor version of 3 we speak, the options we do not know.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, unknown: &[impl AsRef<str>]) {
    frame(out, backend::NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.extend(startup::MAJOR.to_be_bytes());
        out.extend(minor.to_be_bytes());
        let options = u32::try_from(unknown.len()).expect("they came in one startup packet");
        out.extend(options.to_be_bytes());
        for option in unknown {
            text(out, option.as_ref());
        }
    });
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    frame(out, backend::READY_FOR_QUERY, |out| out.push(status.as_byte()));
}

/// ErrorResponse.
pub fn error(out: &mut Vec<u8>, error: &Notice) {
    frame(out, backend::ERROR_RESPONSE, |out| fields(out, error));
}

/// NoticeResponse.
pub fn notice(out: &mut Vec<u8>, notice: &Notice) {
    frame(out, backend::NOTICE_RESPONSE, |out| fields(out, notice));
}

/// PostgreSQL's order of fields.
fn fields(out: &mut Vec<u8>, notice: &Notice) {
    let mut field = |kind: u8, value: &str| {
        out.push(kind);
        text(out, value);
    };
    field(b'S', notice.severity.as_str());
    field(b'V', notice.severity.as_str());
    field(b'C', &notice.code);
    field(b'M', &notice.message);
    notice.detail.iter().for_each(|detail| field(b'D', detail));
    notice.hint.iter().for_each(|hint| field(b'H', hint));
    out.push(0);
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, command: &str) {
    frame(out, backend::COMMAND_COMPLETE, |out| text(out, command));
}

/// EmptyQueryResponse.
pub fn empty_query_response(out: &mut Vec<u8>) {
    empty(out, backend::EMPTY_QUERY_RESPONSE);
}

/// ParseComplete.
pub fn parse_complete(out: &mut Vec<u8>) {
    empty(out, backend::PARSE_COMPLETE);
}

/// BindComplete.
pub fn bind_complete(out: &mut Vec<u8>) {
    empty(out, backend::BIND_COMPLETE);
}

/// CloseComplete.
pub fn close_complete(out: &mut Vec<u8>) {
    empty(out, backend::CLOSE_COMPLETE);
}

/// NoData.
pub fn no_data(out: &mut Vec<u8>) {
    empty(out, backend::NO_DATA);
}

/// ParameterDescription.
pub fn parameter_description(out: &mut Vec<u8>, types: &[u32]) {
    frame(out, backend::PARAMETER_DESCRIPTION, |out| oids(out, types));
}

fn oids(out: &mut Vec<u8>, types: &[u32]) {
    count(out, types.len());
    types.iter().for_each(|oid| out.extend(oid.to_be_bytes()));
}

/// A column of an answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: u32,
    /// Bytes of that type; −1: variable.
    pub type_bytes: i16,
    /// 0 text, 1 binary.
    pub format: i16,
}

impl<'a> Column<'a> {
    /// `text`, as text.
    pub const fn text(name: &'a str) -> Column<'a> {
        Column { name, type_oid: 25, type_bytes: -1, format: 0 }
    }
}

/// RowDescription of columns that come from no table.
pub fn row_description(out: &mut Vec<u8>, columns: &[Column<'_>]) {
    frame(out, backend::ROW_DESCRIPTION, |out| {
        count(out, columns.len());
        for column in columns {
            text(out, column.name);
            out.extend([0; 6]); // no table, no column number
            out.extend(column.type_oid.to_be_bytes());
            out.extend(column.type_bytes.to_be_bytes());
            out.extend((-1i32).to_be_bytes()); // no type modifier
            out.extend(column.format.to_be_bytes());
        }
    });
}

/// DataRow; `None` is NULL.
pub fn data_row(out: &mut Vec<u8>, values: &[Option<impl AsRef<[u8]>>]) {
    frame(out, backend::DATA_ROW, |out| {
        count(out, values.len());
        values.iter().for_each(|item| value(out, item.as_ref().map(AsRef::as_ref)));
    });
}

// ---- to servers ----

/// Query.
pub fn query(out: &mut Vec<u8>, query: impl AsRef<[u8]>) {
    frame(out, frontend::QUERY, |out| text(out, query));
}

/// Parse.
pub fn parse(out: &mut Vec<u8>, name: impl AsRef<[u8]>, query: impl AsRef<[u8]>, types: &[u32]) {
    frame(out, frontend::PARSE, |out| {
        text(out, name);
        text(out, query);
        oids(out, types);
    });
}

/// Parse under another name: `behind_name` comes from [`crate::frontend::Parse`].
pub fn parse_renamed(out: &mut Vec<u8>, name: impl AsRef<[u8]>, behind_name: &[u8]) {
    frame(out, frontend::PARSE, |out| {
        text(out, name);
        out.extend(behind_name);
    });
}

/// A Bind of our own: parameters in text format, rows in text format.
pub fn bind(
    out: &mut Vec<u8>,
    portal: impl AsRef<[u8]>,
    statement: impl AsRef<[u8]>,
    values: &[Option<impl AsRef<[u8]>>],
) {
    frame(out, frontend::BIND, |out| {
        text(out, portal);
        text(out, statement);
        out.extend([0; 2]);
        count(out, values.len());
        values.iter().for_each(|item| value(out, item.as_ref().map(AsRef::as_ref)));
        out.extend([0; 2]);
    });
}

/// Describe.
pub fn describe(out: &mut Vec<u8>, target: Target, name: impl AsRef<[u8]>) {
    targeted(out, frontend::DESCRIBE, target, name);
}

/// Close.
pub fn close(out: &mut Vec<u8>, target: Target, name: impl AsRef<[u8]>) {
    targeted(out, frontend::CLOSE, target, name);
}

fn targeted(out: &mut Vec<u8>, tag: u8, target: Target, name: impl AsRef<[u8]>) {
    frame(out, tag, |out| {
        out.push(target.as_byte());
        text(out, name);
    });
}

/// Execute; `rows_max` 0: all rows.
pub fn execute(out: &mut Vec<u8>, portal: impl AsRef<[u8]>, rows_max: i32) {
    frame(out, frontend::EXECUTE, |out| {
        text(out, portal);
        out.extend(rows_max.to_be_bytes());
    });
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    empty(out, frontend::SYNC);
}

/// Flush.
pub fn flush(out: &mut Vec<u8>) {
    empty(out, frontend::FLUSH);
}

/// Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    empty(out, frontend::TERMINATE);
}

/// PasswordMessage, clear or hashed.
pub fn password(out: &mut Vec<u8>, password: impl AsRef<[u8]>) {
    frame(out, frontend::PASSWORD, |out| text(out, password));
}

/// SASLInitialResponse.
pub fn sasl_initial_response(out: &mut Vec<u8>, mechanism: &str, data: &[u8]) {
    frame(out, frontend::PASSWORD, |out| {
        text(out, mechanism);
        counted_without_itself(out, data);
    });
}

/// SASLResponse.
pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    frame(out, frontend::PASSWORD, |out| out.extend(data));
}

/// CopyFail.
pub fn copy_fail(out: &mut Vec<u8>, reason: &str) {
    frame(out, frontend::COPY_FAIL, |out| text(out, reason));
}
