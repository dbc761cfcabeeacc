//! Life: what the process does at each signal, from the first client to the end. SIGHUP reloads,
//! SIGUSR1 reopens the log, SIGUSR2 puts a new process in our place, SIGTERM and SIGINT end it
//! gracefully. All others are the system's.

use std::sync::Arc;
use std::time::Duration;

use machine::{Deadline, JoinHandle, MachineHandle, Notified, Signal, Signals};

use crate::boot::Exit;
use crate::face::Stage;
use crate::listener::Listeners;
use crate::log::Who;
use crate::reload;
use crate::restart::{News, Raising};
use crate::shared::Shared;
use crate::shutdown::{Linger, reopen_log};

/// Signals the process handles itself; blocked in all threads.
pub(crate) const SIGNALS: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH, // an Odyssey in whose place we are tells by it that we are the main process
];

/// A reload that is told to end waits for nothing any more.
const RELOAD_END: Duration = Duration::from_secs(1);

/// What hears signals, and has what they are about.
pub(crate) struct Life {
    pub(crate) shared: Arc<Shared>,
    pub(crate) machines: Arc<[MachineHandle]>,
    signals: Signals,
    /// Rings when there is something to hear of a new process.
    bell: Notified,
    phase: Phase,
}

enum Phase {
    /// The listeners are with the coroutine that reloads.
    Serving(JoinHandle<Listeners>),
    /// A new process comes up; nobody reloads.
    Raising(Raising, Listeners),
    /// A reload did not let go of the listeners: clients come, and there are no further reloads.
    Stuck,
}

impl Life {
    /// Clients come to these listeners from now on.
    ///
    /// # Errors
    /// No coroutine for reloads.
    pub(crate) fn new(
        shared: Arc<Shared>,
        machines: Arc<[MachineHandle]>,
        signals: Signals,
        listeners: Listeners,
    ) -> Result<Self, machine::Error> {
        let phase = Phase::Serving(serve(&shared, listeners)?);
        Ok(Self { shared, machines, signals, bell: Notified::new(), phase })
    }

    /// Until it is time to exit.
    pub(crate) fn run(mut self) -> Exit {
        loop {
            let over = match self.signals.wait_or(Some(&self.bell), Deadline::NEVER) {
                Ok(Some(signal)) => self.hear(signal),
                Ok(None) => {
                    let _ = self.bell.take();
                    self.heed()
                }
                Err(_) => Some(Exit::Failed),
            };
            if let Some(exit) = over {
                return exit;
            }
        }
    }

    fn hear(&mut self, signal: Signal) -> Option<Exit> {
        match signal.number {
            libc::SIGTERM | libc::SIGINT => return self.end(signal.sender),
            libc::SIGHUP => self.reload(),
            libc::SIGUSR1 => reopen_log(&self.shared),
            libc::SIGUSR2 => self.restart(),
            _ => self.lead(),
        }
        None
    }

    fn reload(&self) {
        match &self.phase {
            Phase::Raising(..) => {
                self.say("system", "performing online restart now, SIGHUP is ignored");
            }
            _ => {
                self.say("system", "SIGHUP received");
                if self.shared.reloads.post().is_err() {
                    self.complain("system", "SIGHUP: nobody can reload");
                }
            }
        }
    }

    /// An Odyssey has made us the main process.
    fn lead(&self) {
        match self.shared.kin.has_predecessor() {
            true => self.shared.tell(Stage::Leading),
            false => self.say("online-restart", "got unexpected SIGWINCH, ignored"),
        }
    }

    /// Begins to put a new process in our place.
    fn restart(&mut self) {
        self.say("online-restart", "online restart signal received");
        let refusal = match &self.phase {
            _ if !self.shared.config().global.enable_online_restart => {
                Some("feature is disabled in config")
            }
            Phase::Raising(..) => Some("already spawning new binary"),
            Phase::Stuck => Some("a reload does not end"),
            Phase::Serving(_) => None,
        };
        let beside = self.shared.kin.has_predecessor();
        let refusal = refusal.or(beside.then_some("parent odyssey process is still alive"));
        if let Some(refusal) = refusal {
            let text = format!("online restart signal ignored - {refusal}");
            return self.complain("online-restart", &text);
        }
        self.shared.tell(Stage::Raising);
        let Some(listeners) = self.take_listeners() else {
            self.shared.tell(Stage::Staying);
            return self.complain("online-restart", "a reload does not end: no restart");
        };
        let sockets = listeners.duplicate();
        let begun =
            sockets.and_then(|sockets| Raising::begin(&self.shared, sockets, self.bell.notifier()));
        match begun {
            Ok(raising) => self.phase = Phase::Raising(raising, listeners),
            Err(error) => {
                let text = format!("running new binary failed - keep use old instance: {error}");
                self.complain("online-restart", &text);
                self.stay(listeners);
            }
        }
    }

    /// From the coroutine that reloads, which ends; afterwards they are put somewhere.
    fn take_listeners(&mut self) -> Option<Listeners> {
        let Phase::Serving(reloads) = std::mem::replace(&mut self.phase, Phase::Stuck) else {
            return None;
        };
        reloads.cancel();
        reloads.join(Deadline::after(RELOAD_END)).ok()
    }

    /// There is news of a new process.
    fn heed(&mut self) -> Option<Exit> {
        let Phase::Raising(raising, _) = &self.phase else { return None };
        let news = raising.news()?;
        let Phase::Raising(raising, listeners) = std::mem::replace(&mut self.phase, Phase::Stuck)
        else {
            return None;
        };
        match news {
            News::Serving => self.give_way(&raising, listeners),
            News::Failed | News::Gone => {
                self.stay(listeners);
                None
            }
        }
    }

    /// The new process serves: ours ends with its last client, unless the new one ends before.
    fn give_way(&mut self, raising: &Raising, mut listeners: Listeners) -> Option<Exit> {
        self.say("online-restart", "the new binary serves, no more clients come here");
        listeners.pause();
        self.shared.web.let_go();
        self.shared.kin.set_replaced(true);
        if let Some(word) = raising.word() {
            self.shared.tell(Stage::Replaced(word));
        }
        let linger = Linger { life: &*self, raising: Some(raising), sigterms: 0 };
        if let Some(exit) = linger.run(&self.signals) {
            return Some(exit);
        }
        self.shared.kin.set_replaced(false);
        self.shared.rosters.iter().for_each(|roster| roster.let_stay());
        self.complain("online-restart", "clients are served by the old binary again");
        self.stay(listeners);
        let global = &self.shared.world().config.global.clone();
        self.shared.web.commit(self.shared.web.prepare_first(global));
        self.shared.tell(Stage::Back);
        None
    }

    /// No new process: everything is as before.
    fn stay(&mut self, mut listeners: Listeners) {
        listeners.resume();
        self.shared.tell(Stage::Staying);
        match serve(&self.shared, listeners) {
            Ok(reloads) => self.phase = Phase::Serving(reloads),
            Err(error) => self.complain("system", &format!("nobody can reload: {error}")),
        }
    }

    /// SIGTERM, SIGINT. A new process that wants us to go is an Odyssey that serves now.
    fn end(&mut self, sender: u32) -> Option<Exit> {
        self.say("system", "termination signal received, shutting down");
        if self.shared.config().global.max_sigterms_to_die <= 1 {
            return Some(Exit::Failed);
        }
        match std::mem::replace(&mut self.phase, Phase::Stuck) {
            Phase::Raising(raising, listeners) if raising.process() == Some(sender) => {
                raising.is_odyssey();
                return self.give_way(&raising, listeners);
            }
            Phase::Raising(raising, listeners) => {
                raising.tell_to_end();
                self.shared.web.stops();
                self.shared.tell(Stage::Stopping);
                listeners.close();
            }
            serving => {
                self.phase = serving;
                self.shared.web.stops();
                self.shared.tell(Stage::Stopping);
                // Whoever asks for a reload from now on is refused.
                if let Some(listeners) = self.take_listeners() {
                    listeners.close();
                }
            }
        }
        Linger { life: self, raising: None, sigterms: 1 }.run(&self.signals)
    }

    fn say(&self, context: &str, text: &str) {
        self.shared.log.info(context, &Who::default(), format_args!("{text}"));
    }

    fn complain(&self, context: &str, text: &str) {
        self.shared.log.error(context, &Who::default(), format_args!("{text}"));
    }
}

fn serve(
    shared: &Arc<Shared>,
    listeners: Listeners,
) -> Result<JoinHandle<Listeners>, machine::Error> {
    let theirs = Arc::clone(shared);
    machine::spawn("reload", move || reload::serve(&theirs, listeners))
}
