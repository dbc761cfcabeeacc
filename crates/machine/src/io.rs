//! Sockets. The entry of one registered descriptor is here: its readiness bits and who waits for
//! them. The kernel tells edges; a bit remembers an edge until a system call proves it used up.

pub(crate) mod address;
pub(crate) mod listener;
mod needed;
mod outbox;
pub(crate) mod parcel;
pub(crate) mod passing;
pub(crate) mod relay;
pub(crate) mod stream;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::coroutine::{Job, Task, Title};
use crate::machine::Machine;
use crate::slab::Key;
use crate::sys;
use crate::wait::{Interest, Waitable, Waiter};
use outbox::Outbox;
use parcel::Watch;

/// What the kernel tells of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// That there are bytes, or an end.
    Bytes,
    /// And that there is room again.
    All,
}

/// One registered descriptor. It does not own it: a stream, a parcel or a listener does.
pub(crate) struct Io {
    pub(crate) fd: RawFd,
    pub(crate) key: Key,
    /// Of what the kernel tells.
    told: Cell<Told>,
    /// A read is worth a try though no event has told of anything.
    pub(crate) promising: Cell<bool>,
    /// A read may find something. Cleared by a short read (unless hung up) or by EAGAIN.
    pub(crate) readable: Cell<bool>,
    /// A write may find room. Cleared by a short write or by EAGAIN.
    pub(crate) writable: Cell<bool>,
    /// RDHUP, HUP or ERR was seen. That edge never comes again, so from here on only 0, EAGAIN or
    /// an error ends reading, and a short read does not.
    pub(crate) hung_up: Cell<bool>,
    /// Under TLS: OpenSSL has bytes, or may have, that no event will tell of.
    pub(crate) pending: Cell<bool>,
    /// Under TLS: what was taken for written and the kernel did not take yet.
    outbox: Outbox,
    /// What the waiter wants; meaningless without one.
    wanted: Cell<Interest>,
    waiter: Waiter,
    /// Who hears of it while it is folded.
    pub(crate) watch: RefCell<Option<Watch>>,
    /// The watcher will be called soon; further events need not call it again.
    stirring: Cell<bool>,
}

impl Io {
    pub(crate) fn new(fd: RawFd, key: Key) -> Io {
        Io {
            fd,
            key,
            told: Cell::new(Told::Nothing),
            promising: Cell::new(false),
            // Adding a socket reports what is there already.
            readable: Cell::new(false),
            writable: Cell::new(false),
            hung_up: Cell::new(false),
            pending: Cell::new(false),
            outbox: Outbox::new(),
            wanted: Cell::new(Interest::NONE),
            waiter: Waiter::new(),
            watch: RefCell::new(None),
            stirring: Cell::new(false),
        }
    }

    /// Has the kernel tell its events from now on; without effect if it does. Nobody may wait for
    /// a socket of which it does not. Room that is known to be there is not asked for: to tell of
    /// it would be the first event of every socket.
    pub(crate) fn enlist(&self, machine: &Machine) -> io::Result<()> {
        if self.told.get() != Told::Nothing {
            return Ok(());
        }
        let (told, flags) = match self.writable.get() {
            true => (Told::Bytes, sys::ALL & !sys::OUT),
            false => (Told::All, sys::ALL),
        };
        sys::epoll_add(machine.shared.epoll, self.fd, flags, self.key.to_bits())?;
        self.told.set(told);
        Ok(())
    }

    pub(crate) fn is_enlisted(&self) -> bool {
        self.told.get() != Told::Nothing
    }

    /// The kernel has no room: it is to tell when it has.
    pub(crate) fn fill_up(&self) {
        self.writable.set(false);
        if self.told.get() == Told::Bytes
            && let Some(machine) = Machine::here()
        {
            let changed =
                sys::epoll_change(machine.shared.epoll, self.fd, sys::ALL, self.key.to_bits());
            changed.expect("what is enlisted is open and can be changed");
            self.told.set(Told::All);
        }
    }

    /// Is any of `interest` there?
    pub(crate) fn has(&self, interest: Interest) -> bool {
        (self.has_bytes() && interest.meets(Interest::READ))
            || (self.has_room() && interest.meets(Interest::WRITE))
            || (self.hung_up.get() && interest.meets(Interest::HANGUP))
    }

    /// Remembers an event.
    pub(crate) fn absorb(&self, flags: u32) {
        if flags & sys::GONE != 0 {
            self.hung_up.set(true);
        }
        if flags & (sys::IN | sys::GONE) != 0 {
            self.readable.set(true);
        }
        if flags & (sys::OUT | (sys::GONE & !(libc::EPOLLRDHUP as u32))) != 0 {
            self.writable.set(true);
            self.flush();
        }
    }

    /// May a read find something?
    pub(crate) fn has_bytes(&self) -> bool {
        self.readable.get() || self.pending.get()
    }

    /// May a write find room?
    pub(crate) fn has_room(&self) -> bool {
        self.writable.get() && self.outbox.is_empty()
    }

    /// These bytes come before all that is written later.
    pub(crate) fn owe(&self, bytes: Vec<u8>) {
        self.outbox.add(bytes);
    }

    /// Does the kernel not have everything yet that was written?
    pub(crate) fn owes(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What is owed, for the one who takes this socket elsewhere.
    pub(crate) fn take_owed(&self) -> Vec<u8> {
        self.outbox.take()
    }

    /// Pays what the kernel has room for.
    pub(crate) fn flush(&self) {
        if self.owes() {
            self.outbox.send(self.fd, &self.writable);
            if !self.writable.get() {
                self.fill_up();
            }
        }
    }

    /// Ends our side, behind what is owed.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.outbox.shutdown_write(self.fd)
    }

    /// Wakes the waiter if it has what it wants, and the watcher if there is something to hear.
    pub(crate) fn wake(self: &Rc<Io>, machine: &'static Machine) {
        if self.has(self.wanted.get()) {
            self.waiter.wake(machine);
        }
        if self.watch.borrow().is_some() && self.has(Interest::READ | Interest::HANGUP) {
            self.stir(machine);
        }
    }

    /// Calls the watcher on a coroutine of this machine, once for any number of events before it
    /// runs.
    pub(crate) fn stir(self: &Rc<Io>, machine: &'static Machine) {
        if self.stirring.replace(true) {
            return;
        }
        let io = Rc::clone(self);
        let job = Job::Local(Box::new(move || {
            io.stirring.set(false);
            let watch = io.watch.borrow().clone();
            if let Some(watch) = watch {
                watch.watcher.stirred(watch.key);
            }
        }));
        let task = machine.enrol(Title::of("watcher"), job);
        machine.begin_sometime(task);
    }

    pub(crate) fn watch_for(&self, interest: Interest, task: &Rc<Task>) {
        if interest == Interest::NONE {
            return;
        }
        self.waiter.register(task);
        self.wanted.set(self.wanted.get() | interest);
    }

    pub(crate) fn watch_for_nothing(&self, task: &Rc<Task>) {
        self.waiter.clear(task);
        if self.waiter.is_free() {
            self.wanted.set(Interest::NONE);
        }
    }
}

impl Waitable for Rc<Io> {
    fn io(&self) -> &Rc<Io> {
        self
    }
}
