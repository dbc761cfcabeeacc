//! Stack switchers with nothing around them: the floor of a spawn and of a yield. Stacks are kept,
//! as any engine keeps them.

use crate::small::{TIMES, timed};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use std::time::Duration;

/// One switch out and in, or a coroutine from its start to its end.
pub fn generator(what: &str) -> Option<(Duration, u32)> {
    match what {
        "spawn" => {
            let mut spare = generator::Gn::<()>::new_opt(0x2000, || ());
            spare.resume();
            Some(timed(TIMES, |times| {
                for _ in 0..times {
                    spare.init_code(|| ());
                    spare.resume();
                }
            }))
        }
        "yield" => {
            let mut one = generator::Gn::<()>::new_scoped_opt(0x2000, |mut scope| {
                loop {
                    scope.yield_with(());
                }
            });
            Some(timed(TIMES, |times| {
                for _ in 0..times {
                    one.resume();
                }
            }))
        }
        _ => None,
    }
}

/// As [`generator()`].
pub fn corosensei(what: &str) -> Option<(Duration, u32)> {
    match what {
        "spawn" => {
            let mut spare = Some(DefaultStack::new(64 * 1024).expect("memory"));
            Some(timed(TIMES, |times| {
                for _ in 0..times {
                    let stack = spare.take().expect("it came back");
                    let mut one = Coroutine::<(), (), (), _>::with_stack(stack, |_, ()| ());
                    one.resume(());
                    spare = Some(one.into_stack());
                }
            }))
        }
        "yield" => {
            let mut one = Coroutine::<(), (), ()>::new(|yielder, ()| {
                loop {
                    yielder.suspend(());
                }
            });
            let spent = timed(TIMES, |times| {
                for _ in 0..times {
                    assert!(matches!(one.resume(()), CoroutineResult::Yield(())));
                }
            });
            Some(spent)
        }
        _ => None,
    }
}
