//! What a query costs a pooler: CPU of its whole process, beside a bare proxy that only reads and
//! writes, and beside PgBouncer where that is installed. Everything is started here, takes turns,
//! and is gone at the end. The servers are stubs that answer at once; no real query is run.
//!
//! `cargo run --release --manifest-path benches/queries/Cargo.toml -- target/release/pooler`

mod floor;
mod load;
mod poll;
mod stage;
mod stub;
mod words;

use load::{Load, Round};
use stage::Target;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use words::Manner;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured.
struct Plan {
    pooler: PathBuf,
    pgbouncer: Option<PathBuf>,
    clients: Vec<usize>,
    servers: usize,
    rounds: usize,
    span: Duration,
    /// So many idle clients instead.
    idle: Option<usize>,
}

const USAGE: &str = "usage: queries [OPTION]... POOLER
  --pgbouncer PROGRAM  beside this one, too
  --clients N[,N]...   at the same time (8,64)
  --servers N          of a pool (10)
  --rounds N           of each, taking turns (5)
  --seconds S          of a round (1)
  --idle N             memory of N clients that have nothing to do, after a query each";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        // Parts of the stage are processes of their own.
        ["stub"] => stub::serve(),
        ["floor", to] => to.parse::<SocketAddr>().map_err(Into::into).and_then(floor::serve),
        _ => plan(arguments).map_err(|error| format!("{error}\n{USAGE}").into()).and_then(run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("queries: {error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(arguments: Vec<String>) -> Outcome<Plan> {
    use lexopt::prelude::*;
    let (mut clients, mut servers, mut rounds, mut seconds) = (vec![8, 64], 10, 5, 1.0);
    let (mut pooler, mut pgbouncer, mut idle) = (None, None, None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("pgbouncer") => pgbouncer = Some(parser.value()?.into()),
            Long("clients") => {
                let list = parser.value()?.string()?;
                clients = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            Long("servers") => servers = parser.value()?.parse()?,
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("idle") => idle = Some(parser.value()?.parse()?),
            Value(path) if pooler.is_none() => pooler = Some(path.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if rounds == 0 || clients.contains(&0) {
        return Err("nothing to measure".into());
    }
    let pooler = pooler.ok_or("which pooler?")?;
    let span = Duration::try_from_secs_f64(seconds)?;
    Ok(Plan { pooler, pgbouncer, clients, servers, rounds, span, idle })
}

fn run(plan: Plan) -> Outcome<()> {
    let stub = stage::part(&["stub"], meter::last_processor())?;
    let mut targets = vec![stage::pooler(&plan.pooler, stub.address, plan.servers)?];
    if let Some(program) = &plan.pgbouncer {
        targets.push(stage::pgbouncer(program, stub.address, plan.servers)?);
    }
    meter::pin(meter::last_processor());
    if let Some(clients) = plan.idle {
        return report_idle(&targets, clients);
    }
    targets.insert(0, stage::part(&["floor", &stub.address.to_string()], 0)?);
    report(&plan, &targets)
}

/// A row for each load.
fn report(plan: &Plan, targets: &[Target]) -> Outcome<()> {
    println!("CPU µs a query, least / median of {} rounds; median and p99 of the wait, ms", {
        plan.rounds
    });
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    println!("\n| load | clients | {} | {} ÷ {} |", names.join(" | "), names[1], names[0]);
    println!("|---|---|{}---|", "---|".repeat(targets.len()));
    for manner in Manner::ALL {
        for &clients in &plan.clients {
            let load = Load { manner, clients, span: plan.span };
            let mut rounds: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
            for _ in 0..plan.rounds {
                for (target, rounds) in targets.iter().zip(&mut rounds) {
                    rounds.push(load.put_on(target)?);
                }
            }
            for rounds in &mut rounds {
                rounds.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
            }
            let ratio = rounds[1][0].cpu_us / rounds[0][0].cpu_us;
            let cells: Vec<String> = rounds.iter().map(|rounds| cell(rounds)).collect();
            println!("| {manner} | {clients} | {} | {ratio:.2} |", cells.join(" | "));
        }
    }
    Ok(())
}

/// Of rounds in the order of what they cost.
fn cell(rounds: &[Round]) -> String {
    let middle = &rounds[rounds.len() / 2];
    let Round { cpu_us, wait_ms, p99_ms } = middle;
    format!("{:.2} / {cpu_us:.2} ({wait_ms:.2}, {p99_ms:.2})", rounds[0].cpu_us)
}

fn report_idle(targets: &[Target], clients: usize) -> Outcome<()> {
    println!("resident memory of a client that has nothing to do, after a query, KiB\n");
    for target in targets {
        // A query each before: what is made once is there.
        drop(load::idle_clients(target, clients.min(64))?);
        let before = meter::resident_kib(target.process());
        let crowd = load::idle_clients(target, clients)?;
        let grown = meter::resident_kib(target.process()) - before;
        println!("{}: {:.2}", target.name, grown as f64 / crowd.len() as f64);
    }
    Ok(())
}
