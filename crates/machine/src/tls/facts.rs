//! What is known of a connection when its handshake is done: how it is spoken, and who the other
//! side has shown to be.

use std::net::IpAddr;

use openssl::asn1::Asn1StringRef;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{NameType, SslRef, SslVerifyMode};
use openssl::x509::{GeneralNameRef, X509NameRef, X509Ref, X509VerifyResult};

use super::handshake::Role;

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The protocol above TLS, if both named one (ALPN).
    pub protocol: Option<String>,
    /// Both remembered each other, and nobody proved anything anew.
    pub resumed: bool,
    /// The host the client asked for (SNI).
    pub server_name: Option<String>,
    /// The other side's certificate. It was checked if the options of our side want that.
    pub peer: Option<Peer>,
    /// The hash of the server's certificate, whichever side we are: `tls-server-end-point` of RFC
    /// 5929, to which a login can be bound. `None` where no hash is defined.
    pub end_point: Option<Vec<u8>>,
}

impl Facts {
    /// How it is spoken: version and cipher, `TLSv1.3/TLS_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn spoken(&self) -> String {
        format!("{}/{}", self.version, self.cipher)
    }
}

/// What a certificate says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The common name; `None` too when it has a zero byte in it, which somebody put there to be
    /// taken for somebody else.
    pub common_name: Option<String>,
    /// The whole name, as RFC 4514 writes it.
    pub subject: String,
    /// Who signed it, likewise.
    pub issuer: String,
    /// It was checked, and an authority of our options signed it.
    pub is_verified: bool,
    /// Further names: hosts, addresses, mail addresses.
    pub alternative_names: Vec<String>,
}

pub(super) fn of(ssl: &SslRef, role: &Role) -> Facts {
    let peer = ssl.peer_certificate();
    let end_point = match role {
        Role::Server(server) => server.0.end_point.clone(),
        Role::Client => peer.as_deref().and_then(end_point),
    };
    let protocol = ssl.selected_alpn_protocol();
    // Whoever checks nothing has set no callback and hears OK.
    let is_asked = ssl.ssl_context().verify_mode().contains(SslVerifyMode::PEER);
    let is_verified = is_asked && ssl.verify_result() == X509VerifyResult::OK;
    Facts {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("none", |cipher| cipher.name()),
        protocol: protocol.map(|name| String::from_utf8_lossy(name).into_owned()),
        resumed: ssl.session_reused(),
        server_name: ssl.servername(NameType::HOST_NAME).map(str::to_owned),
        peer: peer.as_deref().map(|peer| who(peer, is_verified)),
        end_point,
    }
}

/// RFC 5929, 4.1: hashed as it was signed, but not with what is broken.
pub(super) fn end_point(certificate: &X509Ref) -> Option<Vec<u8>> {
    let signature = certificate.signature_algorithm().object().nid();
    let hash = match signature.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        other => MessageDigest::from_nid(other)?,
    };
    certificate.digest(hash).ok().map(|digest| digest.to_vec())
}

fn who(certificate: &X509Ref, is_verified: bool) -> Peer {
    let subject = certificate.subject_name();
    let common_name = subject.entries_by_nid(Nid::COMMONNAME).next();
    let alternatives = certificate.subject_alt_names();
    Peer {
        common_name: common_name.and_then(|entry| text(entry.data())),
        subject: distinguished(subject),
        issuer: distinguished(certificate.issuer_name()),
        is_verified,
        alternative_names: alternatives.iter().flatten().filter_map(alternative).collect(),
    }
}

fn text(data: &Asn1StringRef) -> Option<String> {
    data.to_string().ok().filter(|text| !text.contains('\0'))
}

fn alternative(name: &GeneralNameRef) -> Option<String> {
    let named = name.dnsname().or_else(|| name.email()).or_else(|| name.uri());
    if let Some(named) = named {
        return (!named.contains('\0')).then(|| named.to_owned());
    }
    let bytes = name.ipaddress()?;
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

/// `CN=app,O=Example`: the most particular first.
fn distinguished(name: &X509NameRef) -> String {
    let entries: Vec<_> = name.entries().collect();
    let part = |entry: &&openssl::x509::X509NameEntryRef| {
        let key = entry.object().nid().short_name().unwrap_or("UNKNOWN").to_owned();
        let value = text(entry.data()).unwrap_or_else(|| hexadecimal(entry.data().as_slice()));
        format!("{key}={}", escaped(&value))
    };
    entries.iter().rev().map(part).collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, letter) in value.chars().enumerate() {
        let is_edge = (letter == ' ' && (at == 0 || at == last)) || (letter == '#' && at == 0);
        if is_edge || ",+\"\\<>;".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold("#".to_owned(), |text, byte| format!("{text}{byte:02X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pretend_to_have_another_part() {
        assert_eq!(escaped("app,CN=admin"), "app\\,CN=admin");
        assert_eq!(escaped(" a b "), "\\ a b\\ ");
        assert_eq!(escaped("#1"), "\\#1");
        assert_eq!(escaped("Müller"), "Müller");
    }
}
