//! Scopes: whatever happens, no child is left when the scope is over.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use machine::{Deadline, Error};

use common::{engine, on, soon, until};

const HOUR: Duration = Duration::from_secs(3600);

/// Seen to fail: an `end` that does not wait. The child writes into the stack of who has gone on.
#[test]
fn children_borrow_and_end_first() {
    on(0, || {
        let (order, mut numbers) = (RefCell::new(Vec::new()), [1, 2, 3]);
        let sum = machine::scope(|scope| {
            let order = &order;
            for number in &mut numbers {
                let grow = move || {
                    machine::sleep(Duration::from_millis(5 - *number)).unwrap();
                    *number *= 10;
                    order.borrow_mut().push(*number);
                };
                scope.spawn("child", grow).unwrap();
            }
            let joined = scope.spawn("joined", || order.borrow().len()).unwrap();
            assert_eq!(scope.living(), 4);
            joined.join(soon()).unwrap() + 1
        });
        order.borrow_mut().push(0);
        assert_eq!((sum.unwrap(), numbers), (1, [10, 20, 30]));
        assert_eq!(*order.borrow(), [30, 20, 10, 0]);
    });
}

#[test]
fn a_child_may_start_children_of_the_same_scope() {
    on(0, || {
        let count = Cell::new(0);
        machine::scope(|scope| {
            let count = &count;
            let grow = move || {
                for _ in 0..3 {
                    scope.spawn("grandchild", || count.set(count.get() + 1)).unwrap();
                }
            };
            scope.spawn("child", grow).unwrap();
        })
        .unwrap();
        assert_eq!(count.get(), 3);
    });
}

/// The children are found by counting what they hold.
fn holders<'scope>(scope: &'scope machine::Scope<'scope, '_>, held: &Rc<Cell<u32>>) {
    for _ in 0..5 {
        let mine = Rc::clone(held);
        let waits = move || {
            let slept = machine::sleep(HOUR);
            assert!(matches!(slept, Err(Error::Cancelled)));
            machine::shield(|| machine::sleep(Duration::from_millis(2))).unwrap();
            mine.set(mine.get() + 1);
        };
        scope.spawn("holder", waits).unwrap();
    }
}

#[test]
fn a_panic_cancels_the_children_and_goes_on_behind_them() {
    on(0, || {
        let held = Rc::new(Cell::new(0));
        let scoped = catch_unwind(AssertUnwindSafe(|| {
            machine::scope(|scope| {
                holders(scope, &held);
                machine::yield_now();
                panic!("by design");
            })
        }));
        assert!(scoped.is_err());
        assert_eq!((held.get(), Rc::strong_count(&held)), (5, 1), "all have ended");
    });
}

#[test]
fn who_is_cancelled_takes_the_children_along() {
    on(0, || {
        let held = Rc::new(Cell::new(0));
        let theirs = Rc::clone(&held);
        let parent = machine::spawn("parent", move || {
            let ended = machine::scope(|scope| holders(scope, &theirs));
            ended.unwrap();
            (theirs.get(), machine::is_cancelled())
        })
        .unwrap();
        until("they wait", || Rc::strong_count(&held) == 7);
        parent.cancel();
        assert_eq!(parent.join(soon()).unwrap(), (5, true));
    });
}

#[test]
fn a_child_that_panics_ends_alone_and_a_scope_can_end_early() {
    on(0, || {
        let before = engine().machines()[0].stats().panics;
        let (first, second) = machine::scope(|scope| {
            let unlucky = scope.spawn("unlucky", || panic!("by design")).unwrap();
            let lucky = scope.spawn("lucky", || machine::sleep(HOUR)).unwrap();
            let first = unlucky.join(soon()).map(|(): ()| ());
            assert!(!lucky.is_finished());
            scope.cancel();
            (first, lucky.join(soon()).unwrap())
        })
        .unwrap();
        assert!(
            matches!(first, Err(Error::Panicked(_))) && matches!(second, Err(Error::Cancelled))
        );
        assert_eq!(engine().machines()[0].stats().panics, before + 1);
    });
}

#[test]
fn a_scope_of_many_children_remembers_few() {
    on(0, || {
        let count = Cell::new(0u32);
        machine::scope(|scope| {
            for _ in 0..5_000 {
                let child = scope.spawn("child", || count.set(count.get() + 1)).unwrap();
                child.join(soon()).unwrap();
            }
        })
        .unwrap();
        assert_eq!(count.get(), 5_000);
    });
}

#[test]
fn while_unwinding_and_outside_a_machine_there_is_no_scope() {
    struct Scoped(Rc<Cell<bool>>);
    impl Drop for Scoped {
        fn drop(&mut self) {
            let refused = machine::scope(|scope| scope.spawn("late", || ()).is_ok());
            self.0.set(matches!(refused, Err(Error::Cancelled)));
        }
    }
    assert!(matches!(machine::scope(|_| ()), Err(Error::NotOnMachine)));
    on(1, || {
        let refused = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&refused);
        let unlucky = machine::spawn("unlucky", move || {
            let _scoped = Scoped(theirs);
            panic!("by design");
        });
        assert!(unlucky.unwrap().join(Deadline::NEVER).map(|(): ()| ()).is_err());
        assert!(refused.get());
    });
}

/// A machine's own value: one of a type on each machine.
#[test]
fn a_private_value_is_one_a_machine() {
    struct Mine(usize);
    let addresses = [0, 1, 0].map(|k| {
        on(k, move || {
            let mine = machine::local(|| Mine(k)).unwrap();
            machine::yield_now();
            assert_eq!(mine.0, k);
            Rc::as_ptr(&mine).addr()
        })
    });
    assert!(addresses[0] == addresses[2] && addresses[0] != addresses[1]);
    assert!(matches!(machine::local(|| 0), Err(Error::NotOnMachine)));
}
