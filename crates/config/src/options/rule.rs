//! Options of rules: inside `user`, `group` and `watchdog`.

use super::SESSION_ATTRS;
use super::{Kind, Label, Row, Scope};
use super::{between, flag, integer, natural, row, section, text};

pub(super) const ROWS: &[Row] = &[
    // who clients are
    text("authentication")
        .required()
        .words(&["none", "block", "clear_text", "md5", "scram-sha-256", "cert", "external"])
        .doc("How clients prove who they are; block lets nobody in."),
    text("password").secret().doc("Plain, md5… or a SCRAM verifier."),
    text("password_file").ours().doc("The file that holds it instead, in one line."),
    row("auth_common_name", Kind::TextOrDefault)
        .repeats()
        .doc("Who may stand in a client's certificate; default or nothing: its user."),
    text("auth_module")
        .refused("it loads code that is made for Odyssey's insides")
        .doc("A module that checks passwords."),
    flag("enable_mdb_iamproxy_auth", "no")
        .doc("Passwords sent in clear are tokens, and a token service checks them."),
    text("mdb_iamproxy_socket_path")
        .default("/var/run/iam-auth-proxy/iam-auth-proxy.sock")
        .doc("Socket of the token service."),
    text("auth_pam_service").doc("The PAM service that checks passwords sent in clear."),
    text("auth_query")
        .doc("Ask a server: its row is user, secret and, if there is a third, VALID UNTIL. $1 is the user."),
    text("auth_query_db").doc("In which database; an internal rule leads there."),
    text("auth_query_user").doc("As which user."),
    flag("password_passthrough", "no")
        .doc("A password that a client gave in clear text and was let in by logs in to servers, too."),
    text("ldap_endpoint_name").doc("The LDAP server that checks passwords sent in clear."),
    text("ldap_storage_credentials_attr")
        .doc("The LDAP attribute of a user that says who it is at the server: host_database_name."),
    section("ldap_storage_credentials", Scope::LdapCredentials, Label::Name)
        .repeats()
        .doc("Who those become whose attribute ends in its name."),
    integer("ldap_pool_size", "").deprecated(),
    integer("ldap_pool_timeout", "").deprecated(),
    integer("ldap_pool_ttl", "").deprecated(),
    text("role")
        .words(&["admin", "stat", "notallow"])
        .doc("On the console: admin, stat, notallow."),
    // what clients may do and see
    between("client_max", 1, i32::MAX as i64, "").doc("Clients per route; unset = unlimited."),
    flag("client_fwd_error", "no").doc("Forward the error of a server that refuses us."),
    flag("client_show_id", "yes").doc("Error texts carry the client's id."),
    flag("reserve_session_server_connection", "yes").harmless().doc("Odyssey only stores it."),
    text("quantiles").doc("Of the times of queries and transactions, such as 0.99,0.95."),
    flag("application_name_add_host", "no").doc("Add the client's address to it."),
    flag("log_debug", "no").doc("Debug lines for these clients."),
    flag("log_query", "no").doc("Query texts of these clients."),
    natural("keepalive", "0").unit("s").doc("As the global one; 0 = inherit."),
    natural("keepalive_keep_interval", "0").unit("s").doc("As the global one."),
    natural("keepalive_probes", "0").doc("As the global one."),
    integer("keepalive_usr_timeout", "0").unit("ms").doc("As the global one."),
    // servers
    text("storage").required().doc("Where the servers are."),
    text("storage_db").doc("The server's database; unset = the client's."),
    text("storage_user").doc("The server's user; unset = the client's."),
    text("storage_password").secret().doc("Our password at the server."),
    text("storage_password_file").ours().doc("The file that holds it instead."),
    natural("server_lifetime", "3600").unit("s").doc("Older idle servers are closed; 0 = never."),
    flag("server_drop_on_cached_plan_error", "yes")
        .doc("After 0A000 a statement is prepared anew; no = it fails until its client does that."),
    flag("maintain_params", "yes").doc("Bring the client's parameters along."),
    row("options", Kind::Pairs).doc("Client parameters set by force."),
    row("backend_startup_options", Kind::Pairs).doc("Sent when a server is opened."),
    text("target_session_attrs")
        .words(SESSION_ATTRS)
        .doc("Which of several hosts clients get."),
    natural("catchup_timeout", "0")
        .unit("s")
        .doc("Hosts that lag as much, as a watchdog found, are passed over; 0 = no matter."),
    integer("catchup_checks", "").deprecated(),
    // the pool
    text("pool")
        .required()
        .words(&["session", "transaction", "statement"])
        .doc("For how long a client keeps its server."),
    text("pool_routing")
        .words(&["client_visible", "internal"])
        .default("client_visible")
        .doc("internal: not for clients, but for queries such as group_query."),
    natural("pool_size", "0").doc("Servers per route; 0 = unlimited."),
    natural("min_pool_size", "0")
        .doc("Servers kept open; not in default rules, not with shared_pool."),
    natural("pool_timeout", "0").unit("ms").doc("Wait for a free server; 0 = for ever."),
    natural("pool_ttl", "0").unit("s").doc("Idle servers are closed after it; 0 = never."),
    text("shared_pool").doc("Takes servers from a shared budget; not with pool_size."),
    flag("pool_discard", "yes").doc("DISCARD ALL on release."),
    flag("pool_smart_discard", "no").doc("On release, what keeps prepared statements."),
    text("pool_discard_query").doc("Replaces the list of pool_smart_discard."),
    flag("pool_cancel", "yes").doc("Cancel the query of a client that went away."),
    flag("pool_rollback", "yes").doc("ROLLBACK on release; no = close the server."),
    natural("pool_reset_timeout_ms", "1000").unit("ms").doc("Each step of a reset; 0 = for ever."),
    flag("pool_reserve_prepared_statement", "yes")
        .doc("Prepared statements work across servers; off in session pools."),
    flag("pool_pin_on_listen", "")
        .doc("Keep the server after LISTEN; unset = as pool_session_state."),
    text("pool_session_state")
        .ours()
        .words(&["pin", "reset", "error"])
        .default("pin")
        .doc("Temporary tables, LISTEN, locks: pin (to the server), reset or error."),
    flag("pool_attach_check", "yes").harmless().doc("Servers that hang up are always noticed."),
    flag("pool_acquire_fail_fast", "no").doc("Of several hosts, one with a free server first."),
    natural("pool_notice_after_waiting_ms", "")
        .unit("ms")
        .doc("Clients that wait longer for a server are told; 0 = all; unset = nobody."),
    natural("pool_client_idle_timeout", "0")
        .unit("s")
        .doc("Session pools: clients that hold a server idly are disconnected; 0 = never."),
    natural("pool_idle_in_transaction_timeout", "0")
        .unit("s")
        .doc("Idle clients inside a transaction are disconnected; 0 = never."),
    // groups only, but refused elsewhere by name
    text("group_query").doc("Its rows are the members of the group."),
    text("group_query_user").doc("As which user it runs: an internal rule leads there."),
    text("group_query_db").doc("In which database it runs."),
];

pub(super) const WATCHDOG: &[Row] = &[
    text("watchdog_lag_query")
        .doc("One row, one number: the Unix time of the last heartbeat that a host knows of."),
    natural("watchdog_lag_interval", "0")
        .unit("s")
        .doc("Between two of them; 0 or unset = at each visit, as Odyssey does in any case."),
];

pub(super) const LDAP_CREDENTIALS: &[Row] = &[
    text("ldap_storage_username").doc("The server's user."),
    text("ldap_storage_password").secret().doc("The server's password."),
    text("ldap_storage_password_file").ours().doc("The file that holds it instead."),
];
