//! The Gregorian calendar in UTC: days since 1970 to a date and back. It reads no clock, and knows
//! of no leap seconds, as Unix does not.

use std::fmt;

/// 1970-01-01 counted from 0000-03-01: a year that begins in March has its leap day at its end, so
/// that the days before a month are a straight line.
const EPOCH_DAYS: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;

/// A second of a day.
pub struct Civil {
    /// Year, month and day.
    pub date: (u64, u64, u64),
    /// Hour, minute and second.
    pub time: (u64, u64, u64),
}

impl Civil {
    /// What the calendar and the clock say so many seconds after 1970 began.
    pub fn of(unix: u64) -> Civil {
        let (days, seconds) = (unix / 86_400, unix % 86_400);
        let time = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Civil { date: date(days), time }
    }
}

impl fmt::Display for Civil {
    /// `YYYY-MM-DD HH:MM:SS`; with `{:#}` a `T` is between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        let between = if f.alternate() { 'T' } else { ' ' };
        write!(f, "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}")
    }
}

/// Days since 1970 to a date, in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS.unsigned_abs();
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A date to days since 1970, also before that and before Gregory.
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::{Civil, days_since_1970};

    #[test]
    fn dates_are_right_at_the_edges() {
        for (unix, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (4_102_444_800, "2100-01-01 00:00:00"),
        ] {
            assert_eq!(Civil::of(unix).to_string(), expected);
        }
        assert_eq!(format!("{:#}", Civil::of(0)), "1970-01-01T00:00:00");
    }

    #[test]
    fn every_day_of_an_era_finds_its_way_back() {
        for days in 0..146_097 + 1 {
            let (year, month, day) = Civil::of(days * 86_400).date;
            let [year, month, day] = [year, month, day].map(|part| i64::try_from(part).unwrap());
            assert_eq!(days_since_1970(year, month, day), i64::try_from(days).unwrap());
        }
        assert_eq!(days_since_1970(1969, 12, 31), -1);
        assert_eq!(days_since_1970(0, 3, 1), -719_468);
    }
}
