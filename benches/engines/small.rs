//! Small things, a great many times: spawn, yield, a channel there and back, a timer.

use crate::{bare, ours, stock_may, tokios};
use std::process::Command;
use std::time::Duration;

const ENGINES: [&str; 7] =
    ["machine", "machine-2", "tokio", "tokio-2", "may", "generator", "corosensei"];

/// What is measured, with its unit.
const WHATS: [(&str, &str); 4] = [
    ("spawn", "spawn + join"),
    ("yield", "yield"),
    ("channel", "channel, there and back"),
    ("timer", "sleep of 1 ms"),
];

/// How often a thing is done: enough for a tenth of a second.
pub const TIMES: u32 = 400_000;
/// Sleeps: so many coroutines, so many sleeps each.
pub const SLEEPERS: u32 = 1000;
/// See [`SLEEPERS`].
pub const SLEEPS_EACH: u32 = 100;

/// Prints the table.
pub fn report(rounds: usize) {
    println!("CPU of the process, ns an operation (-2: two threads, the ends on different ones)\n");
    let mut least = vec![[None::<f64>; WHATS.len()]; ENGINES.len()];
    for _ in 0..rounds {
        for (row, engine) in least.iter_mut().zip(ENGINES) {
            for (cell, (what, _)) in row.iter_mut().zip(WHATS) {
                let Some(nanos) = measured(engine, what) else { continue };
                *cell = Some(cell.map_or(nanos, |least| least.min(nanos)));
            }
        }
    }
    let head: Vec<&str> = WHATS.iter().map(|(_, words)| *words).collect();
    println!("| engine | {} |\n|---|{}", head.join(" | "), "---|".repeat(head.len()));
    for (row, engine) in least.iter().zip(ENGINES) {
        let cells = row.map(|cell| cell.map_or(String::new(), |nanos| format!("{nanos:.0}")));
        println!("| {engine} | {} |", cells.join(" | "));
    }
    println!();
}

/// In a process of its own; None if the engine has no such thing.
fn measured(engine: &str, what: &str) -> Option<f64> {
    let program = std::env::current_exe().expect("Linux tells");
    let output = Command::new(program).args(["child", "small", engine, what]).output();
    let output = output.expect("the same program again");
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The measurement itself; prints ns an operation.
pub fn run(engine: &str, what: &str) {
    let spent: Option<(Duration, u32)> = match engine {
        "machine" => ours::small(what, 1),
        "machine-2" => ours::small(what, 2),
        "tokio" => tokios::small(what, 1),
        "tokio-2" => tokios::small(what, 2),
        "may" => stock_may::small(what),
        "generator" => bare::generator(what),
        "corosensei" => bare::corosensei(what),
        _ => None,
    };
    if let Some((spent, times)) = spent {
        println!("{}", spent.as_nanos() as f64 / f64::from(times));
    }
}

/// CPU of doing it, after a tenth of it for warming up.
pub fn timed(times: u32, mut work: impl FnMut(u32)) -> (Duration, u32) {
    work(times / 10);
    let before = meter::own_cpu();
    work(times);
    (meter::own_cpu() - before, times)
}
