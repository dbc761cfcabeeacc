//! Servers: the connections there are, whoever holds them.

use std::collections::HashMap;
use std::sync::Arc;

use router::{SlotView, State};

use crate::backend::{Home, Target};
use crate::shared::Shared;
use crate::turns::Turns;

/// A server that is connected.
pub struct ServerReading {
    /// Its route.
    pub home: Arc<Home>,
    /// Its place in the pool.
    pub slot: SlotView,
    /// Who it is and where.
    pub target: Arc<Target>,
}

/// All servers; one that is being opened is none yet.
pub fn servers(shared: &Shared) -> Vec<ServerReading> {
    let (mut readings, mut turns) = (Vec::new(), Turns::default());
    for home in shared.homes() {
        turns.round();
        let found: Vec<(SlotView, Arc<Target>)> = home.route.with(|pool| {
            let mut targets: HashMap<u64, Arc<Target>> =
                pool.targets().map(|(slot, target)| (slot.as_u64(), target)).collect();
            let connected = pool.slots().filter(|slot| slot.state != State::Opening);
            let named =
                connected.filter_map(|slot| Some((slot, targets.remove(&slot.slot.as_u64())?)));
            named.collect()
        });
        let reading = |(slot, target)| ServerReading { home: Arc::clone(&home), slot, target };
        readings.extend(found.into_iter().map(reading));
    }
    readings
}

/// The word for what a server does.
pub fn server_state(state: State) -> &'static str {
    match state {
        State::Opening => "login",
        State::Idle => "idle",
        State::Leased => "active",
        State::Resetting => "tested",
        State::Quarantined => "being_canceled",
    }
}
