//! A rule: which clients it is for, how they prove who they are, and which servers and pool they
//! get.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Checker, LdapCredentials, Quantile, SessionAttrs, SharedPool, Storage};
use crate::Secret;

/// One `user` or `group` block inside a `database` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// File of the block, as named by the operator.
    pub file: Arc<str>,
    /// Line of the block.
    pub line: usize,
    /// Column of the block.
    pub column: usize,

    /// Which database clients ask for.
    pub database: Name,
    /// As which user.
    pub user: UserName,
    /// From where.
    pub address: AddressSelector,
    /// Over what.
    pub connection: ConnectionType,
    /// Whether clients meet it at all.
    pub routing: PoolRouting,
    /// Who tells the members of the group; always set where `user` is a group, never elsewhere.
    pub group: Option<GroupQuery>,
    /// It is by what a watchdog of its storage asks, and for nobody else.
    pub watchdog: Option<Watchdog>,
    /// Which of several servers; None = any, unless the listener or the client says otherwise.
    pub target_session_attrs: Option<SessionAttrs>,
    /// Hosts that lag so far behind are passed over; None = no matter, unless the listener or the
    /// client says otherwise.
    pub catchup_timeout: Option<Duration>,

    /// How a client proves who it is.
    pub authentication: Authentication,
    /// Plain, `md5…` or a SCRAM verifier.
    pub password: Option<Secret>,
    /// The socket of a daemon to which a password that came in clear is a token; nobody else is
    /// asked then.
    pub token_service: Option<PathBuf>,
    /// Whom a password that came in clear is shown; None: it is compared with `password`.
    pub checker: Option<Checker>,
    /// An LDAP server says who a client is at the server; `storage_user` is None then.
    pub ldap_credentials: Option<LdapCredentials>,
    /// Who may stand in the client's certificate (`cert`); empty = its user.
    pub common_names: Vec<Name>,
    /// Who tells the secret of a client; it wins over `password`.
    pub auth_query: Option<Arc<AuthQuery>>,
    /// What a client proved itself with may prove us at the server, as the same user.
    pub password_passthrough: bool,
    /// Console rights; always set on local storages, never on remote ones.
    pub role: Option<Role>,

    /// Where the servers are.
    pub storage: Arc<Storage>,
    /// Where they are when no host of that one will do, in this order.
    pub fallbacks: Vec<Arc<Storage>>,
    /// A rule of the file with the storages of a listener: for clients who come by that.
    pub is_detour: bool,
    /// The server's database; None = the one the client asked for.
    pub storage_db: Option<String>,
    /// The server's user; None = the client's.
    pub storage_user: Option<String>,
    /// Our password at the server; None = what `password` allows.
    pub storage_password: Option<Secret>,

    /// How long a client keeps a server.
    pub pool: PoolMode,
    /// Servers per route; None = unlimited.
    pub pool_size: Option<usize>,
    /// Servers kept open; already 0 where the option is ignored and at most `pool_size`.
    pub min_pool_size: usize,
    /// The budget its servers count in too; `pool_size` is None then.
    pub shared_pool: Option<Arc<SharedPool>>,
    /// How long a client waits for a server; None = for ever.
    pub pool_timeout: Option<Duration>,
    /// Who waits longer is told so; None = nobody is told.
    pub pool_notice_after_waiting: Option<Duration>,
    /// Of several hosts, one with a server at hand before one that is waited for.
    pub pool_acquire_fail_fast: bool,
    /// Idle servers are closed after this; None = never.
    pub pool_ttl: Option<Duration>,
    /// Idle servers older than this are closed; None = never.
    pub server_lifetime: Option<Duration>,
    /// DISCARD ALL on release; already off where smart discard replaces it.
    pub pool_discard: bool,
    /// The list of resets that keeps prepared statements, on release.
    pub pool_smart_discard: bool,
    /// Replaces that list; with `pool_discard` it runs in addition.
    pub pool_discard_query: Option<String>,
    /// Cancel the running query of a client that went away.
    pub pool_cancel: bool,
    /// ROLLBACK on release inside a transaction; no = close the server.
    pub pool_rollback: bool,
    /// For each step of a reset; None = for ever.
    pub pool_reset_timeout: Option<Duration>,
    /// Session pools: for a client that holds a server, idle outside of a transaction; None = for
    /// ever.
    pub pool_client_idle_timeout: Option<Duration>,
    /// For a client idle inside a transaction; None = for ever.
    pub pool_idle_in_transaction_timeout: Option<Duration>,
    /// Keep clients' prepared statements working across servers; already off for session pools.
    pub pool_reserve_prepared_statement: bool,
    /// What becomes of a client that leaves more in its server than settings and statements.
    pub pool_session_state: SessionState,
    /// After LISTEN a client keeps its server; None: as `pool_session_state` says.
    pub pool_pin_on_listen: Option<bool>,
    /// A statement whose result type has changed is prepared anew for its next use. (In Odyssey its
    /// whole server is closed, hence the name.)
    pub server_drop_on_cached_plan_error: bool,
    /// The client's address goes behind its `application_name`.
    pub application_name_add_host: bool,
    /// Bring a server's parameters to the client's values on checkout.
    pub maintain_params: bool,
    /// Client parameters set by force; they win over the client's own.
    pub options: Vec<(String, String)>,
    /// Put into the startup message to the server.
    pub backend_startup_options: Vec<(String, String)>,

    /// Clients per route; None = unlimited.
    pub client_max: Option<usize>,
    /// Error texts carry the client's id.
    pub client_show_id: bool,
    /// Forward the error of a server that refuses us.
    pub client_fwd_error: bool,
    /// For the sockets of clients.
    pub keepalive: Keepalive,
    /// Of the time queries and transactions take; empty = nobody counts.
    pub quantiles: Vec<Quantile>,
    /// Debug lines for these clients (or-ed with the global flag).
    pub log_debug: bool,
    /// Query texts of these clients (or-ed with the global flag).
    pub log_query: bool,
}

impl Rule {
    /// Its storages, in the order in which their hosts are tried.
    pub fn storages(&self) -> impl Iterator<Item = &Arc<Storage>> {
        std::iter::once(&self.storage).chain(&self.fallbacks)
    }

    /// How many hosts there are in all storages.
    pub fn host_count(&self) -> usize {
        self.storages().map(|storage| storage.endpoints.len()).sum()
    }

    /// The storage of a host and its number there; hosts are numbered through all storages.
    pub fn place(&self, mut host: usize) -> Option<(&Arc<Storage>, usize)> {
        for storage in self.storages() {
            match host.checked_sub(storage.endpoints.len()) {
                None => return Some((storage, host)),
                Some(beyond) => host = beyond,
            }
        }
        None
    }

    /// Whether that one is for the same clients.
    pub fn is_for_clients_of(&self, other: &Rule) -> bool {
        let clients = |rule: &Rule| (rule.connection, rule.routing);
        clients(self) == clients(other)
            && (&self.database, &self.user, &self.address)
                == (&other.database, &other.user, &other.address)
    }
}

/// `db.user address connection`, as Odyssey names rules in messages.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} {}", self.database, self.user, self.address)
    }
}

/// What the `watchdog` of a storage asks beyond the role of each host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// Its one value is the Unix time of the last heartbeat; None: nobody knows how far hosts lag.
    pub lag_query: Option<String>,
    /// Between two of these; None: at each visit.
    pub lag_interval: Option<Duration>,
}

/// What a rule says about probes of silent clients; 0 is what the process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Seconds of silence before the first probe.
    pub idle_s: u32,
    /// Seconds between two probes.
    pub interval_s: u32,
    /// Unanswered probes before the connection is given up.
    pub probes: u32,
    /// TCP_USER_TIMEOUT; negative is computed from the three above.
    pub user_timeout_ms: i64,
}

/// What becomes of a client of a transaction pool that leaves more in its server than settings and
/// shared statements: a temporary table, a session's lock, a LISTEN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionState {
    /// It keeps the server until that is gone.
    #[default]
    Pin,
    /// It is removed before anybody else gets the server.
    Reset,
    /// The client is told that it must not, and disconnected.
    Error,
}

/// A name or everything that has no rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Exactly this one.
    Named(String),
    /// The bare word `default`.
    Default,
}

/// Odyssey's pseudo name for the default: `default_db`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Named(name) => f.write_str(name),
            Name::Default => f.write_str("default_db"),
        }
    }
}

/// Which users a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserName {
    /// Exactly this one.
    Named(String),
    /// The bare word `default`.
    Default,
    /// Members of a group, whom its query names.
    Group(String),
}

/// Odyssey's pseudo names: `default_user`, `group_g`.
impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserName::Named(name) => f.write_str(name),
            UserName::Default => f.write_str("default_user"),
            UserName::Group(name) => write!(f, "group_{name}"),
        }
    }
}

/// For whom a rule is (`pool_routing`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolRouting {
    /// For clients.
    #[default]
    ClientVisible,
    /// For queries of the pooler's own: who is in a group, which password somebody has.
    Internal,
}

/// Where the members of a group stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupQuery {
    /// Its rows are the names of the members: one column of text. It gets no parameters.
    pub query: String,
    /// As whom it is asked: an internal rule leads there.
    pub user: String,
    /// In which database.
    pub database: String,
}

/// Where the secrets of clients stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthQuery {
    /// Its row is the user, the secret and perhaps until when that is good. `$1` is the user.
    pub query: String,
    /// As whom it is asked: an internal rule leads there.
    pub user: String,
    /// In which database.
    pub database: String,
}

/// From where clients of a rule come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressSelector {
    /// Anywhere, unix sockets too.
    All,
    /// A network; unix sockets never match.
    Network {
        /// As written: host bits may be set, and mean nothing.
        address: IpAddr,
        /// 0..=32 or 0..=128.
        prefix: u8,
    },
    /// A host by its name; unix sockets never match.
    Host {
        /// As written; a leading dot stands for all names that end so.
        name: String,
    },
}

impl AddressSelector {
    /// Whether a client from there is meant; None is a unix socket. Families must be equal. What
    /// asks for a name, [`AddressSelector::names`] tells.
    pub fn contains(&self, client: Option<IpAddr>) -> bool {
        match (self, client) {
            (AddressSelector::All, _) => true,
            (AddressSelector::Network { address, prefix }, Some(client)) => {
                client.is_ipv4() == address.is_ipv4()
                    && masked(client, *prefix) == masked(*address, *prefix)
            }
            (AddressSelector::Network { .. } | AddressSelector::Host { .. }, _) => false,
        }
    }

    /// Whether a host of that name is meant.
    pub fn names(&self, host: &str) -> bool {
        let AddressSelector::Host { name } = self else { return false };
        match (name.starts_with('.'), host.len().checked_sub(name.len())) {
            (_, None) => false,
            (true, Some(before)) => {
                host.is_char_boundary(before) && host[before..].eq_ignore_ascii_case(name)
            }
            (false, Some(_)) => host.eq_ignore_ascii_case(name),
        }
    }

    /// Whether both mean the same clients, however they are written.
    pub fn is_same(&self, other: &AddressSelector) -> bool {
        match (self, other) {
            (AddressSelector::Network { .. }, AddressSelector::Network { .. }) => {
                self.masked() == other.masked()
            }
            (AddressSelector::Host { name }, AddressSelector::Host { name: other }) => {
                name.eq_ignore_ascii_case(other)
            }
            _ => self == other,
        }
    }

    /// Without host bits.
    pub(crate) fn masked(&self) -> AddressSelector {
        match self {
            AddressSelector::Network { address, prefix } => {
                AddressSelector::Network { address: masked(*address, *prefix), prefix: *prefix }
            }
            other => other.clone(),
        }
    }
}

/// The address with everything behind the prefix zeroed.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// `all`, `address/prefix` or the name.
impl fmt::Display for AddressSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressSelector::All => f.write_str("all"),
            AddressSelector::Network { address, prefix } => write!(f, "{address}/{prefix}"),
            AddressSelector::Host { name } => f.write_str(name),
        }
    }
}

/// Over what clients of a rule come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionType {
    /// Anything.
    Any,
    /// A unix socket.
    Local,
    /// TCP.
    Host,
    /// TCP with TLS.
    HostSsl,
    /// TCP without TLS.
    HostNoSsl,
}

impl ConnectionType {
    /// Its word, which is the same in both languages; a rule for any of them says none.
    pub fn word(self) -> Option<&'static str> {
        match self {
            ConnectionType::Any => None,
            ConnectionType::Local => Some("local"),
            ConnectionType::Host => Some("host"),
            ConnectionType::HostSsl => Some("hostssl"),
            ConnectionType::HostNoSsl => Some("hostnossl"),
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// Not at all.
    None,
    /// Nobody may pass.
    Block,
    /// The password, readable on the wire.
    ClearText,
    /// PostgreSQL's md5.
    Md5,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// A client certificate.
    Cert,
    /// A daemon that knows tokens.
    External,
}

impl Authentication {
    /// The word for it in the file.
    pub fn word(self) -> &'static str {
        match self {
            Authentication::None => "none",
            Authentication::Block => "block",
            Authentication::ClearText => "clear_text",
            Authentication::Md5 => "md5",
            Authentication::ScramSha256 => "scram-sha-256",
            Authentication::Cert => "cert",
            Authentication::External => "external",
        }
    }
}

/// How long a client keeps a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// Until it leaves.
    Session,
    /// For a transaction.
    Transaction,
    /// For a statement.
    Statement,
}

impl PoolMode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        }
    }
}

/// What a client may do on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Only look.
    Stat,
    /// Nothing.
    NotAllow,
}
