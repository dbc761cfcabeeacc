//! How one side speaks TLS: what `listen` and `storage` sections say of it.

use std::path::PathBuf;

/// How much a side insists on TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Never.
    #[default]
    Disable,
    /// If the other side asks for it; to a server: if it refuses us without.
    Allow,
    /// If the other side can.
    Prefer,
    /// Always. Certificates are checked if authorities are given.
    Require,
    /// Always, with a certificate signed by a known authority.
    VerifyCa,
    /// Always, with a certificate signed by a known authority for this host name.
    VerifyFull,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// The versions that are spoken; what is open is the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsVersions {
    /// None older.
    pub lowest: Option<TlsVersion>,
    /// None newer.
    pub highest: Option<TlsVersion>,
}

/// One side's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// How much it insists.
    pub mode: TlsMode,
    /// Certificates of authorities that sign the other side.
    pub ca_file: Option<PathBuf>,
    /// Our private key.
    pub key_file: Option<PathBuf>,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Which versions.
    pub versions: TlsVersions,
    /// Ciphers up to TLS 1.2, in OpenSSL's words.
    pub ciphers: Option<String>,
    /// Ciphers of TLS 1.3, in OpenSSL's words.
    pub ciphersuites: Option<String>,
    /// Groups of the key exchange, in OpenSSL's words.
    pub curves: Option<String>,
    /// To a server: TLS from the first byte, without asking for it (PostgreSQL 17).
    pub direct: bool,
}

impl TlsMode {
    /// Is there nothing but TLS?
    pub fn is_required(self) -> bool {
        matches!(self, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull)
    }

    /// The word for it in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsMode::Disable => "disable",
            TlsMode::Allow => "allow",
            TlsMode::Prefer => "prefer",
            TlsMode::Require => "require",
            TlsMode::VerifyCa => "verify_ca",
            TlsMode::VerifyFull => "verify_full",
        }
    }
}

impl TlsVersions {
    /// As a file lists them; None: those of the system.
    pub fn list(self) -> Option<String> {
        let is_spoken = |one: &TlsVersion| {
            self.lowest.is_none_or(|low| low <= *one)
                && self.highest.is_none_or(|high| *one <= high)
        };
        self.lowest.or(self.highest)?;
        let spoken = TlsVersion::ALL.into_iter().filter(is_spoken).map(TlsVersion::as_str);
        Some(spoken.collect::<Vec<_>>().join(","))
    }
}

impl TlsVersion {
    /// Oldest first.
    pub const ALL: [TlsVersion; 4] =
        [TlsVersion::V1_0, TlsVersion::V1_1, TlsVersion::V1_2, TlsVersion::V1_3];

    /// The word for it in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_0 => "tlsv1.0",
            TlsVersion::V1_1 => "tlsv1.1",
            TlsVersion::V1_2 => "tlsv1.2",
            TlsVersion::V1_3 => "tlsv1.3",
        }
    }
}
