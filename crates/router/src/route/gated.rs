//! What an operator's gates mean for routes: those of a paused database are paused when they are
//! made, and nobody gets one of a disabled database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use config::{Name, Rule};

use super::{Route, RouteKey, Routes, lock};
use crate::gates::{Gates, Stuck};
use crate::refusal::Refusal;

/// A route that was paused or resumed.
#[must_use = "servers are to be closed and clients to be woken"]
pub struct Gated<S, W, C> {
    /// Which one.
    pub route: Arc<Route<S, W, C>>,
    /// To be closed: it is paused now.
    pub close: Vec<S>,
    /// To be woken: it is not paused any more.
    pub wake: Vec<W>,
}

impl<S, W, C: Clone> Route<S, W, C> {
    /// Is paused or not, as the gates say; None when it was so before.
    fn obey(self: &Arc<Self>, gates: &Gates, now: Instant) -> Option<Gated<S, W, C>> {
        let paused = gates.is_paused(names(&self.rule(), &self.key));
        let mut gated = Gated { route: Arc::clone(self), close: Vec::new(), wake: Vec::new() };
        match (self.is_paused(), paused) {
            (false, true) => gated.close = self.pause(),
            (true, false) => gated.wake = self.resume(now),
            _ => return None,
        }
        Some(gated)
    }

    /// See [`crate::Pool::pause`].
    pub(super) fn pause(&self) -> Vec<S> {
        self.paused.store(true, Ordering::Release);
        self.with(|pool| pool.pause()).into_iter().map(|(_, server)| server).collect()
    }

    /// See [`crate::Pool::resume`].
    fn resume(&self, now: Instant) -> Vec<W> {
        self.paused.store(false, Ordering::Release);
        self.with(|pool| pool.resume(now))
    }

    /// Whether no client gets a server. It may be over by the time it is acted upon.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// The names by which an operator may mean it: that at the server, and that in its rule.
    pub fn database_names(&self) -> Vec<String> {
        names(&self.rule(), &self.key).map(str::to_owned).collect()
    }
}

impl<S, W, C: Clone> Routes<S, W, C> {
    /// Closes or opens gates, and pauses and resumes the routes there are accordingly. What that
    /// means for each, is returned; as with [`Route::with`], errands may follow.
    ///
    /// # Errors
    /// See [`Stuck`]; nothing has changed then.
    pub fn set_gates(
        &self,
        set: impl FnOnce(&mut Gates) -> Result<(), Stuck>,
        now: Instant,
    ) -> Result<Vec<Gated<S, W, C>>, Stuck> {
        // Under this lock no route comes, and no other change of the gates overtakes this one.
        let table = lock(&self.known);
        let gates = {
            let mut gates = lock(&self.gates);
            set(&mut gates)?;
            gates.clone()
        };
        let routes = table.by_key.values().map(|one| &one.route);
        Ok(routes.filter_map(|route| route.obey(&gates, now)).collect())
    }

    /// The gates now.
    pub fn gates(&self) -> Gates {
        lock(&self.gates).clone()
    }

    /// Whether a route is to be paused; an error if nobody may have it.
    pub(super) fn pass(&self, rule: &Rule, key: &RouteKey) -> Result<bool, Refusal> {
        let gates = lock(&self.gates);
        if gates.is_disabled(names(rule, key)) {
            return Err(Refusal::Disabled { database: key.database.clone() });
        }
        Ok(gates.is_paused(names(rule, key)))
    }
}

fn names<'a>(rule: &'a Rule, key: &'a RouteKey) -> impl Iterator<Item = &'a str> {
    let named = match &rule.database {
        Name::Named(name) => Some(name.as_str()),
        Name::Default => None,
    };
    std::iter::once(key.database.as_str()).chain(named)
}
