//! The type bytes of both sides, as one table each: constant, byte, name, limit. `frame` checks
//! headers against the limits; nothing else in the workspace writes `b'Q'`.

use crate::frame::Side;

/// PostgreSQL's PQ_LARGE_MESSAGE_LIMIT: what one of its string buffers can hold.
pub const LONG_BYTES_MAX: u32 = 0x3fff_fffe;
/// PostgreSQL's PQ_SMALL_MESSAGE_LIMIT, for requests that hold a name at most.
pub const SHORT_BYTES_MAX: u32 = 10_000;
/// libpq takes a longer answer of these types for lost synchronization (VALID_LONG_MESSAGE_TYPE).
pub const ANSWER_BYTES_MAX: u32 = 30_000;

macro_rules! tags {
    ($($(#[$doc:meta])* $constant:ident = $byte:literal, $name:literal, $most:expr;)+) => {
        $($(#[$doc])* pub const $constant: u8 = $byte;)+

        /// The name in PostgreSQL's documentation, for logs and errors.
        pub const fn name(tag: u8) -> &'static str {
            match tag {
                $($constant => $name,)+
                _ => "unknown message",
            }
        }

        /// The largest length word (it counts itself) by type byte; 0: no such message.
        pub(crate) const LENGTH_MAX: [u32; 256] = {
            let mut table = [0; 256];
            $(table[$constant as usize] = $most;)+
            table
        };
    };
}

/// Messages to the server.
pub mod frontend {
    use super::{LONG_BYTES_MAX, SHORT_BYTES_MAX};

    tags! {
        /// Makes a portal of a statement.
        BIND = b'B', "Bind", LONG_BYTES_MAX;
        /// Closes a statement or a portal.
        CLOSE = b'C', "Close", SHORT_BYTES_MAX;
        /// Data of a COPY.
        COPY_DATA = b'd', "CopyData", LONG_BYTES_MAX;
        /// The good end of COPY data.
        COPY_DONE = b'c', "CopyDone", SHORT_BYTES_MAX;
        /// The bad end of COPY data.
        COPY_FAIL = b'f', "CopyFail", SHORT_BYTES_MAX;
        /// Asks for the shape of a statement or a portal.
        DESCRIBE = b'D', "Describe", SHORT_BYTES_MAX;
        /// Runs a portal.
        EXECUTE = b'E', "Execute", SHORT_BYTES_MAX;
        /// Asks for the answers so far, without ending the batch.
        FLUSH = b'H', "Flush", SHORT_BYTES_MAX;
        /// The old fast path to a function.
        FUNCTION_CALL = b'F', "FunctionCall", LONG_BYTES_MAX;
        /// Makes a statement.
        PARSE = b'P', "Parse", LONG_BYTES_MAX;
        /// Also SASLInitialResponse, SASLResponse and GSSResponse: the state tells them apart.
        PASSWORD = b'p', "PasswordMessage", SHORT_BYTES_MAX;
        /// A simple query.
        QUERY = b'Q', "Query", LONG_BYTES_MAX;
        /// Ends a batch of extended messages.
        SYNC = b'S', "Sync", SHORT_BYTES_MAX;
        /// The client goes.
        TERMINATE = b'X', "Terminate", SHORT_BYTES_MAX;
    }
}

/// Messages from the server.
pub mod backend {
    use super::{ANSWER_BYTES_MAX, LONG_BYTES_MAX};

    /// A server may fill its string buffer and only then count the length word in.
    const ROW_BYTES_MAX: u32 = LONG_BYTES_MAX + 4;

    tags! {
        /// Every step of authentication.
        AUTHENTICATION = b'R', "Authentication", ANSWER_BYTES_MAX;
        /// The key for CancelRequest.
        BACKEND_KEY_DATA = b'K', "BackendKeyData", ANSWER_BYTES_MAX;
        /// Answer to Bind.
        BIND_COMPLETE = b'2', "BindComplete", ANSWER_BYTES_MAX;
        /// Answer to Close.
        CLOSE_COMPLETE = b'3', "CloseComplete", ANSWER_BYTES_MAX;
        /// A statement has ended.
        COMMAND_COMPLETE = b'C', "CommandComplete", ANSWER_BYTES_MAX;
        /// Replication: data goes both ways from here.
        COPY_BOTH_RESPONSE = b'W', "CopyBothResponse", ANSWER_BYTES_MAX;
        /// Data of a COPY.
        COPY_DATA = b'd', "CopyData", ROW_BYTES_MAX;
        /// The end of COPY data.
        COPY_DONE = b'c', "CopyDone", ANSWER_BYTES_MAX;
        /// The server waits for COPY data.
        COPY_IN_RESPONSE = b'G', "CopyInResponse", ANSWER_BYTES_MAX;
        /// The server is going to send COPY data.
        COPY_OUT_RESPONSE = b'H', "CopyOutResponse", ANSWER_BYTES_MAX;
        /// A row.
        DATA_ROW = b'D', "DataRow", ROW_BYTES_MAX;
        /// Answer to a query without a statement in it.
        EMPTY_QUERY_RESPONSE = b'I', "EmptyQueryResponse", ANSWER_BYTES_MAX;
        /// A request failed, or the server goes.
        ERROR_RESPONSE = b'E', "ErrorResponse", ROW_BYTES_MAX;
        /// Answer to FunctionCall.
        FUNCTION_CALL_RESPONSE = b'V', "FunctionCallResponse", ROW_BYTES_MAX;
        /// The server speaks an older minor version or does not know an option.
        NEGOTIATE_PROTOCOL_VERSION = b'v', "NegotiateProtocolVersion", ANSWER_BYTES_MAX;
        /// Describe: there are no rows to come.
        NO_DATA = b'n', "NoData", ANSWER_BYTES_MAX;
        /// A warning or less.
        NOTICE_RESPONSE = b'N', "NoticeResponse", ROW_BYTES_MAX;
        /// What NOTIFY sends.
        NOTIFICATION_RESPONSE = b'A', "NotificationResponse", ROW_BYTES_MAX;
        /// Describe: the types of a statement's parameters, up to 65,535 of them.
        PARAMETER_DESCRIPTION = b't', "ParameterDescription", ROW_BYTES_MAX;
        /// A setting the server reports has a new value.
        PARAMETER_STATUS = b'S', "ParameterStatus", ANSWER_BYTES_MAX;
        /// Answer to Parse.
        PARSE_COMPLETE = b'1', "ParseComplete", ANSWER_BYTES_MAX;
        /// Execute reached its limit of rows.
        PORTAL_SUSPENDED = b's', "PortalSuspended", ANSWER_BYTES_MAX;
        /// The server waits for the next query.
        READY_FOR_QUERY = b'Z', "ReadyForQuery", ANSWER_BYTES_MAX;
        /// The shape of rows.
        ROW_DESCRIPTION = b'T', "RowDescription", ROW_BYTES_MAX;
    }
}

/// The name of a message of that side, for logs and errors.
pub const fn name(side: Side, tag: u8) -> &'static str {
    match side {
        Side::Frontend => frontend::name(tag),
        Side::Backend => backend::name(tag),
    }
}

/// The table `frame::header` reads.
pub(crate) const fn length_max(side: Side) -> &'static [u32; 256] {
    static FRONTEND: [u32; 256] = frontend::LENGTH_MAX;
    static BACKEND: [u32; 256] = backend::LENGTH_MAX;
    match side {
        Side::Frontend => &FRONTEND,
        Side::Backend => &BACKEND,
    }
}
