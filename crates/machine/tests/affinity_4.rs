//! The affinity law with 4 machines; see `common/affinity.rs`. One engine a process, so each size
//! has a program of its own.

#[path = "common/affinity.rs"]
mod affinity;
mod common;
#[path = "common/waits.rs"]
mod waits;

#[test]
fn no_wait_ends_on_another_thread() {
    affinity::check(4);
}
