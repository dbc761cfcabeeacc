//! A pgdog.toml with its users.toml, and what they become.

use crate::import::{Source, import};
use crate::{Format, parse, write};

const FILE: &str = r#"
[general]
host = "127.0.0.1"
port = 6433
workers = 3
default_pool_size = 15
tls_certificate = "c.pem"
tls_private_key = "k.pem"
tls_client_required = true
tls_verify = "verify_full"
tls_server_ca_certificate = "ca.pem"
idle_timeout = 30_000
checkout_timeout = 1_000
client_idle_in_transaction_timeout = 2500
load_balancing_strategy = "least_active_connections"
openmetrics_port = 9090
passthrough_auth = "enabled"
healthcheck_interval = 1000
query_timeout = 9223372036854775807
wonder = true

[tcp]
time = 5_000
retries = 4

[admin]
user = "boss"
password = "hidden"

[memory]
net_buffer = 8192

[[databases]]
name = "shop"
host = "10.0.0.1"

[[databases]]
name = "shop"
host = "fd00::2"
port = 5433
role = "replica"
lb_weight = 3

[[databases]]
name = "logs"
host = "10.0.0.3"
database_name = "logs_2026"
user = "writer"
password = "hidden writer"
pool_size = 4
pooler_mode = "session"
statement_timeout = 1500

[[databases]]
name = "wide"
host = "10.0.0.4"
shard = 0

[[databases]]
name = "wide"
host = "10.0.0.5"
shard = 1

[[sharded_tables]]
database = "wide"
column = "id"
"#;

const USERS: &str = r#"
[[users]]
name = "app"
password = "hidden"
databases = ["shop", "logs"]
pool_size = 7
min_pool_size = 2

[[users]]
name = "other"
passwords = ["first hidden", "second hidden"]
all_databases = true
server_user = "backend"
read_only = true

[[users]]
name = "nobody"
database = "shop"
server_auth = "rds_iam"
"#;

fn converted(file: &str, users: &str) -> (String, Vec<String>) {
    let reader = |path: &str| match path {
        "/etc/pgdog/users.toml" => Ok(users.to_owned()),
        other => Err(format!("there is no {other}")),
    };
    let imported = import(Source::PgDog, "/etc/pgdog/pgdog.toml", file, &reader)
        .unwrap_or_else(|error| panic!("{error}"));
    for format in [Format::Conf, Format::Yaml] {
        let written = write(&imported.draft, format);
        if let Err(errors) = parse("out", &written, format) {
            panic!("{written}\n{errors:#?}");
        }
    }
    let all = write(&imported.draft, Format::Conf);
    let lines = all.lines().skip_while(|line| line.starts_with('#'));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let notes = imported.notes.iter().map(|note| format!("{:?} {note}", note.fate)).collect();
    (words.join(" "), notes)
}

#[test]
fn a_configuration_is_carried_over() {
    let (conf, _) = converted(FILE, USERS);
    for expected in [
        "workers 3",
        "keepalive 5 ",
        "keepalive_probes 4",
        "promhttp_server_port 9090",
        r#"listen { host "127.0.0.1" port 6433 client_login_timeout 60000 tls "require" tls_cert_file "c.pem" tls_key_file "k.pem" }"#,
        r#"host "10.0.0.1:5432,[fd00::2]:5433" port 5432 tls "verify_full" tls_ca_file "ca.pem" balancing { method "leastconn""#,
        r#"user "app" { authentication "scram-sha-256" password "hidden" storage_password "hidden" storage "shop" pool "transaction" pool_size 7 min_pool_size 2 pool_timeout 1000 pool_ttl 30 server_lifetime 86400 pool_idle_in_transaction_timeout 3 target_session_attrs "read-write" }"#,
        r#"storage_user "writer" storage_password "hidden writer" storage "logs" storage_db "logs_2026" pool "session" pool_size 7"#,
        r#"password "first hidden" storage_user "backend" storage_password "first hidden""#,
        r#"password "first hidden" storage_user "writer" storage_password "hidden writer""#,
        r#"user "nobody" { authentication "block""#,
        r#"database "wide" { user default { authentication "block""#,
        r#"database "admin" { user "boss" { authentication "md5" password "hidden" role "admin""#,
        r#"options { "statement_timeout" "1500ms" "default_transaction_read_only" "on" }"#,
    ] {
        assert!(conf.contains(expected), "no {expected:?} in\n{conf}");
    }
}

#[test]
fn what_is_not_carried_over_is_told_without_a_secret() {
    let (_, notes) = converted(FILE, USERS);
    for expected in [
        "Lost /etc/pgdog/pgdog.toml:17: passthrough_auth:",
        "Needless /etc/pgdog/pgdog.toml:18: healthcheck_interval:",
        "wonder: no PgDog that is known has such an option",
        "[memory]",
        "[sharded_tables]",
        "lb_weight of database 'shop'",
        "Changed /etc/pgdog/pgdog.toml:33: database 'shop': queries are not read",
        "database 'wide': it has several shards",
        "Changed /etc/pgdog/users.toml:9: user 'other': the first of its passwords counts",
        "user 'nobody': it has no password",
        "server_auth of user 'nobody' of database 'shop'",
        "statement_timeout",
    ] {
        assert!(notes.iter().any(|note| note.contains(expected)), "{expected}: {notes:#?}");
    }
    assert!(!notes.concat().contains("hidden"), "{notes:#?}");
    assert!(!notes.concat().contains("query_timeout"), "it is the default: {notes:#?}");
}

#[test]
fn without_its_users_nothing_is_converted() {
    let reader = |path: &str| Err(format!("{path} is not there"));
    let error = import(Source::PgDog, "pgdog.toml", FILE, &reader).expect_err("no users");
    assert_eq!(error.to_string(), "users.toml: users.toml is not there");
}

#[test]
fn who_has_no_password_for_the_console_has_none() {
    let (conf, notes) = converted("[[databases]]\nname = \"a\"\nhost = \"b\"", "");
    assert!(!conf.contains(r#"role "admin""#), "{conf}");
    assert!(conf.contains(r#"database "a" { user default { authentication "block""#), "{conf}");
    assert!(notes.concat().contains("[admin]: without a password"), "{notes:#?}");
}
