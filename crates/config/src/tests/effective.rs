//! Where the values of a rule come from.

use super::loaded;
use crate::Format::{Conf, Yaml};
use crate::{Loaded, Origin, effective, effective_global};

/// The options of the first rule that are not defaults, a line each.
fn told(loaded: &Loaded) -> String {
    let all = effective(loaded, &loaded.config.rules[0]);
    let is_default = |origin: &Origin| origin.to_string().ends_with("default");
    let told = all.iter().filter(|it| it.written.is_some() || !is_default(&it.origin));
    let lines = told.map(|it| {
        let written = it.written.iter().map(|written| format!(" (written: {written})"));
        let written = written.collect::<String>();
        let unit = if it.unit.is_empty() { String::new() } else { format!(" {}", it.unit) };
        format!("{} {}{unit}: {}{written}", it.option, it.value, it.origin)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_value_says_where_it_stands() {
    let text = r#"log_format "%m" log_query yes keepalive 7
listen { host "*" port 6432 }
storage "pg" { type "remote" host "db" port 5432 }
database "d" { user "u" {
  authentication "clear_text" password "secret"
  pool "transaction" pool_discard yes
  keepalive_probes 9 keepalive 0
  storage "pg" pool_ttl 60
  options { "a" "1" "b" "2" }
} }"#;
    let loaded = loaded(text, Conf);
    let expected = "\
        authentication clear_text: f:5:3\n\
        password ***: f:5:31\n\
        log_query yes: top level, f:1:17\n\
        keepalive 7 s: top level, f:1:31\n\
        keepalive_probes 9: f:7:3\n\
        storage pg: f:8:3\n\
        options a=1, b=2: f:9:3\n\
        pool transaction: f:6:3\n\
        pool_ttl 60 s: f:8:16\n\
        pool_discard no: f:6:22 (written: yes)";
    assert_eq!(told(&loaded), expected);
    let all = effective(&loaded, &loaded.config.rules[0]);
    let lifetime = all.iter().find(|it| it.option == "server_lifetime").unwrap();
    assert_eq!((lifetime.value.as_str(), lifetime.origin.to_string()), ("3600", "default".into()));
    let workers = effective_global(&loaded).into_iter().find(|it| it.option == "workers").unwrap();
    assert_eq!(workers.value, "1");
    let stranger = super::loaded(super::CONF, Conf);
    assert_eq!(effective(&loaded, &stranger.config.rules[0]), []);
}

#[test]
fn behind_an_alias_a_value_stands_at_its_anchor() {
    let text = "\
log_format: x
listen: {host: '*', port: 6432}
storages: {pg: {type: remote, host: db, port: 5432}}
x-rule: &rule
  storage: pg
  pool: session
databases:
  one: {users: &users {u: {<<: *rule, authentication: none, pool_ttl: 1}}}
  two: {users: *users}
";
    let mut loaded = loaded(text, Yaml);
    let expected = "\
        authentication none: f:8:39\n\
        storage pg: f:5:3\n\
        pool session: f:6:3\n\
        pool_ttl 1 s: f:8:61";
    assert_eq!(told(&loaded), expected);
    loaded.config.rules.remove(0);
    assert_eq!(told(&loaded), expected, "the second database has the same users");
}
