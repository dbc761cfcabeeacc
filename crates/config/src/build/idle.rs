//! Sections that are not built yet: nothing is made of them, but mistakes in them are told as
//! Odyssey would.

use std::collections::HashSet;

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::options::Scope;
use crate::raw::Block;

/// The names of the LDAP servers.
pub(super) fn ldap_endpoints<'a>(root: &'a Block, complaints: &mut Complaints) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for block in root.sections("ldap_endpoint") {
        let name = block.title();
        if name.is_empty() {
            complaints.error(&block.place, "ldap_endpoint name cannot be empty");
        } else if !names.insert(name) {
            let message = format!("duplicate ldap endpoint definition: {name}");
            complaints.error(&block.place, message);
        }
    }
    names
}

pub(super) fn check(root: &Block, complaints: &mut Complaints) {
    for block in root.sections("ldap_endpoint") {
        if !Fields::new(Scope::LdapEndpoint, block).is_set("ldapserver") {
            let name = block.title();
            let message = format!("can't prepare ldap_endpoint \"{name}\" (missing ldapserver?)");
            complaints.error(&block.place, message);
        }
    }
    for block in root.sections("query_parsing") {
        let fields = Fields::new(Scope::QueryParsing, block);
        if fields.text("mode") == Some("full") {
            let message = "full mode of query parsing is not supported now";
            complaints.error(fields.place("mode"), message);
        }
    }
}
