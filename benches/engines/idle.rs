//! What a connection holds that says nothing, and how often a server wakes that has nothing to do.

use crate::load::Load;
use crate::net::Server;
use std::time::Duration;

const ENGINES: [&str; 5] = ["epoll", "machine", "machine-parked", "tokio", "may"];
const CONNECTIONS: usize = 5000;
const SILENCE: Duration = Duration::from_secs(2);

/// Prints the table.
pub fn report() {
    println!("{CONNECTIONS} connections of an echo, each of which was answered once\n");
    println!("| engine | KiB resident a connection | sleeps in {SILENCE:?} of silence |");
    println!("|---|---|---|");
    for engine in ENGINES {
        let server = Server::start(&[], engine, None);
        let process = server.child.id();
        drop(Load::connect(server.address, 10)); // what the first ones cost is the server's
        let before = meter::resident_kib(process);
        let load = Load::connect(server.address, CONNECTIONS);
        let kib = meter::resident_kib(process).saturating_sub(before) as f64;
        let sleeps = meter::sleeps(process);
        std::thread::park_timeout(SILENCE);
        let sleeps = meter::sleeps(process) - sleeps;
        println!("| {engine} | {:.2} | {sleeps} |", kib / CONNECTIONS as f64);
        drop(load);
    }
    println!();
}
