//! The TLS of a `listen` or `storage` section.

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{Tls, TlsMode, TlsVersion, TlsVersions};

/// Of a `listen` section, which needs a certificate.
pub(super) fn of_listen(fields: Fields<'_>, complaints: &mut Complaints) -> Tls {
    let mut tls = read(fields, complaints);
    let (mode, place) = (tls.mode, fields.place("tls"));
    let word = mode.as_str();
    if mode != TlsMode::Disable && (tls.cert_file.is_none() || tls.key_file.is_none()) {
        if mode.is_required() {
            let message = format!("tls '{word}' needs tls_cert_file and tls_key_file");
            complaints.refusal(place, message);
        } else {
            let message =
                format!("tls '{word}' without tls_cert_file and tls_key_file, plain text is used");
            complaints.warning(place, message);
            tls.mode = TlsMode::Disable;
        }
    }
    if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) && tls.ca_file.is_none() {
        complaints.refusal(place, format!("tls '{word}' needs tls_ca_file"));
    }
    tls
}

/// Of a `storage` section.
pub(super) fn of_storage(fields: Fields<'_>, complaints: &mut Complaints) -> Tls {
    let mut tls = read(fields, complaints);
    let place = fields.place("tls_negotiation");
    match fields.text("tls_negotiation").unwrap_or_default() {
        "postgres" => {}
        "direct" => tls.direct = true,
        word => {
            let message = format!("unknown tls_negotiation '{word}'");
            complaints.error_with_hint(place, message, "postgres or direct");
        }
    }
    if tls.direct && !tls.mode.is_required() {
        let hint = "require, verify_ca or verify_full: there is nothing to fall back to";
        complaints.error_with_hint(place, "tls_negotiation 'direct' needs a stricter tls", hint);
    }
    tls
}

fn read(fields: Fields<'_>, complaints: &mut Complaints) -> Tls {
    Tls {
        mode: mode(fields, complaints),
        ca_file: fields.path("tls_ca_file"),
        key_file: fields.path("tls_key_file"),
        cert_file: fields.path("tls_cert_file"),
        versions: versions(fields, complaints),
        ciphers: fields.string("tls_ciphers"),
        ciphersuites: fields.string("tls_ciphersuites"),
        curves: fields.string("tls_curves"),
        direct: false,
    }
}

fn mode(fields: Fields<'_>, complaints: &mut Complaints) -> TlsMode {
    match fields.text("tls").unwrap_or("disable") {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify_ca" => TlsMode::VerifyCa,
        "verify_full" => TlsMode::VerifyFull,
        word => {
            let hint = "disable, allow, prefer, require, verify_ca or verify_full";
            let message = format!("unknown tls mode '{word}'");
            complaints.error_with_hint(fields.place("tls"), message, hint);
            TlsMode::Disable
        }
    }
}

/// A list like `tlsv1.2,tlsv1.3`, as libtls writes it. What is unknown is left out with a warning:
/// Odyssey takes anything here.
fn versions(fields: Fields<'_>, complaints: &mut Complaints) -> TlsVersions {
    let place = fields.place("tls_protocols");
    let mut named = Vec::new();
    let list = fields.text("tls_protocols").unwrap_or_default();
    let is_between = |c: char| c.is_ascii_whitespace() || ",:;".contains(c);
    for word in list.split(is_between).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "all" | "legacy" => named.extend(TlsVersion::ALL),
            "secure" | "default" => named.extend([TlsVersion::V1_2, TlsVersion::V1_3]),
            "tlsv1" => named.push(TlsVersion::V1_0),
            known => match TlsVersion::ALL.into_iter().find(|one| one.as_str() == known) {
                Some(version) => named.push(version),
                None => {
                    let message = format!("unknown protocol '{word}' in tls_protocols, left out");
                    let hint = "tlsv1.2 or tlsv1.3, or both with a comma";
                    complaints.warning_with_hint(place, message, hint);
                }
            },
        }
    }
    let (lowest, highest) = (named.iter().min().copied(), named.iter().max().copied());
    let is_inside = |one: &TlsVersion| Some(*one) > lowest && Some(*one) < highest;
    if TlsVersion::ALL.iter().any(|one| is_inside(one) && !named.contains(one)) {
        let message = "tls_protocols has a gap, and what is in it is spoken, too";
        complaints.warning(place, message);
    }
    TlsVersions { lowest, highest }
}
