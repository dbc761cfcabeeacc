//! The channel a client came through, when that is TLS: what a login may be bound to, and who its
//! certificate says it is. It decides nothing.

use std::time::Duration;

use machine::tls::Facts;

/// A client's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "read by logins by certificate and by SCRAM-PLUS")]
pub(crate) struct Channel {
    /// `tls-server-end-point` (RFC 5929): the hash of our certificate.
    pub(crate) end_point: Option<Vec<u8>>,
    /// The common name in the client's certificate; None without one, or with a zero byte in it.
    pub(crate) common_name: Option<String>,
    /// The whole name in the client's certificate, as RFC 4514 writes it.
    pub(crate) subject: Option<String>,
    /// Further names in it.
    pub(crate) alternative_names: Vec<String>,
    /// The certificate was signed by an authority of the `listen` section. Without this it proves
    /// nothing: anybody can make one.
    pub(crate) is_verified: bool,
    /// So long did the handshake take.
    pub(crate) handshake: Duration,
}

impl Channel {
    /// Of a connection whose handshake took so long.
    pub(crate) fn new(facts: Facts, handshake: Duration) -> Channel {
        let Facts { peer, end_point, .. } = facts;
        let is_verified = peer.as_ref().is_some_and(|peer| peer.is_verified);
        let (common_name, subject, alternative_names) = match peer {
            Some(peer) => (peer.common_name, Some(peer.subject), peer.alternative_names),
            None => (None, None, Vec::new()),
        };
        Channel { end_point, common_name, subject, alternative_names, is_verified, handshake }
    }
}
