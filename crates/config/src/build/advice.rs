//! What is right and may still hurt: combinations that are less safe than they look, and options
//! that do not do what Odyssey's documentation says. It only warns.

use std::net::IpAddr;
use std::sync::Arc;

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{
    AddressSelector, Authentication, ConnectionType, Listen, Rule, StorageKind, TlsMode,
};
use crate::raw::{Block, Value};

/// An option whose value does something else than its writer may have read.
struct Trap {
    section: &'static str,
    option: &'static str,
    springs: fn(&Value) -> bool,
    message: &'static str,
    hint: &'static str,
}

const TRAPS: [Trap; 4] = [
    Trap {
        section: "",
        option: "cancel_queue_timeout_ms",
        springs: |value| matches!(value, Value::Integer(..=-1)),
        message: "a negative cancel_queue_timeout_ms means twice cancel_timeout_ms",
        hint: "Odyssey's documentation says that it waits for ever; 0 does",
    },
    Trap {
        section: "",
        option: "cancel_max_inflight",
        springs: |value| matches!(value, Value::Integer(..=0)),
        message: "cancel_max_inflight of 0 or less means two for each worker",
        hint: "Odyssey's documentation says that it is unlimited; nothing is",
    },
    Trap {
        section: "listen",
        option: "host",
        springs: |value| matches!(value, Value::Text(text) if text.contains(',')),
        message: "listen takes one host",
        hint: "Odyssey's documentation shows a list; write a listen section for each",
    },
    Trap {
        section: "group",
        option: "group_query",
        springs: |value| matches!(value, Value::Text(text) if text.contains("$1")),
        message: "group_query gets no parameters",
        hint: "Odyssey's documentation says that $1 is the user; the query has to return all of \
               the members' names",
    },
];

/// Options of the whole tree.
pub(super) fn traps(block: &Block, complaints: &mut Complaints) {
    let keyword = block.keyword();
    for trap in TRAPS.iter().filter(|trap| trap.section == keyword) {
        for setting in block.settings.iter().filter(|setting| setting.row.name == trap.option) {
            if (trap.springs)(&setting.value) {
                complaints.warning_with_hint(&setting.place, trap.message, trap.hint);
            }
        }
    }
    block.blocks.iter().for_each(|inner| traps(inner, complaints));
}

/// The first `listen` that others than this machine can reach.
pub(super) fn exposed(listens: &[Listen]) -> Option<&Listen> {
    listens.iter().find(|listen| match listen.host.as_deref() {
        None | Some("localhost") => false,
        Some(host) => !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    })
}

/// One rule, with the first `listen` that others can reach.
pub(super) fn rule(
    rule: &Arc<Rule>,
    fields: Fields<'_>,
    exposed: Option<&Listen>,
    complaints: &mut Complaints,
) {
    if let Some(listen) = exposed.filter(|_| reaches_out(rule)) {
        wire(rule, fields, listen, complaints);
    }
    verifier(rule, fields, complaints);
    idle_checkers(rule, fields, complaints);
    leftovers(rule, fields, complaints);
}

/// Whether clients from other machines can meet it.
fn reaches_out(rule: &Rule) -> bool {
    let local = match rule.address {
        AddressSelector::Network { address, .. } => address.is_loopback(),
        _ => false,
    };
    !local && rule.connection != ConnectionType::Local
}

/// What others could do who reach it, or hear it.
fn wire(rule: &Rule, fields: Fields<'_>, listen: &Listen, complaints: &mut Complaints) {
    let host = listen.host.as_deref().unwrap_or_default();
    let place = fields.place("authentication");
    match rule.authentication {
        Authentication::None => {
            let what = match rule.storage.kind {
                StorageKind::Remote => "whoever",
                StorageKind::Local => "the console: whoever",
            };
            let message = format!(
                "rule '{rule}' lets in without a password {what} reaches {host}:{}",
                listen.port
            );
            let hint = "listen on 127.0.0.1, give the rule an address, or ask for a password";
            complaints.warning_with_hint(place, message, hint);
        }
        Authentication::ClearText | Authentication::External
            if is_readable(rule, listen.tls.mode) =>
        {
            let message = format!("rule '{rule}' has passwords sent in clear over the network");
            let hint =
                "scram-sha-256 does not send them; hostssl with tls on the listen hides them";
            complaints.warning_with_hint(place, message, hint);
        }
        _ => {}
    }
}

fn is_readable(rule: &Rule, tls: TlsMode) -> bool {
    !tls.is_required() && rule.connection != ConnectionType::HostSsl
}

/// A stored hash proves nothing to the other method.
fn verifier(rule: &Rule, fields: Fields<'_>, complaints: &mut Complaints) {
    let Some(password) = rule.password.as_ref().map(crate::Secret::reveal) else { return };
    let is_md5 = password.strip_prefix("md5").is_some_and(|hash| {
        hash.len() == 32 && hash.chars().all(|letter| letter.is_ascii_hexdigit())
    });
    let is_scram = password.starts_with("SCRAM-SHA-256$");
    let message = match rule.authentication {
        Authentication::ScramSha256 if is_md5 => "an md5 hash cannot prove a SCRAM login",
        Authentication::Md5 if is_scram => "a SCRAM verifier cannot prove an md5 login",
        _ => return,
    };
    let message = format!("rule '{rule}': {message}, nobody will get in");
    let hint = "store the password as the method wants it, or change authentication";
    complaints.warning_with_hint(fields.place("authentication"), message, hint);
}

/// Somebody who is named to check passwords, and never asked.
fn idle_checkers(rule: &Rule, fields: Fields<'_>, complaints: &mut Complaints) {
    if rule.authentication == Authentication::ClearText {
        return;
    }
    let named = |option| match option {
        "enable_mdb_iamproxy_auth" => fields.flag(option),
        // Who clients become may be LDAP's to say, whatever they prove themselves with.
        "ldap_endpoint_name" => fields.is_set(option) && rule.ldap_credentials.is_none(),
        _ => fields.is_set(option),
    };
    let options = ["enable_mdb_iamproxy_auth", "ldap_endpoint_name", "auth_pam_service"];
    for option in options.into_iter().filter(|option| named(option)) {
        let message = format!("rule '{rule}': {option} has no effect but with clear_text");
        let hint = "nobody is asked about passwords by this rule's authentication";
        complaints.warning_with_hint(fields.place(option), message, hint);
    }
}

/// What one client leaves behind for the next.
fn leftovers(rule: &Rule, fields: Fields<'_>, complaints: &mut Complaints) {
    let cleans = rule.pool_discard || rule.pool_smart_discard || rule.pool_discard_query.is_some();
    if cleans || !fields.is_set("pool_discard") || rule.storage.kind == StorageKind::Local {
        return;
    }
    let message = format!(
        "rule '{rule}' discards nothing: temporary tables and locks of one client may reach the next"
    );
    let hint = "leave pool_discard out, or set pool_smart_discard";
    complaints.warning_with_hint(fields.place("pool_discard"), message, hint);
}
