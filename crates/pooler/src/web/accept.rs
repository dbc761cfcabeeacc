//! The door: who comes gets a coroutine and a place. When all places are taken, the visitor that
//! has asked for nothing for longest loses his to the newcomer: a scraper that comes each minute is
//! not kept out by those who sit there and say nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::{Deadline, JoinHandle, Listener, MachineHandle, Notified, Parcel};

use super::visit;
use crate::log::Who;
use crate::shared::Shared;

/// Visitors at once.
const VISITORS_MAX: usize = 16;

/// After an accept that failed (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An acceptor that is told to end has nothing to wait for.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// What all visitors see.
pub(super) struct Site {
    pub shared: Arc<Shared>,
    pub machines: Arc<[MachineHandle]>,
    visitors: RefCell<Vec<Visitor>>,
}

struct Visitor {
    task: JoinHandle<()>,
    /// Since when he has asked for nothing; None while he is being answered.
    silent: Rc<Cell<Option<Instant>>>,
    came: Instant,
}

/// Runs as a coroutine: opens and closes doors as it is told.
pub fn run(shared: &Arc<Shared>, machines: &Arc<[MachineHandle]>) {
    let notified = Notified::new();
    let (shared, machines) = (Arc::clone(shared), Arc::clone(machines));
    let site = Rc::new(Site { shared, machines, visitors: RefCell::default() });
    site.shared.web.lock().bell = Some(notified.notifier());
    let mut doors: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let coming = site.shared.web.lock().coming.take();
        if let Some(listeners) = coming {
            for door in doors.drain(..) {
                door.cancel();
                let _ = door.join(Deadline::after(END_TIMEOUT));
            }
            doors = listeners.into_iter().filter_map(|one| site.open(one)).collect();
        }
        if machine::wait_any(&[], Some(&notified), Deadline::NEVER).is_err() {
            return;
        }
        let _ = notified.take();
    }
}

impl Site {
    fn open(self: &Rc<Self>, listener: Listener) -> Option<JoinHandle<()>> {
        let (at, who) = (listener.local(), Who::default());
        let site = Rc::clone(self);
        match machine::spawn("web", move || site.let_in(&listener)) {
            Ok(door) => {
                self.shared.log.info("web", &who, format_args!("http on {at}"));
                Some(door)
            }
            Err(error) => {
                self.shared.log.error("web", &who, format_args!("http on {at}: {error}"));
                None
            }
        }
    }

    /// Until it is cancelled.
    fn let_in(self: &Rc<Self>, listener: &Listener) {
        loop {
            match listener.accept(Deadline::NEVER) {
                Ok((parcel, _)) => self.welcome(parcel),
                Err(machine::Error::Cancelled) => return,
                Err(error) => {
                    let text = format_args!("http accept failed: {error}");
                    self.shared.log.error("web", &Who::default(), text);
                    if machine::sleep(ACCEPT_PAUSE).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, parcel: Parcel) {
        self.make_room();
        let came = machine::now();
        let silent = Rc::new(Cell::new(Some(came)));
        let (site, mine) = (Rc::clone(self), Rc::clone(&silent));
        let visit = move || {
            if let Ok(stream) = parcel.unfold() {
                visit::receive(&site, &stream, &mine);
            }
        };
        // At the ceiling of coroutines the socket closes with the closure.
        if let Ok(task) = machine::spawn("visitor", visit) {
            self.visitors.borrow_mut().push(Visitor { task, silent, came });
        }
    }

    fn make_room(&self) {
        let mut visitors = self.visitors.borrow_mut();
        visitors.retain(|visitor| !visitor.task.is_finished());
        if visitors.len() < VISITORS_MAX {
            return;
        }
        let order = |visitor: &Visitor| {
            let silent = visitor.silent.get();
            (silent.is_none(), silent.unwrap_or(visitor.came))
        };
        let least = (0..visitors.len()).min_by_key(|&at| order(&visitors[at]));
        let gone = visitors.swap_remove(least.expect("there are some"));
        gone.task.cancel();
    }
}
