//! Rules for tests, written as one line. It is not a parser of the configuration.

use std::sync::Arc;
use std::time::Duration;

use config::{
    AddressSelector, Authentication, Balancing, ConnectionType, GroupQuery, Keepalive, Name,
    PoolMode, PoolRouting, Rule, Storage, StorageKind, Tls, UserName,
};

/// `database user [address/prefix | host] [connection] [internal] [block]`; `*` is default, `+name`
/// a group, whose query is its name.
pub(crate) fn rule(line: &str) -> Rule {
    let mut words = line.split_whitespace();
    let database = match words.next().unwrap() {
        "*" => Name::Default,
        name => Name::Named(name.to_owned()),
    };
    let user = match words.next().unwrap() {
        "*" => UserName::Default,
        name => match name.strip_prefix('+') {
            Some(group) => UserName::Group(group.to_owned()),
            None => UserName::Named(name.to_owned()),
        },
    };
    let query = match &user {
        UserName::Group(name) => Some(name.clone()),
        UserName::Named(_) | UserName::Default => None,
    };
    let mut rule = blank(database, user);
    rule.group = query.map(|query| GroupQuery {
        query,
        user: "checker".to_owned(),
        database: "postgres".to_owned(),
    });
    for word in words {
        match word {
            "local" => rule.connection = ConnectionType::Local,
            "host" => rule.connection = ConnectionType::Host,
            "hostssl" => rule.connection = ConnectionType::HostSsl,
            "hostnossl" => rule.connection = ConnectionType::HostNoSsl,
            "internal" => rule.routing = PoolRouting::Internal,
            "block" => rule.authentication = Authentication::Block,
            place => rule.address = address(place),
        }
    }
    rule
}

fn address(place: &str) -> AddressSelector {
    match place.split_once('/') {
        Some((address, prefix)) => AddressSelector::Network {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        },
        None => AddressSelector::Host { name: place.to_owned() },
    }
}

fn blank(database: Name, user: UserName) -> Rule {
    Rule {
        file: "test".into(),
        line: 1,
        column: 1,
        database,
        user,
        address: AddressSelector::All,
        connection: ConnectionType::Any,
        routing: PoolRouting::ClientVisible,
        group: None,
        watchdog: None,
        target_session_attrs: None,
        catchup_timeout: None,
        authentication: Authentication::None,
        password: None,
        token_service: None,
        checker: None,
        ldap_credentials: None,
        common_names: Vec::new(),
        auth_query: None,
        password_passthrough: false,
        role: None,
        storage: Arc::new(Storage {
            name: "storage".to_owned(),
            kind: StorageKind::Remote,
            endpoints: Vec::new(),
            balancing: Balancing::default(),
            status_max_age: Duration::from_secs(1),
            tls: Tls::default(),
            server_max_routing: 1,
        }),
        fallbacks: Vec::new(),
        is_detour: false,
        storage_db: None,
        storage_user: None,
        storage_password: None,
        pool: PoolMode::Transaction,
        pool_size: None,
        min_pool_size: 0,
        shared_pool: None,
        pool_timeout: None,
        pool_notice_after_waiting: None,
        pool_acquire_fail_fast: false,
        pool_ttl: None,
        server_lifetime: None,
        pool_discard: false,
        pool_smart_discard: false,
        pool_discard_query: None,
        pool_cancel: false,
        pool_rollback: false,
        pool_reset_timeout: None,
        pool_client_idle_timeout: None,
        pool_idle_in_transaction_timeout: None,
        pool_reserve_prepared_statement: false,
        maintain_params: false,
        application_name_add_host: false,
        pool_pin_on_listen: None,
        pool_session_state: config::SessionState::Pin,
        server_drop_on_cached_plan_error: true,
        options: Vec::new(),
        backend_startup_options: Vec::new(),
        client_max: None,
        client_show_id: false,
        client_fwd_error: false,
        keepalive: Keepalive::default(),
        quantiles: Vec::new(),
        log_debug: false,
        log_query: false,
    }
}
