//! A semaphore and a scope: many children, few at a time, none left behind.
//!
//! Teaches: new after `06_deadlines` is order among many. [`machine::scope`] returns when all its
//! children have ended, so they may borrow from the stack of who started them. A
//! [`Semaphore`](machine::sync::Semaphore) lets so many go on at once and the others wait in line.
//!
//! Run: `cargo run -p machine --example 07_semaphore`
//!
//! ```text
//! 12 guests, 3 chairs
//! 12 were served, never more than 3 at once
//! ```
//!
//! Try: cancel the parent while they sit (`spawn` it, then `cancel`): the scope cancels all of them
//! and waits until they are gone.

use machine::sync::Semaphore;
use machine::{Deadline, EngineConfig, Error};
use std::cell::Cell;
use std::time::Duration;

const GUESTS: usize = 12;
const CHAIRS: usize = 3;

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        println!("{GUESTS} guests, {CHAIRS} chairs");
        let chairs = Semaphore::new(CHAIRS);
        let (sitting, most, served) = (Cell::new(0), Cell::new(0), Cell::new(0));
        machine::scope(|scope| {
            for _ in 0..GUESTS {
                scope.spawn("guest", || {
                    let _chair = chairs.acquire(Deadline::NEVER)?;
                    sitting.set(sitting.get() + 1);
                    most.set(most.get().max(sitting.get()));
                    machine::sleep(Duration::from_millis(5))?;
                    sitting.set(sitting.get() - 1);
                    served.set(served.get() + 1);
                    Ok::<_, Error>(())
                })?;
            }
            Ok::<_, Error>(())
        })??;
        println!("{} were served, never more than {} at once", served.get(), most.get());
        Ok(())
    })?
}
