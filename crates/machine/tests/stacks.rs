//! How deep stacks are used: what is known to go deep stays below three quarters of a stack. Name
//! lookups run on offload threads, which have stacks of the system's size.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "common/secure.rs"]
mod secure;

use std::hint::black_box;
use std::sync::mpsc;

use machine::{Engine, EngineConfig, Error};

use common::{pair, soon};
use secure::Files;

const STACK_BYTES: u64 = 64 * 1024;
const USED_BYTES_MAX: u64 = STACK_BYTES * 3 / 4;

fn deeper(n: u64) -> u64 {
    let room = black_box([n; 128]);
    if n == 0 { 0 } else { deeper(n - 1) + room[3] }
}

fn shake_hands(files: &Files) {
    for _ in 0..3 {
        let (mut ours, theirs) = pair();
        let (client, server) = (files.client(), files.server());
        let other = machine::spawn("server", move || {
            let mut theirs = theirs;
            theirs.accept_tls(&server, soon())?;
            theirs.write_all(b"hello", soon())
        });
        ours.connect_tls(&client, Some("localhost"), soon()).unwrap();
        assert_eq!(ours.read(&mut [0; 16], soon()).unwrap(), 5);
        other.unwrap().join(soon()).unwrap().unwrap();
    }
}

#[test]
fn what_goes_deep_stays_on_its_stack() {
    let config =
        EngineConfig { stack_bytes: 64 * 1024, paint_stacks: true, ..EngineConfig::default() };
    let engine = Engine::start(config).unwrap();
    let machine = engine.machines()[0].clone();
    let (sender, seen) = mpsc::channel();
    let observer = machine.clone();
    let body = move || {
        let used = || {
            machine::yield_now();
            observer.stats().stack_used_bytes_max
        };
        shake_hands(&Files::new("stacks"));
        sender.send(("TLS handshakes", used())).unwrap();
        assert!(machine::resolve("localhost", 1, soon()).is_ok());
        sender.send(("a name", used())).unwrap();
        let panics = machine::spawn("panics", || panic!("by design {}", 1));
        assert!(matches!(panics.unwrap().join(soon()).map(|(): ()| ()), Err(Error::Panicked(_))));
        sender.send(("a panic", used())).unwrap();
        let digs = machine::spawn("digs", || black_box(deeper(12)));
        digs.unwrap().join(soon()).unwrap();
        sender.send(("the measure", used())).unwrap();
    };
    let run = move || {
        let body = machine::spawn("body", body).unwrap();
        body.join(soon()).unwrap();
    };
    machine.spawn("test", run).unwrap();
    let told: Vec<_> = seen.iter().take(4).collect();
    println!("{told:?}");
    assert_eq!(told.len(), 4, "nothing panicked");
    for (what, used) in &told[..3] {
        assert!((1_000..USED_BYTES_MAX).contains(used), "{what}: {used} bytes");
    }
    let (_, deep) = told[3];
    assert!((20 * 1024..STACK_BYTES).contains(&deep), "the pattern tells how deep: {deep}");
}
