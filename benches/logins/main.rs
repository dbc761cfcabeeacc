//! A storm of logins: clients that log in, leave and come again, as fast as they are let in. For
//! each of several poolers, taking turns: logins a second, CPU a login of the whole process, and
//! from its metrics how long its loops were busy at a time. It runs no query.
//!
//! `cargo run --release --manifest-path benches/logins/Cargo.toml -- [OPTION]... NAME=ADDR=PID...`
//!
//! Tie each pooler to the first processor; the storm ties itself to the last.

mod client;
mod meter;

use client::{Manner, Person};
use machine::{Deadline, EngineConfig};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// In and out of which a storm is made.
#[derive(Clone)]
struct Storm {
    person: Person,
    manner: Manner,
    clients: usize,
    logins: usize,
    rounds: usize,
    /// Where the metrics of a pooler of ours are.
    metrics: Option<SocketAddr>,
    targets: Vec<Target>,
}

/// A pooler.
#[derive(Clone)]
struct Target {
    name: String,
    address: SocketAddr,
    process: u32,
}

/// What one round was.
struct Round {
    took: Duration,
    cpu: Duration,
    lag: Option<meter::Lag>,
}

/// A login that takes longer has failed.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Who does next to nothing for so long has done everything.
const REST: Duration = Duration::from_millis(30);
const IDLE_SHARE: u32 = 50;

const USAGE: &str = "usage: logins [OPTION]... NAME=ADDR=PID...
  --user NAME  --database NAME  --password TEXT  (stub, bench)
  --tls MODE       off, full (no session is resumed) or resume; full12, resume12: TLS 1.2
  --derive         clients derive their SCRAM keys at each login, as libpq does
  --clients N      at the same time (64)
  --logins N       in a round (2000)
  --rounds N       (3)
  --metrics ADDR   of the one pooler that is ours";

fn main() -> ExitCode {
    let storm = match arguments() {
        Ok(storm) => storm,
        Err(error) => {
            eprintln!("logins: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let _ = meter::pin_to_the_last(); // not where there is one only
    let config = EngineConfig { machines: 1, ..EngineConfig::default() };
    match machine::run(config, move |_engine| report(&storm).map_err(|error| error.to_string())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&error),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("logins: {error}");
    ExitCode::FAILURE
}

fn arguments() -> Result<Storm, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut storm = Storm {
        person: Person::default(),
        manner: Manner::default(),
        clients: 64,
        logins: 2000,
        rounds: 3,
        metrics: None,
        targets: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("user") => storm.person.user = parser.value()?.string()?,
            Long("database") => storm.person.database = parser.value()?.string()?,
            Long("password") => storm.person.password = parser.value()?.string()?,
            Long("tls") => storm.manner.tls = parser.value()?.string()?,
            Long("derive") => storm.manner.derives = true,
            Long("clients") => storm.clients = parser.value()?.parse()?,
            Long("logins") => storm.logins = parser.value()?.parse()?,
            Long("rounds") => storm.rounds = parser.value()?.parse()?,
            Long("metrics") => storm.metrics = Some(parser.value()?.parse()?),
            Value(text) => storm.targets.push(target(&text.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    if storm.targets.is_empty() || storm.clients == 0 {
        return Err("nobody to log in, or nowhere".into());
    }
    Ok(storm)
}

fn target(text: &str) -> Result<Target, Box<dyn Error>> {
    let parts: Vec<&str> = text.split('=').collect();
    let [name, address, process] = parts.as_slice() else {
        return Err(format!("\"{text}\" is not NAME=ADDR=PID").into());
    };
    Ok(Target { name: name.to_string(), address: address.parse()?, process: process.parse()? })
}

fn report(storm: &Storm) -> Result<(), Box<dyn Error>> {
    for target in &storm.targets {
        // Servers are opened and keys derived before anything is measured.
        run(storm, target, storm.clients)?;
    }
    let mut all: Vec<Vec<Round>> = storm.targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..storm.rounds {
        for (target, rounds) in storm.targets.iter().zip(&mut all) {
            rounds.push(run(storm, target, storm.logins)?);
        }
    }
    println!("{:16} {:>9} {:>9} {:>9} {:>14}", "", "logins/s", "least ms", "median", "lag p99");
    for (target, mut rounds) in storm.targets.iter().zip(all) {
        rounds.sort_by_key(|round| round.cpu);
        let ms = |round: &Round| round.cpu.as_secs_f64() * 1e3 / storm.logins as f64;
        let Some(middle) = rounds.get(rounds.len() / 2) else { continue };
        let rate = storm.logins as f64 / middle.took.as_secs_f64();
        let lag = rounds.iter().filter_map(|round| round.lag.as_ref()).max();
        let lag = lag.map_or(String::new(), |lag| lag.to_string());
        let (least, median) = (ms(&rounds[0]), ms(middle));
        println!("{:16} {rate:9.0} {least:9.4} {median:9.4} {lag:>14}", target.name);
    }
    Ok(())
}

/// What a process used when it has nothing left to do. One that lets clients in before it closes
/// what others have left would otherwise do that in somebody else's round.
fn at_rest(process: u32) -> Result<Duration, Box<dyn Error>> {
    let mut before = meter::cpu_of(process)?;
    loop {
        machine::sleep(REST)?;
        let now = meter::cpu_of(process)?;
        if now - before < REST / IDLE_SHARE {
            return Ok(now);
        }
        before = now;
    }
}

/// That many logins, by all clients together.
fn run(storm: &Storm, target: &Target, logins: usize) -> Result<Round, Box<dyn Error>> {
    let metrics = storm.metrics.filter(|_| target.address == storm.targets[0].address);
    let door = Rc::new(client::Door::new(target.address, &storm.person, &storm.manner)?);
    let before = metrics.map(meter::turns).transpose()?;
    let (since, cpu) = (Instant::now(), meter::cpu_of(target.process)?);
    let mut clients = Vec::new();
    for number in 0..storm.clients {
        let share = logins / storm.clients + usize::from(number < logins % storm.clients);
        let door = Rc::clone(&door);
        clients.push(machine::spawn("client", move || {
            (0..share).try_for_each(|_| {
                door.come_and_go(number, Deadline::after(LOGIN_TIMEOUT))
                    .map_err(|error| error.to_string())
            })
        })?);
    }
    for client in clients {
        client.join(Deadline::NEVER)??;
    }
    let took = since.elapsed();
    let cpu = at_rest(target.process)? - cpu;
    let lag = match (metrics, before) {
        (Some(address), Some(before)) => {
            Some(meter::Lag::between(&before, &meter::turns(address)?))
        }
        _ => None,
    };
    Ok(Round { took, cpu, lag })
}
