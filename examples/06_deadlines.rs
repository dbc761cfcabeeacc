//! Deadlines and cancellation: no wait need last for ever.
//!
//! Teaches: new after `05_echo` is how waits end early. A [`Deadline`] is a point in time, so one
//! deadline bounds many waits together. Who is cancelled gets [`Error::Cancelled`] from its wait
//! and from every later one, and ends by returning; nothing is torn down behind its back.
//! [`machine::shield`] puts that off for a few last words.
//!
//! Run: `cargo run -p machine --example 06_deadlines`
//!
//! ```text
//! nobody came: timed out
//! three naps under one deadline: timed out at nap 3
//! the child says: cancelled, goodbye
//! ```
//!
//! Try: sleep again in the child, behind the shield. It returns at once: cancelled stays cancelled.

use machine::{Address, Deadline, EngineConfig, Error, ListenOptions, Listener};
use std::time::Duration;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn nobody_comes() -> Result<(), Error> {
    let any = Address::Tcp(([127, 0, 0, 1], 0).into());
    let listener = Listener::bind(&any, &ListenOptions::default())?;
    if let Err(error) = listener.accept(Deadline::after(ms(20))) {
        println!("nobody came: {error}");
    }
    Ok(())
}

/// Two short naps and a long one. All of them together may take half a second.
fn naps() -> Result<(), Error> {
    let all = Deadline::after(ms(500));
    for (nap, lasts) in [(1, ms(10)), (2, ms(10)), (3, ms(3_600_000))] {
        let sleeper = machine::spawn("sleeper", move || machine::sleep(lasts))?;
        if let Err(error) = sleeper.join(all) {
            println!("three naps under one deadline: {error} at nap {nap}");
            break;
        }
    }
    Ok(())
}

fn last_words() -> Result<(), Error> {
    let child = machine::spawn("child", || {
        let Err(error) = machine::sleep(Duration::from_secs(3600)) else { return };
        machine::shield(|| {
            let _ = machine::sleep(ms(1)); // a write that tells the peer, for instance
            println!("the child says: {error}, goodbye");
        });
    })?;
    machine::yield_now(); // it sleeps now
    child.cancel();
    child.join(Deadline::NEVER)
}

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        nobody_comes()?;
        naps()?;
        last_words()
    })?
}
