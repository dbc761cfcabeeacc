//! `examples/12_tiny_pooler` does what its header says: many clients of a real PostgreSQL share few
//! servers, one transaction at a time.

use crate::support::client::Address;
use crate::support::process::{Watched, new_dir};
use crate::support::{Client, Login, Postgres, Wire};
use crate::tools::program_at;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const SERVERS: usize = 2;
const CLIENTS: usize = 8;

/// Where cargo puts examples: beside the directory of the test that runs.
fn start() -> (Watched, u16) {
    let this = std::env::current_exe().unwrap();
    let programs = this.parent().and_then(Path::parent).unwrap().join("examples");
    let postgres = format!("127.0.0.1:{}", Postgres::shared().port);
    let mut command = Command::new(programs.join("12_tiny_pooler"));
    command.args(["127.0.0.1:0", &postgres, "postgres", &SERVERS.to_string()]);
    command.stdout(Stdio::piped());
    let mut process = Watched::spawn(&mut command, new_dir("tiny-pooler"));
    let mut line = String::new();
    BufReader::new(process.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    (process, port.unwrap_or_else(|| panic!("no port in {line:?}")))
}

#[test]
fn the_tiny_pooler_lets_many_clients_share_two_servers() {
    let (_process, port) = start();
    let address = Address::Tcp(port);
    let connect = || {
        let mut client = Client::try_connect(&address).unwrap();
        client.start(&Login::new("postgres", "postgres")).unwrap();
        client
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
    let mut servers = BTreeSet::new();
    for _ in 0..3 {
        servers.extend(clients.iter_mut().map(|client| client.scalar("select pg_backend_pid()")));
    }
    assert!((1..=SERVERS).contains(&servers.len()), "{servers:?}");

    // In a transaction a client keeps its server; the third waits until one of two is over.
    let [one, two, three, ..] = clients.as_mut_slice() else { unreachable!() };
    one.query("begin");
    two.query("begin");
    let of_one = one.scalar("select pg_backend_pid()");
    assert_ne!(of_one, two.scalar("select pg_backend_pid()"));
    three.send(&Wire::new().query("select pg_backend_pid()"));
    one.query("commit");
    assert_eq!(three.until_ready().column(), [of_one]);
    two.query("commit");
    assert_eq!(three.extended("select $1::int + 1", &["41"]).column(), ["42"]);

    let script = new_dir("tiny-pooler-script").join("one.sql");
    std::fs::write(&script, "select count(*) from pg_class;\n").unwrap();
    let mut pgbench = program_at(port, "pgbench");
    pgbench.args(["-n", "-c", "8", "-t", "50", "-f"]).arg(&script).arg("postgres");
    let output = pgbench.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("400/400"), "{text}");
}
