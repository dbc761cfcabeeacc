//! The admin console: what tools ask and what they are told, over both protocols, and who may ask.
//! That what is told is true is in `numbers` and `truth`, what the commands do is in `acts`.

mod acts;
mod drivers;
mod exporters;
mod numbers;
mod shapes;
mod truth;

use crate::support::process::run;
use crate::support::{
    Answer, Client, Login, PATIENCE, PgError, Pooler, Postgres, Setup, Wire, until,
};

const RULES: [(&str, &str); 4] =
    [("admin", "admin"), ("stat", "stat"), ("rogue", "notallow"), ("silent", "")];

/// With a console: one user for each role.
pub fn with_console(setup: Setup) -> Setup {
    let setup = setup.storage("console", r#"type "local""#);
    RULES.iter().fold(setup, |setup, (user, role)| {
        let role = if role.is_empty() { String::new() } else { format!("role \"{role}\"") };
        let options = format!(r#"authentication "none" storage "console" pool "session" {role}"#);
        setup.rule("console", user, &options)
    })
}

pub fn console(pooler: &Pooler) -> Client {
    pooler.login(&Login::new("admin", "console"))
}

/// The rows of a command that succeeds, each as names with values; NULL is "∅".
pub fn table(client: &mut Client, command: &str) -> Vec<Vec<(String, String)>> {
    let answer = client.query(command);
    assert_eq!(answer.error(), None, "{command}");
    let names: Vec<String> = columns(&answer).into_iter().map(|(name, _)| name).collect();
    let rows = answer.rows().into_iter();
    let named = rows.map(|row| {
        assert_eq!(row.len(), names.len(), "{command}");
        let values = row.into_iter().map(|value| value.unwrap_or("∅".into()));
        names.iter().cloned().zip(values).collect()
    });
    named.collect()
}

/// A value of a row.
pub fn value<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    let found = row.iter().find(|(one, _)| one == name);
    &found.unwrap_or_else(|| panic!("no column {name} in {row:?}")).1
}

pub fn number(row: &[(String, String)], name: &str) -> u64 {
    value(row, name).parse().unwrap_or_else(|_| panic!("{name} is no number in {row:?}"))
}

/// Names and types of a RowDescription.
pub fn columns(answer: &Answer) -> Vec<(String, u32)> {
    let Some(message) = answer.0.iter().find(|message| message.tag == b'T') else {
        return Vec::new();
    };
    let mut rest = &message.body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        columns.push((String::from_utf8_lossy(&rest[..end]).into_owned(), oid));
        rest = &rest[end + 19..];
    }
    columns
}

fn whole(error: &PgError) -> (&str, &str, &str) {
    error.whole()
}

#[test]
fn each_role_may_do_what_it_says() {
    let pooler = with_console(Setup::transaction(1)).start();
    let denied = ("ERROR", "42501", "Unsuitable user role to emit console command");
    for (user, looks, changes) in [
        ("admin", true, true),
        ("stat", true, false),
        ("silent", true, false),
        ("rogue", false, false),
    ] {
        let mut client = pooler.login(&Login::new(user, "console"));
        for (command, may) in [("show pools", looks), ("reconnect", changes), ("pause", changes)] {
            let error = client.query(command).error();
            let expected = (!may).then_some(denied);
            assert_eq!(error.as_ref().map(whole), expected, "{user}: {command}");
        }
    }
    console(&pooler).query("resume");
    pooler.stop();
}

/// A rule for the name wins; without one, tools find the console by any of its names.
#[test]
fn tools_find_the_console_by_its_names_unless_a_rule_has_them() {
    let rule = r#"authentication "none" storage "pg" pool "transaction""#;
    let named = with_console(Setup::new().rule("postgres", "default", rule)).start();
    for name in ["console", "pgbouncer", "odyssey"] {
        let mut client = named.login(&Login::new("stat", name));
        assert_eq!(client.query("show is_paused").column(), ["f"], "{name}");
    }
    let refused = named.refused(&Login::new("nobody", "pgbouncer"));
    assert_eq!(refused.whole(), ("ERROR", "3D000", "route for 'pgbouncer.nobody' is not found"));
    named.stop();
    let taken = with_console(Setup::transaction(1)).start();
    let refused = taken.refused(&Login::new("stat", "pgbouncer"));
    assert_eq!(
        refused.code, "08006",
        "the rule for all databases leads to PostgreSQL: {refused:?}"
    );
    taken.stop();
}

/// Without a place of its own the console would be out of reach when it is needed most.
#[test]
fn the_console_and_cancels_get_in_when_everything_is_full() {
    let pooler = with_console(Setup::transaction(1).global("client_max 1")).start();
    // Whoever looked whether it listens may still be counted.
    let mut client = until("a place", PATIENCE, || {
        let mut client = pooler.connect();
        client.start(&Login::new("app", "postgres")).ok().map(|()| client)
    });
    let refused = pooler.refused(&Login::new("app", "postgres"));
    assert_eq!(refused.whole().2, "too many tcp connections (global client_max 1)");
    let mut admin = console(&pooler);
    let row = table(&mut admin, "show clients");
    assert_eq!(row.len(), 2, "the client and the console");
    client.send(&Wire::new().query("select pg_sleep(60), 'in a full house'"));
    // Before it runs it could not be cancelled: PostgreSQL forgets a cancel that finds no query.
    let runs = "wait_event = 'PgSleep' and query like '%full house%'";
    Postgres::shared().wait_for_backends(runs, 1, PATIENCE);
    assert_eq!(table(&mut admin, "show holders").len(), 1);
    client.cancel();
    assert_eq!(client.until_ready().code(), "57014");
    pooler.stop();
}

#[test]
fn both_protocols_say_the_same() {
    let pooler = with_console(Setup::transaction(1)).start();
    let mut admin = console(&pooler);
    for (sql, simple, extended) in [
        ("show is_paused", "T D C Z/I", "1 2 T D C Z/I"),
        ("show waiters", "T C Z/I", "1 2 T C Z/I"),
        ("", "I Z/I", "1 2 n I Z/I"),
        ("-- nothing", "I Z/I", "1 2 n I Z/I"),
        ("set extra_float_digits = 3", "C Z/I", "1 2 n C Z/I"),
        ("select 1", "T D C Z/I", "1 2 T D C Z/I"),
        ("nonsense", "E/42601 Z/I", "E/42601 Z/I"),
        ("show fds", "E/0A000 Z/I", "E/0A000 Z/I"),
    ] {
        assert_eq!(admin.query(sql).shape(), simple, "{sql}");
        assert_eq!(admin.extended(sql, &[]).shape(), extended, "{sql}");
    }
    assert_eq!(admin.query("SHOW state; /* c */ show STATE;").shape(), "T D C T D C Z/I");
    assert_eq!(admin.query("show state; nonsense; show state").shape(), "T D C E/42601 Z/I");
    let statements = ["begin", "show state", "nonsense", "show state", "commit"];
    let shapes: Vec<String> = statements.iter().map(|sql| admin.query(sql).shape()).collect();
    let expected = ["C Z/T", "T D C Z/T", "E/42601 Z/E", "E/25P02 Z/E", "C Z/I"];
    assert_eq!(shapes, expected);
    // Named statements, parts of an answer, and what comes behind an error of a batch.
    let batch = Wire::new().parse("s", "show state").describe_statement("s").bind("p", "s", &[]);
    let batch = batch.execute("p", 2).execute("p", 0).close_portal("p").sync();
    admin.send(&batch);
    assert_eq!(admin.until_ready().shape(), "1 t T 2 D s D C 3 Z/I");
    admin.send(&Wire::new().bind("", "missing", &[]).execute("", 0).sync().query("show state"));
    assert_eq!(admin.until_ready().shape(), "E/26000 Z/I");
    assert_eq!(admin.until_ready().shape(), "T D C Z/I");
    admin.send(&Wire::new().extended("show state", &["1"]).sync());
    assert_eq!(admin.until_ready().shape(), "1 E/08P01 Z/I");
    admin.leave();
    pooler.stop();
}

#[test]
fn psql_is_at_home() {
    let pooler = with_console(Setup::transaction(1)).start();
    let address = format!("host=127.0.0.1 port={} user=admin dbname=console", pooler.port);
    let mut psql = Postgres::shared().program("psql");
    psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", &address]);
    psql.args(["-c", "show version", "-c", "show is_paused; show state", "-c", "reload"]);
    let (well, out, errors) = run(&mut psql);
    assert!(well, "{errors}");
    assert!(out.starts_with("odyssey ") && out.contains("\nf\nactive|yes\n"), "{out}");
    pooler.stop();
}

/// Against one limit for all: monitoring that forgets to hang up would keep the operator out.
#[test]
fn an_operator_gets_in_when_onlookers_have_taken_all_places() {
    const ONLOOKERS_MAX: usize = 112;
    let pooler = with_console(Setup::transaction(1)).start();
    let onlooker = Login::new("stat", "console");
    let mut clients: Vec<Client> = (0..ONLOOKERS_MAX).map(|_| pooler.login(&onlooker)).collect();
    let text = "too many client tcp connections (client_max for user console.stat 112)";
    let error = pooler.refused(&onlooker);
    assert_eq!(whole(&error), ("ERROR", "53300", text));
    let mut admin = console(&pooler);
    assert_eq!(table(&mut admin, "show clients").len(), ONLOOKERS_MAX + 1);
    clients.pop().unwrap().leave();
    until("a place to be free", PATIENCE, || {
        (table(&mut admin, "show clients").len() == ONLOOKERS_MAX).then_some(())
    });
    clients.push(pooler.login(&onlooker));
    clients.push(admin);
    pooler.stop_with(clients);
}
