//! What a client is told, and when that is as good as what its twin is told. It knows the few
//! differences that are documented, and nothing of what is right.

use super::alphabet::{Ends, LONG_NAME, Step};
use crate::support::message::Message;
use crate::support::play::in_words;
use crate::support::{Client, PATIENCE};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// PostgreSQL has said all it will say, when nobody knows how much that is.
const SILENCE: Duration = Duration::from_millis(60);
/// For a server that others keep as long as they live.
const LONG_PATIENCE: Duration = Duration::from_secs(180);
/// Where its twin may have been told more, which a failed transaction does not tell.
const PATIENCE_BEHIND_AN_ERROR: Duration = Duration::from_secs(2);

/// What a client was told in one step: messages in words, and its parameters if it was ready then.
#[derive(PartialEq)]
pub struct Told {
    pub messages: Vec<String>,
    pub parameters: Option<BTreeMap<String, String>>,
    /// The connection ended behind that.
    pub hung_up: bool,
}

impl Told {
    /// In a failed transaction a statement that its server lacks cannot be prepared: whatever
    /// else there is to say about it is not told then.
    fn fails_like(&self, twin: &Told) -> bool {
        let requests = |told: &'_ Told| -> Vec<Vec<String>> {
            let ends = |message: &String| message.starts_with("Z ");
            told.messages.split_inclusive(ends).map(<[String]>::to_vec).collect()
        };
        let (own, other) = (requests(self), requests(twin));
        let mut pairs = own.iter().zip(&other);
        let same = self.parameters == twin.parameters && self.hung_up == twin.hung_up;
        same && own.len() == other.len() && pairs.all(|(own, twin)| own == twin || fails(own, twin))
    }

    /// Did as many ReadyForQuery come as it waited for?
    fn was_ready(&self, step: &Step) -> bool {
        let ready = self.messages.iter().filter(|message| message.starts_with("Z ")).count();
        step.ends == Ends::Ready(ready)
    }

    /// Who breaks the protocol is sent away, by PostgreSQL in its words and by us in ours.
    fn ends_like(&self, twin: &Told) -> bool {
        let Some((last, before)) = self.messages.split_last() else { return false };
        let ours = last.starts_with("E ") && last.contains("Modyssey: ");
        ours && self.hung_up && twin.hung_up && twin.messages.starts_with(before)
    }

    /// Where a RESET may have come to nothing, what the client came with is seen to by a query,
    /// behind which nobody may choose an isolation level.
    fn is_too_late(&self, twin: &Told) -> bool {
        let late = |told: &Told| {
            let is = |message: &String| message.contains("must be called before any query");
            told.messages.iter().any(is)
        };
        late(self) && !late(twin)
    }

    /// A COPY of the protocol that fails with a Sync and requests behind it: nobody can see from
    /// outside which of them are skipped.
    fn is_lost_behind_a_copy(&self) -> bool {
        let is = |message: &String| message.contains("requests sent behind COPY FROM STDIN");
        self.messages.last().is_some_and(is)
    }

    /// It failed where its twin did not, and what its twin has closed or prepared there is still
    /// there, or is not: from here on they are two.
    pub fn parts_from(&self, twin: &Told) -> bool {
        let count =
            |told: &Told, word| told.messages.iter().filter(|m| m.starts_with(word)).count();
        self.is_too_late(twin)
            || self.is_lost_behind_a_copy()
            || ["1 ", "3 "].iter().any(|word| count(self, word) != count(twin, word))
    }

    pub fn is_as_good_as(&self, twin: &Told) -> bool {
        self == twin
            || self.fails_like(twin)
            || self.ends_like(twin)
            || self.is_too_late(twin)
            || self.is_lost_behind_a_copy()
    }
}

/// Is it refused, in a failed transaction, and its twin for another reason or not at all?
fn fails(own: &[String], twin: &[String]) -> bool {
    let ends = |last: &String| last == "Z \"E\"" || last.starts_with("E "); // behind a Flush
    let failed = |told: &[String]| told.last().is_some_and(ends);
    let refused = |message: &String| message.starts_with("E ") && message.contains("\"C25P02\"");
    let first = own.iter().zip(twin).find(|(own, other)| own != other);
    let flushed = !twin.iter().any(|message| message.starts_with("Z ")); // it will fail
    failed(own) && (failed(twin) || flushed) && first.is_some_and(|(own, _)| refused(own))
}

/// Reads until PostgreSQL has said all.
pub fn tell(client: &mut Client, step: &Step) -> Told {
    let _ = client.try_send(&step.wire);
    let (mut messages, mut ready, mut hung_up) = (Vec::new(), 0, false);
    if let Ends::Silence = step.ends {
        client.socket.limit(SILENCE);
    }
    while step.ends != Ends::Ready(ready) && !hung_up {
        match client.try_read() {
            Ok(Some(message)) => {
                ready += usize::from(message.tag == b'Z');
                if message.tag == b'E' && in_words(&message).contains("\"VFATAL\"") {
                    client.socket.limit(PATIENCE); // the end is near
                }
                messages.push(message);
            }
            Err(error) if is_silence(&error) => break,
            Ok(None) | Err(_) => hung_up = true,
        }
    }
    client.socket.limit(PATIENCE);
    told(client, &messages, hung_up)
}

/// Reads what its twin was told, and the end if that was told it: up to the same ReadyForQuery, or
/// as many messages where there is none, unless it fails before. There is none, too, behind a Sync
/// that a COPY FROM STDIN swallows, which a Bind of the unnamed statement may begin.
pub fn tell_as(client: &mut Client, step: &Step, twin: &Told) -> Told {
    let _ = client.try_send(&step.wire);
    client.socket.limit(LONG_PATIENCE);
    let (mut messages, mut ready, mut hung_up) = (Vec::new(), 0, false);
    let mut due = twin.messages.len() + usize::from(twin.hung_up);
    let counts = twin.hung_up || !twin.was_ready(step);
    while !hung_up && (due > 0 || !counts) && (counts || step.ends != Ends::Ready(ready)) {
        match client.try_read() {
            Ok(Some(message)) => {
                due = due.saturating_sub(usize::from(message.tag != b'S'));
                ready += usize::from(message.tag == b'Z');
                if counts && message.tag == b'E' && !twin.hung_up {
                    client.socket.limit(PATIENCE_BEHIND_AN_ERROR);
                }
                messages.push(message);
            }
            Err(error) if is_silence(&error) => break,
            Ok(None) | Err(_) => hung_up = true,
        }
    }
    told(client, &messages, hung_up)
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn told(client: &Client, messages: &[Message], hung_up: bool) -> Told {
    let ready = messages.last().is_some_and(|last| last.tag == b'Z');
    // PostgreSQL quotes a name as it was written, we as far as it counts.
    let in_words = |message| in_words(message).replace(LONG_NAME, &LONG_NAME[..63]);
    let messages = messages.iter().filter(|message| message.tag != b'S').map(in_words).collect();
    Told { messages, parameters: ready.then(|| client.parameters.clone()), hung_up }
}
