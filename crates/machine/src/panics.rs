//! What happens when a coroutine panics: its message and place are kept for the one who catches it,
//! at the entry of the stack. The hook formats two words and prints nothing: symbolising needs more
//! stack than a coroutine has. Other threads keep the hook they had.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use crate::error::Error;
use crate::machine::Machine;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs the hook, once, at the start of the engine.
pub(crate) fn install() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if Machine::here().is_some() {
            LAST.replace(Some(describe(info)));
        } else {
            previous(info);
        }
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without words");
    match info.location() {
        Some(at) => format!("{message} ({}:{})", at.file(), at.line()),
        None => message.to_owned(),
    }
}

/// The words of the panic that was just caught on this thread.
pub(crate) fn last() -> String {
    LAST.take().unwrap_or_else(|| "a panic without words".to_owned())
}

/// What `body` returns, or its panic, reported. For coroutines whose value somebody waits for.
pub(crate) fn caught<T>(name: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|_| {
        Error::Panicked(Machine::here().map_or_else(last, |machine| report(machine, name)))
    })
}

/// Counts and reports a panic of the coroutine `name`; returns its words.
pub(crate) fn report(machine: &Machine, name: &str) -> String {
    let message = last();
    machine.shared.counters.panics.add(1);
    let on_panic = AssertUnwindSafe(|| (machine.common.on_panic)(name, &message));
    let _ = panic::catch_unwind(on_panic); // a panic about a panic ends here
    message
}

/// Runs others' code on the reactor's own stack, where a panic would end the machine.
pub(crate) fn contain(machine: &Machine, name: &str, body: impl FnOnce()) {
    if panic::catch_unwind(AssertUnwindSafe(body)).is_err() {
        report(machine, name);
    }
}

/// The words of a payload that was caught on another kind of thread.
pub(crate) fn words(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
