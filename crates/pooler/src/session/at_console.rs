//! The login of a client of the console: it proves itself as any other, and is told what a server
//! would tell it. No route is made for it, and it waits for nobody.

use std::sync::Arc;

use config::{Role, Rule};
use machine::{Buffer, Notified, Seat};
use wire::backend::TransactionStatus;
use wire::encode;
use wire::settings::Settings;
use wire::startup::Replication;

use super::login::{Login, Negotiated, split};
use super::{Standing, auth};
use crate::console::{self, Console, Desk};
use crate::ending::{Asked, Ending};
use crate::log::Who;

/// A client of the console that is in: what its session is made of.
pub(super) struct Arrived {
    rule: Arc<Rule>,
    places: console::Places,
    notified: Notified,
    standing: Arc<Standing>,
    /// Bytes that came behind the login.
    rest: Buffer,
}

impl Login<'_> {
    /// What a session at the console is made of.
    pub(super) fn enter_console(
        &mut self,
        seat: Seat,
        rule: Arc<Rule>,
        asked: &Arc<Asked>,
        negotiated: Negotiated,
    ) -> Result<Box<Arrived>, Ending> {
        let refused = |refusal| Ending::Refused(refusal, asked.clone());
        let onlooker = match rule.role {
            Some(Role::Admin) => None,
            _ => Some(self.shared.onlookers.admit().map_err(refused)?),
        };
        let console = self.shared.consoles.admit().map_err(refused)?;
        let proven = self.prove(&rule, Replication::No, asked, &negotiated);
        let (proof, rest) = proven.inspect_err(|ending| {
            auth::pause(&self.voice, &self.client, self.deadline, ending);
        })?;
        self.dialog().send(&proof.owed)?;
        // What is broken there means nothing here.
        let wanted = wire::startup::settings_of(&negotiated.message).unwrap_or_default();
        let wanted = self.shared.settings.intern(Arc::new(wanted));
        let (notified, channel) = (Notified::new(), negotiated.channel.as_ref());
        let standing = self.standing(None, channel, &notified, Arc::clone(&wanted));
        let entry = self.shared.enter(&standing);
        let key = self.shared.key_for(&standing)?;
        let places = console::Places { seat, console, onlooker, entry, key };
        self.greet(&places, asked, &wanted)?;
        Ok(Box::new(Arrived { rule, places, notified, standing, rest }))
    }

    /// AuthenticationOk and all that a server tells its client, in one write.
    fn greet(
        &self,
        places: &console::Places,
        asked: &Asked,
        wanted: &Settings,
    ) -> Result<(), Ending> {
        let name = wanted.get(b"application_name").unwrap_or_default();
        let mut bytes = Vec::with_capacity(512);
        encode::authentication_ok(&mut bytes);
        for (name, value) in console::parameters(&asked.user, &String::from_utf8_lossy(name)) {
            encode::parameter_status(&mut bytes, name, value);
        }
        encode::backend_key_data(&mut bytes, &split(places.key.key()));
        encode::ready_for_query(&mut bytes, TransactionStatus::Idle);
        Ok(self.dialog().send(&bytes)?)
    }

    /// Starts the session.
    pub(super) fn start_console(self, arrived: Arrived) {
        let shared = Arc::clone(self.shared);
        let Arrived { rule, places, notified, standing, rest } = arrived;
        let console = Console {
            client: self.client,
            shared: Arc::clone(&shared),
            voice: self.voice,
            rule,
            notified,
            standing,
            early: Some(rest).filter(|rest| !rest.is_empty()),
            desk: Desk::default(),
            places,
        };
        // At the ceiling the session drops: its socket closes, its places are given back.
        if let Err(error) = machine::start_session(Box::new(console)) {
            shared.log.error("setup", &Who::default(), format_args!("client refused: {error}"));
        }
    }
}
