//! Two machines, and a socket that travels from one to the other.
//!
//! Teaches: new after `07_semaphore` is the second thread. A [`Stream`] belongs to the machine
//! whose event loop watches it. Folded into a [`Parcel`] it can be sent; whoever unfolds it has it.
//! This is how one acceptor feeds all machines: each connection goes where there are the fewest.
//!
//! Run: `cargo run -p machine --example 08_two_machines`
//!
//! ```text
//! 4 connections were accepted on machine 0
//! machine 0 answered 2 of them
//! machine 1 answered 2 of them
//! ```
//!
//! Try: let a stream itself travel. It does not compile: a `Stream` is not `Send`.

use machine::{
    Address, Deadline, EngineConfig, Error, ListenOptions, Listener, Parcel, Stream, StreamOptions,
};
use std::sync::mpsc::{Sender, channel};

const CONNECTIONS: usize = 4;

/// Runs on the machine that was chosen.
fn answer(parcel: Parcel, answered: &Sender<usize>) -> Result<(), Error> {
    let machine = machine::current().ok_or(Error::NotOnMachine)?;
    let stream = parcel.unfold()?;
    stream.write_all(&[u8::try_from(machine).unwrap_or(u8::MAX)], Deadline::NEVER)?;
    let _ = answered.send(machine);
    Ok(())
}

fn main() -> Result<(), Error> {
    let config = EngineConfig { machines: 2, ..EngineConfig::default() };
    machine::run(config, |engine| {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Listener::bind(&any, &ListenOptions::default())?;
        let (sender, answered) = channel();
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let server = listener.local();
            clients.push(Stream::connect(&server, &StreamOptions::default(), Deadline::NEVER)?);
            let (parcel, _) = listener.accept(Deadline::NEVER)?;
            let (machine, sender) = (engine.least_loaded(), sender.clone());
            let seat = machine.seat(); // counts as load of that machine until it is dropped
            machine.spawn("answer", move || {
                if let Err(error) = answer(parcel, &sender) {
                    eprintln!("no answer: {error}");
                }
                std::mem::forget(seat); // the connection is never over
            })?;
        }
        for client in &clients {
            client.read(&mut [0], Deadline::NEVER)?;
        }
        let here = machine::current().unwrap_or_default();
        println!("{CONNECTIONS} connections were accepted on machine {here}");
        let answered: Vec<usize> = answered.try_iter().collect();
        for machine in 0..2 {
            let count = answered.iter().filter(|one| **one == machine).count();
            println!("machine {machine} answered {count} of them");
        }
        Ok(())
    })?
}
