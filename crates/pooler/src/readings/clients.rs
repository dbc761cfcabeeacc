//! Clients: who is here and what each waits for or holds. Where a client stands in its pool is read
//! off the pool; only what nobody but the client knows is asked of it, and only of those who hold a
//! server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use machine::Deadline;
use router::{ClientId, State};

use crate::id::Id;
use crate::session::{Account, Standing};
use crate::shared::Shared;
use crate::turns::Turns;

/// Who does not say what it does within this is in the middle of something.
const ACCOUNT_TIMEOUT: Duration = Duration::from_millis(300);

/// Between two looks whether all have said what they do.
const LOOK: Duration = Duration::from_millis(1);

/// Who asks clients waits so long for others who do.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that is logged in.
pub struct ClientReading {
    /// Who it is.
    pub standing: Arc<Standing>,
    /// Where it stands.
    pub state: ClientState,
}

/// Where a client stands in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It holds a server, or one is being opened for it.
    Active {
        /// Since then.
        since: Option<Instant>,
        /// Which one; None while it is being opened.
        server: Option<Id>,
    },
    /// It waits for a server.
    Queued {
        /// Since then.
        since: Instant,
    },
    /// It has nothing to do.
    Idle,
}

impl ClientReading {
    /// What the client calls itself.
    pub fn application_name(&self) -> String {
        let wanted = self.standing.wanted();
        let name = wanted.get(b"application_name").unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Its name in tables.
    pub fn id(&self) -> ClientId {
        self.standing.client()
    }
}

/// Everybody who is logged in, those at the console too.
pub fn clients(shared: &Shared) -> Vec<ClientReading> {
    let states = states(shared);
    let mut turns = Turns::default();
    let mut readings = Vec::new();
    for standing in shared.rosters.iter().flat_map(|roster| roster.all()) {
        turns.round();
        let id = standing.client();
        let state = states.get(&id).copied().unwrap_or(ClientState::Idle);
        readings.push(ClientReading { standing, state });
    }
    readings
}

/// What these clients say that they do; those that are too busy to say are missing.
pub fn accounts(shared: &Shared, clients: &[&Standing]) -> HashMap<ClientId, Box<Account>> {
    let mut said = HashMap::new();
    let Ok(_turn) = shared.roll.acquire(Deadline::after(TURN_TIMEOUT)) else { return said };
    let mut silent: Vec<&Standing> = clients.to_vec();
    silent.iter().for_each(|one| one.ask_account());
    let end = Deadline::after(ACCOUNT_TIMEOUT);
    while !silent.is_empty() && !end.is_past(machine::now()) && machine::sleep(LOOK).is_ok() {
        silent.retain(|one| match one.take_account() {
            Some(account) => {
                said.insert(one.client(), account);
                false
            }
            None => true,
        });
    }
    said
}

fn states(shared: &Shared) -> HashMap<ClientId, ClientState> {
    let (mut states, mut turns) = (HashMap::new(), Turns::default());
    for home in shared.homes() {
        turns.round();
        home.route.with(|pool| {
            let targets: HashMap<u64, Id> =
                pool.targets().map(|(slot, target)| (slot.as_u64(), target.id)).collect();
            for slot in pool.slots() {
                let Some(holder) = slot.holder else { continue };
                let server = targets.get(&slot.slot.as_u64()).copied();
                let server = server.filter(|_| slot.state == State::Leased);
                let state = ClientState::Active { since: slot.leased_since, server };
                states.insert(holder, state);
            }
            let waiting =
                pool.waiters().map(|(client, since)| (client, ClientState::Queued { since }));
            states.extend(waiting);
        });
    }
    states
}
