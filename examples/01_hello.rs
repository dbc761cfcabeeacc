//! A coroutine: what it is to start one and to wait for it.
//!
//! Teaches: [`machine::run`] starts an engine (here one machine, which is one thread) and runs a
//! function on it. [`machine::spawn`] starts a second coroutine beside it, `join` waits for what it
//! returns. Both share an `Rc`: a coroutine never leaves its machine, so nothing need be `Send`.
//!
//! Run: `cargo run -p machine --example 01_hello`
//!
//! ```text
//! hello from the child
//! the child says 42, and the name has 1 owner left
//! ```
//!
//! Try: let the child panic. The engine says so, and `join` returns an error; nothing else happens.

use machine::{Deadline, EngineConfig, Error};
use std::rc::Rc;

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        let name = Rc::new("child");
        let shared = Rc::clone(&name);
        let child = machine::spawn("child", move || {
            println!("hello from the {shared}");
            42
        })?;
        let answer = child.join(Deadline::NEVER)?;
        println!(
            "the {name} says {answer}, and the name has {} owner left",
            Rc::strong_count(&name)
        );
        Ok(())
    })?
}
