//! Warnings about what is right and may still hurt.

use super::check;
use crate::Format::{Conf, Yaml};

#[track_caller]
fn rule(head: &str, inside: &str, expected: &str) {
    let text = format!(
        "{head}\ndatabase \"d\" {{ user \"u\" {{ storage \"pg\" pool \"transaction\"\n{inside} }} }}"
    );
    check(Conf, &text, expected);
}

#[test]
fn who_reaches_the_port() {
    let all = "f:4:35: warning: rule 'default_db.default_user all' lets in without a password \
               whoever reaches *:1";
    let text = "log_format \"x\"\nlisten { host \"*\" port 1 }\nstorage \"pg\" { type \"remote\" host \"db\" port 5 }\n\
         database default { user default { authentication \"none\" storage \"pg\" pool \"session\" } }";
    super::check_whole(Conf, text, all);
    for quiet in ["\"127.0.0.1\"", "\"localhost\"", "\"::1\""] {
        super::check_whole(Conf, &text.replace("\"*\"", quiet), "ok");
    }
    for selector in ["\"127.0.0.0/8\"", "local"] {
        let narrow = format!("user default {selector} {{");
        super::check_whole(Conf, &text.replace("user default {", &narrow), "ok");
    }
    let network = text.replace("user default {", "user default \"10.0.0.0/8\" {");
    assert!(super::said(&network, Conf).contains("default_user 10.0.0.0/8' lets in without"));
    let clear = "authentication \"clear_text\" password \"x\"";
    let clear = text.replace("authentication \"none\"", clear);
    super::check_whole(
        Conf,
        &clear,
        "f:4:35: warning: rule 'default_db.default_user all' has passwords sent in clear over the \
         network",
    );
}

/// Against a rule whose writer believes that PAM or a token service is asked.
#[test]
fn who_is_named_and_never_asked() {
    let ldap = "ldap_endpoint \"l\" { ldapserver \"l\" }";
    for (option, value) in [
        ("auth_pam_service", "\"s\""),
        ("ldap_endpoint_name", "\"l\""),
        ("enable_mdb_iamproxy_auth", "yes"),
    ] {
        let told =
            format!("f:3:1: warning: rule 'd.u all': {option} has no effect but with clear_text");
        rule(ldap, &format!("{option} {value} authentication \"none\""), &told);
        rule(ldap, &format!("{option} {value} authentication \"clear_text\""), "ok");
    }
    rule(ldap, "enable_mdb_iamproxy_auth no authentication \"none\"", "ok");
}

#[test]
fn hashes_that_prove_nothing() {
    let hash = format!("md5{}", "0a".repeat(16));
    rule(
        "",
        &format!("authentication \"scram-sha-256\" password \"{hash}\""),
        "f:3:1: warning: rule 'd.u all': an md5 hash cannot prove a SCRAM login, nobody will get in",
    );
    rule(
        "",
        "authentication \"md5\" password \"SCRAM-SHA-256$4096:a$b:c\"",
        "f:3:1: warning: rule 'd.u all': a SCRAM verifier cannot prove an md5 login, nobody will \
         get in",
    );
    rule("", &format!("authentication \"md5\" password \"{hash}\""), "ok");
    rule("", "authentication \"scram-sha-256\" password \"md5me\"", "ok");
}

#[test]
fn leftovers() {
    rule(
        "",
        "authentication \"block\" pool_discard no",
        "f:3:24: warning: rule 'd.u all' discards nothing: temporary tables and locks of one client \
         may reach the next",
    );
    rule("", "authentication \"block\" pool_discard no pool_smart_discard yes", "ok");
    rule("", "authentication \"block\" pool_discard no pool_discard_query \"x\"", "ok");
}

#[test]
fn rules_that_nobody_meets() {
    let block = |user: &str| {
        format!("user {user} {{ authentication \"block\" storage \"pg\" pool \"session\" }}\n")
    };
    let check = |sequential: &str, users: &[&str], expected: &str| {
        let users: String = users.iter().map(|user| block(user)).collect();
        let text = format!("sequential_routing {sequential} database \"d\" {{\n{users}}}");
        check(Conf, &text, expected);
    };
    let redefined = "f:3:1: warning: rule 'd.u all' is redefined, the first one at line 2 is used";
    for sequential in ["yes", "no"] {
        check(sequential, &["\"u\"", "\"u\""], redefined);
        check(sequential, &["\"u\" local", "\"u\" host"], "ok");
        check(sequential, &["\"u\" \"10.0.0.0/8\"", "default"], "ok");
    }
    for (broad, narrow, shown) in [
        ("default", "\"u\"", "d.u all"),
        ("\"u\"", "\"u\" local", "d.u all"),
        ("\"u\" host", "\"u\" hostssl", "d.u all"),
        ("\"u\" \"10.0.0.0/8\"", "\"u\" \"10.1.0.0/16\" host", "d.u 10.1.0.0/16"),
    ] {
        let expected = format!("f:3:1: warning: rule '{shown}' is never used");
        check("yes", &[broad, narrow], &expected);
        check("no", &[broad, narrow], "ok");
        check("yes", &[narrow, broad], "ok");
    }
    check("yes", &["\"u\" \"10.0.0.0/8\"", "\"u\" \"11.0.0.0/8\""], "ok");
    check("yes", &["\"u\" hostssl", "\"u\" host"], "ok");
}

#[test]
fn traps_of_the_documentation() {
    check(
        Conf,
        "cancel_queue_timeout_ms -1\ncancel_max_inflight 0",
        "f:1:1: warning: a negative cancel_queue_timeout_ms means twice cancel_timeout_ms\n  \
         hint: Odyssey's documentation says that it waits for ever; 0 does\n\
         f:2:1: warning: cancel_max_inflight of 0 or less means two for each worker\n  \
         hint: Odyssey's documentation says that it is unlimited; nothing is",
    );
    check(Conf, "cancel_queue_timeout_ms 0\ncancel_max_inflight 1", "ok");
    check(
        Yaml,
        "listens: [{host: '::1', port: 1, tls_protocols: x}]",
        "f:1:34: warning: unknown protocol 'x' in tls_protocols, left out\n  \
         hint: tlsv1.2 or tlsv1.3, or both with a comma",
    );
}
