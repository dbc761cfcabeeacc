//! Rules for tests, written as one line. It is not a parser of the configuration.

use std::sync::Arc;

use config::{
    AddressSelector, Authentication, ConnectionType, Keepalive, Name, PoolMode, Rule, Storage,
    StorageKind, TlsMode, UserName,
};

/// `database user [address/prefix] [connection]`; `*` is default, `+name` a group.
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
    let mut rule = blank(database, user);
    for word in words {
        match word {
            "local" => rule.connection = ConnectionType::Local,
            "host" => rule.connection = ConnectionType::Host,
            "hostssl" => rule.connection = ConnectionType::HostSsl,
            "hostnossl" => rule.connection = ConnectionType::HostNoSsl,
            network => {
                let (address, prefix) = network.split_once('/').unwrap();
                rule.address = AddressSelector::Network {
                    address: address.parse().unwrap(),
                    prefix: prefix.parse().unwrap(),
                };
            }
        }
    }
    rule
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
        authentication: Authentication::None,
        password: None,
        role: None,
        storage: Arc::new(Storage {
            name: "storage".to_owned(),
            kind: StorageKind::Remote,
            endpoints: Vec::new(),
            tls: TlsMode::Disable,
            server_max_routing: 1,
        }),
        storage_db: None,
        storage_user: None,
        storage_password: None,
        pool: PoolMode::Transaction,
        pool_size: None,
        min_pool_size: 0,
        shared_pool: None,
        pool_timeout: None,
        pool_notice_after_waiting: None,
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
