//! Values that belong to a machine: one of each type, made by the first who asks. A coroutine never
//! leaves its machine, so it may keep what it got over its waits.

use std::any::TypeId;
use std::rc::Rc;

use crate::error::Error;
use crate::machine::Machine;

/// The value of type `T` of this machine; the first who asks makes it. It lives until the engine
/// has shut down and nobody holds it. A type of your own keeps it apart from everybody else's.
///
/// ```
/// use std::cell::Cell;
///
/// #[derive(Default)]
/// struct Queries(Cell<u64>);
///
/// let counted = machine::run(machine::EngineConfig::default(), |_| {
///     for _ in 0..3 {
///         let queries = machine::local(Queries::default)?;
///         queries.0.set(queries.0.get() + 1);
///     }
///     Ok::<_, machine::Error>(machine::local(Queries::default)?.0.get())
/// });
/// assert_eq!(counted??, 3);
/// # Ok::<(), machine::Error>(())
/// ```
///
/// # Errors
/// `NotOnMachine`.
pub fn local<T: 'static>(make: impl FnOnce() -> T) -> Result<Rc<T>, Error> {
    let machine = Machine::here().ok_or(Error::NotOnMachine)?;
    let kept = machine.private.borrow().get(&TypeId::of::<T>()).cloned();
    let value = kept.unwrap_or_else(|| {
        let made = Rc::new(make()); // which may ask for other types, or for this one
        let mut private = machine.private.borrow_mut();
        Rc::clone(private.entry(TypeId::of::<T>()).or_insert(made))
    });
    Ok(value.downcast().expect("kept under its own type"))
}
