//! SQLSTATEs: how often clients were told errors, by class and by who said it. Numbers only grow;
//! why sessions ended is counted by `errors`.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is no SQLSTATE.
const OTHER: &str = "other";

/// A class is two digits or capital letters, so there are so many; and one place for nonsense.
const CLASSES: usize = 36 * 36 + 1;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The pooler.
    ByUs,
    /// A server.
    ByServers,
}

/// All counters.
pub struct Sqlstates {
    ours: Box<[AtomicU64]>,
    servers: Box<[AtomicU64]>,
}

impl Default for Sqlstates {
    fn default() -> Self {
        let classes = || (0..CLASSES).map(|_| AtomicU64::new(0)).collect();
        Self { ours: classes(), servers: classes() }
    }
}

impl Sqlstates {
    /// A client was told an error with this SQLSTATE.
    pub fn told(&self, said: Said, sqlstate: &str) {
        self.classes(said)[class(sqlstate)].fetch_add(1, Ordering::Relaxed);
    }

    /// How often clients were told errors, by those classes that were seen.
    pub fn by_class(&self, said: Said) -> impl Iterator<Item = (String, u64)> {
        let counts = self.classes(said).iter().map(|n| n.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, n)| *n > 0).map(|(class, n)| (name(class), n))
    }

    fn classes(&self, said: Said) -> &[AtomicU64] {
        match said {
            Said::ByUs => &self.ours,
            Said::ByServers => &self.servers,
        }
    }
}

fn class(sqlstate: &str) -> usize {
    let digit = |at: usize| {
        let letter = char::from(*sqlstate.as_bytes().get(at)?);
        letter.to_digit(36).filter(|_| !letter.is_ascii_lowercase())
    };
    match (digit(0), digit(1)) {
        (Some(first), Some(second)) => (first * 36 + second) as usize,
        _ => CLASSES - 1,
    }
}

fn name(class: usize) -> String {
    if class == CLASSES - 1 {
        return OTHER.to_owned();
    }
    let letter = |digit: usize| {
        let digit = char::from_digit(digit as u32, 36).expect("a class has two digits of base 36");
        digit.to_ascii_uppercase()
    };
    [letter(class / 36), letter(class % 36)].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_first_two_letters() {
        let errors = Sqlstates::default();
        for code in ["42601", "42P01", "XX000", "00000", "", "4", "é0", "4a000"] {
            errors.told(Said::ByServers, code);
        }
        let seen: Vec<_> = errors.by_class(Said::ByServers).collect();
        let expected = [("00", 1), ("42", 2), ("XX", 1), ("other", 4)];
        assert_eq!(seen, expected.map(|(class, n)| (class.to_owned(), n)));
        assert_eq!(errors.by_class(Said::ByUs).count(), 0);
    }
}
