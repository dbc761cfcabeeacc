//! TLS inside a stream: [`Stream::accept_tls`] and [`Stream::connect_tls`] turn a plain stream into
//! one that speaks TLS, and whoever reads, writes, waits, folds and parks it does so as before.
//! Here is what is made once and shared by many connections: [`Server`] and [`Client`], each from
//! its options. It judges certificates, not people, and knows no protocol above it.
//!
//! OpenSSL never waits here and never sees a full socket: it reads what is there and stops, and
//! what the kernel does not take is kept by the engine, which sends it when there is room. So a
//! write that was told to be done is done, as with a plain socket, and no call has to be repeated
//! with the same bytes.
//!
//! [`Stream::accept_tls`]: crate::Stream::accept_tls
//! [`Stream::connect_tls`]: crate::Stream::connect_tls

mod error;
mod facts;
mod handshake;
mod key_log;
mod material;
mod session;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use openssl::ssl::{
    AlpnError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};

use crate::sys::Resumable;

pub use error::{Error, LoadError};
pub use facts::{Facts, Peer};
pub use key_log::KeyLog;
use material::Material;
pub(crate) use session::Tls;

/// What a server's tickets are good for; two of our contexts have different keys anyway.
const SESSION_ID: &[u8] = b"machine";

/// One ticket a handshake: OpenSSL's two cost a client nothing and us twice.
const TICKETS: usize = 1;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.0, which most systems refuse by their own settings.
    Tls1,
    /// TLS 1.1, likewise.
    Tls1_1,
    /// TLS 1.2.
    Tls1_2,
    /// TLS 1.3.
    Tls1_3,
}

/// What both sides may be told. Without anything the system's settings hold, and no version below
/// 1.2.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// Our certificate and its chain, PEM; a server needs one.
    pub certificate: Option<PathBuf>,
    /// The certificate's key, PEM, without a passphrase.
    pub key: Option<PathBuf>,
    /// Authorities that sign the other side, PEM.
    pub authorities: Option<PathBuf>,
    /// The lowest version spoken.
    pub lowest: Option<Version>,
    /// The highest version spoken.
    pub highest: Option<Version>,
    /// Ciphers up to TLS 1.2, in OpenSSL's words.
    pub ciphers: Option<String>,
    /// Ciphers of TLS 1.3, in OpenSSL's words.
    pub ciphersuites: Option<String>,
    /// Groups (curves), in OpenSSL's words.
    pub groups: Option<String>,
    /// Protocols above TLS, ours first; a client offers them, a server takes one of them and
    /// refuses a client that offers only others.
    pub protocols: Vec<Vec<u8>>,
    /// Where the secrets of each connection are written, for a look into recorded traffic.
    pub key_log: Option<KeyLog>,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ask {
    /// They are not asked.
    #[default]
    Never,
    /// They are asked; what is shown is not checked.
    Unchecked,
    /// They are asked; what is shown has to be signed by an authority.
    Checked,
    /// They have to show one that is signed by an authority.
    Required,
}

/// What is checked of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nothing.
    #[default]
    Nothing,
    /// An authority signed its certificate.
    Authority,
    /// And the certificate is for the host it was asked for.
    Host,
}

/// The server's side, made once. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<ServerSide>);

struct ServerSide {
    context: SslContext,
    /// See [`Facts::end_point`].
    end_point: Option<Vec<u8>>,
}

/// The client's side, made once. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<ClientSide>);

struct ClientSide {
    resumable: Resumable,
    verify: Verify,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("tls::Server")
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("tls::Client")
    }
}

impl Server {
    /// Reads the files and makes a server of them. It blocks.
    ///
    /// # Errors
    /// What is wrong, with the file it is in.
    pub fn load(common: &Common, ask: Ask) -> Result<Server, LoadError> {
        let material = Material::read(common)?;
        let Some((certificate, _)) = &material.identity else {
            return Err(LoadError::new("a TLS server needs a certificate and its key"));
        };
        let end_point = facts::end_point(certificate);
        let mut builder = builder(SslMethod::tls_server(), common, &material)?;
        builder.set_session_cache_mode(SslSessionCacheMode::OFF); // tickets do it
        builder.set_session_id_context(SESSION_ID)?;
        builder.set_num_tickets(TICKETS)?;
        let peer = SslVerifyMode::PEER;
        match ask {
            Ask::Never => builder.set_verify(SslVerifyMode::NONE),
            Ask::Unchecked => builder.set_verify_callback(peer, |_, _| true),
            Ask::Checked => builder.set_verify(peer),
            Ask::Required => builder.set_verify(peer | SslVerifyMode::FAIL_IF_NO_PEER_CERT),
        }
        for authority in &material.authorities {
            builder.add_client_ca(authority)?;
        }
        if !common.protocols.is_empty() {
            let ours = common.protocols.clone();
            builder.set_alpn_select_callback(move |_, theirs| {
                selected(&ours, theirs).ok_or(AlpnError::ALERT_FATAL)
            });
        }
        Ok(Server(Arc::new(ServerSide { context: builder.build(), end_point })))
    }
}

impl Client {
    /// Reads the files and makes a client of them. It blocks. Without authorities those of the
    /// system are believed.
    ///
    /// # Errors
    /// What is wrong, with the file it is in.
    pub fn load(common: &Common, verify: Verify) -> Result<Client, LoadError> {
        let material = Material::read(common)?;
        let mut builder = builder(SslMethod::tls_client(), common, &material)?;
        if verify == Verify::Nothing {
            builder.set_verify(SslVerifyMode::NONE);
        } else {
            builder.set_verify(SslVerifyMode::PEER);
            if common.authorities.is_none() {
                builder.set_default_verify_paths()?;
            }
        }
        if !common.protocols.is_empty() {
            builder.set_alpn_protos(&listed(&common.protocols)?)?;
        }
        let resumable = Resumable::new(builder);
        Ok(Client(Arc::new(ClientSide { resumable, verify })))
    }
}

/// What both sides have in common.
fn builder(
    method: SslMethod,
    common: &Common,
    material: &Material,
) -> Result<SslContextBuilder, LoadError> {
    let mut builder = SslContext::builder(method)?;
    // The first keeps an idle connection at 14 KiB instead of 46. The other two let us write as
    // much as there is, from wherever it is.
    let lean = SslMode::RELEASE_BUFFERS;
    builder.set_mode(lean | SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
    builder.set_options(
        SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    // One system call for a record, not one for its five bytes of header and another for the rest.
    builder.set_read_ahead(true);
    builder.set_min_proto_version(Some(raw(common.lowest.unwrap_or(Version::Tls1_2))))?;
    builder.set_max_proto_version(common.highest.map(raw))?;
    if let Some(list) = &common.ciphers {
        let set = builder.set_cipher_list(list);
        set.map_err(|_| LoadError::new(format!("no cipher is known in \"{list}\"")))?;
    }
    if let Some(list) = &common.ciphersuites {
        let set = builder.set_ciphersuites(list);
        set.map_err(|_| LoadError::new(format!("no TLS 1.3 cipher is known in \"{list}\"")))?;
    }
    if let Some(list) = &common.groups {
        let set = builder.set_groups_list(list);
        set.map_err(|_| LoadError::new(format!("an unknown group or curve in \"{list}\"")))?;
    }
    material.put_into(&mut builder, common)?;
    if let Some(log) = common.key_log.clone() {
        builder.set_keylog_callback(move |_, line| log.write(line));
    }
    Ok(builder)
}

fn raw(version: Version) -> SslVersion {
    match version {
        Version::Tls1 => SslVersion::TLS1,
        Version::Tls1_1 => SslVersion::TLS1_1,
        Version::Tls1_2 => SslVersion::TLS1_2,
        Version::Tls1_3 => SslVersion::TLS1_3,
    }
}

/// Names of protocols as ALPN writes them.
fn listed(protocols: &[Vec<u8>]) -> Result<Vec<u8>, LoadError> {
    let mut list = Vec::new();
    for name in protocols {
        let len = u8::try_from(name.len()).ok().filter(|len| *len > 0);
        let len = len.ok_or_else(|| LoadError::new("a protocol's name has 1 to 255 bytes"))?;
        list.push(len);
        list.extend_from_slice(name);
    }
    Ok(list)
}

/// The first of `ours` among `theirs`, which are as ALPN writes them.
fn selected<'a>(ours: &[Vec<u8>], theirs: &'a [u8]) -> Option<&'a [u8]> {
    let names = |rest: &mut &'a [u8]| -> Option<&'a [u8]> {
        let (len, behind) = rest.split_first()?;
        let (name, left) = behind.split_at_checked(usize::from(*len))?;
        *rest = left;
        Some(name)
    };
    ours.iter().find_map(|ours| {
        let mut rest = theirs;
        std::iter::from_fn(|| names(&mut rest)).find(|name| name == ours)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_ours_that_they_have_is_taken() {
        let ours = [b"postgresql".to_vec(), b"x".to_vec()];
        assert_eq!(selected(&ours, b"\x01x\x0apostgresql"), Some(b"postgresql".as_slice()));
        assert_eq!(selected(&ours, b"\x02h2\x01x"), Some(b"x".as_slice()));
        assert_eq!(selected(&ours, b"\x02h2"), None);
        assert_eq!(selected(&ours, b"\x0apostgres"), None, "cut");
        assert_eq!(listed(&ours).unwrap(), b"\x0apostgresql\x01x");
    }
}
