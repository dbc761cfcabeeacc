//! Ten thousand coroutines on one thread, all asleep at once.
//!
//! Teaches: new after `02_taking_turns` is time. [`machine::sleep`] waits without holding the
//! thread, so ten thousand sleeps of a tenth of a second take little more than one. Each of them
//! has a stack of its own, of which it touches 8 KiB.
//!
//! Run: `cargo run --release -p machine --example 03_sleepers`
//!
//! ```text
//! 10000 coroutines slept 100 ms each
//! together they took … ms
//! ```
//!
//! Try: forty thousand. There are no more than about 30,700 stacks (the kernel counts two mappings
//! each against `vm.max_map_count`), and `spawn` says so: it returns an error, it does not abort.

use machine::{Deadline, EngineConfig, Error};
use std::time::{Duration, Instant};

const COROUTINES: usize = 10_000;
const NAP: Duration = Duration::from_millis(100);

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        let start = Instant::now();
        let mut sleepers = Vec::with_capacity(COROUTINES);
        for _ in 0..COROUTINES {
            sleepers.push(machine::spawn("sleeper", || machine::sleep(NAP))?);
        }
        for sleeper in sleepers {
            sleeper.join(Deadline::NEVER)??;
        }
        println!("{COROUTINES} coroutines slept {} ms each", NAP.as_millis());
        println!("together they took {} ms", start.elapsed().as_millis());
        Ok(())
    })?
}
