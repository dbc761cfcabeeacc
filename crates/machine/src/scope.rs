//! A scope: coroutines that end before the one that started them goes on. So they may borrow from
//! its stack, as threads of `std::thread::scope` do. Nobody is left behind by an early return, a
//! panic or a cancellation.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process;
use std::rc::Rc;
use std::thread;

use crate::census::CoroutineId;
use crate::coroutine::{JoinHandle, Task, Title, launch};
use crate::error::Error;
use crate::machine::Machine;
use crate::sync::{Member, WaitGroup};
use crate::{Deadline, shield};

/// Ended children are forgotten when there are more of them than living ones and these.
const ENDED_MAX: usize = 16;

/// Where children are started; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    living: WaitGroup,
    /// To be cancelled; ended ones among them.
    children: RefCell<Vec<Rc<Task>>>,
    // Both lifetimes are invariant, as in std: neither may shrink or grow.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `body`, which may start coroutines of this machine that borrow what lives outside of it,
/// and returns when it and all of them have ended. They are cancelled, and waited for, when `body`
/// panics or when the caller is cancelled: a child that shields itself may still say its last
/// words. A child that panics ends alone; who joins it learns of it.
///
/// ```
/// use machine::{Deadline, EngineConfig, Error};
/// use std::cell::Cell;
///
/// let total = machine::run(EngineConfig::default(), |_| {
///     let total = Cell::new(0);
///     machine::scope(|scope| {
///         for n in 1..=3 {
///             let total = &total; // no Rc, no clone
///             scope.spawn("adds", move || {
///                 machine::yield_now();
///                 total.set(total.get() + n);
///             })?;
///         }
///         Ok::<_, Error>(())
///     })??;
///     Ok::<_, Error>(total.get())
/// });
/// assert_eq!(total??, 6);
/// # Ok::<(), Error>(())
/// ```
///
/// What a child borrows must live outside of the scope, and no handle gets out of it:
///
/// ```compile_fail
/// machine::scope(|scope| {
///     let inside = 1;
///     scope.spawn("child", || println!("{}", &inside));
/// });
/// ```
///
/// ```compile_fail
/// let mut text = String::new();
/// let handle = machine::scope(|scope| scope.spawn("child", || text.push('x')));
/// drop(text);
/// ```
///
/// # Errors
/// `NotOnMachine` outside a coroutine, `Cancelled` while the thread unwinds from a panic; `body`
/// did not run then.
pub fn scope<'env, T>(
    body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
) -> Result<T, Error> {
    Machine::running()?;
    if thread::panicking() {
        return Err(Error::Cancelled); // it could not wait for the children
    }
    let scope = Scope {
        living: WaitGroup::new(),
        children: RefCell::new(Vec::new()),
        scope: PhantomData,
        env: PhantomData,
    };
    // From here on nothing unwinds past `end`, or a child could see a stack that is gone.
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&scope)));
    scope.end(outcome.is_err());
    outcome.map_err(|panic| resume_unwind(panic))
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a child. See [`crate::spawn`].
    ///
    /// # Errors
    /// As [`crate::spawn`].
    pub fn spawn<T: 'scope>(
        &'scope self,
        name: &'static str,
        body: impl FnOnce() -> T + 'scope,
    ) -> Result<ScopedJoinHandle<'scope, T>, Error> {
        let member = self.living.join();
        let handle = launch(Title::of(name), move |job| lengthen(leave_last(member, job)), body)?;
        self.remember(handle.task());
        Ok(ScopedJoinHandle { handle, scope: PhantomData })
    }

    /// Cancels all children there are now.
    pub fn cancel(&self) {
        let children = self.children.borrow().clone();
        if let Some(machine) = Machine::here() {
            children.iter().for_each(|child| machine.cancel(child));
        }
    }

    /// Children that have not ended.
    #[must_use]
    pub fn living(&self) -> usize {
        self.living.count()
    }

    fn remember(&self, child: &Rc<Task>) {
        let mut children = self.children.borrow_mut();
        if children.len() > 2 * self.living.count() + ENDED_MAX {
            children.retain(|child| !child.has_ended());
        }
        children.push(Rc::clone(child));
    }

    /// Waits for all children, whatever happens; cancels them first if somebody panicked, or as
    /// soon as the waiting coroutine is cancelled.
    fn end(&self, has_panicked: bool) {
        let bomb = Bomb;
        if has_panicked {
            self.cancel();
        }
        while self.living.count() > 0 {
            if self.living.wait(Deadline::NEVER).is_err() {
                self.cancel();
                let waited = shield(|| self.living.wait(Deadline::NEVER));
                assert!(waited.is_ok(), "nothing ends a shielded wait without a deadline");
            }
        }
        mem::forget(bomb);
    }
}

/// If the wait for children ended in another way than by their end, they would go on with a stack
/// that is gone: the process ends instead.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        eprintln!("a scope could not wait for its coroutines");
        process::abort();
    }
}

/// The job, behind which the member is told to be done: nothing of the job is left then.
fn leave_last<'scope>(
    member: Member,
    job: Box<dyn FnOnce() + 'scope>,
) -> Box<dyn FnOnce() + 'scope> {
    Box::new(move || {
        let _member = member; // dropped after `job`, also when that unwinds
        job();
    })
}

/// Lets the machine have a job that borrows.
fn lengthen<'scope>(job: Box<dyn FnOnce() + 'scope>) -> Box<dyn FnOnce()> {
    // SAFETY: only the lifetime changes. `Scope::spawn` alone calls this, with a job that holds a
    // member of the scope until all it borrows is dropped; `Scope::end` does not return, and does
    // not unwind, before there is no member; and `scope` calls it in every case. A job that could
    // not be started is dropped inside of `Scope::spawn`, whose caller is the body of the scope or
    // one of its children. What a child returned may borrow, too: the handle it is in cannot leave
    // the scope. A stack is never taken from a coroutine that has not left it, so no scope is
    // skipped: one that waits for ever keeps what its children borrow for ever.
    unsafe { mem::transmute::<Box<dyn FnOnce() + 'scope>, Box<dyn FnOnce()>>(job) }
}

/// A child of a scope; see [`JoinHandle`]. It need not be joined.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for its end and takes what it returned.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn join(self, deadline: Deadline) -> Result<T, Error> {
        self.handle.join(deadline)
    }

    /// Every wait of that coroutine fails with `Cancelled` from now on.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Has it ended?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> CoroutineId {
        self.handle.id()
    }
}
