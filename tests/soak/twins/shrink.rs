//! Shrinking: of what random clients said as little as still makes a difference. It does not know
//! which difference, and tries each thing once: what it tells has been seen.

use super::alphabet::Script;
use super::{Scene, play};
use std::time::{Duration, Instant};

/// So long a failure may take to become short.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a few steps of these clients are told otherwise; None if it is not seen again.
pub fn shrink(scene: &Scene, mut scripts: Vec<Script>) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    let mut told = None;
    let mut keep = |candidate: Vec<Script>, scripts: &mut Vec<Script>| {
        let differs = if Instant::now() < end { play(scene, &candidate) } else { None };
        let found = differs.is_some();
        if found {
            (told, *scripts) = (differs, candidate);
        }
        found
    };
    for client in (0..scripts.len()).rev() {
        let mut fewer = scripts.clone();
        fewer.remove(client);
        keep(fewer, &mut scripts);
    }
    for client in 0..scripts.len() {
        let mut count = scripts[client].steps.len().div_ceil(2);
        while count > 0 {
            let mut from = 0;
            while from < scripts[client].steps.len() {
                let mut fewer = scripts.clone();
                let steps = &mut fewer[client].steps;
                steps.drain(from..(from + count).min(steps.len()));
                if !keep(fewer, &mut scripts) {
                    from += count;
                }
            }
            count /= 2;
        }
    }
    told
}
