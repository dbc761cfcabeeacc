//! What probes ask. `/livez`: does every machine's loop turn? If not, only a restart helps.
//! `/readyz`: may clients be sent here? Whether servers can be reached is no part of it: when they
//! cannot, that is so for all poolers at once, and to take all of them away helps nobody. For the
//! same reason PAUSE is none: clients that come are let in and wait for RESUME, where a balancer
//! without a pooler to send them to would turn them away.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use machine::{Deadline, MachineHandle, Notified, Woken};

use super::answer::Answer;
use crate::shared::Shared;

/// A loop that has not turned for so long does not turn.
const TURN_MAX: Duration = Duration::from_secs(2);

/// Why clients should not be sent here; None: they may come.
pub fn unready(shared: &Shared) -> Option<&'static str> {
    let (web, config) = (&shared.web, shared.config());
    if web.is_stopping.load(Ordering::Acquire) {
        return Some("shutting down");
    }
    if !web.is_open.load(Ordering::Acquire) {
        return Some("starting");
    }
    let is_full = config.global.client_max.is_some_and(|max| shared.clients.live() >= max);
    is_full.then_some("client_max is reached")
}

pub(super) fn ready(shared: &Shared) -> Answer {
    match unready(shared) {
        None if shared.routes.gates().is_all_paused() => {
            Answer::text(200, "ready, and paused: clients wait for RESUME\n")
        }
        None => Answer::text(200, "ready\n"),
        Some(why) => Answer::text(503, format!("not ready: {why}\n")),
    }
}

/// Each machine is sent a coroutine. One that has no stack for it, but whose loop turned, lives.
pub(super) fn live(machines: &[MachineHandle]) -> Answer {
    let turns = |machine: &MachineHandle| machine.stats().epoll_waits;
    let before: Vec<u64> = machines.iter().map(turns).collect();
    let (notified, left) = (Notified::new(), Arc::new(AtomicUsize::new(machines.len())));
    for machine in machines {
        let (left, notifier) = (Arc::clone(&left), notified.notifier());
        let _ = machine.spawn("livez", move || {
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                notifier.notify();
            }
        });
    }
    if let Ok(Woken::Notified) = machine::wait_any(&[], Some(&notified), Deadline::after(TURN_MAX))
    {
        return Answer::text(200, "alive\n");
    }
    let mut stuck = String::new();
    for (machine, before) in machines.iter().zip(before) {
        if turns(machine) == before {
            // Writing to a String cannot fail.
            let _ = writeln!(stuck, "not alive: machine {} does not turn", machine.index());
        }
    }
    match stuck.is_empty() {
        true => Answer::text(200, "alive\n"),
        false => Answer::text(503, stuck),
    }
}
