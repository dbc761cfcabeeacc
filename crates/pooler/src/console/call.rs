//! A call of a command: who calls, with what words, and what comes back.

use std::time::Duration;

use config::Name;
use machine::{Deadline, Interest, Notified, Stream, Woken};
use wire::Notice;

use super::row::Row;
use super::text::Word;
use crate::ending::Ending;
use crate::session::Standing;
use crate::shared::Shared;
use std::sync::Arc;

/// How often a command that waits looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

/// A command under way.
pub struct Call<'a> {
    /// Everything of the process.
    pub shared: &'a Arc<Shared>,
    /// The words behind the command's own.
    pub words: &'a [Word],
    /// Who calls.
    pub client: &'a Stream,
    /// Rings when somebody asks the caller for something.
    pub notified: &'a Notified,
    /// What the caller is asked for.
    pub standing: &'a Standing,
}

/// What a command answers.
#[derive(Default)]
pub struct Reply {
    /// Told before everything else.
    pub notices: Vec<Notice>,
    /// A row has a cell for each of the command's columns.
    pub rows: Vec<Row>,
}

/// Why a command does not answer.
pub enum Stop {
    /// It failed; the session goes on.
    Said(Notice),
    /// The session is over.
    Over(Ending),
}

impl From<Notice> for Stop {
    fn from(notice: Notice) -> Self {
        Stop::Said(notice)
    }
}

impl From<Vec<Row>> for Reply {
    fn from(rows: Vec<Row>) -> Self {
        Reply { rows, ..Reply::default() }
    }
}

impl Call<'_> {
    /// Waits until that is so, or the caller goes or thinks better of it.
    ///
    /// # Errors
    /// What the wait ended with.
    pub fn wait_until(&self, is_so: impl Fn() -> bool) -> Result<(), Stop> {
        while !is_so() {
            let wants = [(self.client, Interest::HANGUP)];
            let woken = machine::wait_any(&wants, Some(self.notified), Deadline::after(LOOK));
            if matches!(woken, Ok(Woken::Notified)) {
                let _ = self.notified.take();
            }
            match woken {
                Err(error) => return Err(Stop::Over(error.into())),
                _ if self.standing.is_killed() => return Err(Stop::Over(Ending::Killed)),
                _ if self.client.is_hung_up() => return Err(Stop::Over(Ending::ClientGone)),
                _ if self.standing.take_cancel() => {
                    let text = "the wait was cancelled; what was asked for stays in force";
                    return Err(Notice::error("57014", text).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The only argument, if there is one.
    ///
    /// # Errors
    /// There are several.
    pub fn optional(&self) -> Result<Option<&str>, Notice> {
        match self.words {
            [] => Ok(None),
            [word] => Ok(Some(&word.text)),
            _ => Err(Notice::error("42601", "console command error: too many arguments")),
        }
    }

    /// The database it is about, which must be one that somebody may come to.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn database(&self) -> Result<Option<&str>, Notice> {
        let Some(name) = self.optional()? else { return Ok(None) };
        let world = self.shared.world();
        let fits = |rule: &Arc<config::Rule>| match &rule.database {
            Name::Named(named) => named == name || rule.storage_db.as_deref() == Some(name),
            Name::Default => true,
        };
        let is_known = world.rules.iter().any(fits)
            || self.shared.homes().iter().any(|home| home.route.key().database == name);
        match is_known {
            true => Ok(Some(name)),
            false => Err(Notice::error("3D000", format!("no such database: {name}"))
                .with_hint("SHOW RULES lists the databases that rules name")),
        }
    }

    /// As [`Call::database`], of a command that has to name one.
    ///
    /// # Errors
    /// It names none, or one that there is not.
    pub fn one_database(&self) -> Result<&str, Notice> {
        let missing = || Notice::error("42601", "console command error: a database is required");
        self.database()?.ok_or_else(missing)
    }
}
