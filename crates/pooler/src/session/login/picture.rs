//! The picture: what a client is told of its server at login, before it has one. It is what servers
//! of its route reported, with what the client wants in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use machine::Notified;
use router::{Asker, ClientKey, Parameters, Wants};
use wire::backend::TransactionStatus;
use wire::{Notice, encode};

use super::super::belongings::{Belongings, shown};
use super::{Login, split};
use crate::backend::{Checkout, Home, Lease, NoServer, Own, Picture};
use crate::ending::Ending;
use crate::tally::Span;

/// More than servers report of themselves, with a key and a proof; and less than 1 kB, as before
/// it gives out larger pieces libc's allocator merges all small ones that are free.
const WELCOME_BYTES: usize = 960;

/// Where the login learns what servers report.
pub(super) struct Source<'a> {
    pub(super) home: &'a Arc<Home>,
    pub(super) notified: &'a Notified,
    /// From a server for this client alone.
    pub(super) own: Option<&'a Own>,
    /// Which of several hosts it is to be on.
    pub(super) wants: Wants,
    /// What the client is to hear before all that.
    pub(super) owed: &'a [u8],
}

impl Login<'_> {
    /// AuthenticationOk and all that a server tells its client, in one write. Returns the server if
    /// the client has one to itself.
    pub(super) fn set_up(
        &self,
        source: &Source<'_>,
        own: &mut Belongings,
        key: ClientKey,
    ) -> Result<Option<Lease>, Ending> {
        let mut dialog = self.dialog();
        let mut bytes = Vec::with_capacity(WELCOME_BYTES);
        bytes.extend_from_slice(source.owed);
        encode::authentication_ok(&mut bytes);
        let learned = self
            .mind_memory()
            .and_then(|()| self.mind_lag(source.home, own))
            .and_then(|()| self.learn(source));
        let (parameters, lease) = match learned {
            Ok(learned) => learned,
            Err(ending) => {
                dialog.send(&bytes)?;
                return Err(ending);
            }
        };
        let picture = self.picture(source.home, own, parameters);
        bytes.extend_from_slice(&picture.messages);
        own.told = Arc::clone(&picture.told);
        encode::backend_key_data(&mut bytes, &split(key));
        encode::ready_for_query(&mut bytes, TransactionStatus::Idle);
        dialog.answer(&bytes)?;
        let took = self.voice.person().since.elapsed();
        source.home.tally.took(Span::Login, took);
        if !self.shared.logs_sessions() {
            return Ok(lease);
        }
        let (rule, us) = (source.home.route.rule(), took.as_micros());
        self.voice.session("setup", format_args!("login time: {us} microseconds"));
        self.voice.session(
            "setup",
            format_args!(
                "client connection from {} to route {}.{} accepted",
                self.voice.address(),
                rule.database,
                rule.user
            ),
        );
        Ok(lease)
    }

    /// What the last client of the route was told, or a new one.
    fn picture(&self, home: &Home, own: &Belongings, reported: Arc<Parameters>) -> Arc<Picture> {
        if let Some(last) = home.picture.of(&reported, &own.wanted) {
            return last;
        }
        let told = self.told(own, Arc::clone(&reported));
        let mut messages = Vec::new();
        for (name, value) in told.iter() {
            encode::parameter_status(&mut messages, name, value);
        }
        let (wanted, messages) = (Arc::clone(&own.wanted), messages.into_boxed_slice());
        let picture = Arc::new(Picture { reported, wanted, told, messages });
        home.picture.replace(&picture);
        picture
    }

    /// What a server reports, with what the client wants in it; nearly always there is nothing to
    /// change, and it is the list that others have already.
    fn told(&self, own: &Belongings, reported: Arc<Parameters>) -> Arc<Parameters> {
        let is_reported = |(wanted, _): (&[u8], &[u8])| {
            reported.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(wanted))
        };
        if !own.wanted.iter().any(is_reported) {
            return reported;
        }
        let mut told = (*reported).clone();
        for (name, value) in &mut told {
            if let Some(wanted) = own.wanted.get(name.as_bytes()) {
                *value = shown(name, wanted, value);
            }
        }
        self.shared.reports.intern(Arc::new(told))
    }

    /// Is there memory for one more client?
    fn mind_memory(&self) -> Result<(), Ending> {
        let used = self.shared.soft_oom.load(Ordering::Relaxed);
        if used == 0 {
            return Ok(());
        }
        let kb = used / 1024;
        let text = format_args!("drop connection due to soft oom (usage is {kb} KB)");
        self.voice.error("startup", text);
        Err(Ending::Login(Notice::fatal("53200", "soft out of memory")))
    }

    /// Is there a host that lags by less than the client wants?
    fn mind_lag(&self, home: &Home, own: &Belongings) -> Result<(), Ending> {
        let checked = home.check_lag(own.attrs.lag_max());
        checked.map_err(|lag| self.no_server(NoServer::Lagging(lag)))
    }

    fn no_server(&self, failure: NoServer) -> Ending {
        Ending::no_server(failure, Arc::clone(self.voice.asked()))
    }

    /// What servers of this route report; the first client of a route opens one to ask it. A
    /// client that has its own server is told what that one reports.
    fn learn(&self, source: &Source<'_>) -> Result<(Arc<Parameters>, Option<Lease>), Ending> {
        let Source { home, notified, own, wants, .. } = *source;
        if let Some(known) = home.learned() {
            return Ok((known, None));
        }
        let machine = machine::current().expect("logins run on machines");
        let asker = Asker { client: self.client_id(), machine, last: None };
        let (client, deadline) = (Some(&self.client), self.deadline);
        let (may_tell, standing) = (false, None);
        let ask = Checkout {
            asker,
            last: None,
            wants,
            client,
            notified,
            deadline,
            own,
            may_tell,
            standing,
        };
        let lease = home.checkout(&ask).map_err(|failure| self.no_server(failure))?;
        if let Some(own) = own {
            let told = own.told.get().cloned().unwrap_or_default();
            return Ok((told, Some(lease)));
        }
        if let Some(proof) = lease.server().core.conversation.quiescent() {
            lease.release(proof, machine::now());
        }
        Ok((home.learned().unwrap_or_default(), None))
    }
}
