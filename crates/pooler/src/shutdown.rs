//! The end: the graceful stop, and the impatient one. Clients leave at the rate of
//! `conn_drop_options`, those in a transaction when it is over; beside a new process they go there,
//! as fast as it takes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::{Deadline, JoinHandle, Signals};

use crate::backend::Home;
use crate::boot::Exit;
use crate::life::Life;
use crate::log::Who;
use crate::restart::{News, Raising};
use crate::shared::Shared;

/// How often the stop looks whether the last client is gone.
const LOOK: Duration = Duration::from_millis(20);

/// Clients of one machine that are asked to move at a time, and how long the others wait: all at
/// once would need a stack each.
const MOVING: usize = 64;
const MOVING_INTERVAL: Duration = Duration::from_millis(2);

/// An end of everybody: until it, or until it is called off.
pub(crate) struct Linger<'a> {
    pub(crate) life: &'a Life,
    /// The process that takes our place.
    pub(crate) raising: Option<&'a Raising>,
    /// SIGTERMs so far.
    pub(crate) sigterms: usize,
}

impl Linger<'_> {
    /// Until the last client is gone, the time is over, or the operator insists; None when the new
    /// process is gone and we have to go on.
    pub(crate) fn run(mut self, signals: &Signals) -> Option<Exit> {
        let (ejected, workers) = (Arc::clone(&self.life.shared), self.life.machines.len());
        let moves = self.raising.is_some();
        let ejecting = machine::spawn("eject", move || eject(&ejected, workers, moves));
        let exit = self.linger(signals);
        if let Ok(ejecting) = ejecting
            && exit.is_none()
        {
            end(ejecting);
        }
        exit
    }

    fn linger(&mut self, signals: &Signals) -> Option<Exit> {
        let shared = &self.life.shared;
        let config = shared.config();
        let deadline = config.global.graceful_shutdown_timeout;
        let deadline = deadline.map_or(Deadline::NEVER, Deadline::after);
        let sigterms_max = config.global.max_sigterms_to_die;
        drop(config); // not to be held over a wait
        while shared.clients.live() > 0 || is_recovering(shared) || shared.kin.is_in_doubt() {
            let look = Deadline::after(LOOK);
            match signals.wait(look.earliest(deadline)) {
                Ok(signal) => self.hear(signal),
                Err(machine::Error::TimedOut) => {}
                Err(_) => return Some(Exit::Failed),
            }
            if self.sigterms >= sigterms_max {
                return Some(Exit::Failed);
            }
            if self.is_alone_again() {
                return None;
            }
            if deadline.is_past(machine::now()) {
                let text = format_args!("{} clients did not leave in time", shared.clients.live());
                shared.log.error("shutdown", &Who::default(), text);
                return Some(Exit::GraceOver);
            }
        }
        Some(Exit::Clean)
    }

    fn hear(&mut self, signal: i32) {
        let shared = &self.life.shared;
        match signal {
            libc::SIGTERM | libc::SIGINT => self.sigterms += 1,
            libc::SIGHUP => {
                let text = format_args!("SIGHUP: shutting down, nothing is reloaded");
                shared.log.error("system", &Who::default(), text);
            }
            libc::SIGUSR1 => reopen_log(shared),
            libc::SIGUSR2 if self.raising.is_some() => {
                let text = format_args!("online restart signal ignored - already replaced");
                shared.log.error("online-restart", &Who::default(), text);
            }
            _ => {}
        }
    }

    /// Is the new process gone?
    fn is_alone_again(&self) -> bool {
        let news = self.raising.and_then(Raising::news);
        matches!(news, Some(News::Gone | News::Failed))
    }
}

/// Rotation of `log_file`; without one there is nothing to do, and Odyssey says nothing.
pub(crate) fn reopen_log(shared: &Shared) {
    if shared.config().global.log_file.is_some() {
        let text = format_args!("SIGUSR1 received, reopening log");
        shared.log.info("system", &Who::default(), text);
        shared.log.reopen();
    }
}

/// It has nothing to wait for.
fn end(ejecting: JoinHandle<()>) {
    ejecting.cancel();
    let _ = ejecting.join(Deadline::after(LOOK));
}

/// Are servers being brought back? Ending now would leave their clients' queries running.
fn is_recovering(shared: &Shared) -> bool {
    let resetting = |home: &Arc<Home>| home.route.with(|pool| pool.counts().resetting);
    shared.homes().iter().any(|home| resetting(home) > 0)
}

/// Asks clients to leave, a few on each machine at a time; and before that to move, if there is
/// somewhere to go.
fn eject(shared: &Shared, workers: usize, moves: bool) {
    let options = shared.config().drop.clone();
    let who = Who::default();
    let mut drop_at = machine::now();
    while shared.clients.live() > 0 {
        let now = machine::now();
        let rosters = &shared.rosters[..workers];
        if moves {
            for roster in rosters {
                roster.ask_to_move(MOVING);
            }
        }
        if options.enabled && drop_at <= now {
            drop_at = now + options.interval;
            let asked: usize = rosters.iter().map(|one| one.ask_to_leave(options.rate)).sum();
            if asked > 0 {
                let why = if moves { "online restart" } else { "graceful shutdown" };
                let text = format_args!("drop client connection on {why} ({asked} asked)");
                shared.log.info("shutdown", &who, text);
            }
        }
        if machine::sleep(pause(moves, options.enabled.then_some(drop_at))).is_err() {
            return;
        }
    }
}

/// Until there is somebody to ask again.
fn pause(moves: bool, drop_at: Option<Instant>) -> Duration {
    let left = drop_at.map(|at| at.saturating_duration_since(machine::now()));
    match (moves, left) {
        (false, Some(left)) => left,
        (false, None) => Duration::from_secs(3600), // nobody is asked anything
        (true, _) => MOVING_INTERVAL,
    }
}
