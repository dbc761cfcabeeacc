//! Certificates for tests, made when they are wanted: authorities, and what they sign. Keys are on
//! a curve, for they cost nothing.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAY_S: i64 = 24 * 3600;

/// A certificate and its key.
pub struct Signed {
    pub certificate: X509,
    pub key: PKey<Private>,
}

/// What a certificate is to say.
#[derive(Clone)]
pub struct Wish<'a> {
    pub common_name: &'a str,
    /// Hosts and addresses it is for.
    pub names: &'a [&'a str],
    /// Days from now, from and until.
    pub days: (i64, i64),
    /// With an RSA key, as most have.
    pub rsa: bool,
    pub hash: MessageDigest,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        let hash = MessageDigest::sha256();
        Wish { common_name: "localhost", names: &[], days: (-1, 30), rsa: false, hash }
    }
}

impl Signed {
    /// An authority that nobody else signed.
    pub fn authority(name: &str) -> Signed {
        signed(&Wish { common_name: name, ..Wish::default() }, None, true)
    }

    /// A certificate that this authority signs.
    pub fn sign(&self, wish: &Wish<'_>) -> Signed {
        signed(wish, Some(self), false)
    }

    /// A certificate that nobody else signs.
    pub fn itself(wish: &Wish<'_>) -> Signed {
        signed(wish, None, false)
    }

    /// Writes `name.crt` and `name.key`; where they are.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let at = |end: &str| directory.join(format!("{name}.{end}"));
        let (certificate, key) = (at("crt"), at("key"));
        fs::write(&certificate, self.certificate.to_pem().unwrap()).unwrap();
        fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }
}

fn signed(wish: &Wish<'_>, by: Option<&Signed>, is_authority: bool) -> Signed {
    let key = if wish.rsa {
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
    } else {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    };
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Tests").unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, wish.common_name).unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(by.map_or(&*name, |by| by.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let day = |days: i64| Asn1Time::from_unix(now + days * DAY_S).unwrap();
    builder.set_not_before(&day(wish.days.0)).unwrap();
    builder.set_not_after(&day(wish.days.1)).unwrap();
    if is_authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    if !wish.names.is_empty() {
        let mut names = SubjectAlternativeName::new();
        for name in wish.names {
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
        }
        let names = names.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(by.map_or(&key, |by| &by.key), wish.hash).unwrap();
    Signed { certificate: builder.build(), key }
}
