//! Packing: a client's belongings for another process, and out of another's luggage.

use std::sync::Arc;

use config::Rule;
use machine::Address;
use router::{ClientId, Names, Parameters};
use wire::settings::Settings;

use super::Belongings;
use crate::backend::Unnamed;
use crate::restart::{self, Luggage};
use crate::shared::Shared;

impl Belongings {
    /// What of a luggage are belongings; everything else is empty.
    pub fn pack(&self) -> Luggage {
        let text = |value: &String| value.clone().into_bytes();
        let told = self.told.iter().map(|(name, value)| (text(name), text(value)));
        let names = self.names.iter().map(|(name, it)| (name.to_vec(), it.body().to_vec()));
        Luggage {
            startup: pairs(&self.startup),
            wanted: pairs(&self.wanted),
            told: told.collect(),
            names: names.collect(),
            unnamed: self.unnamed.exists.then(|| restart::Unnamed {
                body: self.unnamed.body.clone(),
                version: self.unnamed.version,
                remarkable: self.unnamed.is_remarkable,
            }),
            address_suffix: self.address_suffix.as_deref().map(str::to_owned),
            id: 0,
            user: String::new(),
            database: String::new(),
            address: Address::Unix(Default::default()),
            key: [0; 8],
            age_ms: 0,
            attrs_by_default: 0,
            attrs_own: 0,
            lag_max_s: 0,
            method: None,
            storages: Vec::new(),
            external: None,
            shown: None,
            unread: Vec::new(),
        }
    }

    /// Of a client that comes with this luggage; None if it is more than a client may have.
    pub fn unpack(
        shared: &Shared,
        rule: &Rule,
        client: ClientId,
        luggage: &Luggage,
    ) -> Option<Self> {
        let intern = |pairs| Some(shared.settings.intern(Arc::new(settings(pairs)?)));
        let mut names = Names::new();
        for (name, body) in &luggage.names {
            names.bind(name, shared.statements.intern(body)).ok()?;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told = luggage.told.iter().map(|(name, value)| (text(name), text(value)));
        let told: Parameters = told.collect();
        let moved =
            |it: &restart::Unnamed| Unnamed::moved(it.body.clone(), it.version, it.remarkable);
        let unnamed = luggage.unnamed.as_ref().map(moved).unwrap_or_default();
        Some(Self {
            wanted: intern(&luggage.wanted)?,
            told: shared.reports.intern(Arc::new(told)),
            names,
            unnamed_count: unnamed.version,
            unnamed,
            address_suffix: luggage.address_suffix.as_deref().map(Box::from),
            ..Self::new(client, rule, intern(&luggage.startup)?)
        })
    }
}

fn pairs(settings: &Settings) -> Vec<(Vec<u8>, Vec<u8>)> {
    settings.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn settings(pairs: &[(Vec<u8>, Vec<u8>)]) -> Option<Settings> {
    let mut settings = Settings::new();
    for (name, value) in pairs {
        settings.set(name, value).ok()?;
    }
    Some(settings)
}
