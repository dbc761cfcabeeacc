//! The face of the process to those who are not its clients: its pid file, its title in `ps`, a
//! daemon's word to who started it, what its supervisor is told. It is kept on the main thread,
//! which may block.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use machine::process::Title;
use machine::{MachineHandle, Notifier};

use crate::boot::Exit;
use crate::daemon::Word;
use crate::log::Who;
use crate::pid_file::PidFile;
use crate::pulse::Pulse;
use crate::restart;
use crate::shared::Shared;
use crate::systemd::Supervisor;
use crate::version;

/// Stages that may wait to be shown. Reloads are two each.
pub(crate) const STAGES: usize = 64;

/// The supervisor hears of the number of clients not more often than that.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// How far the pooler is, as its coroutines tell.
pub enum Stage {
    /// Clients can come. One that takes the place of another is not ready before that one says so.
    Listening {
        /// It takes the place of another, who may go when this has rung: the pid file is ours then.
        succeeds: Option<Notifier>,
    },
    /// We are the main process.
    Leading,
    /// The configuration is read again.
    Reloading,
    /// That is over.
    Reloaded,
    /// A new process comes up.
    Raising,
    /// It does not, and we go on.
    Staying,
    /// The new process serves; no more clients come here.
    Replaced(restart::Word),
    /// The new process is gone, and clients come here again.
    Back,
    /// No more of them.
    Stopping,
    /// It is over.
    Over(Exit),
}

/// What the process shows of itself to those who are not its clients.
pub(crate) struct Face {
    /// What `ps` shows.
    title: Option<Title>,
    /// A daemon's, until it is given.
    word: Option<Word>,
    supervisor: Supervisor,
    pid_file: Option<PidFile>,
    pulse: Pulse,
    beat_at: Option<Instant>,
    status_at: Option<Instant>,
    /// What the supervisor was told last.
    status: String,
}

impl Face {
    /// With what this process has of them.
    pub fn new(title: Option<Title>, word: Option<Word>) -> Self {
        let supervisor = Supervisor::find();
        Self {
            title,
            word,
            supervisor,
            pid_file: None,
            pulse: Pulse::of(&[]),
            beat_at: None,
            status_at: None,
            status: String::new(),
        }
    }

    /// Until the end, or until something that was promised cannot be done.
    pub fn follow(
        &mut self,
        shared: &Shared,
        machines: &[MachineHandle],
        told: &Receiver<Stage>,
    ) -> Exit {
        self.pulse = Pulse::of(machines);
        let now = Instant::now();
        if self.supervisor.is_there() {
            self.status_at = Some(now + STATUS_INTERVAL);
            self.beat_at = self.supervisor.watchdog.map(|limit| now + limit / 2);
        }
        loop {
            let heard = match [self.beat_at, self.status_at].into_iter().flatten().min() {
                Some(next) => told.recv_deadline(next),
                None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match heard {
                Ok(Stage::Over(exit)) => {
                    self.pid_file = None;
                    return exit;
                }
                Ok(stage) => {
                    if let Err(text) = self.show(shared, stage) {
                        shared.log.error("init", &Who::default(), format_args!("{text}"));
                        return Exit::Failed;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.time_passes(shared),
                // A system coroutine that dies drops its sender: that ends the process too.
                Err(RecvTimeoutError::Disconnected) => return Exit::Failed,
            }
        }
    }

    fn show(&mut self, shared: &Shared, stage: Stage) -> Result<(), String> {
        match stage {
            Stage::Listening { succeeds } => {
                self.present(shared)?;
                match succeeds {
                    Some(bell) => bell.notify(),
                    None => self.supervisor.ready(),
                }
            }
            Stage::Leading | Stage::Reloaded | Stage::Staying => self.supervisor.ready(),
            Stage::Reloading => self.supervisor.reloading("Reloading configuration"),
            Stage::Raising => self.supervisor.reloading("Graceful restart on new binary"),
            Stage::Replaced(word) => {
                self.supervisor.main_process(word.process);
                word.give();
                self.retitle(STOPPED);
                self.beat_at = None; // the new process is watched
                self.status_at = None;
            }
            Stage::Back => {
                self.present(shared)?;
                self.supervisor.main_process(std::process::id());
                self.supervisor.ready();
                self.status_at = self.supervisor.is_there().then(Instant::now);
                self.beat_at = self.status_at.filter(|_| self.supervisor.watchdog.is_some());
            }
            Stage::Stopping => {
                self.supervisor.stopping();
                self.retitle(STOPPED);
            }
            Stage::Over(_) => {} // heard above
        }
        Ok(())
    }

    /// Clients can come, and whoever waits for that may know.
    fn present(&mut self, shared: &Shared) -> Result<(), String> {
        self.pid_file = None; // one of before does not remove the one of now
        self.pid_file =
            shared.config().global.pid_file.as_deref().map(PidFile::write).transpose()?;
        self.retitle("listening and accepting new connections");
        if let Some(word) = self.word.take() {
            word.give().map_err(|error| format!("failed to leave the terminal: {error}"))?;
        }
        Ok(())
    }

    fn time_passes(&mut self, shared: &Shared) {
        let now = Instant::now();
        if self.beat_at.is_some_and(|at| at <= now) {
            self.beat_at = self.supervisor.watchdog.map(|limit| now + limit / 2);
            match self.pulse.beat().as_slice() {
                [] => self.supervisor.alive(),
                hung => {
                    let text = format_args!("workers {hung:?} do not turn: no sign of life");
                    shared.log.error("watchdog", &Who::default(), text);
                }
            }
        }
        if self.status_at.is_some_and(|at| at <= now) {
            self.status_at = Some(now + STATUS_INTERVAL);
            let status = status(shared);
            if status != self.status {
                self.supervisor.status(&status);
                self.status = status;
            }
        }
    }

    /// In Odyssey's words.
    fn retitle(&mut self, what: &str) {
        if let Some(title) = &mut self.title {
            title.set(&format!("{} {what}", version::IN_WORDS));
        }
    }
}

const STOPPED: &str = "stop accepting any connections";

/// How much there is to do.
fn status(shared: &Shared) -> String {
    let servers = |home: &std::sync::Arc<crate::backend::Home>| {
        home.route.with(|pool| pool.counts().servers())
    };
    let servers: usize = shared.homes().iter().map(servers).sum();
    let clients = shared.clients.live();
    format!("Ready to accept connections: {clients} clients, {servers} servers")
}
