//! The census as text, for who looks at a process that stands still: one line a coroutine, by a
//! signal if wanted. What is told is in `census`.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use crate::census::{Census, Resident};
use crate::coroutine::{Builder, JoinHandle};
use crate::error::Error;
use crate::offload::offload;
use crate::signal::Signals;
use crate::{Deadline, Engine, MachineHandle};

/// Lines of one machine; a person reads no more.
const LINES_MAX: usize = 10_000;

/// A machine that has not answered by then is told as one that blocks or computes.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Id, name, what it does and for how long, its age, and when its deadline comes if it has one:
/// `0.3.1 client: read for 1.2s, 40s old, deadline in 28s`.
impl fmt::Display for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (doing, doing_for, age) = (self.doing, self.doing_for, self.age);
        write!(f, "{} {}: {doing} for {doing_for:.1?}, {age:.1?} old", self.id, self.name)?;
        if let Some(deadline_in) = self.deadline_in {
            write!(f, ", deadline in {deadline_in:.1?}")?;
        }
        f.write_str(if self.is_cancelled { ", cancelled" } else { "" })?;
        f.write_str(if self.is_system { ", system" } else { "" })
    }
}

/// A line each, who has done the same thing for longest first.
impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut residents: Vec<&Resident> = self.residents.iter().collect();
        residents.sort_by_key(|one| std::cmp::Reverse(one.doing_for));
        residents.iter().try_for_each(|one| writeln!(f, "{one}"))?;
        match self.total - residents.len().min(self.total) {
            0 => Ok(()),
            more => writeln!(f, "and {more} more"),
        }
    }
}

impl Engine {
    /// Writes the census of every machine to standard error whenever `signal` comes, by a system
    /// coroutine of this machine. `Signals::block` must have been told of it in `main`.
    ///
    /// ```no_run
    /// # use machine::{EngineConfig, Signals};
    /// const SIGUSR2: i32 = 12;
    /// Signals::block(&[SIGUSR2])?;
    /// machine::run(EngineConfig::default(), |engine| {
    ///     engine.print_census_on(SIGUSR2)?;
    ///     // kill -USR2 and the id of the process
    /// #   Ok::<(), machine::Error>(())
    /// })??;
    /// # Ok::<(), machine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`crate::spawn`].
    pub fn print_census_on(&self, signal: i32) -> Result<JoinHandle<Result<(), Error>>, Error> {
        let machines = self.machines().to_vec();
        Builder::new("census").system().spawn(move || {
            let signals = Signals::new(&[signal])?;
            loop {
                signals.wait(Deadline::NEVER)?;
                let text = of_all(&machines);
                offload(move || eprint!("{text}"), Deadline::NEVER)?; // nobody may read it
            }
        })
    }
}

fn of_all(machines: &[MachineHandle]) -> String {
    let mut text = String::new();
    for machine in machines {
        let told = match machine.census(LINES_MAX, Deadline::after(ANSWER_MAX)) {
            Ok(census) => write!(text, "{}: {} here\n{census}", machine.name(), census.total),
            Err(error) => writeln!(text, "{}: no answer: {error}", machine.name()),
        };
        told.expect("a String takes everything");
    }
    text
}
