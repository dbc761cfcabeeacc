//! The unnamed statement of a client, and what was before a request that replaces it: a request
//! that is skipped replaces nothing. It does not know where the statement is.

use std::cell::OnceCell;
use std::sync::Arc;

use router::ClientId;
use wire::scan::Gist;

/// An unnamed statement that is longer lives no longer than its transaction.
const UNNAMED_BYTES_MAX: usize = 64 * 1024;
/// So much room for the next one costs nobody anything.
const ROOM_BYTES_MAX: usize = 1024;

/// Which one, in whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Whose.
    pub client: ClientId,
    /// Which of that client's.
    pub version: u32,
    /// The number of the shared statement that its text speaks of, if it does: the same text speaks
    /// of another one, or of none, when its client gives the name another meaning.
    pub speaks_of: Option<u64>,
}

impl Which {
    /// Is it that one, and in the same words, if they matter?
    pub fn is(self, other: Which, in_same_words: bool) -> bool {
        let same = (self.client, self.version) == (other.client, other.version);
        same && (!in_same_words || self.speaks_of == other.speaks_of)
    }
}

/// A client's unnamed statement, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Unnamed {
    /// It has one.
    pub exists: bool,
    /// The Parse body behind its name; empty if it is too long to be kept.
    pub body: Vec<u8>,
    /// Which of the client's.
    pub version: u32,
    /// It may change settings.
    pub is_remarkable: bool,
    /// What it says, once somebody asks.
    gist: OnceCell<Arc<Gist>>,
}

/// What was, in case that a request which replaces it is skipped.
#[derive(Debug, Default)]
pub struct Before {
    /// The client's.
    pub own: Unnamed,
    /// The server's.
    pub held: Option<Which>,
}

impl Unnamed {
    /// As it was in another process.
    pub fn moved(body: Vec<u8>, version: u32, is_remarkable: bool) -> Self {
        Self { exists: true, body, version, is_remarkable, gist: OnceCell::new() }
    }

    /// What its text says, if that was kept. It is read once.
    pub fn gist(&self) -> Option<&Arc<Gist>> {
        let read = || {
            let query = self.body.split(|&byte| byte == 0).next();
            Arc::new(Gist::of(query.unwrap_or_default()))
        };
        (self.exists && !self.body.is_empty()).then(|| self.gist.get_or_init(read))
    }

    /// It is this one now.
    pub fn keep(&mut self, body: Option<&[u8]>, version: u32, remarkable: bool) {
        (self.exists, self.version, self.is_remarkable) = (true, version, remarkable);
        self.gist = OnceCell::new();
        self.body.clear();
        if let Some(body) = body.filter(|body| body.len() <= UNNAMED_BYTES_MAX) {
            self.body.extend_from_slice(body);
        }
    }

    /// There is none any more.
    pub fn drop(&mut self) {
        self.exists = false;
        self.gist = OnceCell::new();
        if self.body.capacity() > ROOM_BYTES_MAX {
            self.body = Vec::new();
        }
        self.body.clear();
    }
}
