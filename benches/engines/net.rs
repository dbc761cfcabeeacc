//! What a request costs a server that does nothing: an echo, and a relay in front of an echo.

use crate::{load, ours, raw, stock_may, tokios};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ENGINES: [&str; 4] = ["epoll", "machine", "tokio", "may"];
const CONNECTIONS: [usize; 3] = [1, 64, 1000];
const SECONDS: Duration = Duration::from_millis(500);
/// Requests while system calls are counted, which is slow.
const COUNTED: Duration = Duration::from_millis(1500);

/// What is known of one engine under one load.
#[derive(Clone, Copy)]
struct Cell {
    micros: f64,
    calls: Option<f64>,
}

/// Prints both tables.
pub fn report(rounds: usize) {
    let echo = raw::Echo::start();
    for (title, upstream) in [("echo", None), ("relay", Some(echo.address))] {
        println!(
            "{title}: CPU µs a request of 64 bytes (system calls a request), by connections\n"
        );
        println!("| engine | {} |", CONNECTIONS.map(|n| n.to_string()).join(" | "));
        println!("|---|---|---|---|");
        let table = measured(rounds, upstream);
        for (row, engine) in table.iter().zip(ENGINES) {
            let cells = row.map(|cell| match cell.calls {
                Some(calls) => format!("{:.2} ({calls:.2})", cell.micros),
                None => format!("{:.2}", cell.micros),
            });
            println!("| {engine} | {} |", cells.join(" | "));
        }
        println!();
    }
}

fn measured(rounds: usize, upstream: Option<SocketAddr>) -> [[Cell; 3]; 4] {
    let mut table = [[Cell { micros: f64::MAX, calls: None }; 3]; 4];
    for _ in 0..rounds {
        for (row, engine) in table.iter_mut().zip(ENGINES) {
            for (cell, connections) in row.iter_mut().zip(CONNECTIONS) {
                cell.micros = cell.micros.min(cpu(engine, upstream, connections));
            }
        }
    }
    for (row, engine) in table.iter_mut().zip(ENGINES) {
        for (cell, connections) in row.iter_mut().zip(CONNECTIONS) {
            cell.calls = calls(engine, upstream, connections);
        }
    }
    table
}

fn cpu(engine: &str, upstream: Option<SocketAddr>, connections: usize) -> f64 {
    let server = Server::start(&[], engine, upstream);
    let mut load = load::Load::connect(server.address, connections);
    load.run(SECONDS / 10);
    let before = meter::cpu_of(server.child.id());
    let requests = load.run(SECONDS);
    let spent = meter::cpu_of(server.child.id()) - before;
    spent.as_nanos() as f64 / 1000.0 / requests as f64
}

/// By strace, if it is there and allowed; what a start costs is lost in the number of requests.
fn calls(engine: &str, upstream: Option<SocketAddr>, connections: usize) -> Option<f64> {
    let file = std::env::temp_dir().join(format!("calls-{}", std::process::id()));
    let words = ["strace", "-f", "-c", "-qq", "-o", file.to_str()?];
    Command::new("strace").arg("-V").stdout(Stdio::null()).status().ok()?;
    let server = Server::start(&words, engine, upstream);
    let mut load = load::Load::connect(server.address, connections);
    let requests = load.run(COUNTED);
    drop(load);
    drop(server);
    let text = fs::read_to_string(&file).ok()?;
    let _ = fs::remove_file(&file);
    let total = text.lines().find(|line| line.trim_end().ends_with("total"))?;
    let calls: f64 = total.split_whitespace().nth(3)?.parse().ok()?;
    Some(calls / requests as f64)
}

/// A server in a process of its own; it ends when this is dropped.
pub struct Server {
    /// The process, or the one that traces it.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Under `tracer`, if any words are given.
    pub fn start(tracer: &[&str], engine: &str, upstream: Option<SocketAddr>) -> Server {
        let program = std::env::current_exe().expect("Linux tells");
        let mut command = match tracer {
            [] => Command::new(program),
            [tracer, words @ ..] => {
                let mut command = Command::new(tracer);
                command.args(words).arg(program);
                command
            }
        };
        command.args(["child", "serve", engine]);
        command.args(upstream.map(|upstream| upstream.to_string()));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the same program again");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
        Server { child, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The server's side: serves until its standard input ends.
pub fn serve(engine: &str, upstream: Option<&str>) {
    meter::pin(0);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let upstream = upstream.map(|upstream| upstream.parse().expect("an address"));
    match engine {
        "epoll" => raw::serve(upstream),
        "machine" => ours::serve(upstream),
        "machine-parked" => ours::serve_parked(),
        "tokio" => tokios::serve(1, upstream),
        "may" => stock_may::serve(upstream),
        _ => panic!("what is {engine}?"),
    }
}

/// A server says that it listens.
pub fn ready(address: SocketAddr) {
    println!("{address}");
}
