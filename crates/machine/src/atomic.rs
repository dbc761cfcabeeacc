//! The atomics of `agreement`, in one place: its model (`tests/model.rs`) puts others here, which
//! go through every interleaving and show what a weak memory may show.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
