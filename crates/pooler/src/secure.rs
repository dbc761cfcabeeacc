//! TLS as the operator wants it: what the files say, made into the two sides the engine knows, once
//! for each configuration. Nobody else reads a certificate.

use std::collections::HashMap;
use std::path::PathBuf;

use config::{Config, Listen, StorageKind, Tls, TlsMode, TlsVersion};
use machine::tls::{Ask, Client, Common, KeyLog, LoadError, Server, Verify, Version};

/// The protocol above TLS, for ALPN.
pub(crate) const PROTOCOL: &str = "postgresql";

/// The variable that names a file for the secrets of connections, as browsers know it.
const KEY_LOG: &str = "SSLKEYLOGFILE";

/// Both sides of one configuration.
pub struct Contexts {
    /// One for each `listen` section, in its order; None where TLS is not spoken.
    pub(crate) servers: Vec<Option<Server>>,
    clients: HashMap<Tls, Client>,
    /// Where secrets go, if somebody asked for that.
    pub(crate) key_log: Option<KeyLog>,
}

impl Contexts {
    /// Reads the files. It blocks.
    ///
    /// # Errors
    /// What is wrong, one line a section, with the file it is in.
    pub(crate) fn load(config: &Config, key_log: Option<KeyLog>) -> Result<Self, Vec<String>> {
        let mut contexts = Self { servers: Vec::new(), clients: HashMap::new(), key_log };
        let mut complaints = Vec::new();
        for listen in &config.listens {
            match contexts.server(&listen.tls) {
                Ok(server) => contexts.servers.push(server),
                Err(error) => complaints.push(format!("{}: {error}", title(listen))),
            }
        }
        for storage in &config.storages {
            if storage.kind == StorageKind::Local || storage.tls.mode == TlsMode::Disable {
                continue;
            }
            match client(&storage.tls, contexts.key_log.clone()) {
                Ok(client) => drop(contexts.clients.insert(storage.tls.clone(), client)),
                Err(error) => complaints.push(format!("storage '{}': {error}", storage.name)),
            }
        }
        if complaints.is_empty() { Ok(contexts) } else { Err(complaints) }
    }

    /// The client's side for such options, if a storage of this configuration has them.
    pub(crate) fn client(&self, tls: &Tls) -> Option<Client> {
        self.clients.get(tls).cloned()
    }

    /// Certificates of clients are asked for only where there is somebody to vouch for them. With
    /// `allow` and `prefer` one that is not good is no reason to refuse, but proves nothing either.
    fn server(&self, tls: &Tls) -> Result<Option<Server>, LoadError> {
        let ask = match tls.mode {
            TlsMode::Disable => return Ok(None),
            TlsMode::VerifyCa | TlsMode::VerifyFull => Ask::Required,
            _ if tls.ca_file.is_none() => Ask::Never,
            TlsMode::Require => Ask::Checked,
            TlsMode::Allow | TlsMode::Prefer => Ask::Unchecked,
        };
        Server::load(&common(tls, self.key_log.clone()), ask).map(Some)
    }
}

/// As libpq: `require` checks the authority where one is named.
pub(crate) fn client(tls: &Tls, key_log: Option<KeyLog>) -> Result<Client, LoadError> {
    let verify = match tls.mode {
        TlsMode::VerifyFull => Verify::Host,
        TlsMode::VerifyCa => Verify::Authority,
        TlsMode::Require if tls.ca_file.is_some() => Verify::Authority,
        _ => Verify::Nothing,
    };
    Client::load(&common(tls, key_log), verify)
}

/// The key log that the environment asks for.
///
/// # Errors
/// It cannot be written to.
pub(crate) fn key_log() -> Result<Option<KeyLog>, String> {
    let Some(path) = std::env::var_os(KEY_LOG).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let opened = KeyLog::open(&path);
    opened.map(Some).map_err(|error| format!("{KEY_LOG} {}: {error}", path.display()))
}

fn common(tls: &Tls, key_log: Option<KeyLog>) -> Common {
    let version = |version: TlsVersion| match version {
        TlsVersion::V1_0 => Version::Tls1,
        TlsVersion::V1_1 => Version::Tls1_1,
        TlsVersion::V1_2 => Version::Tls1_2,
        TlsVersion::V1_3 => Version::Tls1_3,
    };
    Common {
        certificate: tls.cert_file.clone(),
        key: tls.key_file.clone(),
        authorities: tls.ca_file.clone(),
        lowest: tls.versions.lowest.map(version),
        highest: tls.versions.highest.map(version),
        ciphers: tls.ciphers.clone(),
        ciphersuites: tls.ciphersuites.clone(),
        groups: tls.curves.clone(),
        protocols: vec![PROTOCOL.into()],
        key_log,
    }
}

fn title(listen: &Listen) -> String {
    format!("listen {}:{}", listen.host.as_deref().unwrap_or("(unix socket)"), listen.port)
}
