//! The table: which message may come in answer to which request, and what it changes there.

use crate::tag::{backend, frontend};

/// What an entry of the FIFO stands for: a request that owes an answer, or a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    FunctionCall,
    Sync,
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    /// CopyDone or CopyFail, sent before any CopyInResponse came. It owes nothing.
    CopyEnd,
}

impl Kind {
    #[inline]
    pub(super) fn of_request(tag: u8) -> Option<Kind> {
        match tag {
            frontend::QUERY => Some(Kind::Query),
            frontend::FUNCTION_CALL => Some(Kind::FunctionCall),
            frontend::SYNC => Some(Kind::Sync),
            frontend::PARSE => Some(Kind::Parse),
            frontend::BIND => Some(Kind::Bind),
            frontend::DESCRIBE => Some(Kind::Describe),
            frontend::EXECUTE => Some(Kind::Execute),
            frontend::CLOSE => Some(Kind::Close),
            _ => None,
        }
    }

    /// Does its failure make the server skip to Sync?
    #[inline]
    pub(super) fn is_extended(self) -> bool {
        use Kind::*;
        matches!(self, Parse | Bind | Describe | Execute | Close)
    }
}

/// How far the answer to the head of the FIFO has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing of it has come.
    Untouched,
    /// Some of it has come, and more may.
    Answering,
    /// Describe: the parameters came, the columns are due.
    Described,
    /// COPY TO STDOUT, before CopyDone.
    CopyOut,
    /// COPY FROM STDIN: the server reads data.
    CopyIn,
    /// COPY FROM STDIN: the end of the data has been sent.
    CopyInEnded,
    /// Replication: data goes both ways.
    CopyBoth,
    /// Replication: our side has ended.
    CopyBothEnded,
    /// An ErrorResponse came; a ReadyForQuery is due.
    Failed,
}

/// What a message does to the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It stays, at this stage.
    Stay(Stage),
    /// It stays and reads COPY data.
    CopyIn,
    /// It has its answer.
    Done,
}

/// What the message does to a head of that kind and stage; `None`: it is no part of its answer.
/// ReadyForQuery (`ends`), ErrorResponse and the asynchronous messages are not in here.
#[inline]
pub(super) fn step(kind: Kind, stage: Stage, tag: u8) -> Option<Step> {
    use Kind::{Bind, Close, Describe, Execute, FunctionCall, Parse, Query};
    use Stage::*;
    use Step::{Done, Stay};
    use backend as b;
    Some(match (kind, stage, tag) {
        (Query | Execute, Untouched | Answering, b::DATA_ROW) => Stay(Answering),
        (Parse, Untouched, b::PARSE_COMPLETE) => Done,
        (Bind, Untouched, b::BIND_COMPLETE) => Done,
        (Close, Untouched, b::CLOSE_COMPLETE) => Done,
        (Describe, Untouched, b::PARAMETER_DESCRIPTION) => Stay(Described),
        (Describe, Untouched | Described, b::ROW_DESCRIPTION | b::NO_DATA) => Done,
        (Execute, Untouched | Answering | CopyInEnded, b::COMMAND_COMPLETE) => Done,
        (Execute, Untouched | Answering, b::EMPTY_QUERY_RESPONSE | b::PORTAL_SUSPENDED) => Done,
        (FunctionCall, Untouched, b::FUNCTION_CALL_RESPONSE) => Stay(Answering),
        (Query, Untouched | Answering, b::ROW_DESCRIPTION) => Stay(Answering),
        (Query, Untouched | Answering, b::EMPTY_QUERY_RESPONSE) => Stay(Answering),
        (Query, Untouched | Answering | CopyInEnded, b::COMMAND_COMPLETE) => Stay(Answering),
        (Query | Execute, Untouched | Answering, b::COPY_IN_RESPONSE) => Step::CopyIn,
        (Query | Execute, Untouched | Answering, b::COPY_OUT_RESPONSE) => Stay(CopyOut),
        (Query | Execute, CopyOut, b::COPY_DATA) => Stay(CopyOut),
        (Query | Execute, CopyOut, b::COPY_DONE) => Stay(Answering),
        (Query, Untouched | Answering, b::COPY_BOTH_RESPONSE) => Stay(CopyBoth),
        (Query, CopyBoth | CopyBothEnded, b::COPY_DATA | b::COPY_DONE) => Stay(stage),
        // A server that shuts down ends the stream by itself.
        (Query, CopyBoth | CopyBothEnded, b::COMMAND_COMPLETE) => Stay(Answering),
        // The next timeline, as a result set behind the stream.
        (Query, CopyBothEnded, b::ROW_DESCRIPTION) => Stay(Answering),
        _ => return None,
    })
}

/// Is ReadyForQuery the end of such an answer? Not of an untouched Query: PostgreSQL says
/// CommandComplete, EmptyQueryResponse or ErrorResponse first, so that one would be another's.
#[inline]
pub(super) fn ends(kind: Kind, stage: Stage) -> bool {
    use Stage::*;
    match kind {
        Kind::Query => matches!(stage, Answering | Failed | CopyBoth | CopyBothEnded),
        Kind::FunctionCall => matches!(stage, Answering | Failed),
        Kind::Sync => matches!(stage, Untouched | Failed),
        _ => false,
    }
}

/// May the server send it at any time?
#[inline]
pub(super) fn is_unasked(tag: u8) -> bool {
    use backend::{NOTICE_RESPONSE, NOTIFICATION_RESPONSE, PARAMETER_STATUS};
    matches!(tag, NOTICE_RESPONSE | PARAMETER_STATUS | NOTIFICATION_RESPONSE)
}

/// The state in words, for `Unexpected`.
pub(super) fn describe(kind: Kind, stage: Stage) -> &'static str {
    match (stage, kind) {
        (Stage::CopyOut, _) => "during COPY TO STDOUT",
        (Stage::CopyIn, _) => "during COPY FROM STDIN",
        (Stage::CopyInEnded, _) => "at the end of COPY FROM STDIN",
        (Stage::CopyBoth | Stage::CopyBothEnded, _) => "during a replication stream",
        (Stage::Failed, _) => "between ErrorResponse and ReadyForQuery",
        (_, Kind::Query) => "in the answer to Query",
        (_, Kind::FunctionCall) => "in the answer to FunctionCall",
        (_, Kind::Sync) => "in the answer to Sync",
        (_, Kind::Parse) => "in the answer to Parse",
        (_, Kind::Bind) => "in the answer to Bind",
        (_, Kind::Describe) => "in the answer to Describe",
        (_, Kind::Execute) => "in the answer to Execute",
        (_, Kind::Close) => "in the answer to Close",
        (_, Kind::CopyEnd) => "at the end of COPY data",
    }
}
