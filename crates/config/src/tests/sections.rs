//! Input and exact complaints: listens, storages, rules and what they refer to.

use super::{check, check_whole};
use crate::Format::{Conf, Yaml};
use crate::SessionState;

#[test]
fn everything_is_told_at_once() {
    check_whole(
        Conf,
        "",
        "f: log_format is not defined\n\
         f: no storage sections defined\nf: no listen sections defined\nf: no rules defined",
    );
    check_whole(
        Conf,
        "log_format \"x\" workers 0\nlisten { }\nstorage \"a\" { }\nstorage \"a\" { type \"b\" }\n\
         database \"\" { user \"u\" { keepalive -1 } }",
        "f:1:16: bad workers number\n\
         f:2:1: listen section is missing 'port'\n\
         f:2:1: listen host is not set and no unix_socket_dir is specified\n\
         f:3:1: storage 'a': 'type' is required\n\
         f:4:1: duplicate storage definition 'a'\n\
         f:4:15: storage 'a': unknown type 'b'\n\
         f:5:1: invalid name for database\n\
         f:5:15: rule '.u all': no rule storage is specified\n\
         f:5:15: rule '.u all': pooling mode is not set\n\
         f:5:15: rule '.u all': authentication mode is not defined\n\
         f:5:26: keepalive must be non-negative",
    );
}

#[test]
fn listens() {
    let listen = |inside: &str| format!("listen {{ host \"::1\" port 1\n{inside} }}");
    check(Conf, &listen("backlog -1"), "f:2:1: backlog must be non-negative");
    check(Conf, &listen("tls \"maybe\""), "f:2:1: unknown tls mode 'maybe'");
    check(Conf, &listen("storage \"nowhere\""), "f:2:1: unknown storage 'nowhere'");
    check(
        Conf,
        &listen("target_session_attrs \"x\""),
        "f:2:1: can't parse target session attrs from 'x'",
    );
    // The last three end Odyssey at the first query.
    for method in ["dice", "weighted", "weightedleastconn", "responsetime"] {
        check(
            Conf,
            &listen(&format!("catchup_timeout 5 balancing_method \"{method}\"")),
            &format!("f:2:19: not implemented balancing method '{method}'"),
        );
    }
    check(Conf, &listen("balancing_method \"leastconn\" storage \"pg\" storage \"pg\""), "ok");
    check(
        Conf,
        "storage \"console\" { type \"local\" } listen { host \"::1\" port 1 storage \"console\" }",
        "f:1:63: warning: storage 'console' is the console, to which rules lead",
    );
    check(
        Conf,
        &listen("compression no"),
        "f:2:1: warning: option 'compression' is deprecated and ignored",
    );
    check(
        Conf,
        "listen { port 70000 host \"::1\" }",
        "f:1:10: value for option 'port' must be between 1 and 65535",
    );
    check(
        Yaml,
        "listens: [{port: 1}, 5]",
        "f:1:11: listen host is not set and no unix_socket_dir is specified\n\
         f:1:22: here a map of options is expected",
    );
}

#[test]
fn storages() {
    let storage = |inside: &str| format!("storage \"s\" {{ type \"remote\"\n{inside} }}");
    check(
        Conf,
        &storage("host \"h\""),
        "f:2:1: warning: storage 's': a host without a port, 5432 is used",
    );
    check(Conf, &storage("host \"h::\" port 1"), "f:2:1: can't parse endpoints from 'h::'");
    check(Conf, &storage("host \"a:1,b:2\""), "ok");
    check(
        Conf,
        &storage(""),
        "f:1:1: storage 's': no host specified and unix_socket_dir is not set",
    );
    let balancing = |inside: &str| storage(&format!("host \"h:1\" balancing {{\n{inside} }}"));
    check(Conf, &balancing("method \"leastconn\" { az_aware no }"), "ok");
    check(
        Conf,
        &balancing("method \"dice\" { }"),
        "f:3:1: not implemented balancing method 'dice'",
    );
    check(
        Conf,
        &balancing("method \"roundrobin\" { }\nmethod \"roundrobin\" { }"),
        "f:4:1: balancing method is redefined",
    );
    check(
        Conf,
        &storage("host \"h:1\"\nwatchdog { storage \"s\" priority 1 }"),
        "f:3:24: syntax error, unexpected priority, expecting '}'\n  \
         hint: 'priority' belongs into the top level",
    );
    let watchdog = |inside: &str| {
        let all = format!("{inside} pool \"session\" authentication \"none\"");
        storage(&format!("host \"h:1\" watchdog {{\nstorage_db \"d\" {all} }}"))
    };
    let query = "storage \"s\" storage_user \"u\" watchdog_lag_query \"q\"";
    check(Conf, &watchdog(query), "ok");
    check(
        Conf,
        &watchdog("storage \"pg\""),
        "f:2:12: warning: watchdog without storage_user: it logs in with 'watchdog_int' for it\n\
         f:3:16: warning: the watchdog of storage 's' asks the hosts of that storage",
    );
    check(
        Conf,
        &watchdog("storage \"s\" storage_user \"u\" group_query \"x\""),
        "f:3:45: group_query is not allowed outside group, rule watchdog_int.watchdog_int",
    );
    check(
        Conf,
        "conn_drop_options { }\nonline_restart_drop_options { rate 0 }",
        "f:2:1: conn_drop_options is redefined\n\
         f:2:31: value for option 'rate' must be between 1 and 2147483647",
    );
}

#[test]
fn sections_that_are_not_built() {
    check(
        Conf,
        "shared_pool \"a\" { }\nshared_pool \"a\" { pool_size 0 }\nshared_pool \"\" { pool_size 1 }",
        "f:1:1: pool_size is required in shared_pool 'a'\n\
         f:2:1: duplicate shared_pool definition 'a'\n\
         f:2:19: shared_pool 'a' pool_size must be positive\n\
         f:3:1: shared_pool name cannot be empty",
    );
    check(
        Conf,
        "ldap_endpoint \"a\" { }\nldap_endpoint \"a\" { ldapserver \"x\" }",
        "f:1:1: can't prepare ldap_endpoint \"a\" (missing ldapserver?)\n\
         f:2:1: duplicate ldap endpoint definition: a",
    );
    check(
        Conf,
        "soft_oom { process \"x\" drop { signal \"SIGFOO\" } }",
        "f:1:1: limit is not set for soft_oom\nf:1:31: can't parse signal from 'SIGFOO'",
    );
    check(
        Yaml,
        "query_parsing: {mode: full}",
        "f:1:17: full mode of query parsing is not supported now",
    );
}

/// A rule of database `d`, user `u`, that holds together if nothing is added on its second line.
#[track_caller]
fn rule(inside: &str, expected: &str) {
    let text = format!("database \"d\" {{ user \"u\" {{ storage \"pg\"\n{inside}\n}} }}");
    check(Conf, &text, expected);
}

#[test]
fn rules_lack_something() {
    rule("pool \"session\" authentication \"none\"", "ok");
    rule("pool \"session\"", "f:1:16: rule 'd.u all': authentication mode is not defined");
    rule("authentication \"none\"", "f:1:16: rule 'd.u all': pooling mode is not set");
    rule(
        "pool \"x\" authentication \"y\"",
        "f:2:1: rule 'd.u all': unknown pooling mode\n\
         f:2:10: rule 'd.u all': has unknown authentication mode",
    );
    for method in ["clear_text", "md5", "scram-sha-256"] {
        let lines = format!("pool \"session\" authentication \"{method}\"");
        rule(&lines, "f:2:16: rule 'd.u all': password is not set");
        rule(&format!("{lines} password \"x\""), "ok");
    }
    check(
        Conf,
        "database \"d\" { user \"u\" { storage \"x\" pool \"session\" authentication \"none\" } }",
        "f:1:27: unknown storage 'x'",
    );
}

#[test]
fn rules_contradict_themselves() {
    let rule = |inside: &str, expected: &str| {
        rule(&format!("authentication \"none\"\n{inside}"), expected);
    };
    rule(
        "pool \"session\" pool_pin_on_listen yes",
        "f:3:16: setting pool_pin_on_listen with session pool for d.u makes no sense",
    );
    rule(
        "pool \"session\" pool_smart_discard yes",
        "f:3:16: rule 'd.u all': pool smart discard is forbidden without using prepared statements \
         support",
    );
    rule(
        "pool \"transaction\" pool_discard_query \"x; deallocate All\"",
        "f:3:20: rule 'd.u all': cannot support prepared statements when 'DEALLOCATE ALL' present in \
         discard string",
    );
    rule("pool \"session\" pool_discard_query \"DEALLOCATE ALL\"", "ok");
    rule(
        "pool \"session\" role \"admin\"",
        "f:3:16: rule 'd.u all': role set for non-local storage",
    );
    rule(
        "pool \"session\" shared_pool \"x\" pool_size 1",
        "f:3:16: unknown shared_pool 'x'\n\
         f:3:16: shared_pool and pool_size can't be set simultaneously",
    );
    rule(
        "pool \"session\" pool_size 2 min_pool_size 3",
        "f:3:28: warning: rule 'd.u all': min_pool_size is above pool_size, which is used",
    );
    rule(
        "pool \"session\" group_query \"x\"",
        "f:3:16: group_query is not allowed outside group, rule d.u",
    );
    rule("pool \"session\" quantiles \"0.9,2\"", "f:3:16: can't parse quantiles from '0.9,2'");
    rule(
        "pool \"session\" pool_routing \"x\"",
        "f:3:16: rule 'd.u all': unknown pool routing mode",
    );
    rule(
        "pool \"transaction\" pool_session_state \"x\"",
        "f:3:20: rule 'd.u all': unknown pool session state",
    );
    rule(
        "pool \"session\" client_max 0",
        "f:3:16: value for option 'client_max' must be between 1 and 2147483647",
    );
}

#[test]
fn rules_are_rewritten() {
    let rule = |inside: &str, expected: &str| {
        rule(&format!("authentication \"none\"\n{inside}"), expected);
    };
    rule("pool \"transaction\"", "ok");
    rule(
        "pool \"transaction\" pool_discard yes",
        "f:3:20: warning: rule 'd.u all': replace pool_discard with pool_smart_discard due to prepared \
         statements reserving",
    );
    rule(
        "pool \"session\" pool_reserve_prepared_statement yes",
        "f:3:16: warning: rule 'd.u all': disable prepared statements reserving due to session pooling",
    );
    check(
        Conf,
        "storage \"l\" { type \"local\" }\n\
         database \"c\" { user \"u\" { storage \"l\" pool \"session\" authentication \"none\" } }",
        "f:2:16: warning: rule 'c.u all': force stat role for local storage",
    );
    rule("pool \"session\" pool_routing \"internal\"", "ok");
}

/// What is written of LISTEN, even Odyssey's default, is not what is left out.
#[test]
fn what_becomes_of_a_client_that_leaves_something() {
    for (options, state, listen) in [
        ("", SessionState::Pin, None),
        ("pool_session_state \"pin\" pool_pin_on_listen no", SessionState::Pin, Some(false)),
        ("pool_session_state \"reset\" pool_pin_on_listen yes", SessionState::Reset, Some(true)),
        ("pool_session_state \"error\"", SessionState::Error, None),
    ] {
        let text = format!(
            "log_format \"%m\" listen {{ host \"::1\" port 1 }}\n\
             storage \"pg\" {{ type \"remote\" host \"h\" port 1 }}\n\
             database \"d\" {{ user \"u\" {{ storage \"pg\" authentication \"none\" \
             pool \"transaction\" {options} }} }}"
        );
        let loaded = crate::parse("f", &text, Conf).expect("it holds together");
        let rule = &loaded.config.rules[0];
        assert_eq!(
            (rule.pool_session_state, rule.pool_pin_on_listen),
            (state, listen),
            "{options}"
        );
        assert_eq!(loaded.warnings, [], "{options}");
    }
}

#[test]
fn selectors() {
    let with = |selector: &str, expected: &str| {
        let text = format!(
            "database \"d\" {{ user \"u\" {selector} {{ storage \"pg\" pool \"session\" \
             authentication \"none\" }} }}"
        );
        check(Conf, &text, expected);
    };
    with("\"10.0.0.0/8\" hostssl", "ok");
    with("local \"::/0\"", "ok");
    with(
        "\"10.0.0.0/-1\"",
        "f:1:25: warning: address '10.0.0.0/-1' has host bits set, 0.0.0.0/0 is used",
    );
    with(
        "\"10.0.0.5/8\"",
        "f:1:25: warning: address '10.0.0.5/8' has host bits set, 10.0.0.0/8 is used",
    );
    with("\"10.0.0.5\"", "f:1:25: expected network mask in '10.0.0.5'");
    with("\"10.0.0.5/33\"", "f:1:25: invalid network prefix length in '10.0.0.5/33'");
    with("\"::1/129\"", "f:1:25: invalid network prefix length in '::1/129'");
    with("\".example.org\"", "ok");
    with("\"localhost\" host", "ok");
    with("\"example.org/8\"", "f:1:25: invalid address or hostname: 'example.org/8'");
    with("\"what is this\"", "f:1:25: invalid address or hostname: 'what is this'");
    with("host host", "f:1:30: syntax error, unexpected host, expecting '{'");
    with(
        "\"10.0.0.0/8\" { } user \"u\" \"10.0.0.0/8\"",
        "f:1:16: rule 'd.u 10.0.0.0/8': no rule storage is specified\n\
         f:1:16: rule 'd.u 10.0.0.0/8': pooling mode is not set\n\
         f:1:16: rule 'd.u 10.0.0.0/8': authentication mode is not defined",
    );
}

#[test]
fn the_same_rule_twice() {
    let rest = "{ storage \"pg\" pool \"session\" authentication \"none\" }";
    let user = &format!("user \"u\" {rest}");
    check(
        Conf,
        &format!(
            "database \"d\" {{\nuser \"u\" \"10.0.0.0/8\" {rest}\n\
             user \"u\" \"10.0.0.1/8\" {rest} }}"
        ),
        "f:3:1: warning: rule 'd.u 10.0.0.1/8' is redefined, the first one at line 2 is used\n\
         f:3:10: warning: address '10.0.0.1/8' has host bits set, 10.0.0.0/8 is used",
    );
    check(
        Conf,
        &format!("database \"d\" {{\n{user}\n{user} }}"),
        "f:3:1: warning: rule 'd.u all' is redefined, the first one at line 2 is used",
    );
}

#[test]
fn groups() {
    let group = |inside: &str, expected: &str| {
        let text = format!(
            "database \"d\" {{ group \"g\" {{ storage \"pg\" pool \"session\"\n{inside} }} }}"
        );
        check(Conf, &text, expected);
    };
    let asks = "group_query \"q\" group_query_user \"u\" group_query_db \"d\"";
    let service = "} user default { storage \"pg\" pool \"session\" authentication \"none\" \
                   pool_routing \"internal\"";
    for method in ["none", "block"] {
        group(&format!("authentication \"{method}\" {asks} {service}"), "ok");
    }
    let lonely = "rule 'd.group_g all': no internal rule for d.u, so the group has no members; a \
                  rule with pool_routing \"internal\" says how group_query gets to a server";
    group(&format!("authentication \"none\" {asks}"), &format!("f:1:16: warning: {lonely}"));
    group(
        &format!("authentication \"block\" {asks}"),
        &format!(
            "f:1:16: {lonely}\n\
             \x20 hint: running without it would be less secure than this file asks for"
        ),
    );
    group(
        "authentication \"none\" group_query_db \"d\"",
        "f:1:16: rule 'd.group_g all': group_query is not set\n\
         f:1:16: rule 'd.group_g all': group_query_user is not set",
    );
}

#[test]
fn a_minimum_is_kept_where_both_names_are_known() {
    let parsed = |database: &str, options: &str| {
        let text = format!(
            "log_format \"%m\" listen {{ host \"::1\" port 1 }} shared_pool \"s\" {{ pool_size 7 }}\n\
             storage \"pg\" {{ type \"remote\" host \"h\" port 1 }}\n\
             database {database} {{ user \"u\" {{ storage \"pg\" authentication \"none\" \
             pool \"session\" {options} }} }}"
        );
        crate::parse("f", &text, Conf).expect("it holds together")
    };
    for (database, options, min, warns) in [
        ("\"d\"", "min_pool_size 3", 3, None),
        ("\"d\"", "min_pool_size 3 pool_size 2", 2, Some("is above pool_size")),
        ("default", "min_pool_size 3", 0, Some("is ignored where the database or user is default")),
        ("\"d\"", "min_pool_size 3 shared_pool \"s\"", 0, Some("is ignored with shared_pool")),
    ] {
        let loaded = parsed(database, options);
        let rule = &loaded.config.rules[0];
        assert_eq!(rule.min_pool_size, min, "{options}");
        let told: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.clone()).collect();
        assert_eq!(told.len(), usize::from(warns.is_some()), "{told:?}");
        assert!(warns.is_none_or(|text| told[0].contains(text)), "{told:?}");
    }
    let shared = parsed("\"d\"", "shared_pool \"s\" pool_notice_after_waiting_ms 0");
    let rule = &shared.config.rules[0];
    let pool = rule.shared_pool.as_ref().map(|pool| (pool.name.as_str(), pool.pool_size));
    assert_eq!((pool, rule.pool_size), (Some(("s", Some(7))), None));
    assert_eq!(rule.pool_notice_after_waiting, Some(std::time::Duration::ZERO));
}

#[test]
fn what_ldap_grants() {
    let rule = |ldap: &str, inside: &str| {
        format!(
            "storage \"s\" {{ type \"remote\" host \"h:1\" }} ldap_endpoint \"l\" {{ ldapserver \
             \"x\" }} database \"d\" {{ user \"u\" {{ storage \"s\" pool \"session\" {ldap}\n\
             {inside} }} }}"
        )
    };
    let asks = "authentication \"none\" ldap_endpoint_name \"l\" \
                ldap_storage_credentials_attr \"memberOf\"";
    let grant = |name: &str, user: &str, password: &str| {
        format!(
            "ldap_storage_credentials \"{name}\" {{ ldap_storage_username \"{user}\" \
             ldap_storage_password \"{password}\" }}\n"
        )
    };
    let both = |a: &str, b: &str| grant("a", "u", a) + &grant("b", "u", b);
    check(Conf, &rule(asks, &both("1", "1")), "ok");
    check(
        Conf,
        &rule(asks, &both("1", "2")),
        "f:3:1: ldap_storage_credentials 'b': 'u' has another password in 'a'",
    );
    check(
        Conf,
        &rule(asks, &(grant("a", "u", "1") + &grant("a", "v", "1"))),
        "f:3:1: ldap_storage_credentials name 'a' is redefined",
    );
    check(
        Conf,
        &rule("authentication \"none\"", &grant("a", "u", "1")),
        "f:2:1: warning: ldap_storage_credentials has no effect without \
         ldap_storage_credentials_attr",
    );
    check(
        Conf,
        &rule("authentication \"none\"", "ldap_storage_credentials_attr \"a\""),
        "f:2:1: ldap endpoint is not set, but storage cred attrs is\n  \
         hint: set ldap_endpoint_name too",
    );
    let with = |option: &str| rule(asks, &format!("{option}\n{}", grant("a", "u", "1")));
    check(
        Conf,
        &with("storage_user \"x\""),
        "f:2:1: warning: rule 'd.u all': storage_user has no effect with \
         ldap_storage_credentials_attr",
    );
    check(
        Conf,
        &with("min_pool_size 1"),
        "f:2:1: warning: rule 'd.u all': min_pool_size is ignored with \
         ldap_storage_credentials_attr",
    );
}
