//! The predecessor, as the new process sees it: what this one was born with (listening sockets, a
//! line to the old process, or just the word that there is one), and what comes over the line.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use machine::{Deadline, Listener, MachineHandle, Notified, Parcel, process};
use router::ClientKey;

use super::frame::{Frame, VERSION};
use super::line::{self, Letter, Line, Outbox};
use super::luggage::Luggage;
use crate::backend;
use crate::face::Stage;
use crate::keyring::Salts;
use crate::log::Who;
use crate::session;
use crate::shared::Shared;

/// The old process, which has a reason to be quick.
const LISTENERS_TIMEOUT: Duration = Duration::from_secs(10);

/// To write a pid file and the like.
const SHOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Until the old process has heard that a client is ours; behind this it must have.
const SENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Names the process that started us in its place: Odyssey's.
pub(super) const PARENT: &str = "ODY_INHERIT_PPID";

/// Set when standard input is a line.
pub(super) const LINE: &str = "POOLER_INHERIT_LINE";

/// What this process was born with.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    /// The process in whose place we were started.
    pub(crate) parent: Option<u32>,
    line: Option<OwnedFd>,
    /// Sockets of the one who started us (`LISTEN_FDS`).
    sockets: Vec<OwnedFd>,
}

/// The old process, as long as it is beside us.
pub(crate) struct Elder {
    parent: Option<u32>,
    line: Option<Line>,
    /// Of what it says.
    version: u16,
}

impl Inheritance {
    /// As the environment tells. To be called once, before there are threads.
    ///
    /// # Errors
    /// The environment promises what is not there.
    pub(crate) fn claim() -> Result<Self, String> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let count = number("LISTEN_PID")
            .filter(|pid| *pid == std::process::id())
            .and_then(|_| number("LISTEN_FDS"))
            .unwrap_or(0);
        let sockets = process::passed_descriptors(count as usize)
            .map_err(|error| format!("LISTEN_FDS promises {count} sockets: {error}"))?;
        // A daemon of that name may be long gone, and we be the child of somebody else.
        let parent = number(PARENT).filter(|pid| *pid == std::os::unix::process::parent_id());
        let mut line = None;
        if parent.is_some() && std::env::var_os(LINE).is_some() {
            let taken = process::take_input();
            line = Some(taken.map_err(|error| format!("no line to the old process: {error}"))?);
        }
        Ok(Self { parent, line, sockets })
    }

    /// All listening sockets that were left to us, and who left them. On a machine.
    pub(crate) fn receive(self, shared: &Shared) -> (Vec<Listener>, Elder) {
        let mut sockets = self.sockets;
        let mut elder = Elder { parent: self.parent, line: None, version: 0 };
        if let Some(line) = self.line {
            match Line::start(line).and_then(|line| elder.listen_to(line)) {
                Ok((more, salts)) => {
                    sockets.extend(more);
                    salts.into_iter().for_each(|salts| shared.keyring.inherit(salts));
                }
                Err(error) => say(shared, &format!("the old process left nothing: {error}")),
            }
        }
        let mut listeners = Vec::new();
        for socket in sockets {
            match Listener::from_fd(socket) {
                Ok(listener) => listeners.push(listener),
                Err(error) => say(shared, &format!("a socket that was passed on: {error}")),
            }
        }
        (listeners, elder)
    }
}

impl Elder {
    /// The listening sockets, which come first, and what made-up salts are made of.
    fn listen_to(&mut self, line: Line) -> Result<(Vec<OwnedFd>, Option<Salts>), machine::Error> {
        let deadline = Deadline::after(LISTENERS_TIMEOUT);
        let mut sockets = Vec::new();
        loop {
            match line::read(&line.reads, VERSION, deadline)? {
                Some((Frame::Listeners { version, more, salts }, came)) => {
                    sockets.extend(came);
                    self.version = version;
                    if !more {
                        self.line = Some(line);
                        return Ok((sockets, salts));
                    }
                }
                _ => return Err(machine::Error::Closed),
            }
        }
    }

    /// Is there an old process?
    pub(crate) fn is_there(&self) -> bool {
        self.parent.is_some()
    }
}

/// Clients can come: tells the old process when that was shown to the world, and does what it says
/// until it is gone.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    machines: &Arc<[MachineHandle]>,
    elder: Elder,
    shown: Notified,
) {
    let Elder { parent, line, version } = elder;
    let Some(parent) = parent else { return };
    shared.kin.set_parent(parent);
    let (shared, machines) = (Arc::clone(shared), Arc::clone(machines));
    let started = machine::spawn("predecessor", move || {
        // An old process that goes before that removes a pid file that is about to be ours.
        let _ = machine::wait_any(&[], Some(&shown), Deadline::after(SHOWN_TIMEOUT));
        let Some(line) = line else { return relieve(&shared, parent) };
        let _ = line.outbox.post(Frame::Serving { version: VERSION });
        let outbox = (version == VERSION).then(|| Arc::clone(&line.outbox));
        shared.kin.set_predecessor(outbox);
        let reason = listen(&shared, &machines, &line, version);
        shared.kin.set_predecessor(None);
        shared.kin.set_parent(0);
        say(&shared, &format!("the old process {parent} is gone{reason}"));
        shared.tell(Stage::Leading);
    });
    drop(started);
}

/// An Odyssey wants to be told to go, and tells us when we are the main process.
fn relieve(shared: &Shared, parent: u32) {
    say(shared, &format!("send SIGTERM to parent instance {parent}"));
    if let Err(error) = process::signal(parent, libc::SIGTERM) {
        say(shared, &format!("process {parent} cannot be told to go: {error}"));
    }
}

/// Until it is gone: why, if it was not in order.
fn listen(shared: &Arc<Shared>, machines: &[MachineHandle], line: &Line, version: u16) -> String {
    loop {
        let (frame, sockets) = match line::read(&line.reads, version, Deadline::NEVER) {
            Ok(Some(said)) => said,
            Ok(None) => return String::new(),
            Err(error) => return format!(": {error}"),
        };
        match frame {
            Frame::Lead => shared.tell(Stage::Leading),
            Frame::Cancel { key } => cancel(shared, key),
            Frame::Client { ticket, luggage } => {
                let outbox = Arc::clone(&line.outbox);
                let socket = sockets.into_iter().next();
                let came = Came { shared: Arc::clone(shared), outbox, ticket, luggage, socket };
                came.send_to(machines);
            }
            _ => {} // what only the new one says
        }
    }
}

/// For one of our clients, if we know the key.
pub(super) fn cancel(shared: &Arc<Shared>, key: [u8; 8]) {
    let shared = Arc::clone(shared);
    drop(machine::spawn("cancel", move || backend::forward_here(&shared, ClientKey(key))));
}

/// A client from the old process.
struct Came {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    ticket: u64,
    luggage: Vec<u8>,
    socket: Option<OwnedFd>,
}

impl Came {
    /// To the machine with the fewest clients.
    fn send_to(self, machines: &[MachineHandle]) {
        let least = machines.iter().min_by_key(|machine| machine.load());
        let machine = least.expect("an engine has machines");
        let (seat, outbox, ticket) = (machine.seat(), Arc::clone(&self.outbox), self.ticket);
        if let Err(error) = machine.spawn("client", move || self.move_in(seat)) {
            let reason = error.to_string();
            let _ = outbox.post(Frame::Refused { ticket, reason });
        }
    }

    /// It is served when the old process cannot serve it any more.
    fn move_in(mut self, seat: machine::Seat) {
        let parcel = self.socket.take().ok_or(machine::Error::Closed).and_then(Parcel::from_fd);
        let ticket = self.ticket;
        let session = parcel.map_err(|error| error.to_string()).and_then(|parcel| {
            let luggage = Luggage::parse(&self.luggage).ok_or("its luggage is broken")?;
            session::move_in(&self.shared, luggage, parcel, seat)
        });
        let session = match session {
            Ok(session) => session,
            Err(reason) => {
                let _ = self.outbox.post(Frame::Refused { ticket, reason });
                return;
            }
        };
        let notified = Notified::new();
        let sent = Some(notified.notifier());
        let letter = Letter { frame: Frame::Taken { ticket }, descriptors: Vec::new(), sent };
        // An old process that is gone does not serve it either.
        if self.outbox.post(letter).is_ok() {
            let _ = machine::wait_any(&[], Some(&notified), Deadline::after(SENT_TIMEOUT));
        }
        if let Err(error) = machine::start_session(session) {
            say(&self.shared, &format!("client refused: {error}"));
        }
    }
}

fn say(shared: &Shared, text: &str) {
    shared.log.info("online-restart", &Who::default(), format_args!("{text}"));
}
