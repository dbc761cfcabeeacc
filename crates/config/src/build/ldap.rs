//! `ldap_endpoint`: an LDAP server that knows passwords.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Secret;
use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{LdapCover, LdapEndpoint, LdapEntry};
use crate::options::Scope;
use crate::raw::Block;

const PORT: u16 = 389;
const PORT_TLS: u16 = 636;

/// All of them, by name.
pub(super) fn endpoints<'a>(
    root: &'a Block,
    complaints: &mut Complaints,
) -> HashMap<&'a str, Arc<LdapEndpoint>> {
    let mut endpoints = HashMap::new();
    for block in root.sections("ldap_endpoint") {
        let name = block.title();
        if name.is_empty() {
            complaints.error(&block.place, "ldap_endpoint name cannot be empty");
        } else if endpoints.contains_key(name) {
            let message = format!("duplicate ldap endpoint definition: {name}");
            complaints.error(&block.place, message);
        }
        endpoints.insert(name, Arc::new(endpoint(block, complaints)));
    }
    endpoints
}

fn endpoint(block: &Block, complaints: &mut Complaints) -> LdapEndpoint {
    let fields = Fields::new(Scope::LdapEndpoint, block);
    let name = block.title();
    let server = fields.string("ldapserver");
    if server.is_none() {
        let message = format!("can't prepare ldap_endpoint \"{name}\" (missing ldapserver?)");
        complaints.error(&block.place, message);
    }
    let cover = cover(fields, complaints);
    let port = match (u16::try_from(fields.integer("ldapport")), cover) {
        (Ok(port @ 1..), _) => port,
        (_, LdapCover::Tls) => PORT_TLS,
        _ => PORT,
    };
    let bind = fields
        .string("ldapbinddn")
        .map(|dn| (dn, Secret::new(fields.text("ldapbindpasswd").unwrap_or_default())));
    let server = server.unwrap_or_default();
    let (name, ca_file) = (name.to_owned(), fields.path("ldaptls_ca_file"));
    LdapEndpoint { name, server, port, cover, ca_file, bind, entry: entry(fields, complaints) }
}

fn cover(fields: Fields<'_>, complaints: &mut Complaints) -> LdapCover {
    let start_tls = fields.flag("ldaptls");
    match fields.text("ldapscheme") {
        Some("ldaps") if start_tls => {
            let message = "ldaptls asks for TLS, which ldaps has from the start";
            complaints.error(fields.place("ldaptls"), message);
            LdapCover::Tls
        }
        Some("ldaps") => LdapCover::Tls,
        Some("ldap") | None if start_tls => LdapCover::StartTls,
        Some("ldap") | None => LdapCover::Plain,
        Some(other) => {
            let message = format!("unknown ldapscheme '{other}'");
            complaints.error_with_hint(fields.place("ldapscheme"), message, "ldap or ldaps");
            LdapCover::Plain
        }
    }
}

fn entry(fields: Fields<'_>, complaints: &mut Complaints) -> LdapEntry {
    let Some(base) = fields.string("ldapbasedn") else {
        let [prefix, suffix] =
            ["ldapprefix", "ldapsuffix"].map(|name| fields.string(name).unwrap_or_default());
        return LdapEntry::Between { prefix, suffix };
    };
    let attribute = fields.string("ldapsearchattribute").unwrap_or_default();
    let filter = fields.string("ldapsearchfilter").filter(|filter| !filter.is_empty());
    if filter.as_ref().is_some_and(|it| !(it.starts_with('(') && it.ends_with(')'))) {
        let message = "ldapsearchfilter must bring its own parentheses";
        complaints.error_with_hint(
            fields.place("ldapsearchfilter"),
            message,
            "such as (objectClass=person)",
        );
    }
    LdapEntry::Search { base, attribute, filter }
}
