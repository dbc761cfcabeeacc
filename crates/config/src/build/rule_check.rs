//! What a rule must not say, and in which words Odyssey says so.

use super::Known;
use super::rule::Reading;
use crate::model::{Authentication, PoolMode};

/// Names of other sections.
pub(super) fn references(reading: &mut Reading<'_>, known: &Known<'_>) {
    let unknown_pool = |name: &&str| !known.shared_pools.contains_key(*name);
    let unknown_ldap = |name: &&str| !known.ldap_endpoints.contains_key(*name);
    let fields = reading.fields;
    if let Some(name) = fields.text("shared_pool").filter(unknown_pool) {
        let place = fields.place("shared_pool");
        known.unknown("shared_pool", name, place, reading.complaints);
    }
    if let Some(name) = fields.text("ldap_endpoint_name").filter(unknown_ldap) {
        let place = fields.place("ldap_endpoint_name");
        known.unknown("ldap_endpoint", name, place, reading.complaints);
    }
}

/// Every method needs something to compare a password with.
pub(super) fn passwords(reading: &mut Reading<'_>, authentication: Option<Authentication>) {
    let sources: &[&str] = match authentication {
        Some(Authentication::ClearText) => &[
            "password",
            "password_file",
            "auth_query",
            "auth_pam_service",
            "auth_module",
            "ldap_endpoint_name",
            "enable_mdb_iamproxy_auth",
        ],
        Some(Authentication::Md5 | Authentication::ScramSha256) => {
            &["password", "password_file", "auth_query"]
        }
        _ => return auth_query(reading),
    };
    if !sources.iter().any(|source| reading.asks_for(source)) {
        let hint = "this method compares with password, password_file or what auth_query finds";
        reading.error_with_hint("authentication", "password is not set", hint);
    }
    if authentication == Some(Authentication::ClearText)
        && reading.asks_for("auth_query")
        && reading.asks_for("auth_pam_service")
    {
        let message = "auth query and pam service auth method cannot be used simultaneously";
        reading.complaints.error(reading.fields.place("auth_pam_service"), message);
    }
    auth_query(reading);
}

fn auth_query(reading: &mut Reading<'_>) {
    let passes_through = reading.fields.flag("password_passthrough");
    if passes_through && reading.fields.is_set("storage_user") {
        let message = "password_passthrough has no effect with storage_user: a client's password \
                       is no other user's";
        reading.warning("password_passthrough", message);
    }
    for option in ["auth_query_user", "auth_query_db"] {
        if reading.asks_for("auth_query") && !reading.asks_for(option) {
            reading.error("auth_query", &format!("{option} is not set"));
        }
    }
}

pub(super) fn pool(reading: &mut Reading<'_>, pool: Option<PoolMode>) {
    let fields = reading.fields;
    if pool == Some(PoolMode::Session) && fields.flag("pool_pin_on_listen") {
        let message = format!(
            "setting pool_pin_on_listen with session pool for {}.{} makes no sense",
            reading.database, reading.user
        );
        reading.complaints.error(fields.place("pool_pin_on_listen"), message);
    }
    if pool == Some(PoolMode::Transaction) && fields.count("pool_client_idle_timeout") > 0 {
        reading.warning("pool_client_idle_timeout", "is for session pools, nothing is idle here");
    }
    if fields.is_set("shared_pool") && fields.is_set("pool_size") {
        let message = "shared_pool and pool_size can't be set simultaneously";
        reading.complaints.error(fields.place("shared_pool"), message);
    }
    let reserves =
        fields.flag("pool_reserve_prepared_statement") && pool != Some(PoolMode::Session);
    let query = fields.text("pool_discard_query").unwrap_or("").to_ascii_uppercase();
    if reserves && query.contains("DEALLOCATE ALL") {
        let message = "cannot support prepared statements when 'DEALLOCATE ALL' present in \
                       discard string";
        reading.error("pool_discard_query", message);
    }
}
