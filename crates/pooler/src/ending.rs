//! Endings: why a session is over, from whatever fault. This is the one place that maps faults to
//! SQLSTATEs, to the words a client reads, and to the line in the log.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use config::SessionAttrs;
use router::{Census, Refusal, Scope};
use wire::{Notice, Severity};

use crate::backend::{NoServer, OpenFailure};
use crate::dialog::Broken;
use crate::id::Id;
use crate::nonsense::Nonsense;

/// Why a session is over.
#[derive(Debug)]
pub enum Ending {
    /// The client said goodbye.
    Terminated,
    /// The client went without a word.
    ClientGone,
    /// The client broke the protocol.
    Nonsense(Nonsense),
    /// A login packet or message was broken, late or missing; nothing is answered.
    Silent(String),
    /// The login failed: what the client is told.
    Login(Notice),
    /// The client did not prove who it is.
    Denied(Box<Denial>),
    /// The policy said no.
    Refused(Refusal, Arc<Asked>),
    /// A server could not be opened.
    NoServer(OpenFailure),
    /// Every host of the storage is known to be out of reach, or to have the wrong role.
    NoHost,
    /// No host has the role that the client wants.
    Unfit(SessionAttrs, Arc<Asked>),
    /// Every host lags too far behind, or that of the server that the client keeps; by this.
    Lagging(Duration, Arc<Asked>),
    /// The server went while the client had it.
    ServerLost(ServerLoss),
    /// The client held a server for too long without a word.
    Idle {
        /// Inside a transaction.
        in_transaction: bool,
    },
    /// A transaction where a server goes back after each statement.
    TransactionRefused,
    /// The client left in its server what its rule forbids: what, in words.
    LeftBehind(String),
    /// An operator ended it.
    Killed,
    /// Its pool is paused, and the client keeps a server.
    Paused,
    /// The process stops and asks its clients to leave.
    ShuttingDown,
    /// Another process takes the place of this one, but not this client.
    Restarting,
    /// Another process serves the client now.
    Moved,
    /// The engine failed us: too many coroutines, a cancelled coroutine.
    Engine(machine::Error),
}

/// What the client that proved nothing is told, and what the operator is.
#[derive(Debug)]
pub struct Denial {
    /// For the client; it tells an attacker nothing.
    pub notice: Notice,
    /// For the log; no secret is in it.
    pub reason: Cow<'static, str>,
    /// Somebody tried a password, or the like: the next try has to be slower.
    pub is_guess: bool,
}

/// Whom a refusal concerns, for its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The database the client named.
    pub database: String,
    /// The user the client named.
    pub user: String,
}

/// How a server was lost.
#[derive(Debug)]
pub struct ServerLoss {
    /// Which one.
    pub server: Option<Id>,
    /// What was seen.
    pub reason: String,
    /// The server itself told the client, by a FATAL error: a second error would only hide it.
    pub told: bool,
}

impl Ending {
    /// What the client is told, without the `odyssey:` prefix; None: the connection just ends.
    pub fn notice(&self, forward_errors: bool) -> Option<Notice> {
        let notice = match self {
            Ending::Terminated | Ending::ClientGone | Ending::Moved | Ending::Silent(_) => {
                return None;
            }
            Ending::ServerLost(ServerLoss { told: true, .. }) => return None,
            Ending::Login(notice) => notice.clone(),
            Ending::Denied(denial) => denial.notice.clone(),
            Ending::Nonsense(nonsense) => Notice::fatal(
                "08P01",
                "unexpected message type from client or other protocol violation",
            )
            .with_detail(nonsense.to_string()),
            Ending::Refused(refusal, asked) => refused(refusal, asked),
            Ending::NoServer(failure) => match failure.forwarded() {
                Some(notice) if forward_errors => notice,
                _ => {
                    let text = format!("failed to connect to remote server {}", failure.server);
                    Notice::fatal("08006", text).with_detail(failure.reason.to_string())
                }
            },
            Ending::NoHost => Notice::fatal("08006", NO_HOST).with_hint(
                "every host of the storage was out of reach or had another role a moment ago",
            ),
            Ending::Unfit(attrs, asked) => Notice::fatal("08006", unfit(*attrs, asked))
                .with_hint("another target_session_attrs, or a server of that role, helps"),
            Ending::Lagging(lag, asked) => lagging(*lag, asked),
            Ending::ServerLost(loss) => {
                let server = Show(loss.server);
                let text = format!("remote server read/write error {server}: {}", loss.reason);
                Notice::error("08006", text)
                    .with_hint("Connect anew and repeat what was not committed")
            }
            Ending::Idle { in_transaction } => {
                let what = if *in_transaction { "idle in transaction" } else { "idle" };
                Notice::fatal("08006", "Odyssey has dropped the connection")
                    .with_detail(format!("Connection was dropped by Odyssey due to {what} timeout"))
            }
            Ending::TransactionRefused => {
                Notice { severity: Severity::Fatal, ..transaction_refused() }
            }
            Ending::LeftBehind(left) => {
                Notice::fatal("0A000", format!("session state not allowed in this pool: {left}"))
                    .with_hint("a session pool has no such limit")
            }
            Ending::Killed => Notice::fatal("08006", "Odyssey has dropped the connection")
                .with_detail(
                    "Connection was killed by Odyssey configuration reloading or console command",
                )
                .with_hint("Try to reconnect"),
            Ending::Paused => Notice::fatal("57P01", "Odyssey has dropped the connection")
                .with_detail("The pool is paused, and this connection would keep a server")
                .with_hint("Try to reconnect when the pool is resumed"),
            Ending::ShuttingDown => Notice::fatal("08006", "Odyssey is gracefully shutting down")
                .with_detail(
                    "The Odyssey instance is gracefully shutting down, and the connections are \
                     being drained",
                ),
            Ending::Restarting => Notice::fatal("08006", "Odyssey is gracefully shutting down")
                .with_detail(
                    "The Odyssey instance is performing online restart to update configuration or \
                     binary, and the connections are being drained",
                )
                .with_hint("Try to reconnect"),
            Ending::Engine(error) => Notice::fatal("53000", error.to_string()),
        };
        Some(notice)
    }

    /// Odyssey's name of it, in the line that ends a session.
    pub fn status(&self) -> &'static str {
        match self {
            Ending::Terminated | Ending::Moved => "OD_OK",
            Ending::ClientGone => "OD_ECLIENT_READ",
            Ending::Nonsense(_) => "OD_ECLIENT_PROTOCOL_ERROR",
            Ending::Silent(_) | Ending::Login(_) | Ending::Denied(_) => "OD_ECLIENT_READ",
            Ending::Refused(Refusal::PoolTimeout { .. }, _) => "OD_EATTACH_TOO_MANY_CONNECTIONS",
            Ending::Refused(..) => "OD_EATTACH",
            Ending::NoServer(_) => "OD_ESERVER_CONNECT",
            Ending::NoHost => "OD_EATTACH",
            Ending::Unfit(..) => "OD_EATTACH_TARGET_SESSION_ATTRS_MISMATCH",
            Ending::Lagging(..) => "OD_ECATCHUP_TIMEOUT",
            Ending::ServerLost(_) => "OD_ESERVER_READ",
            Ending::Idle { in_transaction: false } => "OD_EIDLE_TIMEOUT",
            Ending::Idle { in_transaction: true } => "OD_EIDLE_IN_TRANSACTION_TIMEOUT",
            Ending::TransactionRefused | Ending::LeftBehind(_) => "OD_ECLIENT_PROTOCOL_ERROR",
            Ending::ShuttingDown | Ending::Restarting => "OD_EGRACEFUL_SHUTDOWN",
            Ending::Killed | Ending::Paused => "OD_ECLIENT_KILLED",
            Ending::Engine(_) => "OD_EOOM",
        }
    }

    /// Worth an error line in the log? A denial has its own.
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Ending::Terminated
                | Ending::ClientGone
                | Ending::Moved
                | Ending::Killed
                | Ending::Paused
                | Ending::ShuttingDown
                | Ending::Restarting
                | Ending::Idle { .. }
                | Ending::Denied(_)
        )
    }
}

/// What a client of a statement pool is told when it wants a transaction. It goes on where nothing
/// has begun.
pub fn transaction_refused() -> Notice {
    Notice::error("0A000", "transaction blocks not allowed in statement pooling mode")
}

const NO_HOST: &str = "failed to get remote server connection";

fn unfit(attrs: SessionAttrs, Asked { database, user }: &Asked) -> String {
    let attrs = attrs.as_str();
    format!("can't find suitable host for tsa '{attrs}' of user {database}.{user}")
}

fn lagging(lag: Duration, Asked { database, user }: &Asked) -> Notice {
    let lag = lag.as_secs();
    let text =
        format!("replication lag too big ({lag} seconds), connection rejected: {database} {user}");
    let detail = "replication lag of the node you are trying to connect is too big, connection \
                  rejected";
    Notice::fatal("08006", text)
        .with_detail(detail)
        .with_hint("wait until the replica catches up with the primary")
}

const FEWER: &str = "close connections that are not needed, or raise client_max";

/// The words of Odyssey for what the policy says.
fn refused(refusal: &Refusal, Asked { database, user }: &Asked) -> Notice {
    match refusal {
        Refusal::NoRoute { database, user } => {
            Notice::error("3D000", format!("route for '{database}.{user}' is not found"))
                .with_hint("no rule of the pooler is for this database and user from there")
        }
        Refusal::Blocked { database, user } => {
            Notice::fatal("28000", format!("user blocked: {database} {user}"))
        }
        Refusal::Disabled { database } => {
            let hint = "an operator disabled it, and may enable it again";
            Notice::fatal("57P03", format!("database '{database}' is disabled")).with_hint(hint)
        }
        Refusal::ClientMax { scope: Scope::Global, limit } => {
            Notice::error("53300", format!("too many tcp connections (global client_max {limit})"))
                .with_hint(FEWER)
        }
        Refusal::ClientMax { scope: Scope::Route, limit } => Notice::error(
            "53300",
            format!(
                "too many client tcp connections (client_max for user {database}.{user} {limit})"
            ),
        )
        .with_hint(FEWER),
        Refusal::PoolTimeout { size, waited, census } => Notice::fatal(
            "53300",
            format!(
                "too many active clients for user (pool_size for user {database}.{user} reached {})",
                size.unwrap_or(0)
            ),
        )
        .with_detail(crowd(*waited, census))
        .with_hint("shorter transactions, a larger pool_size or a longer pool_timeout help"),
        Refusal::RoutesFull { .. } | Refusal::WaitersFull { .. } => {
            Notice::fatal("53300", refusal.to_string())
        }
    }
}

/// How long a client waited in vain, who has the servers and who waits for them too.
fn crowd(waited: Duration, census: &Census) -> String {
    let Census { counts, holders, shared, logins, is_shut, is_paused } = census;
    let mut text = format!("waited {} ms; {} servers", waited.as_millis(), counts.servers());
    let mut separator = ": ";
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{number} {what}");
            separator = ", ";
        }
    };
    let ids = holders.iter().map(|client| Id::of_client(client.0).to_string());
    let mut held = format!("held by {}", ids.collect::<Vec<_>>().join(" "));
    match counts.leased.saturating_sub(holders.len()) {
        0 => {}
        more => held += &format!(" and {more} more"),
    }
    add(counts.leased, &held);
    add(counts.opening, "being opened");
    add(counts.resetting, "being reset");
    add(counts.quarantined, "behind a cancel");
    add(counts.idle, "idle");
    if let Some((used, size)) = shared {
        text += &format!("; {used} of {size} servers in the shared pool");
    }
    if let Some((used, size)) = logins {
        text += &format!("; {used} of {size} logins to the storage under way");
    }
    if *is_shut {
        text += "; the server takes no more connections";
    }
    if *is_paused {
        text += "; the pool is paused by an operator";
    }
    text + &format!("; {} more clients wait", counts.waiting)
}

/// An id, or nothing where there is none.
struct Show(Option<Id>);

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, "{id}"))
    }
}

/// For the log.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Terminated => f.write_str("terminated by the client"),
            Ending::ClientGone => f.write_str("client connection lost"),
            Ending::Nonsense(nonsense) => write!(f, "protocol violation: {nonsense}"),
            Ending::Silent(reason) => f.write_str(reason),
            Ending::Login(notice) => f.write_str(&notice.message),
            Ending::Denied(denial) => f.write_str(&denial.reason),
            Ending::Refused(refusal, asked) => {
                let Notice { message, detail, .. } = refused(refusal, asked);
                f.write_str(&message)?;
                detail.map_or(Ok(()), |detail| write!(f, ": {detail}"))
            }
            Ending::NoServer(failure) => write!(f, "{failure}"),
            Ending::NoHost => f.write_str(NO_HOST),
            Ending::Unfit(attrs, asked) => f.write_str(&unfit(*attrs, asked)),
            Ending::Lagging(lag, asked) => f.write_str(&lagging(*lag, asked).message),
            Ending::ServerLost(loss) => {
                write!(f, "remote server read/write error {}: {}", Show(loss.server), loss.reason)
            }
            Ending::Idle { in_transaction: false } => f.write_str("idle timeout"),
            Ending::Idle { in_transaction: true } => f.write_str("idle in transaction timeout"),
            Ending::TransactionRefused => f.write_str("transaction in statement pooling mode"),
            Ending::LeftBehind(left) => write!(f, "session state not allowed in this pool: {left}"),
            Ending::Killed => f.write_str("killed by an operator"),
            Ending::Paused => f.write_str("the pool is paused"),
            Ending::ShuttingDown => f.write_str("graceful shutdown"),
            Ending::Restarting => f.write_str("online restart"),
            Ending::Moved => f.write_str("handed over to the new process"),
            Ending::Engine(error) => write!(f, "{error}"),
        }
    }
}

impl From<Nonsense> for Ending {
    fn from(nonsense: Nonsense) -> Self {
        Ending::Nonsense(nonsense)
    }
}

impl From<wire::Malformed> for Ending {
    fn from(error: wire::Malformed) -> Self {
        Ending::Nonsense(error.into())
    }
}

impl From<machine::Error> for Ending {
    fn from(error: machine::Error) -> Self {
        Ending::Engine(error)
    }
}

/// A broken dialog of a login: as Odyssey, the client is told nothing.
impl From<Broken> for Ending {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed | Broken::Abandoned => Ending::ClientGone,
            other => Ending::Silent(other.to_string()),
        }
    }
}

impl Ending {
    /// A checkout that failed.
    pub fn no_server(failure: NoServer, asked: Arc<Asked>) -> Self {
        match failure {
            NoServer::Refused(refusal) => Ending::Refused(refusal, asked),
            NoServer::Open(failure) if failure.is_abandoned() => Ending::ClientGone,
            NoServer::Open(failure) => Ending::NoServer(failure),
            NoServer::NoHost => Ending::NoHost,
            NoServer::Unfit(attrs) => Ending::Unfit(attrs, asked),
            NoServer::Lagging(lag) => Ending::Lagging(lag, asked),
            NoServer::ClientGone => Ending::ClientGone,
            NoServer::Killed => Ending::Killed,
            NoServer::Failed(error) => Ending::Engine(error),
        }
    }
}
