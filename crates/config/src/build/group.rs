//! Groups: the query for their members, and the internal rule it is sent by.

use std::sync::Arc;

use super::rule::Reading;
use crate::diagnostic::{Complaints, Place};
use crate::model::{Authentication, GroupQuery, Name, PoolRouting, Rule, UserName};

/// What a `group` block says of its members; None outside of groups, or after a complaint.
pub(super) fn read(reading: &mut Reading<'_>) -> Option<GroupQuery> {
    let fields = reading.fields;
    let options = ["group_query", "group_query_user", "group_query_db"];
    if !matches!(reading.user, UserName::Group(_)) {
        for option in options.into_iter().filter(|option| fields.is_set(option)) {
            let message = format!(
                "{option} is not allowed outside group, rule {}.{}",
                reading.database, reading.user
            );
            reading.complaints.error(fields.place(option), message);
        }
        return None;
    }
    for option in options.into_iter().filter(|option| !fields.is_set(option)) {
        reading.error(option, &format!("{option} is not set"));
    }
    let [query, user, database] = options.map(|option| fields.string(option));
    Some(GroupQuery { query: query?, user: user?, database: database? })
}

/// Nobody can be asked for the members of a group without an internal rule to ask by. Odyssey takes
/// that for a group without members; where it would have kept people out, nobody is kept out.
pub(super) fn check_services(rules: &[(Arc<Rule>, &Place)], complaints: &mut Complaints) {
    for (rule, place) in rules {
        let Some(GroupQuery { user, database, .. }) = &rule.group else { continue };
        if rules.iter().any(|(service, _)| serves(service, database, user)) {
            continue;
        }
        let message = format!(
            "rule '{rule}': no internal rule for {database}.{user}, so the group has no members; \
             a rule with pool_routing \"internal\" says how group_query gets to a server"
        );
        match rule.authentication {
            Authentication::Block => complaints.refusal(place, message),
            _ => complaints.warning(place, message),
        }
    }
}

pub(super) fn serves(rule: &Rule, database: &str, user: &str) -> bool {
    let database_fits = match &rule.database {
        Name::Named(name) => name == database,
        Name::Default => true,
    };
    let user_fits = match &rule.user {
        UserName::Named(name) => name == user,
        UserName::Default => true,
        UserName::Group(_) => false,
    };
    rule.routing == PoolRouting::Internal && database_fits && user_fits
}
