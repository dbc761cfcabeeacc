//! The end: signals, the graceful stop, and the impatient one. Clients leave at the rate of
//! `conn_drop_options`, those in a transaction when it is over.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use machine::{Deadline, JoinHandle, MachineHandle, Signals};

use crate::backend::Home;
use crate::boot::Exit;
use crate::face::Stage;
use crate::listener::Listeners;
use crate::log::Who;
use crate::shared::Shared;

/// Signals the process handles itself; blocked in all threads.
pub(crate) const SIGNALS: [i32; 5] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// How often the stop looks whether the last client is gone.
const LOOK: Duration = Duration::from_millis(20);

/// A reload that is told to end waits for nothing any more.
const RELOAD_END: Duration = Duration::from_secs(1);

/// Handles signals until it is time to exit.
pub(crate) fn wait(
    shared: &Arc<Shared>,
    machines: &Arc<[MachineHandle]>,
    signals: &Signals,
    reloads: JoinHandle<Listeners>,
    stages: &Sender<Stage>,
) -> Exit {
    let who = Who::default();
    loop {
        match signals.wait(Deadline::NEVER) {
            Ok(libc::SIGTERM | libc::SIGINT) => break,
            Ok(libc::SIGHUP) => {
                if shared.reloads.post().is_err() {
                    shared.log.error("system", &who, format_args!("SIGHUP: nobody can reload"));
                }
            }
            Ok(libc::SIGUSR1) => reopen_log(shared),
            Ok(_) => {
                let text = format_args!("SIGUSR2: online restart is not built yet");
                shared.log.error("system", &who, text);
            }
            Err(_) => return Exit::Failed,
        }
    }
    let text = format_args!("termination signal received, shutting down");
    shared.log.info("system", &who, text);
    if shared.config().global.max_sigterms_to_die <= 1 {
        return Exit::Failed;
    }
    shared.web.stops();
    let _ = stages.try_send(Stage::Stopping);
    reloads.cancel();
    if let Ok(listeners) = reloads.join(Deadline::after(RELOAD_END)) {
        listeners.close();
    }
    let ejected = Arc::clone(shared);
    let workers = machines.len();
    let _ = machine::spawn("eject", move || eject(&ejected, workers));
    linger(shared, signals)
}

/// Rotation of `log_file`; without one there is nothing to do, and Odyssey says nothing.
fn reopen_log(shared: &Shared) {
    if shared.config().global.log_file.is_some() {
        let text = format_args!("SIGUSR1 received, reopening log");
        shared.log.info("system", &Who::default(), text);
        shared.log.reopen();
    }
}

/// Until the last client is gone, the time is over, or the operator insists.
fn linger(shared: &Shared, signals: &Signals) -> Exit {
    let config = shared.config();
    let deadline = config.global.graceful_shutdown_timeout;
    let deadline = deadline.map_or(Deadline::NEVER, Deadline::after);
    let sigterms_max = config.global.max_sigterms_to_die;
    let mut told = 1;
    while shared.clients.live() > 0 || is_recovering(shared) {
        let look = Deadline::after(LOOK);
        match signals.wait(look.earliest(deadline)) {
            Ok(libc::SIGTERM | libc::SIGINT) => told += 1,
            Ok(libc::SIGHUP) => {
                let text = format_args!("SIGHUP: shutting down, nothing is reloaded");
                shared.log.error("system", &Who::default(), text);
            }
            Ok(libc::SIGUSR1) => reopen_log(shared),
            Ok(_) | Err(machine::Error::TimedOut) => {}
            Err(_) => return Exit::Failed,
        }
        if told >= sigterms_max {
            return Exit::Failed;
        }
        if deadline.is_past(machine::now()) {
            let text = format_args!("{} clients did not leave in time", shared.clients.live());
            shared.log.error("shutdown", &Who::default(), text);
            return Exit::GraceOver;
        }
    }
    Exit::Clean
}

/// Are servers being brought back? Ending now would leave their clients' queries running.
fn is_recovering(shared: &Shared) -> bool {
    let resetting = |home: &Arc<Home>| home.route.with(|pool| pool.counts().resetting);
    shared.homes().iter().any(|home| resetting(home) > 0)
}

/// Asks clients to leave, a few on each machine at a time.
fn eject(shared: &Shared, workers: usize) {
    let options = shared.config().drop.clone();
    if !options.enabled {
        return;
    }
    let who = Who::default();
    while shared.clients.live() > 0 {
        let asked: usize =
            shared.rosters[..workers].iter().map(|roster| roster.ask_to_leave(options.rate)).sum();
        if asked > 0 {
            let text = format_args!("drop client connection on graceful shutdown ({asked} asked)");
            shared.log.info("shutdown", &who, text);
        }
        if machine::sleep(options.interval).is_err() {
            return;
        }
    }
}
