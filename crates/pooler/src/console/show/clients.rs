//! Clients: who is here, who waits, who holds a server, who is tied to one.

use std::collections::HashMap;
use std::sync::Arc;

use router::{Census, ClientId};

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Cell, Column, Row, int, long, text};
use super::{micros, moment, place, replication, seconds};
use crate::backend::Home;
use crate::id::Id;
use crate::readings::{self, ClientReading, ClientState};
use crate::session::Account;

// What several tables say of a client, in the same words.
const ID: Column = text("id", "of the client");
const USER: Column = text("user", "as the client named it");
const DATABASE: Column = text("database", "as the client named it");
const APPLICATION_NAME: Column = text("application_name", "what the client calls itself");
const ADDR: Column = text("addr", "the client's end");
const PORT: Column = int("port", "its port; -1 on a unix socket");

/// `SHOW CLIENTS`, in Odyssey's order, then what PgBouncer has more.
pub const CLIENTS: &[Column] = &[
    text("type", "always C"),
    USER,
    DATABASE,
    text("state", "active: it holds a server; queue: it waits for one; pending: neither"),
    text("storage_user", "the user at the server; NULL at the console"),
    ADDR,
    PORT,
    text("local_addr", "our end"),
    int("local_port", "its port; -1 on a unix socket"),
    text("connect_time", "when it came, UTC"),
    text("request_time", "since when it holds or wants a server, UTC; NULL if it does not"),
    int("wait", "how long it has waited for a server, in s"),
    int("wait_us", "the µs beyond"),
    text("id", "for KILL_CLIENT, and in every line of the log"),
    text("ptr", "the same id: nothing else names a client for its whole life"),
    int("coro", "the number of its machine"),
    int("remote_pid", "its process, on a unix socket; else 0"),
    text("tls", "version and cipher; empty without TLS"),
    APPLICATION_NAME,
    text("link", "the id of the server that it holds; empty if there is none"),
    text("replication", "none, logical or physical"),
];

/// `SHOW WAITERS`
pub const WAITERS: &[Column] = &[
    ID,
    USER,
    DATABASE,
    APPLICATION_NAME,
    ADDR,
    PORT,
    long("wait_us", "how long it has waited, in µs"),
    int("ahead", "clients of its pool that came before it"),
    text("waits_for", "what it is that there is not enough of"),
];

/// `SHOW HOLDERS`
pub const HOLDERS: &[Column] = &[
    text("server", "the id of the server"),
    int("remote_pid", "its process at PostgreSQL"),
    ID,
    USER,
    DATABASE,
    APPLICATION_NAME,
    ADDR,
    PORT,
    text("since", "when it got the server, UTC"),
    long("held_us", "for so long, in µs"),
    text("state", "active, idle in transaction, idle"),
    text("last_command", "the tag of the last command that the server completed"),
    text("pinned", "what ties it to the server beyond its transaction"),
];

/// `SHOW PINS`
pub const PINS: &[Column] = &[
    ID,
    USER,
    DATABASE,
    APPLICATION_NAME,
    text("server", "the id of the server"),
    text("reason", "what the client left there, that no other server has"),
    long("held_us", "for how long it has had the server, in µs"),
];

/// `SHOW CLIENTS`
pub fn clients(call: &Call<'_>) -> Result<Reply, Stop> {
    Ok(readings::clients(call.shared).iter().map(client_row).collect::<Vec<Row>>().into())
}

fn client_row(client: &ClientReading) -> Row {
    let person = &client.standing.person;
    let now = machine::now();
    let (state, request, waited, server) = match client.state {
        ClientState::Active { since, server } => ("active", since, None, server),
        ClientState::Queued { since } => {
            ("queue", Some(since), Some(now.saturating_duration_since(since)), None)
        }
        ClientState::Idle => ("pending", None, None, None),
    };
    let [addr, port] = place(&person.address);
    let [local, local_port] = place(&person.local);
    let [wait, wait_us] = seconds(waited);
    let key = client.standing.home.as_ref().map(|home| home.route.key());
    vec![
        "C".into(),
        person.asked.user.clone().into(),
        person.asked.database.clone().into(),
        state.into(),
        key.map(|key| key.user.clone()).into(),
        addr,
        port,
        local,
        local_port,
        moment(person.since),
        request.map_or(Cell::Null, moment),
        wait,
        wait_us,
        person.id.to_string().into(),
        person.id.to_string().into(),
        u64::from(client.standing.machine).into(),
        person.process.map_or(0, u64::from).into(),
        person.tls().unwrap_or_default().to_owned().into(),
        client.application_name().into(),
        server.map_or(String::new(), |id| id.to_string()).into(),
        key.map_or("none", |key| replication(key.replication)).into(),
    ]
}

/// Who it is and where, as far as all tables say it alike.
fn who(client: &ClientReading) -> [Cell; 4] {
    let person = &client.standing.person;
    [
        person.id.to_string().into(),
        person.asked.user.clone().into(),
        person.asked.database.clone().into(),
        client.application_name().into(),
    ]
}

/// `SHOW WAITERS`
pub fn waiters(call: &Call<'_>) -> Result<Reply, Stop> {
    let now = machine::now();
    let mut waiting: Vec<_> = readings::clients(call.shared)
        .into_iter()
        .filter_map(|client| match client.state {
            ClientState::Queued { since } => Some((since, client)),
            ClientState::Active { .. } | ClientState::Idle => None,
        })
        .collect();
    waiting.sort_by_key(|(since, _)| *since);
    let mut ahead: HashMap<usize, i64> = HashMap::new();
    let rows = waiting.iter().map(|(since, client)| {
        let home = client.standing.home.as_ref();
        let before = ahead.entry(home.map_or(0, |home| home.number())).or_default();
        let mut row: Row = who(client).into();
        row.extend(place(&client.standing.person.address));
        row.push(micros(now.saturating_duration_since(*since)));
        row.push(Cell::Int(*before));
        row.push(home.map_or(String::new(), lacking).into());
        *before += 1;
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// What clients of a pool wait for.
fn lacking(home: &Arc<Home>) -> String {
    let census = home.route.with(|pool| pool.census());
    let Census { counts, shared, logins, is_shut, is_paused, .. } = census;
    match (shared, logins, home.route.rule().pool_size) {
        _ if is_paused => "RESUME: the pool is paused".into(),
        _ if is_shut => "PostgreSQL to take more connections".into(),
        (_, Some((used, size)), _) => {
            format!("its turn to connect: {used} of {size} logins to the storage are under way")
        }
        (Some((used, size)), ..) => {
            format!("a server of the shared pool: {used} of {size} are in use")
        }
        (.., size) => {
            let size = size.map_or("all".to_owned(), |size| size.to_string());
            format!("a server: {} of {size} are in use", counts.servers() - counts.idle)
        }
    }
}

/// A client that holds a server.
struct Holding {
    client: ClientReading,
    since: Option<std::time::Instant>,
    server: Id,
    said: Option<Box<Account>>,
}

/// Those who hold a server, and what they say that they do.
fn holdings(call: &Call<'_>) -> Vec<Holding> {
    let held = readings::clients(call.shared).into_iter().filter_map(|client| match client.state {
        ClientState::Active { since, server: Some(server) } => Some((client, since, server)),
        _ => None,
    });
    let held: Vec<_> = held.collect();
    let standings: Vec<_> = held.iter().map(|(client, ..)| &*client.standing).collect();
    let mut said = readings::accounts(call.shared, &standings);
    let holding = |(client, since, server): (ClientReading, _, _)| Holding {
        said: said.remove(&client.id()),
        client,
        since,
        server,
    };
    held.into_iter().map(holding).collect()
}

/// `SHOW HOLDERS`
pub fn holders(call: &Call<'_>) -> Result<Reply, Stop> {
    let now = machine::now();
    let servers = readings::servers(call.shared).into_iter();
    let pids: HashMap<Id, u32> =
        servers.map(|server| (server.target.id, server.target.key.pid)).collect();
    let rows = holdings(call).into_iter().map(|holding| {
        let Holding { client, since, server, said } = holding;
        let pid = pids.get(&server).map(|pid| u64::from(*pid));
        let mut row: Row = vec![server.to_string().into(), pid.into()];
        row.extend(who(&client));
        row.extend(place(&client.standing.person.address));
        row.push(since.map_or(Cell::Null, moment));
        row.push(since.map_or(Cell::Null, |at| micros(now.saturating_duration_since(at))));
        let (state, command, pinned) = match said {
            Some(said) => (
                Cell::from(said.state),
                said.last_command.into(),
                said.pinned.map(String::from).into(),
            ),
            None => (Cell::Null, Cell::Null, Cell::Null),
        };
        row.extend([state, command, pinned]);
        row
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW PINS`
pub fn pins(call: &Call<'_>) -> Result<Reply, Stop> {
    let now = machine::now();
    let rows = holdings(call).into_iter().filter_map(|holding| {
        let Holding { client, since, server, said } = holding;
        let reason = said?.pinned?;
        let mut row: Row = who(&client).into();
        row.push(server.to_string().into());
        row.push(String::from(reason).into());
        row.push(since.map_or(Cell::Null, |at| micros(now.saturating_duration_since(at))));
        Some(row)
    });
    Ok(rows.collect::<Vec<Row>>().into())
}

/// What the clients that hold a server say has been prepared there.
pub fn prepared_by_holders(call: &Call<'_>) -> HashMap<ClientId, Box<Account>> {
    let held = holdings(call).into_iter();
    held.filter_map(|holding| Some((holding.client.id(), holding.said?))).collect()
}
