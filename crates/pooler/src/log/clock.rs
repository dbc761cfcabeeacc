//! The time of a log line in words, as RFC 3339 has it. It reads no clock.

use std::fmt;
use std::time::Duration;

use crate::calendar::Civil;

/// `YYYY-MM-DDTHH:MM:SSZ`, of a time since 1970.
pub(super) struct Utc(pub(super) Duration);

/// The same with milliseconds.
pub(super) struct UtcMillis(pub(super) Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}Z", Civil::of(self.0.as_secs()))
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = Civil::of(self.0.as_secs());
        write!(f, "{second:#}.{:03}Z", self.0.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_with_and_without_milliseconds() {
        let time = Duration::from_millis(1_709_251_199_007);
        assert_eq!(Utc(time).to_string(), "2024-02-29T23:59:59Z");
        assert_eq!(UtcMillis(time).to_string(), "2024-02-29T23:59:59.007Z");
    }
}
