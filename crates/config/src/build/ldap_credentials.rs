//! `ldap_storage_credentials`: whom clients of a rule become at the server by what LDAP says of
//! them. It complains in Odyssey's words, and of what Odyssey takes and cannot mean.

use std::collections::HashMap;

use super::Known;
use super::rule::Reading;
use crate::Secret;
use crate::fields::Fields;
use crate::model::{Endpoint, LdapCredentials, LdapGrant, Storage};
use crate::options::Scope;

const ATTRIBUTE: &str = "ldap_storage_credentials_attr";

pub(super) fn read(
    reading: &mut Reading<'_>,
    known: &Known<'_>,
    storage: Option<&Storage>,
) -> Option<LdapCredentials> {
    let fields = reading.fields;
    let grants = grants(reading);
    let Some(attribute) = fields.string(ATTRIBUTE) else {
        if let Some(first) = fields.block.sections("ldap_storage_credentials").next() {
            let message = format!("ldap_storage_credentials has no effect without {ATTRIBUTE}");
            reading.complaints.warning(&first.place, message);
        }
        return None;
    };
    if grants.is_empty() {
        let message = "no ldap_storage_credentials: nobody can get a server";
        reading.warning(ATTRIBUTE, message);
    }
    if fields.is_set("storage_user") {
        let message = format!("storage_user has no effect with {ATTRIBUTE}");
        reading.warning("storage_user", &message);
    }
    let Some(endpoint) = fields.text("ldap_endpoint_name") else {
        let message = "ldap endpoint is not set, but storage cred attrs is";
        let hint = "set ldap_endpoint_name too";
        reading.complaints.error_with_hint(fields.place(ATTRIBUTE), message, hint);
        return None;
    };
    let host = match storage?.endpoints.first() {
        Some(Endpoint::Tcp { host, .. }) => host.clone(),
        _ => {
            let message = "values of the attribute begin with the storage's host, which has none";
            reading.error(ATTRIBUTE, message);
            return None;
        }
    };
    // That there is one of that name is checked elsewhere.
    let endpoint = known.ldap_endpoints.get(endpoint)?.clone();
    Some(LdapCredentials { endpoint, attribute, host, grants })
}

fn grants(reading: &mut Reading<'_>) -> Vec<LdapGrant> {
    let mut passwords: HashMap<String, (String, Secret)> = HashMap::new();
    let mut grants: Vec<LdapGrant> = Vec::new();
    for block in reading.fields.block.sections("ldap_storage_credentials") {
        let (name, place) = (block.title(), &block.place);
        if name.is_empty() || grants.iter().any(|other| other.name == name) {
            let what = if name.is_empty() { "empty" } else { "redefined" };
            let message = format!("ldap_storage_credentials name '{name}' is {what}");
            reading.complaints.error(place, message);
        }
        let grant = grant(name, Fields::new(Scope::LdapCredentials, block), reading);
        let first = passwords.entry(grant.user.clone());
        let (other, password) = first.or_insert_with(|| (name.to_owned(), grant.password.clone()));
        // They share a pool, whose servers are opened with one password.
        if *password != grant.password {
            let user = &grant.user;
            let message = format!(
                "ldap_storage_credentials '{name}': '{user}' has another password in '{other}'"
            );
            reading.complaints.error(place, message);
        }
        grants.push(grant);
    }
    grants
}

fn grant(name: &str, fields: Fields<'_>, reading: &mut Reading<'_>) -> LdapGrant {
    for option in ["ldap_storage_username", "ldap_storage_password"] {
        let twin = fields.is_set(&format!("{option}_file"));
        if !twin && fields.text(option).is_none_or(str::is_empty) {
            let message = format!("{option} is not set for ldap_storage_credentials '{name}'");
            reading.complaints.error(fields.place(option), message);
        }
    }
    let [user, password] = ["ldap_storage_username", "ldap_storage_password"]
        .map(|option| fields.string(option).unwrap_or_default());
    LdapGrant { name: name.to_owned(), user, password: Secret::new(password) }
}
