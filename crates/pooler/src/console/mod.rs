//! The console: a database that is the pooler itself. Its clients ask what goes on and say what is
//! to happen, in statements of their own, over both protocols of PostgreSQL. They have no server,
//! take part in no pool, and are not counted under `client_max`: who looks what is wrong must get
//! in when everything is full.

mod act;
pub mod averages;
mod call;
mod desk;
mod row;
mod show;
mod small_talk;
mod table;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::time::Duration;

use config::{Role, Rule};
use machine::{
    Buffer, Deadline, Interest, Notified, Progress, Seat, Served, Stream, Wakers, Woken,
};
use router::Admission;
use wire::encode;
use wire::frame::{self, HEADER_BYTES, Header, Side};

pub use small_talk::parameters;

use crate::ending::Ending;
use crate::session::{Entry, Standing, Voice, farewell};
use crate::shared::{GivenKey, Shared};
use crate::tally::Life;
use crate::turns::Turns;
pub use desk::Desk;

/// No statement of the console comes near; who sends more means somebody else.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Answers that nobody reads for so long end the session: they are in our memory.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Console clients at once.
pub const CONSOLES_MAX: usize = 128;

/// Those of them who may only look: monitoring that forgets to hang up keeps no operator out.
pub const ONLOOKERS_MAX: usize = 112;

/// What a console client occupies as long as it lives.
#[expect(dead_code, reason = "held for their Drop")]
pub struct Places {
    /// On its machine.
    pub seat: Seat,
    /// Under [`CONSOLES_MAX`].
    pub console: Admission,
    /// Under [`ONLOOKERS_MAX`]; None of who may change something.
    pub onlooker: Option<Admission>,
    /// In the roster of its machine.
    pub entry: Entry,
    /// Its cancel key.
    pub key: GivenKey,
}

/// A client of the console, logged in.
pub struct Console {
    /// Its socket.
    pub client: Stream,
    /// Everything of the process.
    pub shared: Arc<Shared>,
    /// Its lines in the log.
    pub voice: Voice,
    /// The rule by which it came.
    pub rule: Arc<Rule>,
    /// Rings when somebody asks something of it.
    pub notified: Notified,
    /// What it is asked for.
    pub standing: Arc<Standing>,
    /// Bytes that came behind the login.
    pub early: Option<Buffer>,
    /// What it has prepared, and how its transaction stands.
    pub desk: Desk,
    /// What it occupies.
    #[expect(dead_code, reason = "held for its Drop")]
    pub places: Places,
}

impl machine::Session for Console {
    fn serve(mut self: Box<Self>) -> Served {
        let mut inbox = self.early.take().unwrap_or_else(Buffer::lease);
        match self.run(&mut inbox) {
            Ok(()) => Served::Parked(self),
            Err(ending) => {
                self.end(&ending);
                Served::Ended
            }
        }
    }

    fn wakers(&self) -> Wakers<'_> {
        let (notified, deadline) = (Some(&self.notified), Deadline::NEVER);
        Wakers { stream: &self.client, other: None, notified, deadline }
    }
}

impl Console {
    /// Until there is nothing left to answer (Ok: to be parked), or the client's life ends.
    fn run(&mut self, inbox: &mut Buffer) -> Result<(), Ending> {
        let (mut turns, mut out) = (Turns::default(), Vec::new());
        loop {
            turns.round();
            self.heed()?;
            if let Some(header) = whole(inbox)? {
                let body = &inbox.data()[HEADER_BYTES..header.frame_bytes()];
                self.answer(header.tag, body, &mut out)?;
                inbox.consume(header.frame_bytes());
                continue;
            }
            self.flush(&mut out)?;
            match self.client.try_read_into(inbox) {
                Ok(Progress::Done(_)) => {}
                Ok(Progress::Wait) if inbox.is_empty() => return Ok(()),
                Ok(Progress::Wait) => self.wait(Interest::READ, Deadline::NEVER)?,
                Ok(Progress::End) | Err(_) => return Err(Ending::ClientGone),
            }
        }
    }

    /// Sends what was answered. A client that reads slowly keeps nobody else waiting.
    fn flush(&self, out: &mut Vec<u8>) -> Result<(), Ending> {
        let deadline = Deadline::after(READ_TIMEOUT);
        let mut sent = 0;
        while sent < out.len() {
            match self.client.try_write(&out[sent..]) {
                Ok(Progress::Done(bytes)) => sent += bytes,
                Ok(Progress::Wait) => self.wait(Interest::WRITE, deadline)?,
                Ok(Progress::End) | Err(_) => return Err(Ending::ClientGone),
            }
        }
        out.clear();
        Ok(())
    }

    fn wait(&self, interest: Interest, deadline: Deadline) -> Result<(), Ending> {
        match machine::wait_any(&[(&self.client, interest)], Some(&self.notified), deadline)? {
            Woken::TimedOut => Err(Ending::ClientGone),
            Woken::Notified => {
                let _ = self.notified.take();
                self.heed()
            }
            _ => Ok(()),
        }
    }

    /// Does what it is asked for.
    fn heed(&self) -> Result<(), Ending> {
        let asked = self.standing.asked();
        match () {
            () if asked.dies() => Err(Ending::Killed),
            () if asked.leaves() => Err(Ending::ShuttingDown),
            () => Ok(()),
        }
    }

    /// What its rule lets it do, now: a reload may have changed that.
    fn role(&self) -> Option<Role> {
        let mine = &self.rule;
        let is_mine = |rule: &&Arc<Rule>| {
            (&rule.database, &rule.user) == (&mine.database, &mine.user)
                && (&rule.address, rule.connection) == (&mine.address, mine.connection)
                && rule.storage.kind == mine.storage.kind
        };
        let world = self.shared.world();
        world.rules.iter().find(is_mine).map_or(Some(Role::NotAllow), |rule| rule.role)
    }

    fn end(&self, ending: &Ending) {
        self.voice.ended(ending, &Life::default());
        self.shared.errors.count(ending);
        if let Some(notice) = ending.notice(false) {
            let mut bytes = Vec::new();
            encode::error(&mut bytes, &self.voice.tag(notice));
            farewell(&self.client, &bytes);
        }
    }
}

/// The header of the message in front, if all of it is here.
fn whole(inbox: &mut Buffer) -> Result<Option<Header>, Ending> {
    let Some(header) = frame::header(Side::Frontend, inbox.data())? else { return Ok(None) };
    let bytes = header.frame_bytes();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(Ending::Silent(format!("a message of {bytes} bytes to the console")));
    }
    if bytes > inbox.len() {
        inbox.reserve(bytes);
        return Ok(None);
    }
    Ok(Some(header))
}
