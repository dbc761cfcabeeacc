//! `auth_query`: where the secrets of a rule's clients stand, and the internal rule by which they
//! are asked for.

use std::sync::Arc;

use super::group::serves;
use super::rule::Reading;
use crate::diagnostic::{Complaints, Place};
use crate::model::{
    AddressSelector, AuthQuery, Authentication, ConnectionType, Name, PoolMode, PoolRouting, Rule,
    StorageKind, UserName,
};

const OPTIONS: [&str; 3] = ["auth_query", "auth_query_user", "auth_query_db"];

/// What a rule says of it; None also when it is not whole, which is complained about elsewhere.
pub(super) fn read(reading: &Reading<'_>) -> Option<Arc<AuthQuery>> {
    let text = |option| reading.fields.string(option).filter(|text| !text.is_empty());
    let [query, user, database] = OPTIONS.map(text);
    Some(Arc::new(AuthQuery { query: query?, user: user?, database: database? }))
}

/// The rule that Odyssey makes when a query has no internal rule to go by: it leads to the storage
/// of the default rule of the default database, with its password. None where none is missing, or
/// there is nothing to make it of.
pub(super) fn missing_service(rules: &[(Arc<Rule>, &Place)]) -> Option<Arc<Rule>> {
    unserved(rules).next()?;
    let is_model = |rule: &&Rule| {
        (&rule.database, &rule.user) == (&Name::Default, &UserName::Default)
            && rule.routing == PoolRouting::ClientVisible
            && rule.storage.kind == StorageKind::Remote
    };
    let model = rules.iter().map(|(rule, _)| rule.as_ref()).find(is_model)?;
    Some(Arc::new(Rule {
        address: AddressSelector::All,
        connection: ConnectionType::Any,
        routing: PoolRouting::Internal,
        authentication: Authentication::None,
        password: None,
        auth_query: None,
        password_passthrough: false,
        storage_db: None,
        storage_user: None,
        pool: PoolMode::Transaction,
        pool_size: None,
        min_pool_size: 0,
        shared_pool: None,
        options: Vec::new(),
        backend_startup_options: Vec::new(),
        quantiles: Vec::new(),
        ..model.clone()
    }))
}

/// Who cannot be asked for, nobody of the rule gets in.
pub(super) fn check_services(rules: &[(Arc<Rule>, &Place)], complaints: &mut Complaints) {
    for (rule, AuthQuery { user, database, query: _ }, place) in unserved(rules) {
        let message = format!(
            "rule '{rule}': no internal rule for {database}.{user}, so auth_query finds nobody"
        );
        let hint = "a rule with pool_routing \"internal\" says how auth_query gets to a server";
        complaints.warning_with_hint(place, message, hint);
    }
}

fn unserved<'a>(
    rules: &'a [(Arc<Rule>, &'a Place)],
) -> impl Iterator<Item = (&'a Rule, &'a AuthQuery, &'a Place)> {
    let asks = |(rule, place): &'a (Arc<Rule>, &'a Place)| {
        Some((rule.as_ref(), rule.auth_query.as_deref()?, *place))
    };
    rules.iter().filter_map(asks).filter(|(_, query, _)| {
        !rules.iter().any(|(service, _)| serves(service, &query.database, &query.user))
    })
}
