//! Input and exact complaints.

use super::{check, check_whole};
use crate::Format::{Conf, Yaml};

#[test]
fn conf_words() {
    check(Conf, "", "ok");
    check(Conf, "workers 1 log_debug no # all on one line", "ok");
    check(Conf, "workers 1; log_debug no", "f:1:10: unexpected character ';'");
    check(Conf, "log_file '/tmp/x'", "f:1:10: unexpected character '''");
    check(Conf, "workers 99999999999999999999", "f:1:9: number is out of range");
    check(Conf, "workers -", "f:1:9: unexpected character '-'");
    check(
        Conf,
        "workers 1k",
        "f:1:9: syntax error, unexpected SIZE_NUMBER, expecting NUMBER or STRING",
    );
    check(
        Conf,
        "log_debug \"yes\"",
        "f:1:11: syntax error, unexpected STRING, expecting yes or no",
    );
    check(Conf, "keepalive yes", "f:1:11: syntax error, unexpected yes, expecting NUMBER");
    check_whole(
        Conf,
        "log_file \"never ends",
        "f:1:10: unexpected character '\"'\n  hint: the string that starts here never ends",
    );
}

#[test]
fn conf_unknown_words_get_a_hint() {
    check(
        Conf,
        "log_debu yes",
        "f:1:1: syntax error, unexpected IDENT, expecting end of file\n  \
         hint: unknown directive 'log_debu'; did you mean 'log_debug'?",
    );
    check(
        Conf,
        "foo 1",
        "f:1:1: syntax error, unexpected IDENT, expecting end of file\n  \
         hint: unknown directive 'foo'",
    );
    check(
        Conf,
        "listen {\n  port 1\n  pool_size 2\n}",
        "f:3:3: syntax error, unexpected pool_size, expecting '}'\n  \
         hint: 'pool_size' belongs into database / user or group, shared_pool",
    );
    check(
        Conf,
        "query_parsing { mode \"minimal\" }",
        "f:1:22: syntax error, unexpected STRING, expecting disabled or minimal or full",
    );
    check(
        Conf,
        "database \"a\" { user \"b\" sometimes { } }",
        "f:1:25: syntax error, unexpected IDENT, expecting '{'",
    );
    check(Conf, "}", "f:1:1: syntax error, unexpected '}', expecting end of file");
    check_whole(
        Conf,
        "listen { port 1",
        "f:1:16: syntax error, unexpected end of file, expecting '}'",
    );
}

#[test]
fn a_string_may_end_in_a_backslash() {
    let warning = "f:1:10: warning: this string ends in a backslash; Odyssey would read on";
    check(Conf, "log_file \"dir\\\"\nlog_debug no", warning);
    check(Conf, "locks_dir \"a\\\"b\"\nlog_file \"c\"", "ok");
    check(Conf, "locks_dir \"p\\\"#x\"\nlog_debug no", "ok"); // a password may look so, too
    check(Conf, "locks_dir \"SELECT \\\"a\\\"\nFROM \\\"b\\\"\"", "ok");
}

#[test]
fn yaml_words() {
    check(Yaml, "", "ok");
    check(Yaml, "log_debug: true\nlog_query: no", "ok");
    check(Yaml, "log_debug: maybe", "f:1:12: option 'log_debug' expects yes or no");
    check(Yaml, "log_debug: \"yes\"", "f:1:12: option 'log_debug' expects yes or no");
    check(Yaml, "keepalive: \"15\"\nlog_file: 12", "ok");
    check(Yaml, "keepalive: soon", "f:1:12: option 'keepalive' expects a number");
    check(Yaml, "log_file:", "f:1:9: option 'log_file' expects a string");
    check(Yaml, "log_file: [a]", "f:1:11: option 'log_file' expects a string");
    check(
        Yaml,
        "log_debu: yes",
        "f:1:1: unknown directive 'log_debu'\n  hint: did you mean 'log_debug'?",
    );
    check(
        Yaml,
        "pool_size: 1\nfoo: 2",
        "f:1:1: unknown directive 'pool_size'\n  \
         hint: 'pool_size' belongs into database / user or group, shared_pool\nf:2:1: unknown directive 'foo'",
    );
    check(Yaml, "conn_drop_options: 5", "f:1:20: here a map of options is expected");
    check(Yaml, "database: [a]", "f:1:11: here a map of names is expected");
    check(Yaml, "[a]: b", "f:1:1: here the name of an option is expected");
    check_whole(Yaml, "- a", "f:1:1: here a map of options is expected");
}

#[test]
fn yaml_syntax() {
    check_whole(
        Yaml,
        "listen: [a: b: c",
        "f:1:14: syntax error, while parsing a flow mapping, did not find expected ',' or '}'",
    );
    check_whole(Yaml, "a: 1\n---\nb: 2", "f:3:1: a second document in one file; only one is read");
    let inside = "f:1:13: this alias stands inside its own anchor";
    check_whole(Yaml, "x-a: &a [b, *a]", inside);
    let bomb = |levels: usize| {
        let list = |level: usize| {
            format!("x-{}: &a{} [{}]\n", level + 1, level + 1, format!("*a{level},").repeat(9))
        };
        format!("x-0: &a0 lol\n{}", (0..levels).map(list).collect::<String>())
    };
    check(Yaml, &bomb(3), "ok");
    check_whole(Yaml, &bomb(20), "f:6:6: the document is too large, aliases expanded");
    let deep = format!("x-a: {}", "[".repeat(100));
    check_whole(Yaml, &deep, "f:1:38: this is nested too deeply");
}

#[test]
fn values_of_global_options() {
    for (conf, yaml, complaint) in [
        ("keepalive -1", "keepalive: -1", "keepalive must be non-negative"),
        (
            "priority 3000000000",
            "priority: 3000000000",
            "value for option 'priority' is out of int range",
        ),
        ("workers 0", "workers: 0", "bad workers number"),
        ("workers \"many\"", "workers: many", "'many' is invalid value for workers"),
        ("resolvers 0", "resolvers: 0", "bad resolvers number"),
        ("coroutine_stack_size 3", "coroutine_stack_size: 3", "bad coroutine_stack_size number"),
        (
            "system_coroutine_stack_size 3",
            "system_coroutine_stack_size: 3",
            "bad system_coroutine_stack_size number",
        ),
        (
            "coroutine_stack_size 8",
            "coroutine_stack_size: 8",
            "warning: coroutine_stack_size 8 is too small, 16 is used",
        ),
        (
            "promhttp_server_port 70000",
            "promhttp_server_port: 70000",
            "value for option 'promhttp_server_port' must be between 1 and 65535",
        ),
        (
            "unix_socket_mode \"rw\"",
            "unix_socket_mode: rw",
            "unix_socket_mode 'rw' is not an octal mode",
        ),
        ("unix_socket_dir \"/tmp\"", "unix_socket_dir: /tmp", "unix_socket_mode is not set"),
        (
            "availability_zone \"0123456789abcdef\"",
            "availability_zone: 0123456789abcdef",
            "availability_zone is longer than 15 characters",
        ),
        (
            "bindwith_reuseport no",
            "bindwith_reuseport: no",
            "online restart feature works only with SO_REUSEPORT\n  \
             hint: set enable_online_restart to no, or bindwith_reuseport to yes",
        ),
    ] {
        check(Conf, conf, &format!("f:1:1: {complaint}"));
        check(Yaml, yaml, &format!("f:1:1: {complaint}"));
    }
    check(Conf, "log_debug no\n log_debug yes", "f:2:2: duplicate option 'log_debug'");
    check(Yaml, "log_debug: no\nlog_debug: yes", "f:2:1: duplicate option 'log_debug'");
    check(Yaml, "unix_socket_mode: 0644\nunix_socket_dir: /tmp", "ok");
    check(Conf, "enable_online_restart no bindwith_reuseport no", "ok");
}

#[test]
fn syslog_takes_words_of_its_own() {
    check(
        Conf,
        "log_syslog_facility \"local9\"",
        "f:1:1: warning: unknown log_syslog_facility 'local9', daemon is used",
    );
    check(
        Yaml,
        "log_syslog_target: tcp:x:1",
        "f:1:1: bad log_syslog_target 'tcp:x:1'\n  hint: the path of a datagram socket such as \
         /dev/log, or udp:host:port",
    );
    let right = "log_syslog_facility \"LOCAL7\" log_syslog_target \"udp:h:514\" \
                 log_syslog_format \"rfc5424\" log_syslog yes";
    check(Conf, right, "ok");
}

#[test]
fn what_does_nothing_is_told_of_only_if_it_never_will() {
    // These ask for nothing, or for nothing anybody could observe.
    check(Conf, "log_syslog no priority 5 cpu_affinity \"auto\" enable_host_watcher yes", "ok");
    check(Conf, "daemonize no locks_dir \"/tmp\" readahead 8192 cache_msg_gc_size 1", "ok");
    check(Conf, "pipeline 5", "f:1:1: warning: option 'pipeline' is deprecated and ignored");
    check(Conf, "soft_oom { limit 1gb process \"x\" drop { signal \"sigterm\" } }", "ok");
    check(Conf, "shared_pool \"a\" { pool_size 5 }", "ok");
    check(Conf, "query_parsing { mode minimal mem_limit 2m }", "ok");
}

#[test]
fn what_would_be_less_secure_is_refused() {
    let hint = "\n  hint: running without it would be less secure than this file asks for";
    let hba = "hba_file \"/dev/null\"";
    check(Conf, hba, "ok");
    let none = "f:1:1: can't open hba_file 'none': No such file or directory (os error 2)";
    check(Conf, "hba_file \"none\"", none);
    let rule = |lines: &str| {
        format!("database \"a\" {{ user \"b\" {{ storage \"pg\" pool \"session\"\n{lines}\n}} }}")
    };
    let lines = "auth_module \"x\" authentication \"clear_text\"";
    let expected = format!(
        "f:2:1: option 'auth_module' is refused: it loads code that is made for Odyssey's insides\
         {hint}"
    );
    check(Conf, &rule(lines), &expected);
    let listen = |tls: &str| format!("listen {{ host \"::1\" port 1\n{tls} }}");
    let certificate = "tls_cert_file \"c\" tls_key_file \"k\"";
    for mode in ["require", "verify_ca", "verify_full"] {
        let tls = format!("tls \"{mode}\"");
        let nothing = format!("f:2:1: tls '{mode}' needs tls_cert_file and tls_key_file{hint}");
        check(Conf, &listen(&format!("{tls} tls_ca_file \"a\"")), &nothing);
        check(Conf, &listen(&format!("{tls} {certificate} tls_ca_file \"a\"")), "ok");
        let storage = format!("storage \"l\" {{ type \"local\"\n{tls} }}");
        check(Conf, &storage, "ok");
    }
    let nobody = format!("f:2:1: tls 'verify_ca' needs tls_ca_file{hint}");
    check(Conf, &listen(&format!("tls \"verify_ca\" {certificate}")), &nobody);
    for mode in ["allow", "prefer"] {
        let tls = format!("tls \"{mode}\"");
        let files = "tls_cert_file and tls_key_file";
        let warning = format!("f:2:1: warning: tls '{mode}' without {files}, plain text is used");
        check(Conf, &listen(&tls), &warning);
        check(Conf, &listen(&format!("{tls} {certificate}")), "ok");
    }
}

#[test]
fn what_is_said_of_tls() {
    let storage = |tls: &str| format!("storage \"l\" {{ type \"local\"\n{tls} }}");
    check(
        Conf,
        &storage("tls \"prefer\" tls_negotiation \"direct\""),
        "f:2:14: tls_negotiation 'direct' needs a stricter tls\n  \
         hint: require, verify_ca or verify_full: there is nothing to fall back to",
    );
    check(Conf, &storage("tls \"require\" tls_negotiation \"direct\""), "ok");
    for list in ["tlsv1.2", "TLSv1.2,TLSv1.3", "secure", "tlsv1.3 tlsv1.2", "all"] {
        check(Conf, &storage(&format!("tls_protocols \"{list}\"")), "ok");
    }
    let gap = "f:2:1: warning: tls_protocols has a gap, and what is in it is spoken, too";
    check(Conf, &storage("tls_protocols \"tlsv1.1:tlsv1.3\""), gap);
}
