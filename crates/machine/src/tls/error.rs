//! What goes wrong with TLS, in words for an operator: what is wrong with whose certificate, not
//! what a function returned.

use std::fmt;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::ssl::SslRef;
use openssl::x509::X509VerifyResult;

/// Why there is no TLS.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The socket, the deadline or a cancelled coroutine.
    Engine(crate::Error),
    /// The other side closed in the middle of the handshake.
    Closed,
    /// One of both refused the other; what is wrong, in words.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Engine(error) => write!(f, "TLS handshake: {error}"),
            Error::Closed => f.write_str("TLS handshake: the peer closed the connection"),
            Error::Refused(words) => write!(f, "TLS handshake: {words}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Error {
        Error::Engine(error)
    }
}

impl From<ErrorStack> for Error {
    fn from(error: ErrorStack) -> Error {
        Error::Refused(reason(&error).to_owned())
    }
}

/// Why no [`Server`](super::Server) or [`Client`](super::Client) could be made: what is wrong, with
/// the file it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(String);

impl LoadError {
    pub(super) fn new(words: impl Into<String>) -> LoadError {
        LoadError(words.into())
    }

    pub(super) fn of(path: &Path, words: impl fmt::Display) -> LoadError {
        LoadError(format!("{}: {words}", path.display()))
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl From<ErrorStack> for LoadError {
    fn from(error: ErrorStack) -> LoadError {
        LoadError(reason(&error).to_owned())
    }
}

/// What OpenSSL calls a failure, and what we do; `{}` is its own word where ours would say less.
/// Alerts are what the peer complains of, so they are about us.
const WORDS: [(&str, &str); 27] = [
    ("wrong version number", "the peer does not speak TLS (plain text?)"),
    ("http request", "the peer speaks HTTP"),
    ("https proxy request", "the peer speaks HTTP"),
    ("packet length too long", "the peer does not speak TLS (plain text?)"),
    ("record layer failure", "the peer does not speak TLS (plain text?)"),
    ("unsupported protocol", "no TLS version in common"),
    ("version too low", "no TLS version in common"),
    ("no protocols available", "no TLS version in common"),
    ("tlsv1 alert protocol version", "no TLS version in common, says the peer"),
    ("no shared cipher", "no cipher in common"),
    ("no suitable key share", "no group in common"),
    ("no shared group", "no group in common"),
    ("no suitable signature algorithm", "no signature algorithm in common"),
    ("no application protocol", "no application protocol (ALPN) in common"),
    ("tlsv1 alert no application protocol", "no application protocol (ALPN) in common"),
    ("peer did not return a certificate", "the peer showed no certificate"),
    ("tlsv13 alert certificate required", "the peer asks for a certificate of ours"),
    ("tlsv1 alert unknown ca", "the peer does not know the authority of our certificate"),
    ("sslv3 alert certificate expired", "our certificate has expired, says the peer"),
    ("sslv3 alert certificate revoked", "our certificate was revoked, says the peer"),
    ("sslv3 alert certificate unknown", "the peer does not accept our certificate"),
    ("sslv3 alert bad certificate", "the peer does not accept our certificate"),
    ("sslv3 alert unsupported certificate", "the peer cannot use our certificate"),
    ("tlsv1 alert decrypt error", "our certificate's key does not fit, says the peer"),
    ("tlsv1 alert access denied", "the peer does not let our certificate in"),
    ("sslv3 alert handshake failure", "the peer found nothing in common, or wants a certificate"),
    ("tlsv1 unrecognized name", "the peer does not know the host name it was asked for"),
];

/// The words for a handshake that failed; `host` is who was expected, if anybody was.
pub(super) fn refused(ssl: &SslRef, error: &openssl::ssl::Error, host: Option<&str>) -> Error {
    let verdict = ssl.verify_result();
    let stack = error.ssl_error();
    let said = stack.map_or("", reason);
    if said == "certificate verify failed" && verdict != X509VerifyResult::OK {
        return Error::Refused(judged(verdict, host));
    }
    Error::Refused(worded(said))
}

pub(super) fn worded(said: &str) -> String {
    let known = WORDS.iter().find(|(theirs, _)| *theirs == said);
    known.map_or(said, |(_, ours)| ours).to_owned()
}

/// OpenSSL's reason for the oldest error, which is the cause of the others.
pub(super) fn reason(stack: &ErrorStack) -> &str {
    stack.errors().iter().find_map(|error| error.reason()).unwrap_or_default()
}

/// Numbers of `X509_V_ERR_*`.
fn judged(verdict: X509VerifyResult, host: Option<&str>) -> String {
    let host = host.unwrap_or("this host");
    match verdict.as_raw() {
        9 => "the peer's certificate is not valid yet".into(),
        10 => "the peer's certificate has expired".into(),
        18 => "the peer's certificate is self-signed".into(),
        19 => "the peer's certificate is signed by an unknown authority (self-signed root)".into(),
        2 | 20 | 21 => "the peer's certificate is signed by an unknown authority".into(),
        23 => "the peer's certificate was revoked".into(),
        24 | 26 => "the peer's certificate is not for this use".into(),
        62 => format!("the peer's certificate is not for host name \"{host}\""),
        64 => format!("the peer's certificate is not for address {host}"),
        _ => format!("the peer's certificate is not accepted: {}", verdict.error_string()),
    }
}
