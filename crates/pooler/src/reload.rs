//! Reload: reads the files again and puts what they say in force, all of it or nothing. Whoever
//! wants one asks; they are done one after the other by one coroutine, and one answers everybody
//! who asked before it began. It refuses to begin when the process is about to end.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use config::{Diff, Loaded, RuleChange, ShownOption};
use machine::{Deadline, Notified, Notifier, Woken};

use crate::face::Stage;
use crate::listener::Listeners;
use crate::log::Who;
use crate::shared::Shared;
use crate::turns::Turns;
use crate::world::World;

/// Files are read within this, or the reload is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Files that cannot be read and names that cannot be resolved, for two reloads in a row.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Who waits for reports; one more is refused.
const WAITERS_MAX: usize = 64;

/// What came of a reload, in lines for an operator. No secret is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is in force now and was not before: rule, listen, storage or option, from what to what.
    pub applied: Vec<String>,
    /// What the file asks for and a restart would bring.
    pub needs_restart: Vec<String>,
    /// Why nothing changed; empty if the file is in force now.
    pub rejected: Vec<String>,
    /// What was taken and deserves a look.
    pub warnings: Vec<String>,
}

/// Why there is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The process is about to end.
    Stopping,
    /// Too many wait for a report already.
    Crowded,
    /// It takes too long to wait for, or whoever asked has to stop waiting.
    NoAnswer,
}

/// Who wants a reload, and what became of those before.
#[derive(Default)]
pub struct Reloads(Mutex<State>);

/// Reloads since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// The file came into force.
    pub applied: u64,
    /// Nothing changed.
    pub rejected: u64,
    /// When a file came into force last; None: the one of the start.
    pub last: Option<SystemTime>,
}

#[derive(Default)]
struct State {
    /// Wakes the one who does it; None before the start: he looks when he comes.
    bell: Option<Notifier>,
    /// He is gone, and nobody comes after him, unless an online restart fails.
    closed: bool,
    /// A signal asked, and waits for nothing.
    signalled: bool,
    waiting: Vec<Arc<Answer>>,
    done: Done,
}

struct Answer {
    report: Mutex<Option<Result<Report, Refused>>>,
    notifier: Notifier,
}

impl Reloads {
    /// A reload that begins after this call, and its report. From a coroutine.
    ///
    /// # Errors
    /// See [`Refused`]; a reload that was begun is done all the same.
    pub fn ask(&self) -> Result<Report, Refused> {
        let notified = Notified::new();
        let answer = Arc::new(Answer { report: Mutex::default(), notifier: notified.notifier() });
        {
            let mut state = self.open_state()?;
            if state.waiting.len() >= WAITERS_MAX {
                return Err(Refused::Crowded);
            }
            state.waiting.push(Arc::clone(&answer));
            state.ring();
        }
        match machine::wait_any(&[], Some(&notified), Deadline::after(ANSWER_TIMEOUT)) {
            Ok(Woken::Notified) => {
                let report = answer.report.lock().expect("nothing panics under this lock").take();
                report.expect("a report is put there before the notification")
            }
            _ => Err(Refused::NoAnswer),
        }
    }

    /// The same without waiting; however often it is called before the reload begins, it is one.
    ///
    /// # Errors
    /// [`Refused::Stopping`].
    pub fn post(&self) -> Result<(), Refused> {
        let mut state = self.open_state()?;
        state.signalled = true;
        state.ring();
        Ok(())
    }

    /// What became of those so far.
    pub fn done(&self) -> Done {
        self.lock().done
    }

    fn count(&self, report: &Report) {
        let done = &mut self.lock().done;
        match report.rejected.is_empty() {
            true => (done.applied, done.last) = (done.applied + 1, Some(SystemTime::now())),
            false => done.rejected += 1,
        }
    }

    /// From now on somebody does what is asked for.
    fn open(&self, bell: Notifier) -> Open<'_> {
        let mut state = self.lock();
        (state.bell, state.closed) = (Some(bell), false);
        drop(state);
        Open(self)
    }

    /// Refuses everybody, those who wait too.
    fn close(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.iter().for_each(|answer| answer.give(Err(Refused::Stopping)));
    }

    /// Those who want the next one; None if nobody does.
    fn take(&self) -> Option<Vec<Arc<Answer>>> {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let signalled = std::mem::take(&mut state.signalled);
        (signalled || !waiting.is_empty()).then_some(waiting)
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>, Refused> {
        let state = self.lock();
        if state.closed { Err(Refused::Stopping) } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

impl State {
    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.notify();
        }
    }
}

/// Somebody does what is asked for; nobody when this is dropped.
struct Open<'a>(&'a Reloads);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Answer {
    fn give(&self, report: Result<Report, Refused>) {
        *self.report.lock().expect("nothing panics under this lock") = Some(report);
        self.notifier.notify();
    }
}

/// Does what is asked for until it is cancelled; returns the listeners it left open. On the machine
/// of the listeners.
pub(crate) fn serve(shared: &Arc<Shared>, mut listeners: Listeners) -> Listeners {
    let notified = Notified::new();
    let _open = shared.reloads.open(notified.notifier());
    loop {
        while let Some(waiting) = shared.reloads.take() {
            shared.tell(Stage::Reloading);
            let report = reload(shared, &mut listeners);
            shared.tell(Stage::Reloaded);
            report.log(shared);
            shared.reloads.count(&report);
            waiting.iter().for_each(|answer| answer.give(Ok(report.clone())));
        }
        if machine::wait_any(&[], Some(&notified), Deadline::NEVER).is_err() {
            return listeners;
        }
        let _ = notified.take();
    }
}

/// What a file asks for, worked out and not in force.
struct Next {
    world: World,
    rules: Vec<RuleChange>,
    report: Report,
}

/// Until the world is published nothing has changed, and behind that nothing fails or waits.
fn reload(shared: &Arc<Shared>, listeners: &mut Listeners) -> Report {
    let file = shared.origin.file().display();
    let text = format_args!("importing changes from '{file}'");
    shared.log.info("config", &Who::default(), text);
    let next = match read(shared) {
        Ok(next) => next,
        Err(rejected) => return Report { rejected, ..Report::default() },
    };
    let Next { world, rules, mut report } = next;
    let prepared = listeners.prepare(&world);
    if prepared.is_failure {
        return Report { rejected: prepared.complaints, ..Report::default() };
    }
    let port = match shared.web.prepare(&world.config.global) {
        Ok(port) => port,
        Err(complaint) => return Report { rejected: vec![complaint], ..Report::default() },
    };
    report.warnings.extend_from_slice(&prepared.complaints);
    report.warnings.extend(port.complaint.clone());
    let (clients, logins, cancels) = {
        let global = &world.config.global;
        (global.client_max, global.client_max_routing, global.cancel_max_inflight)
    };
    // A rule of the new world must lead to the old route from the first moment it can be met.
    let concerned = shared.routes.adopt(&rules);
    world.rules.inherit(&shared.world().rules);
    shared.publish(world);
    shared.clients.set_limit(clients);
    shared.logins.resize(logins);
    shared.cancels.resize(cancels);
    let mut turns = Turns::default();
    for route in concerned {
        shared.home(route).retune();
        turns.round();
    }
    report.warnings.extend(listeners.commit(prepared));
    shared.web.commit(port);
    shared.janitor.ring();
    shared.stats.ring();
    shared.groups.bell.ring();
    shared.watchdogs.ring();
    shared.watcher.ring();
    report
}

/// Reads and compares, on a thread where that disturbs nobody.
fn read(shared: &Arc<Shared>) -> Result<Next, Vec<String>> {
    let theirs = Arc::clone(shared);
    let work = move || -> Result<Next, Vec<String>> {
        let loaded = theirs.origin.load().map_err(|diagnostics| {
            diagnostics.0.iter().map(config::Diagnostic::line).collect::<Vec<_>>()
        })?;
        let options = options_in_force(&theirs, config::shown_options(&loaded));
        let Loaded { config, warnings, .. } = loaded;
        let old = theirs.config();
        let Diff { config, applied, needs_restart, rules } = config::diff(&old, config);
        let warnings = warnings.iter().map(config::Diagnostic::line).collect();
        let report = Report { applied, needs_restart, warnings, ..Report::default() };
        let key_log = theirs.world().contexts.key_log.clone();
        Ok(Next { world: World::load(config, options, key_log)?, rules, report })
    };
    machine::offload(work, Deadline::after(READ_TIMEOUT))
        .unwrap_or_else(|error| Err(vec![format!("the files could not be read: {error}")]))
}

/// What is to be shown after the reload: what waits for a restart is as it was.
fn options_in_force(shared: &Shared, mut options: Vec<ShownOption>) -> Vec<ShownOption> {
    let world = shared.world();
    for option in options.iter_mut().filter(|option| !option.is_reloaded) {
        if let Some(old) = world.options.iter().find(|old| old.name == option.name) {
            option.clone_from(old);
        }
    }
    options
}

impl Report {
    fn log(&self, shared: &Shared) {
        let who = Who::default();
        let say =
            |context: &str, line: &str| shared.log.info(context, &who, format_args!("{line}"));
        self.warnings.iter().for_each(|line| say("config", line));
        for line in &self.rejected {
            shared.log.error("config", &who, format_args!("{line}"));
        }
        if !self.rejected.is_empty() {
            let text = format_args!("reload rejected, nothing was changed");
            return shared.log.error("reload", &who, text);
        }
        self.applied.iter().for_each(|line| say("reload", line));
        for line in &self.needs_restart {
            shared.log.info("reload", &who, format_args!("needs restart: {line}"));
        }
        let (applied, restart) = (self.applied.len(), self.needs_restart.len());
        let text = format_args!("reload done: {applied} applied, {restart} need a restart");
        shared.log.info("reload", &who, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Engine, EngineConfig};

    /// Runs on a machine of its own; each test is a process.
    fn on_a_machine(body: impl FnOnce() + Send + 'static) {
        let engine = Engine::start(EngineConfig { machines: 1, ..EngineConfig::default() });
        let engine = engine.expect("one engine a process");
        let (done, end) = crossbeam_channel::bounded(1);
        let spawned = engine.machines()[0].spawn("test", move || {
            body();
            done.send(()).expect("the test waits");
        });
        assert!(spawned.is_ok() && end.recv().is_ok(), "the body failed");
        engine.shutdown();
    }

    fn ask(reloads: &Arc<Reloads>) -> machine::JoinHandle<Result<Report, Refused>> {
        let reloads = Arc::clone(reloads);
        machine::spawn("asks", move || reloads.ask()).expect("a coroutine can be had")
    }

    fn answer(asking: machine::JoinHandle<Result<Report, Refused>>) -> Result<Report, Refused> {
        asking.join(Deadline::after(Duration::from_secs(5))).expect("an answer")
    }

    fn report(line: &str) -> Report {
        Report { applied: vec![line.to_owned()], ..Report::default() }
    }

    /// One reload answers those who asked before it began; who comes later gets the next one.
    #[test]
    fn each_has_a_report_of_a_reload_that_began_after_he_asked() {
        on_a_machine(|| {
            let (reloads, notified) = (Arc::new(Reloads::default()), Notified::new());
            assert_eq!(reloads.post(), Ok(()), "before anybody is there");
            let open = reloads.open(notified.notifier());
            let (one, two) = (ask(&reloads), ask(&reloads));
            machine::yield_now();
            let first = reloads.take().expect("three asked");
            let late = ask(&reloads);
            machine::yield_now();
            first.iter().for_each(|answer| answer.give(Ok(report("first"))));
            let second = reloads.take().expect("one came late");
            assert_eq!((first.len(), second.len()), (2, 1));
            second.iter().for_each(|answer| answer.give(Ok(report("second"))));
            assert!(reloads.take().is_none());
            assert_eq!((answer(one), answer(two)), (Ok(report("first")), Ok(report("first"))));
            assert_eq!(answer(late), Ok(report("second")));

            let last = ask(&reloads);
            machine::yield_now();
            drop(open);
            assert_eq!(answer(last), Err(Refused::Stopping));
            assert_eq!(reloads.post(), Err(Refused::Stopping));
        });
    }
}
