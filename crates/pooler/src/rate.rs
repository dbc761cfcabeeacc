//! Rates: of what was done in some time, how much that is a second, and how long one took. It knows
//! no counters and no clock.

use std::time::Duration;

/// So much a second; 0 in no time.
pub fn per_second(amount: u64, elapsed: Duration) -> f64 {
    match elapsed.as_secs_f64() {
        0.0 => 0.0,
        seconds => amount as f64 / seconds,
    }
}

/// Of each of so many; 0 of none.
pub fn mean(total: u64, count: u64) -> u64 {
    total.checked_div(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_no_time_is_nothing() {
        assert_eq!((per_second(3, Duration::ZERO), mean(3, 0)), (0.0, 0));
        assert_eq!((per_second(3, Duration::from_millis(1500)), mean(7, 2)), (2.0, 3));
    }
}
