//! The time of a log line in words: UTC, in the Gregorian calendar. It reads no clock.

use std::fmt;
use std::time::Duration;

/// `YYYY-MM-DDTHH:MM:SSZ`, of a time since 1970.
pub(super) struct Utc(pub(super) Duration);

/// The same with milliseconds.
pub(super) struct UtcMillis(pub(super) Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_seconds(f, self.0.as_secs())?;
        f.write_str("Z")
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        put_seconds(f, self.0.as_secs())?;
        write!(f, ".{:03}Z", self.0.subsec_millis())
    }
}

fn put_seconds(f: &mut fmt::Formatter<'_>, unix: u64) -> fmt::Result {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Days since 1970 to a Gregorian date: years are counted from March, so that the leap day is the
/// last of its year, in eras of 400 years (146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // 1970-01-01 counted from 0000-03-01
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(Utc(Duration::from_secs(unix)).to_string(), expected);
        }
        let half = Duration::from_millis(1_709_251_199_007);
        assert_eq!(UtcMillis(half).to_string(), "2024-02-29T23:59:59.007Z");
    }
}
