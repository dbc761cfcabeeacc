//! Taking turns: coroutines of one machine run one at a time, and change only where they wait.
//!
//! Teaches: new after `01_hello` is [`machine::yield_now`], the smallest wait: it lets everybody
//! else have a turn. Between two waits a coroutine is alone, so a plain `Cell` is counted in
//! safely.
//!
//! Run: `cargo run -p machine --example 02_taking_turns`
//!
//! ```text
//! ping 1
//! pong 1
//! ping 2
//! pong 2
//! ping 3
//! pong 3
//! 6 lines
//! ```
//!
//! Try: take the `yield_now` away. All pings come first: who does not wait is not interrupted.

use machine::{Deadline, EngineConfig, Error};
use std::cell::Cell;
use std::rc::Rc;

fn say_three_times(word: &str, lines: &Cell<u32>) {
    for number in 1..=3 {
        println!("{word} {number}");
        lines.set(lines.get() + 1);
        machine::yield_now();
    }
}

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        let lines = Rc::new(Cell::new(0));
        let (one, other) = (Rc::clone(&lines), Rc::clone(&lines));
        let ping = machine::spawn("ping", move || say_three_times("ping", &one))?;
        let pong = machine::spawn("pong", move || say_three_times("pong", &other))?;
        ping.join(Deadline::NEVER)?;
        pong.join(Deadline::NEVER)?;
        println!("{} lines", lines.get());
        Ok(())
    })?
}
