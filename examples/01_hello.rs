//! The first coroutine: start an engine with two machines, run one coroutine on each, let each
//! start a child that sleeps, and join it. What to see: `spawn` takes a closure that need not be
//! `Send` (here an `Rc`), because a coroutine never leaves its machine; only the way in
//! (`MachineHandle::spawn`) and out (a channel) cross threads.
//!
//! `cargo run -p machine --example 01_hello`

use machine::{Deadline, Engine, EngineConfig, Error};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

fn greet(name: &str) -> Result<String, Error> {
    let name = Rc::new(name.to_owned());
    let shared = Rc::clone(&name);
    let child = machine::spawn("child", move || {
        machine::sleep(Duration::from_millis(10))?;
        Ok::<_, Error>(format!("hello {shared}"))
    })?;
    let greeting = child.join(Deadline::after(Duration::from_secs(1)))??;
    let index = machine::current().ok_or(Error::NotOnMachine)?;
    Ok(format!(
        "{greeting} from machine {index}, {} owners of the name left",
        Rc::strong_count(&name)
    ))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::start(EngineConfig { machines: 2, ..EngineConfig::default() })?;
    let (sender, greetings) = mpsc::channel();
    for machine in engine.machines() {
        let sender = sender.clone();
        machine.spawn("greeter", move || {
            let _ = sender.send(greet("world"));
        })?;
    }
    drop(sender);
    for greeting in greetings {
        println!("{}", greeting?);
    }
    engine.shutdown();
    Ok(())
}
