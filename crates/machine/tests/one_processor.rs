//! A machine with a single processor has nobody to hand its signatures to: a thread would only take
//! the loop's time, in slices of the kernel's, and cost what it costs to wake it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "other tests use more of what they share")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/secure.rs"]
mod secure;

use std::fs;

use machine::{EngineConfig, Error, process};

use certificates::Wish;
use common::{connect, listen, soon};
use secure::Files;

const CLIENTS: usize = 100;

/// The threads for what blocks start with the first piece of work. Seen to fail: every step over
/// what may be burned in a turn is handed over.
#[test]
fn a_crowd_of_handshakes_stays_on_the_loop_of_a_single_processor() {
    process::pin(&process::processors().unwrap()[..1]).unwrap();
    let files = Files::new("single");
    let wish = Wish { names: &["localhost"], rsa: true, ..Wish::default() };
    files.certificate("server", &wish);
    let (server, client) = (files.server(), files.client());
    let config = EngineConfig {
        machines: 1,
        thread_names: ("single-", "elsewhere-"),
        ..EngineConfig::default()
    };
    let threads = machine::run(config, move |_engine| {
        let listener = listen();
        let at = listener.local();
        let mut all = Vec::new();
        for _ in 0..CLIENTS {
            let (at, client) = (at.clone(), client.clone());
            all.push(machine::spawn("client", move || {
                let mut stream = connect(&at).unwrap();
                stream.connect_tls(&client, Some("localhost"), soon()).unwrap();
                stream.read_exact(&mut [0; 5], soon())
            })?);
        }
        for _ in 0..CLIENTS {
            let (parcel, server) = (listener.accept(soon())?.0, server.clone());
            all.push(machine::spawn("server", move || {
                let mut stream = parcel.unfold()?;
                stream.accept_tls(&server, soon()).unwrap();
                stream.write_all(b"hello", soon())
            })?);
        }
        all.into_iter().try_for_each(|one| one.join(soon())?)?;
        Ok::<_, Error>(names_of_threads())
    });
    let threads = threads.unwrap().unwrap();
    assert!(threads.iter().any(|name| name.starts_with("single-")), "{threads:?}");
    assert!(!threads.iter().any(|name| name.starts_with("elsewhere-")), "{threads:?}");
}

fn names_of_threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    };
    tasks.map(name).collect()
}
