//! The successor, as the old process sees it: started from the same command line, so that another
//! program in the place of ours is taken; given our listening sockets; and heard from until it or
//! we are gone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use machine::{DESCRIPTORS_MAX, Deadline, Notifier, process};

use super::frame::{Frame, VERSION};
use super::kin::{Desk, Verdict};
use super::line::{self, Letter, Line, Outbox};
use super::predecessor::{LINE, PARENT, cancel};
use crate::log::Who;
use crate::shared::Shared;

/// To begin a process.
const SPAWN_TIMEOUT: Duration = Duration::from_secs(30);

/// One that has no line to us any more is about to end; behind this it is made to, and then
/// given as long again.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks whether it has ended. Whoever waits for a process blocks a thread.
const LOOK: Duration = Duration::from_millis(20);

/// Of whoever started us; a new process would take them for its own.
const NOT_INHERITED: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// What there is to hear of a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Clients can come there.
    Serving,
    /// It never came up; the reason is in the log.
    Failed,
    /// It served, and is gone.
    Gone,
}

/// A new process, from its beginning to its end or ours.
pub(crate) struct Raising(Rc<State>);

struct State {
    news: RefCell<VecDeque<News>>,
    bell: Notifier,
    process: Cell<Option<u32>>,
    outbox: RefCell<Option<Arc<Outbox>>>,
    /// It is an Odyssey: it will never say a word, and serves.
    is_odyssey: Cell<bool>,
    /// It was told to end, perhaps before it was there.
    is_unwanted: Cell<bool>,
}

/// The word to a new process that it is the main one.
pub(crate) struct Word {
    /// Its process id.
    pub(crate) process: u32,
    /// None: it is an Odyssey, and hears signals.
    outbox: Option<Arc<Outbox>>,
}

impl Word {
    /// It may tell who watches over us that it is ready.
    pub(crate) fn give(self) {
        let given = self.outbox.map(|outbox| outbox.post(Frame::Lead).is_ok());
        if given != Some(true) {
            let _ = process::signal(self.process, libc::SIGWINCH);
        }
    }
}

impl Raising {
    /// Begins a new process and gives it these sockets; `bell` rings when there is something to
    /// hear.
    ///
    /// # Errors
    /// No coroutine.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        sockets: Vec<OwnedFd>,
        bell: Notifier,
    ) -> Result<Self, machine::Error> {
        let (news, process) = (RefCell::default(), Cell::new(None));
        let (outbox, is_odyssey, is_unwanted) = Default::default();
        let state = Rc::new(State { news, bell, process, outbox, is_odyssey, is_unwanted });
        let raise = Raise { shared: Arc::clone(shared), state: Rc::clone(&state) };
        machine::spawn("successor", move || raise.run(sockets))?;
        Ok(Self(state))
    }

    /// The next piece of news.
    pub(crate) fn news(&self) -> Option<News> {
        self.0.news.borrow_mut().pop_front()
    }

    /// Its process id, once it has one.
    pub(crate) fn process(&self) -> Option<u32> {
        self.0.process.get()
    }

    /// The word that it is the main process.
    pub(crate) fn word(&self) -> Option<Word> {
        let outbox = self.0.outbox.borrow().clone();
        self.process().map(|process| Word { process, outbox })
    }

    /// It has told us to go, by a signal: it serves, and hears only signals.
    pub(crate) fn is_odyssey(&self) {
        self.0.is_odyssey.set(true);
        *self.0.outbox.borrow_mut() = None;
    }

    /// It is not wanted any more.
    pub(crate) fn tell_to_end(&self) {
        self.0.is_unwanted.set(true);
        self.0.end_if_unwanted();
    }
}

impl State {
    fn end_if_unwanted(&self) {
        if let Some(process) = self.process.get().filter(|_| self.is_unwanted.get()) {
            let _ = process::signal(process, libc::SIGTERM);
        }
    }
}

struct Raise {
    shared: Arc<Shared>,
    state: Rc<State>,
}

impl Raise {
    fn run(self, sockets: Vec<OwnedFd>) {
        let news = match self.raise(sockets) {
            Ok(()) => News::Gone,
            Err(reason) => {
                self.complain(&format!("{reason} - keep use old binary instance"));
                News::Failed
            }
        };
        self.tell(news);
    }

    /// Until it is gone; an error if it never served.
    fn raise(&self, sockets: Vec<OwnedFd>) -> Result<(), String> {
        let words = self.shared.origin.command().to_vec();
        let started = machine::offload(move || start(&words), Deadline::after(SPAWN_TIMEOUT));
        let (mut child, socket) = started
            .map_err(io::Error::other)
            .and_then(|started| started)
            .map_err(|error| format!("can't start new binary: {error}"))?;
        let process = child.id();
        self.state.process.set(Some(process));
        self.state.end_if_unwanted();
        self.say(&format!("new binary pid = {process}"));
        let met = Line::start(socket).and_then(|line| {
            *self.state.outbox.borrow_mut() = Some(Arc::clone(&line.outbox));
            let version = self.meet(&line, sockets)?;
            Ok((line, version))
        });
        match met {
            Ok((line, version)) => self.listen(&line, version),
            Err(_) if self.state.is_odyssey.get() => {}
            Err(reason) => {
                *self.state.outbox.borrow_mut() = None;
                return Err(put_to_an_end(&mut child, &reason));
            }
        }
        *self.state.outbox.borrow_mut() = None;
        self.wait_for_its_end(&mut child);
        Ok(())
    }

    /// As long as it lives it may serve clients, and two must not serve one.
    fn wait_for_its_end(&self, child: &mut Child) {
        let mut status = ended(child, Deadline::after(END_TIMEOUT));
        if status.is_none() {
            // It does live, without us: clients leave again.
            self.shared.kin.set_lost(false);
            self.shared.rosters.iter().for_each(|roster| roster.let_stay());
            status = ended(child, Deadline::NEVER);
        }
        if let Some(status) = status {
            self.complain(&in_words(status));
        }
    }

    /// Gives it what it is to have, and waits until it serves: which version it is.
    fn meet(&self, line: &Line, mut sockets: Vec<OwnedFd>) -> Result<u16, machine::Error> {
        loop {
            let rest = sockets.split_off(sockets.len().min(DESCRIPTORS_MAX));
            let (more, salts) = (!rest.is_empty(), Some(*self.shared.keyring.salts()));
            let frame = Frame::Listeners { version: VERSION, more, salts };
            let letter = Letter { frame, descriptors: sockets, sent: None };
            line.outbox.post(letter).map_err(|_| machine::Error::Closed)?;
            if rest.is_empty() {
                break;
            }
            sockets = rest;
        }
        let timeout = self.shared.config().global.online_restart_timeout;
        let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
        match line::read(&line.reads, VERSION, deadline)? {
            Some((Frame::Serving { version }, _)) => Ok(version),
            _ => Err(machine::Error::Closed),
        }
    }

    /// Until it is gone.
    fn listen(&self, line: &Line, version: u16) {
        let desk = Arc::new(Desk::new(Arc::clone(&line.outbox)));
        match version == VERSION {
            true => self.shared.kin.set_successor(Some(Arc::clone(&desk))),
            false => self.say("the new binary speaks another version: no clients go there"),
        }
        self.tell(News::Serving);
        while let Ok(Some((frame, _))) = line::read(&line.reads, version, Deadline::NEVER) {
            match frame {
                Frame::Taken { ticket } => desk.answer(ticket, Verdict::Taken),
                Frame::Refused { ticket, reason } => desk.answer(ticket, Verdict::Refused(reason)),
                Frame::Cancel { key } => cancel(&self.shared, key),
                _ => {} // what only the old one says
            }
        }
        self.shared.kin.set_lost(true);
        self.shared.kin.set_successor(None);
    }

    fn tell(&self, news: News) {
        self.state.news.borrow_mut().push_back(news);
        self.state.bell.notify();
    }

    fn say(&self, text: &str) {
        self.shared.log.info("online-restart", &Who::default(), format_args!("{text}"));
    }

    fn complain(&self, text: &str) {
        self.shared.log.error("online-restart", &Who::default(), format_args!("{text}"));
    }
}

/// A process of the same command line, and our end of the line to it. It blocks.
fn start(words: &[OsString]) -> io::Result<(Child, OwnedFd)> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(OwnedFd::from(theirs));
    command.env(PARENT, std::process::id().to_string()).env(LINE, "0");
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    Ok((command.spawn()?, ours.into()))
}

/// One that has not served ends; how.
fn put_to_an_end(child: &mut Child, reason: &machine::Error) -> String {
    let is_late = matches!(reason, machine::Error::TimedOut);
    if !is_late && let Some(status) = ended(child, Deadline::after(END_TIMEOUT)) {
        return in_words(status);
    }
    let _ = child.kill(); // an error means that it has ended
    let end = ended(child, Deadline::after(END_TIMEOUT));
    let end = end.map_or_else(|| "new binary does not die".to_owned(), in_words);
    match is_late {
        true => format!("new binary did not serve in time, {end}"),
        false => format!("new binary hung up and did not end, {end}"),
    }
}

/// How it ended, if it does in time.
fn ended(child: &mut Child, deadline: Deadline) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        if deadline.is_past(machine::now()) || machine::sleep(LOOK).is_err() {
            return None;
        }
    }
}

/// In Odyssey's.
fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("new binary exited({code})"),
        (None, Some(signal)) => format!("new binary was killed by signal({signal})"),
        (None, None) => "new binary ended".to_owned(),
    }
}
