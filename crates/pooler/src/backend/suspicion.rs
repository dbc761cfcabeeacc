//! Suspicion: what a client may have left in its server besides settings, known from what passes
//! by. There is no SQL parser here: command tags and a few words. It may be wrong in one direction
//! only, so whoever wants to know asks the server. What a function does inside is not seen.

use std::fmt;

use wire::scan::Mentions;

/// Things that outlive their transaction, and that only one server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspicion(u8);

impl Suspicion {
    /// Nothing was left.
    pub const NONE: Suspicion = Suspicion(0);
    /// LISTEN.
    pub const LISTEN: Suspicion = Suspicion(1);
    /// Temporary tables.
    pub const TEMP: Suspicion = Suspicion(2);
    /// Cursors WITH HOLD.
    pub const CURSOR: Suspicion = Suspicion(4);
    /// Advisory locks of the session.
    pub const LOCK: Suspicion = Suspicion(8);
    /// Prepared statements that are not shared.
    pub const STATEMENT: Suspicion = Suspicion(16);
    /// Anything.
    pub const UNKNOWN: Suspicion = Suspicion(32);
    /// What is known to be there, and is to be removed.
    pub const CERTAIN: Suspicion = Suspicion(64);

    /// Was anything left?
    pub fn is_any(self) -> bool {
        self != Suspicion::NONE
    }

    /// Is it worth asking what was left?
    pub fn asks(self) -> bool {
        self.0 & !Suspicion::CERTAIN.0 != 0
    }

    /// May that have been left?
    pub fn has(self, what: Suspicion) -> bool {
        self.0 & (what.0 | Suspicion::UNKNOWN.0) != 0
    }

    /// That may have been left too.
    pub fn add(&mut self, what: Suspicion) {
        self.0 |= what.0;
    }

    /// A remarkable text passes by, with these words.
    pub fn text(&mut self, mentions: Mentions) {
        for (mentioned, what) in [
            (mentions.temp, Suspicion::TEMP),
            (mentions.advisory, Suspicion::LOCK),
            (mentions.hold, Suspicion::CURSOR),
        ] {
            if mentioned {
                self.add(what);
            }
        }
    }

    /// A command completed with this tag. PostgreSQL's list of tags is closed: all others are
    /// over when their transaction is, or are settings.
    pub fn completed(&mut self, tag: &[u8]) {
        match tag {
            b"LISTEN" => self.add(Suspicion::LISTEN),
            b"PREPARE" => self.add(Suspicion::STATEMENT),
            b"DO" | b"CALL" | b"LOAD" => self.add(Suspicion::UNKNOWN),
            _ => {}
        }
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Suspicion, &str); 5] = [
            (Suspicion::LISTEN, "LISTEN"),
            (Suspicion::TEMP, "temporary table"),
            (Suspicion::CURSOR, "cursor WITH HOLD"),
            (Suspicion::LOCK, "advisory lock"),
            (Suspicion::STATEMENT, "prepared statement"),
        ];
        let named = NAMES.iter().filter(|(what, _)| self.0 & what.0 != 0).map(|(_, name)| *name);
        f.write_str(&named.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_what_stays_behind() {
        for (tag, left) in [
            ("SELECT 1", ""),
            ("INSERT 0 1", ""),
            ("CREATE TABLE", ""),
            ("UNLISTEN", ""),
            ("LISTEN", "LISTEN"),
            ("PREPARE", "prepared statement"),
            ("PREPARE TRANSACTION", ""),
        ] {
            let mut suspicion = Suspicion::NONE;
            suspicion.completed(tag.as_bytes());
            assert_eq!(suspicion.to_string(), left, "{tag}");
        }
    }

    #[test]
    fn words_tell_what_the_tag_hides() {
        for (sql, left) in [
            ("select abalance from accounts", ""),
            ("select pg_try_advisory_lock(1)", "advisory lock"),
            ("create TEMP table t as select 1", "temporary table"),
            ("declare c cursor With Hold for select 1", "cursor WITH HOLD"),
            ("", ""),
        ] {
            let mut suspicion = Suspicion::NONE;
            suspicion.text(Mentions::of(sql.as_bytes()));
            assert_eq!(suspicion.to_string(), left, "{sql}");
        }
    }
}
