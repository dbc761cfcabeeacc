//! Both formats say the same, and what defaults and includes make of it.

use std::time::Duration;
use std::{fs, path::PathBuf, sync::Arc};

use super::{CONF, YAML, check, loaded};
use crate::Format::{Conf, Yaml};
use crate::{Config, ConnectionType, Endpoint, Name, TlsMode, UserName, load};

/// Without the places of rules, which differ between the formats.
pub(super) fn without_places(mut config: Config) -> Config {
    for rule in &mut config.rules {
        let rule = Arc::make_mut(rule);
        (rule.file, rule.line, rule.column) = ("".into(), 0, 0);
    }
    config
}

#[track_caller]
fn same(conf: &str, yaml: &str) -> Config {
    let conf = without_places(loaded(conf, Conf).config);
    assert_eq!(conf, without_places(loaded(yaml, Yaml).config));
    conf
}

#[test]
fn the_least_file() {
    let config = same(CONF, YAML);
    let global = &config.global;
    assert_eq!((global.workers, global.client_max_routing, global.cancel_max_inflight), (1, 64, 2));
    assert_eq!(global.cancel_queue_timeout, Some(Duration::from_secs(2)));
    assert_eq!(global.keepalive_s, 15);
    assert_eq!(config.listens[0].client_login_timeout, Some(Duration::from_secs(15)));
    assert_eq!(config.storages[0].tls.mode, TlsMode::Disable);
    let rule = &config.rules[0];
    assert_eq!((rule.database.clone(), rule.user.clone()), (Name::Default, UserName::Default));
    assert!(rule.pool_discard && !rule.pool_smart_discard, "a session pool");
    assert_eq!(rule.server_lifetime, Some(Duration::from_secs(3600)));
    assert_eq!((rule.pool_size, rule.pool_timeout, rule.pool_ttl), (None, None, None));
    assert_eq!(rule.pool_reset_timeout, Some(Duration::from_secs(1)));
    assert_eq!(rule.client_max, None);
}

pub(super) const LONG_CONF: &str = r#"log_format "%m\n" workers 4 keepalive 10 keepalive_usr_timeout -1 client_max -1
        cancel_timeout_ms 0 stats_interval 0 log_queue_depth 0
        unix_socket_dir "/run" unix_socket_mode "0660"
        online_restart_drop_options { drop_enabled no rate 7 interval_ms 500 }
        listen { port 6432 } listen { host "*" port 6433 backlog 5 client_login_timeout 0 }
        storage "a" { type "remote" port 5433 }
        storage "b" { type "remote" host "[::1]:5434:zone" server_max_routing 3 }
        storage "console" { type "local" }
        database "console" { user "admin" { storage "console" role "admin" pool "session"
            authentication "clear_text" password "0123" } }
        database "default" {
            group "g" { storage "a" pool "statement" authentication "none"
                group_query "q" group_query_user "u" group_query_db "d" }
            user "u" "10.0.0.0/8" hostssl { storage "b" pool "transaction" authentication "none"
                storage_db "x" storage_user "y" storage_password "z" client_max 3
                options { "work_mem" "1MB" "geqo" "off" } }
            user "u" { storage "b" pool "session" authentication "block" }
            user default local { storage "b" pool "transaction" authentication "none" }
        }"#;

pub(super) const LONG_YAML: &str = r#"
log_format: '%m\n'
workers: "4"
keepalive: 10
keepalive_usr_timeout: -1
client_max: -1
cancel_timeout_ms: 0
stats_interval: 0
log_queue_depth: 0
unix_socket_dir: /run
unix_socket_mode: 0660
conn_drop_options: {drop_enabled: false, rate: 7, interval_ms: 500}
listens:
  - port: 6432
  - {host: "*", port: 6433, backlog: 5, client_login_timeout: 0}
storages:
  a: {type: remote, port: 5433}
  b:
    type: remote
    host: "[::1]:5434:zone"
    server_max_routing: 3
  console: {type: local}
x-remote: &remote
  storage: b
  pool: transaction
  authentication: none
databases:
  console:
    users:
      admin:
        {storage: console, role: admin, pool: session, authentication: clear_text, password: 0123}
  "default":
    groups:
      g:
        <<: *remote
        storage: a
        pool: statement
        group_query: q
        group_query_user: u
        group_query_db: d
    users:
      u:
        - <<: *remote
          address: 10.0.0.0/8
          connection_type: hostssl
          storage_db: x
          storage_user: y
          storage_password: z
          client_max: 3
          options: {work_mem: 1MB, geqo: off}
        - {storage: b, pool: session, authentication: block}
      default: {<<: *remote, connection_type: local}
"#;

#[test]
fn a_long_file() {
    let config = same(LONG_CONF, LONG_YAML);
    assert_eq!(config.global.keepalive_user_timeout_ms, 24_500);
    assert_eq!((config.global.stats_interval_s, config.global.log_queue_depth), (1, 30_000));
    assert_eq!(config.global.unix_socket_mode, Some(crate::FileMode(0o660)));
    assert_eq!(config.global.cancel_queue_timeout, None);
    assert_eq!(config.global.client_max, None);
    let path = PathBuf::from("/run/.s.PGSQL.5433");
    assert_eq!(config.storages[0].endpoints, [Endpoint::Unix { path }]);
    let tcp = Endpoint::Tcp { host: "::1".to_owned(), port: 5434 };
    assert_eq!(config.storages[1].endpoints, [tcp]);
    assert_eq!(
        (config.storages[0].server_max_routing, config.storages[1].server_max_routing),
        (4, 3)
    );
    assert_eq!(config.listens[1].client_login_timeout, None);
    assert_eq!(config.drop.rate, 7);
    let names: Vec<String> = config.rules.iter().map(|rule| rule.to_string()).collect();
    let expected = [
        "console.admin all",
        "default.u 10.0.0.0/8",
        "default.u all",
        "default.default_user all",
        "default.group_g all",
    ];
    assert_eq!(names, expected, "users come before groups");
    assert_eq!(config.rules[3].connection, ConnectionType::Local);
    assert!(!config.rules[1].pool_discard && config.rules[1].pool_smart_discard);
    assert_eq!(config.rules[1].options[1], ("geqo".to_owned(), "off".to_owned()));
}

#[test]
fn a_quoted_default_is_a_name() {
    let text = YAML.replace("users: {default", "users: {\"default\"");
    assert_eq!(loaded(&text, Yaml).config.rules[0].user, UserName::Named("default".to_owned()));
}

#[test]
fn included_files_share_one_model() {
    let dir = std::env::temp_dir().join(format!("config-include-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let yaml = file("more.yaml", "log_debug: yes\nworkers: 0\n");
    let missing = dir.join("missing").display().to_string();
    let expected = format!("f:2:1: duplicate option 'log_debug'\n{yaml}:2:1: bad workers number");
    check(Conf, &format!("include \"{yaml}\"\nlog_debug no"), &expected);
    check(
        Conf,
        &format!("include \"{missing}\""),
        &format!(
            "f:1:1: cannot open include file '{missing}': No such file or directory (os error 2)"
        ),
    );
    let ring = dir.join("ring.conf").display().to_string();
    file("ring.conf", &format!("include \"{ring}\""));
    let errors = load(&dir.join("ring.conf")).unwrap_err();
    assert_eq!(errors.0[0].to_string(), format!("{ring}:1:1: circular include of '{ring}'"));
    for depth in 0..20 {
        let next = dir.join(format!("{}.conf", depth + 1)).display().to_string();
        file(&format!("{depth}.conf"), &format!("include \"{next}\""));
    }
    let errors = load(&dir.join("0.conf")).unwrap_err();
    let end = "include depth limit (16) exceeded — possible circular include";
    assert!(errors.0[0].to_string().ends_with(end), "{errors}");
    fs::write(dir.join("latin.conf"), b"workers 1\n# \xe9").unwrap();
    let errors = load(&dir.join("latin.conf")).unwrap_err();
    let end = "latin.conf:2:3: this is not UTF-8 text";
    assert!(errors.0[0].to_string().ends_with(end), "{errors}");
    fs::remove_dir_all(&dir).unwrap();
}
