//! Options and sections at the top level of the file.

use super::{Alias, Kind, Label, Row, Scope};
use super::{between, flag, integer, natural, row, section, text};

pub(super) const ROWS: &[Row] = &[
    row("include", Kind::Include)
        .repeats()
        .doc("Another file, all of a directory, or those that match a pattern."),
    flag("expand_environment", "no").ours().doc("Replace ${ENV:NAME} in values."),
    // the process
    flag("daemonize", "no")
        .restart()
        .doc("Fork into the background; the parent ends when clients can come."),
    integer("priority", "0")
        .restart()
        .doc("Scheduling priority of the process, -20 to 19; 0 = as started."),
    text("pid_file").restart().doc("Where our process id is written, when clients can come."),
    text("unix_socket_dir").doc("Directory of our unix sockets and by default of the servers'."),
    text("unix_socket_mode").doc("Mode of the sockets we create, octal."),
    text("locks_dir").restart().harmless().doc("Odyssey never uses it."),
    text("cpu_affinity")
        .restart()
        .default("off")
        .doc("Processors of the workers: off, auto, or such as \"worker[0]:2 worker:4-7\"."),
    text("availability_zone").doc("Where we are; servers nearby come first."),
    // logging
    text("log_file").restart().doc("Appended to; opened anew at SIGUSR1."),
    text("log_format")
        .restart()
        .required()
        .doc("The template of a log line, or \"json\", \"logfmt\", \"tskv\"."),
    flag("log_to_stdout", "yes").restart().doc("Log to standard output."),
    flag("log_syslog", "no").restart().doc("Log to syslog."),
    text("log_syslog_ident").restart().default("odyssey").doc("Our name in syslog."),
    text("log_syslog_facility")
        .restart()
        .default("daemon")
        .doc("The facility in syslog: daemon, user, local0 to local7."),
    text("log_syslog_target")
        .restart()
        .ours()
        .default("/dev/log")
        .doc("Where syslog is: a datagram socket's path, or \"udp:host:port\"."),
    text("log_syslog_format")
        .restart()
        .ours()
        .words(&["rfc3164", "rfc5424"])
        .default("rfc3164")
        .doc("How lines are dressed for syslog; rfc3164 as the C library does it."),
    flag("log_debug", "no").doc("Debug lines."),
    flag("log_config", "no").doc("The configuration in force, at start; passwords masked."),
    flag("log_session", "yes").doc("Lines for connect, route and disconnect."),
    flag("log_query", "no").doc("Texts of queries."),
    flag("log_stats", "yes").doc("Statistics lines each stats_interval."),
    integer("stats_interval", "3").unit("s").doc("Period of the statistics; 0 or less means 1."),
    flag("log_async", "yes")
        .restart()
        .harmless()
        .doc("Lines always go through a writer thread here."),
    integer("log_queue_depth", "30000")
        .restart()
        .doc("Lines waiting for the writer; more are dropped."),
    flag("log_general_stats_prom", "no")
        .doc("Each stats_interval, the metrics of the process in the log."),
    flag("log_route_stats_prom", "no")
        .doc("Each stats_interval, the metrics of each route in the log."),
    between("promhttp_server_port", 1, 65535, "")
        .doc("Port of /metrics, /livez, /readyz and a status page; none without it."),
    text("promhttp_server_host")
        .ours()
        .default("127.0.0.1")
        .doc("Where that port is: an address, a name, or * for all addresses."),
    flag("enable_host_watcher", "no")
        .restart()
        .doc("Each second, the host's processors and memory."),
    // threads and memory
    row("workers", Kind::IntegerOrText).restart().default("1").doc("Worker threads, or \"auto\"."),
    integer("resolvers", "1")
        .restart()
        .doc("Threads for name resolution and other blocking calls."),
    integer("dns_cache_ttl", "30000")
        .restart()
        .unit("ms")
        .doc("Life of a resolved name; 0 = asked anew."),
    integer("readahead", "4096")
        .restart()
        .unit("bytes")
        .harmless()
        .doc("Buffers have one size here."),
    natural("cache_coroutine", "1024")
        .restart()
        .doc("Finished coroutine stacks kept per worker, at least 256."),
    integer("cache_msg_gc_size", "0").restart().harmless().doc("There is no message cache here."),
    integer("coroutine_stack_size", "16")
        .restart()
        .unit("pages")
        .doc("Stack of a coroutine, at least 16."),
    integer("system_coroutine_stack_size", "32")
        .restart()
        .unit("pages")
        .harmless()
        .doc("All coroutines have the same stacks here."),
    // sockets
    flag("nodelay", "yes").doc("TCP_NODELAY on clients and servers."),
    flag("disable_nolinger", "no")
        .harmless()
        .doc("No effect: clients are never closed with a reset."),
    natural("keepalive", "15").unit("s").doc("Silence before the first probe; 0 = none."),
    natural("keepalive_keep_interval", "5").unit("s").doc("Between two probes."),
    natural("keepalive_probes", "3").doc("Unanswered probes before giving up."),
    integer("keepalive_usr_timeout", "0")
        .unit("ms")
        .doc("TCP_USER_TIMEOUT; 0 = the kernel's, negative = from the three above."),
    flag("bindwith_reuseport", "yes").restart().doc("SO_REUSEPORT on TCP listeners."),
    flag("enable_online_restart", "yes").restart().doc("Replace the program on SIGUSR2."),
    natural("online_restart_timeout_ms", "60000")
        .ours()
        .unit("ms")
        .doc("For a new program to serve, or it is ended and all stays as it was; 0 = for ever."),
    // limits and timeouts
    integer("client_max", "0").doc("Clients at once; 0 or less = unlimited."),
    natural("client_max_routing", "0").doc("Clients between accept and route; 0 = 64 per worker."),
    natural("server_login_retry", "1").unit("ms").doc(
        "First pause after a server said that it has too many connections; needs pool_timeout.",
    ),
    natural("backend_connect_timeout_ms", "30000")
        .unit("ms")
        .doc("Opening a server: its name, connect, TLS and login together."),
    natural("cancel_timeout_ms", "1000").unit("ms").doc("One cancel connection; 0 = for ever."),
    integer("cancel_queue_timeout_ms", "-1")
        .unit("ms")
        .doc("Wait to send a cancel; -1 = twice cancel_timeout_ms, 0 = for ever."),
    integer("cancel_max_inflight", "-1").doc("Parallel cancels; 0 or less = 2 per worker."),
    natural("max_sigterms_to_die", "3").doc("That many SIGTERM end the process at once."),
    natural("graceful_shutdown_timeout_ms", "30000")
        .unit("ms")
        .doc("For clients to leave after the first SIGTERM; 0 = for ever."),
    // routing and queries
    flag("sequential_routing", "no").doc("File order decides between rules, not specificity."),
    flag("smart_search_path_enquoting", "no")
        .doc("A search_path given at startup is shown as SET would write it."),
    flag("virtual_processing", "no").doc("SHOW and SET of odyssey.target_session_attrs."),
    flag("virtual_transaction", "yes").doc("BEGIN is sent with what follows it."),
    integer("group_checker_interval", "7000").unit("ms").doc("Between two group_query."),
    // authentication
    text("external_auth_socket_path")
        .default("/tmp/external-auth.sock")
        .doc("Socket of the daemon that authentication external asks."),
    flag("watch_files", "yes")
        .ours()
        .doc("Reload when a password file, certificate, key or hba_file changes."),
    text("hba_file").doc("Lines as in pg_hba.conf: who may come in at all, and who may not."),
    // what Odyssey ignores too
    flag("graceful_die_on_errors", "").deprecated(),
    integer("pipeline", "").deprecated(),
    integer("cache", "").deprecated(),
    integer("cache_chunk", "").deprecated(),
    integer("packet_read_size", "").deprecated(),
    integer("packet_write_queue", "").deprecated(),
    // sections
    section("listen", Scope::Listen, Label::None)
        .required()
        .repeats()
        .aliases(&[Alias::Yaml("listens")])
        .doc("Where clients connect to. At least one."),
    section("storage", Scope::Storage, Label::Name)
        .required()
        .repeats()
        .aliases(&[Alias::Yaml("storages")])
        .doc("Where servers are. At least one."),
    section("database", Scope::Database, Label::NameOrDefault)
        .repeats()
        .aliases(&[Alias::Yaml("databases")])
        .doc("Rules for clients of one database, or of all without one."),
    section("ldap_endpoint", Scope::LdapEndpoint, Label::Name)
        .repeats()
        .aliases(&[Alias::Yaml("ldap_endpoints")])
        .doc("An LDAP server."),
    section("shared_pool", Scope::SharedPool, Label::Name)
        .repeats()
        .aliases(&[Alias::Yaml("shared_pools")])
        .doc("One budget of servers for several routes."),
    section("conn_drop_options", Scope::ConnDrop, Label::None)
        .aliases(&[Alias::Both("online_restart_drop_options")])
        .doc("How clients are disconnected on a graceful stop."),
    section("soft_oom", Scope::SoftOom, Label::None).doc("Refuse logins at low memory."),
    section("query_parsing", Scope::QueryParsing, Label::None).doc("How much of queries is read."),
];
