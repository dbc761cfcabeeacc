//! Options inside sections, except for rules.

use super::{Alias, Kind, Label, Row, Scope};
use super::{SESSION_ATTRS, TLS_MODES};
use super::{between, flag, integer, natural, row, section, text};

const INT_MAX: i64 = i32::MAX as i64;

pub(super) const LISTEN: &[Row] = &[
    text("host").doc("Name, address or *; without it the unix socket of that port."),
    between("port", 1, 65535, "")
        .required()
        .doc("TCP port, or the number in the unix socket's name."),
    natural("backlog", "128").doc("The kernel's queue of connections not accepted yet."),
    natural("client_login_timeout", "15000")
        .unit("ms")
        .doc("Everything before the first query; 0 = for ever."),
    text("tls").words(TLS_MODES).default("disable").doc(
        "allow and prefer: who asks gets TLS; require: no other; verify_*: with a certificate.",
    ),
    text("tls_ca_file").doc("Authorities that sign clients; without it none is asked who it is."),
    text("tls_key_file").doc("Our private key, PEM, without a passphrase."),
    text("tls_cert_file").doc("Our certificate and its chain, PEM."),
    text("tls_protocols").doc("Versions, such as tlsv1.2,tlsv1.3; unset = 1.2 and newer."),
    text("tls_ciphers").ours().doc("Ciphers up to TLS 1.2, in OpenSSL's words."),
    text("tls_ciphersuites").ours().doc("Ciphers of TLS 1.3, in OpenSSL's words."),
    text("tls_curves").ours().doc("Groups of the key exchange, such as X25519:prime256v1."),
    flag("proxy_protocol", "no")
        .ours()
        .doc("PROXY headers, version 1 or 2, say where clients come from."),
    text("proxy_protocol_from").ours().doc(
        "Who sends them, and has to: addresses and networks with commas; unix for the socket.",
    ),
    text("target_session_attrs")
        .words(SESSION_ATTRS)
        .doc("Which of several hosts clients of this port get."),
    text("balancing_method")
        .words(&["roundrobin", "leastconn"])
        .doc("For clients of this port, instead of the storage's method."),
    natural("catchup_timeout", "0")
        .unit("s")
        .doc("As in a rule, for rules that say nothing of it; 0 = no matter."),
    text("storage")
        .repeats()
        .doc("Where servers are for clients of this port, instead of the rule's storage: the next one when no host of those before will do."),
    flag("compression", "").deprecated(),
];

pub(super) const STORAGE: &[Row] = &[
    text("type")
        .required()
        .words(&["remote", "local"])
        .doc("remote for PostgreSQL, local for the console."),
    text("host").doc("[tcp://|unix://]host[:port][:zone], several with commas."),
    between("port", 1, 65535, "").doc("Of hosts without a port of their own; unset = 5432."),
    text("tls")
        .words(TLS_MODES)
        .default("disable")
        .doc("As libpq's sslmode; not for unix sockets. verify_full compares the host name, too."),
    text("tls_ca_file").doc("Authorities that sign servers; unset = the system's, for verify_*."),
    text("tls_key_file").doc("Our private key, PEM, without a passphrase."),
    text("tls_cert_file").doc("Our certificate and its chain, PEM, to show to servers."),
    text("tls_protocols").doc("Versions, such as tlsv1.2,tlsv1.3; unset = 1.2 and newer."),
    text("tls_ciphers").ours().doc("Ciphers up to TLS 1.2, in OpenSSL's words."),
    text("tls_ciphersuites").ours().doc("Ciphers of TLS 1.3, in OpenSSL's words."),
    text("tls_curves").ours().doc("Groups of the key exchange, such as X25519:prime256v1."),
    text("tls_negotiation")
        .words(&["postgres", "direct"])
        .default("postgres")
        .ours()
        .doc("direct: TLS from the first byte, which PostgreSQL 17 and newer take."),
    natural("server_max_routing", "0").doc("Logins to servers under way; 0 = one per worker."),
    between("endpoints_status_poll_interval", 1, INT_MAX, "1000")
        .unit("ms")
        .doc("For how long what was seen of one of several hosts is believed."),
    section("balancing", Scope::Balancing, Label::None).doc("Which of several hosts to take."),
    section("watchdog", Scope::Watchdog, Label::None).doc(
        "Asks all hosts, by a connection of its own, which role they have and how far they lag.",
    ),
];

pub(super) const BALANCING: &[Row] = &[
    section("method", Scope::BalancingMethod, Label::Name).doc("roundrobin or leastconn."),
    flag("show_notice_messages", "no").doc("Clients are told by a notice which host they get."),
];

pub(super) const BALANCING_METHOD: &[Row] =
    &[flag("az_aware", "yes").doc("Hosts of our own availability zone come first.")];

pub(super) const DATABASE: &[Row] = &[
    section("user", Scope::Rule, Label::NameOrDefault)
        .repeats()
        .aliases(&[Alias::Yaml("users")])
        .doc("Rule for one user, or for all without one."),
    section("group", Scope::Group, Label::Name)
        .repeats()
        .aliases(&[Alias::Yaml("groups")])
        .doc("Rule for the members of a group, whom its group_query names."),
];

pub(super) const LDAP_ENDPOINT: &[Row] = &[
    text("ldapserver").required().doc("Its host."),
    between("ldapport", 0, 65535, "0").doc("Its port; 0 = 389, with ldaps 636."),
    text("ldapscheme").default("ldap").doc("ldap or ldaps."),
    flag("ldaptls", "no").ours().doc("TLS over ldap, by StartTLS."),
    text("ldaptls_ca_file").ours().doc("Authorities that sign it; unset = the system's."),
    text("ldapbinddn").doc("Who searches; unset = nobody in particular."),
    text("ldapbindpasswd").secret().doc("With which password."),
    text("ldapbindpasswd_file").ours().doc("The file that holds it instead."),
    text("ldapbasedn").doc("Where to search for the user; unset = no search."),
    text("ldapprefix").doc("In front of the user to make a DN."),
    text("ldapsuffix").doc("Behind the user to make a DN."),
    text("ldapsearchattribute").default("uid").doc("The attribute that holds the user."),
    text("ldapsearchfilter").doc("A further condition, in parentheses."),
    text("ldapscope").harmless().doc("Odyssey ignores it, too: all below is searched."),
];

pub(super) const SHARED_POOL: &[Row] =
    &[natural("pool_size", "0").doc("Servers of all routes; 0 = no limit.")];

pub(super) const CONN_DROP: &[Row] = &[
    flag("drop_enabled", "yes").doc("No: clients stay until they leave or time is up."),
    between("rate", 1, INT_MAX, "1").doc("Clients dropped per worker in each interval."),
    between("interval_ms", 1, INT_MAX, "1000").unit("ms").doc("Length of the interval."),
];

pub(super) const SOFT_OOM: &[Row] = &[
    row("limit", Kind::Size).restart().required().unit("bytes").doc("Above it logins are refused."),
    text("process").restart().doc(
        "Part of the names of processes that count; empty = all of the host or control group.",
    ),
    natural("check_interval_ms", "1000").restart().unit("ms").doc("Between two looks."),
    section("drop", Scope::SoftOomDrop, Label::None).doc("Also signal the largest processes."),
];

pub(super) const SOFT_OOM_DROP: &[Row] = &[
    text("signal").restart().default("SIGTERM").doc("Which signal."),
    integer("max_rate", "3").restart().doc("To how many in one look."),
];

pub(super) const QUERY_PARSING: &[Row] = &[
    row("mode", Kind::Bare(&["disabled", "minimal", "full"]))
        .default("minimal")
        .doc("disabled: no query is answered by the pooler itself; full does not exist."),
    row("mem_limit", Kind::Size)
        .default("1m")
        .harmless()
        .doc("Memory for it; none is needed here."),
];
