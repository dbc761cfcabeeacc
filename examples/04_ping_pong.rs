//! Ping and pong, over channels that hold one ball.
//!
//! Teaches: new after `03_sleepers` is that coroutines hand each other values. A channel is
//! bounded: `send` waits while it is full, `recv` while it is empty, so nobody runs far ahead of
//! anybody. When one end is dropped the other hears [`Error::Closed`]; nothing need say that the
//! game is over.
//!
//! Run: `cargo run -p machine --example 04_ping_pong`
//!
//! ```text
//! ping has ball 1
//! pong has ball 1
//! ping has ball 2
//! pong has ball 2
//! ping has ball 3
//! pong has ball 3
//! pong: closed
//! ```
//!
//! Try: `channel::shared` and an engine of two machines, one player on each. Nothing else changes.

use machine::channel::{self, Limits};
use machine::{Deadline, EngineConfig, Error};

fn main() -> Result<(), Error> {
    machine::run(EngineConfig::default(), |_engine| {
        let (serve, served) = channel::local(Limits::hard(1));
        let (give_back, returned) = channel::local(Limits::hard(1));
        let pong = machine::spawn("pong", move || {
            loop {
                match served.recv(Deadline::NEVER) {
                    Ok(ball) => println!("pong has ball {ball}"),
                    Err(error) => return println!("pong: {error}"),
                }
                if give_back.send((), Deadline::NEVER).is_err() {
                    return;
                }
            }
        })?;
        for ball in 1..=3 {
            println!("ping has ball {ball}");
            serve.send(ball, Deadline::NEVER)?;
            returned.recv(Deadline::NEVER)?;
        }
        drop(serve);
        pong.join(Deadline::NEVER)
    })?
}
