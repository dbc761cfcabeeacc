//! The checked configuration: plain values the other crates read. Nothing here has an effect or
//! knows a file format.

mod affinity;
mod checker;
mod global;
mod hba;
mod quantile;
mod rule;
mod syslog;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::watched::Watched;

pub use affinity::{AffinityRule, CpuAffinity};
pub use checker::{Checker, LdapCover, LdapCredentials, LdapEndpoint, LdapEntry, LdapGrant};
pub use global::{FileMode, Global};
pub use hba::{Hba, HbaLine, HbaName};
pub use quantile::Quantile;
pub use rule::{
    AddressSelector, AuthQuery, Authentication, ConnectionType, GroupQuery, Keepalive, Name,
    PoolMode, PoolRouting, Role, Rule, SessionState, UserName, Watchdog,
};
pub use syslog::{SyslogFacility, SyslogFormat, SyslogTarget};
pub use tls::{Tls, TlsMode, TlsVersion, TlsVersions};

/// Everything the files said, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Options of the whole process.
    pub global: Global,
    /// Where clients connect to, in file order; at least one.
    pub listens: Vec<Listen>,
    /// Where servers are, in file order; at least one, names are unique.
    pub storages: Vec<Arc<Storage>>,
    /// Who goes where and how, in file order (users before groups inside one database block); at
    /// least one; behind them those of watchdogs.
    pub rules: Vec<Arc<Rule>>,
    /// How live clients are disconnected on a graceful stop.
    pub drop: ConnDrop,
    /// When there is too little memory for more clients.
    pub soft_oom: Option<SoftOom>,
    /// Files beside the configuration whose contents count: secrets, certificates, `hba_file`.
    pub files: Vec<Watched>,
}

/// One `listen` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Host name, address or `*`; None listens on the unix socket `unix_socket_dir/.s.PGSQL.port`.
    pub host: Option<String>,
    /// 1..=65535.
    pub port: u16,
    /// Length of the kernel's queue of connections not accepted yet.
    pub backlog: u32,
    /// Time for everything before the first query; None waits for ever.
    pub client_login_timeout: Option<Duration>,
    /// How its clients and we speak TLS.
    pub tls: Tls,
    /// Who says in a PROXY header where clients come from; None: nobody.
    pub proxy_protocol: Option<ProxyFrom>,
    /// Which of several servers; it wins over the rule's.
    pub target_session_attrs: Option<SessionAttrs>,
    /// Storages for its clients, in the order in which they are tried; empty: the rule's.
    pub storages: Vec<String>,
    /// By what a host is chosen; None: as the storage says.
    pub balancing_method: Option<BalancingMethod>,
    /// Where the rule says nothing of it: hosts that lag so far behind are passed over.
    pub catchup_timeout: Option<Duration>,
}

/// Proxies that are believed what they say of their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyFrom {
    /// Whoever connects from there.
    pub networks: Vec<AddressSelector>,
    /// Whoever connects by a unix socket.
    pub unix: bool,
}

impl ProxyFrom {
    /// Whether that is one of them; None is a unix socket.
    pub fn contains(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            None => self.unix,
            some => self.networks.iter().any(|network| network.contains(some)),
        }
    }
}

/// Which of several servers a client is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionAttrs {
    /// The primary.
    ReadWrite,
    /// A standby.
    ReadOnly,
    /// A standby if there is one.
    PreferStandby,
    /// Whichever.
    Any,
}

impl SessionAttrs {
    /// All of them.
    pub const ALL: [SessionAttrs; 4] = [
        SessionAttrs::ReadWrite,
        SessionAttrs::ReadOnly,
        SessionAttrs::PreferStandby,
        SessionAttrs::Any,
    ];

    /// The word for it, in the file and for clients.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionAttrs::ReadWrite => "read-write",
            SessionAttrs::ReadOnly => "read-only",
            SessionAttrs::PreferStandby => "prefer-standby",
            SessionAttrs::Any => "any",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<SessionAttrs> {
        SessionAttrs::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// One `storage` section: where servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Its name in the file.
    pub name: String,
    /// PostgreSQL servers or the console.
    pub kind: StorageKind,
    /// In file order; at least one for remote storages, none for local ones.
    pub endpoints: Vec<Endpoint>,
    /// Which of them a client gets.
    pub balancing: Balancing,
    /// For how long what was seen of an endpoint is believed.
    pub status_max_age: Duration,
    /// How its servers and we speak TLS.
    pub tls: Tls,
    /// How many logins to servers may be under way at once; already resolved (0 in the file =
    /// workers).
    pub server_max_routing: usize,
}

/// How a storage chooses among its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancing {
    /// By what.
    pub method: BalancingMethod,
    /// For each endpoint whether it comes before those that are not: it is in our availability
    /// zone, or zones do not count.
    pub near: Vec<bool>,
    /// Clients are told by a notice which host they get.
    pub tells: bool,
}

/// By what an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BalancingMethod {
    /// One after the other.
    #[default]
    RoundRobin,
    /// That with the fewest servers of the route.
    LeastConn,
}

impl BalancingMethod {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            BalancingMethod::RoundRobin => "roundrobin",
            BalancingMethod::LeastConn => "leastconn",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<BalancingMethod> {
        let all = [BalancingMethod::RoundRobin, BalancingMethod::LeastConn];
        all.into_iter().find(|one| one.as_str() == word)
    }
}

/// One `shared_pool` section: a budget of servers for all routes of the rules that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPool {
    /// Its name in the file.
    pub name: String,
    /// Servers of all these routes together, at each host; None = unlimited.
    pub pool_size: Option<usize>,
}

/// What answers behind a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageKind {
    /// PostgreSQL servers.
    Remote,
    /// The pooler's own console.
    Local,
}

/// One server of a storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Over TCP.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// 1..=65535.
        port: u16,
    },
    /// A unix socket.
    Unix {
        /// The socket itself, e.g. `/tmp/.s.PGSQL.5432`.
        path: PathBuf,
    },
}

/// `host:port`, `[v6]:port` or the path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix { path } => write!(f, "{}", path.display()),
        }
    }
}

/// `conn_drop_options`: how live clients are disconnected on a graceful stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnDrop {
    /// No: they stay until they leave or the shutdown timeout fires.
    pub enabled: bool,
    /// Clients dropped per worker in each interval.
    pub rate: usize,
    /// Length of the interval.
    pub interval: Duration,
}

/// `soft_oom`: when new clients are refused because there is too little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftOom {
    /// At this much in use they are; not 0.
    pub limit_bytes: u64,
    /// Part of the names of the processes that count; empty: all memory of the host.
    pub process: String,
    /// Between two looks.
    pub interval: Duration,
    /// Who is to end then.
    pub drop: Option<SoftOomDrop>,
}

/// `soft_oom / drop`: a signal for the largest servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftOomDrop {
    /// Its number on Linux.
    pub signal: i32,
    /// To so many in one look.
    pub victims_max: usize,
}
