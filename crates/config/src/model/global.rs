//! Options of the whole process, checked, defaults filled in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{CpuAffinity, Hba, SyslogFacility, SyslogFormat, SyslogTarget};

/// Permissions of a file; shown in octal, as `chmod` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// Options of the whole process. A name is the option's name in the file, with its unit where the
/// type has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Read the configuration again when one of its `files` changes.
    pub watch_files: bool,
    /// Worker threads ("machines"); `auto` is already resolved.
    pub workers: usize,
    /// Which worker runs where.
    pub cpu_affinity: CpuAffinity,
    /// Threads for calls that block.
    pub resolvers: usize,
    /// How long an answer of the resolver holds; zero = for those who ask at the same time.
    pub dns_cache_ttl: Duration,
    /// Bytes of a coroutine's stack; at least 64 KiB.
    pub coroutine_stack_bytes: usize,
    /// Finished coroutine stacks kept per worker.
    pub cache_coroutine: usize,

    /// Appended to.
    pub log_file: Option<PathBuf>,
    /// The template of a log line; backslash sequences still unexpanded.
    pub log_format: String,
    /// Also (or only) write to standard output.
    pub log_to_stdout: bool,
    /// Also (or only) write to syslog.
    pub log_syslog: bool,
    /// Our name there.
    pub log_syslog_ident: String,
    /// What kind of program we are there.
    pub log_syslog_facility: SyslogFacility,
    /// Where it is.
    pub log_syslog_target: SyslogTarget,
    /// How lines are dressed for it.
    pub log_syslog_format: SyslogFormat,
    /// Debug lines.
    pub log_debug: bool,
    /// Connect, route and disconnect lines.
    pub log_session: bool,
    /// Texts of queries.
    pub log_query: bool,
    /// The configuration at start.
    pub log_config: bool,
    /// Statistics lines each `stats_interval_s`.
    pub log_stats: bool,
    /// Seconds between two computations of statistics; at least 1.
    pub stats_interval_s: u64,
    /// The metrics of the process in the log, each `stats_interval_s`.
    pub log_general_stats_prom: bool,
    /// The metrics of each route in the log, each `stats_interval_s`.
    pub log_route_stats_prom: bool,
    /// Port of the HTTP listener; None = there is none.
    pub promhttp_server_port: Option<u16>,
    /// Where it listens: an address, a name, or `*`.
    pub promhttp_server_host: String,
    /// Lines that may wait for the log writer before lines are dropped.
    pub log_queue_depth: usize,

    /// A `search_path` given at startup is sent as `SET` would write it, not as it came.
    pub smart_search_path_enquoting: bool,
    /// A plain BEGIN takes no server before the transaction does something; already off where
    /// `query_parsing` is.
    pub virtual_transaction: bool,
    /// SHOW and SET of `odyssey.target_session_attrs` are answered here; already off where
    /// `query_parsing` is.
    pub virtual_processing: bool,

    /// Fork into the background.
    pub daemonize: bool,
    /// Scheduling priority of the process; None = as we were started.
    pub priority: Option<i32>,
    /// Each second, what the host's processors and memory do.
    pub enable_host_watcher: bool,
    /// Where our process id is written.
    pub pid_file: Option<PathBuf>,
    /// Directory of unix sockets, ours and by default the servers'.
    pub unix_socket_dir: Option<PathBuf>,
    /// Mode bits of the sockets we create.
    pub unix_socket_mode: Option<FileMode>,

    /// TCP_NODELAY on clients and servers.
    pub nodelay: bool,
    /// Seconds of silence before the first keepalive probe; 0 = no keepalive.
    pub keepalive_s: u32,
    /// Seconds between two probes.
    pub keepalive_interval_s: u32,
    /// Unanswered probes before the connection is given up.
    pub keepalive_probes: u32,
    /// TCP_USER_TIMEOUT: 0 = the kernel's default; a negative value in the file is already replaced
    /// by the computed one.
    pub keepalive_user_timeout_ms: i64,
    /// No: accepted sockets get SO_LINGER{1,0}, as Odyssey does.
    pub disable_nolinger: bool,
    /// SO_REUSEPORT on TCP listeners.
    pub bindwith_reuseport: bool,
    /// SIGUSR2 puts a new process in the place of this one.
    pub enable_online_restart: bool,

    /// Socket of the daemon that `authentication external` asks.
    pub external_auth_socket_path: PathBuf,
    /// Who may come in at all (`hba_file`); None = everybody.
    pub hba: Option<Arc<Hba>>,
    /// Clients at once; None = unlimited.
    pub client_max: Option<usize>,
    /// Connections between accept and the end of routing; already resolved (0 in the file = 64 per
    /// worker).
    pub client_max_routing: usize,
    /// File order decides between rules, not their specificity.
    pub sequential_routing: bool,
    /// Between two questions for the members of a group.
    pub group_checker_interval: Duration,

    /// For each attempt to connect to a server.
    pub backend_connect_timeout: Duration,
    /// Pause before another attempt when a server says 53300.
    pub server_login_retry: Duration,
    /// For one cancel connection; None = for ever.
    pub cancel_timeout: Option<Duration>,
    /// Wait for room among the cancels in flight; None = for ever.
    pub cancel_queue_timeout: Option<Duration>,
    /// Parallel cancels; already resolved.
    pub cancel_max_inflight: usize,

    /// That many SIGTERM or SIGINT end the process at once.
    pub max_sigterms_to_die: usize,
    /// For clients to leave after the first one; None = for ever.
    pub graceful_shutdown_timeout: Option<Duration>,
    /// For a new program to serve; None = for ever.
    pub online_restart_timeout: Option<Duration>,
}
