//! `machine` beside other engines, all in one run: what a spawn, a switch, a wake, a timer and a
//! request cost, and what a connection that says nothing holds.
//!
//! `cargo run --release --manifest-path benches/engines/Cargo.toml -- [small|net|idle]... [ROUNDS]`
//!
//! Engines take turns, each measurement in a process of its own (may has one scheduler a process);
//! the least of all rounds is shown, as disturbance only ever adds. CPU is that of the whole
//! process, user and system. Servers run on the first processor, the load on the last.

mod bare;
mod idle;
mod load;
mod net;
mod ours;
mod raw;
mod small;
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it is what we compare to")]
mod stock_may;
mod tokios;

use std::process::ExitCode;

/// Measurements interleaved with each other, by default.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", rest @ ..] = words.as_slice() {
        return child(rest);
    }
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let wanted = |part: &str| {
        let named = ["small", "net", "idle"].iter().any(|part| words.contains(part));
        !named || words.contains(&part)
    };
    println!("least of {rounds} rounds\n");
    if wanted("small") {
        small::report(rounds);
    }
    if wanted("net") {
        net::report(rounds);
    }
    if wanted("idle") {
        idle::report();
    }
    ExitCode::SUCCESS
}

/// One measurement, or one server, of one engine.
fn child(words: &[&str]) -> ExitCode {
    match words {
        ["small", engine, what] => small::run(engine, what),
        ["serve", engine] => net::serve(engine, None),
        ["serve", engine, upstream] => net::serve(engine, Some(upstream)),
        _ => {
            eprintln!("what is {words:?}?");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
