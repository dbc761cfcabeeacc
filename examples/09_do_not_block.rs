//! Do not block: what happens to everybody else when one coroutine holds the thread.
//!
//! Teaches: new after `08_two_machines` is the one thing that must not be done. A heartbeat shall
//! beat each millisecond. It stands still while its neighbour waits for another program, or
//! reads a slow disk, or looks up a name; it beats on when the neighbour leaves that to
//! [`machine::offload`], which has threads for it.
//!
//! Run: `cargo run --release -p machine --example 09_do_not_block`
//!
//! ```text
//! while a neighbour blocked: the heartbeat was late by … ms
//! while it was offloaded: the heartbeat was late by … ms
//! ```
//!
//! Try: compute something for 200 ms instead, and call `machine::yield_now` now and then.

use machine::{Deadline, EngineConfig, Error};
use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(1);

/// Beats until told to stop. Returns by how much the worst beat was late.
fn heartbeat(stop: &Cell<bool>) -> Result<Duration, Error> {
    let mut worst = Duration::ZERO;
    while !stop.get() {
        let due = Instant::now() + BEAT;
        machine::sleep(BEAT)?;
        worst = worst.max(due.elapsed());
    }
    Ok(worst)
}

fn lateness_beside(neighbour: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let stop = Rc::new(Cell::new(false));
    let theirs = Rc::clone(&stop);
    let heart = machine::spawn("heartbeat", move || heartbeat(&theirs))?;
    machine::sleep(BEAT * 5)?;
    neighbour()?;
    machine::sleep(BEAT * 5)?;
    stop.set(true);
    heart.join(Deadline::NEVER)?
}

/// Waits for another program, as a slow disk or a name server would be waited for.
fn something_slow() {
    let _ = Command::new("sleep").arg("0.2").status();
}

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        let harmed = lateness_beside(|| {
            something_slow();
            Ok(())
        })?;
        println!("while a neighbour blocked: the heartbeat was late by {} ms", harmed.as_millis());
        let cured = lateness_beside(|| machine::offload(something_slow, Deadline::NEVER))?;
        println!("while it was offloaded: the heartbeat was late by {} ms", cured.as_millis());
        Ok(())
    })?
}
