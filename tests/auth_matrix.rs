//! The matrix of docs/authentication.md: each method of clients, each kind of secret, each method
//! of servers, with PostgreSQL, its psql and psycopg. The page says what comes of it, and is
//! compared.

use crate::drivers::Psycopg;
use crate::support::pooler::SERVICE;
use crate::support::postgres::PASSWORD;
use crate::support::{Pooler, Postgres, Setup};
use crate::tools::program_at;
use std::path::Path;

/// Set to anything, the test writes the page instead of comparing it.
const WRITE: &str = "POOLER_WRITE_DOCS";

/// The matrix stands between them.
const MARKS: [&str; 2] = ["<!-- Written by tests/auth_matrix.rs. -->\n", "<!-- End. -->\n"];

/// What pg_hba.conf asks of us, and the role it asks.
const SERVERS: [(&str, &str); 4] = [
    ("trust", "matrix_trust"),
    ("password", "app_clear"),
    ("md5", "app_md5"),
    ("scram-sha-256", "app_scram"),
];

const METHODS: [&str; 3] = ["clear_text", "md5", "scram-sha-256"];

/// Where the secret of a client stands, and in which form.
#[derive(Clone, Copy)]
enum Secret {
    Plain,
    Md5,
    Verifier,
    AuthQuery,
}

const SECRETS: [(Secret, &str); 4] = [
    (Secret::Plain, "`password`, plain"),
    (Secret::Md5, "`password`, md5…"),
    (Secret::Verifier, "`password`, SCRAM verifier"),
    (Secret::AuthQuery, "`auth_query`"),
];

/// What a rule says about servers: the first that works is what a cell needs.
const HELPS: [(&str, &str); 3] = [
    ("works", ""),
    ("passthrough", "password_passthrough yes"),
    ("storage_password", "storage_password \"SECRET\""),
];

fn scalar(sql: &str) -> String {
    Postgres::shared().admin().scalar(sql)
}

impl Secret {
    /// The options of a rule for that role.
    fn option(self, role: &str) -> String {
        match self {
            Secret::Plain => format!("password \"{PASSWORD}\""),
            Secret::Md5 => {
                let hash = scalar(&format!("select md5($x${PASSWORD}{role}$x$)"));
                format!("password \"md5{hash}\"")
            }
            Secret::Verifier => {
                // The one of the server, if it has one; a role with md5 gets another's.
                let of = if role == "app_md5" { "app_scram" } else { role };
                let sql = format!("select rolpassword from pg_authid where rolname = '{of}'");
                format!("password \"{}\"", scalar(&sql))
            }
            Secret::AuthQuery => "auth_query \"select usename, passwd from pg_shadow where \
                                  usename = $1\" auth_query_user \"postgres\" auth_query_db \
                                  \"postgres\""
                .to_owned(),
        }
    }
}

/// A way for clients to come in: a row.
struct Row {
    method: &'static str,
    secret: Option<(Secret, &'static str)>,
}

fn rows() -> Vec<Row> {
    let mut rows = vec![Row { method: "none", secret: None }];
    for method in METHODS {
        rows.extend(SECRETS.map(|secret| Row { method, secret: Some(secret) }));
    }
    rows
}

/// The database that leads to a row's rules with that help.
fn database(row: usize, help: usize) -> String {
    format!("row{row}_{help}")
}

fn pooler(rows: &[Row]) -> Pooler {
    let mut setup = Setup::new().also(SERVICE);
    for (at, Row { method, secret }) in rows.iter().enumerate() {
        for (_, role) in SERVERS {
            let secret = secret.map_or(String::new(), |(secret, _)| secret.option(role));
            for (help, (_, option)) in HELPS.iter().enumerate() {
                let option = option.replace("SECRET", PASSWORD);
                let rule = format!(
                    r#"authentication "{method}" {secret} {option} storage "pg" pool "session"
                       storage_db "postgres""#
                );
                setup = setup.rule(&database(at, help), role, &rule);
            }
        }
    }
    setup.start()
}

/// Who tries: psql, and psycopg where there is one. They have to agree.
struct Clients<'a> {
    pooler: &'a Pooler,
    psycopg: Option<Psycopg>,
}

/// What is said to a client: nothing, that it was refused, or that no server was got.
type Said = Result<(), &'static str>;

impl Clients<'_> {
    fn attempt(&mut self, database: &str, role: &str) -> Said {
        let mut psql = program_at(self.pooler.port, "psql");
        psql.env("PGPASSWORD", PASSWORD).args(["-U", role, "-d", database]);
        let (good, out, err) =
            crate::support::process::run(psql.args(["-w", "-Atc", "select current_user"]));
        let said = if good { Ok(out.trim().to_owned()) } else { Err(err) };
        let said = judge(&said, database, role);
        if let Some(psycopg) = &mut self.psycopg {
            let (port, password) = (self.pooler.port, PASSWORD.replace('\'', "\\'"));
            let target = format!(
                "host=127.0.0.1 port={port} user={role} dbname={database} password='{password}'"
            );
            let theirs = judge(&psycopg.login(&target), database, role);
            assert_eq!(theirs, said, "psycopg and psql in {database} as {role}");
        }
        said
    }

    fn cell(&mut self, row: usize, role: &str) -> &'static str {
        for (help, (name, _)) in HELPS.iter().enumerate() {
            match self.attempt(&database(row, help), role) {
                Ok(()) => return name,
                Err("client") => return "—",
                Err(_) => {}
            }
        }
        panic!("{row} {role}: not even with storage_password");
    }
}

fn judge(said: &Result<String, String>, database: &str, role: &str) -> Said {
    match said {
        Ok(user) => {
            assert_eq!(user, role);
            Ok(())
        }
        Err(error) if error.contains("failed to connect to remote server") => Err("server"),
        Err(error) => {
            let refusals = ["password authentication failed for user", "check your config"];
            let is_refusal = refusals.iter().any(|words| error.contains(words));
            assert!(is_refusal, "{database} {role}: {error}");
            Err("client")
        }
    }
}

fn matrix() -> String {
    let rows = rows();
    let pooler = pooler(&rows);
    let mut clients = Clients { pooler: &pooler, psycopg: Psycopg::start() };
    let mut table = "| clients | their secret |".to_owned();
    SERVERS.iter().for_each(|(server, _)| table += &format!(" server: {server} |"));
    table += "\n|---|---|---|---|---|---|\n";
    for (at, Row { method, secret }) in rows.iter().enumerate() {
        table += &format!("| {method} | {} |", secret.map_or("", |(_, words)| words));
        SERVERS.iter().for_each(|(_, role)| table += &format!(" {} |", clients.cell(at, role)));
        table.push('\n');
    }
    pooler.stop();
    table
}

/// The page is what psql and psycopg were seen to do.
#[test]
fn every_method_with_every_secret_and_every_server() {
    let role = format!("create role matrix_trust login password $p${PASSWORD}$p$");
    let mut admin = Postgres::shared().admin();
    admin.query("set password_encryption = 'scram-sha-256'");
    assert_eq!(admin.query(&role).error(), None);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authentication.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).expect("the matrix has its marks");
    let (found, after) = rest.split_once(MARKS[1]).expect("the matrix has its marks");
    let wanted = format!("\n{}\n", matrix());
    if std::env::var_os(WRITE).is_some() {
        let page = format!("{before}{}{wanted}{}{after}", MARKS[0], MARKS[1]);
        return std::fs::write(&path, page).unwrap();
    }
    assert_eq!(found, wanted, "docs/authentication.md; write it anew with {WRITE}=1");
}
