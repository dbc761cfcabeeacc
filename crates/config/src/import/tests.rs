//! Files of pgcat and pg_doorman, and what they become.

use super::{Imported, Source, import};
use crate::{Format, parse, write};

fn imported(source: Source, text: &str) -> Imported {
    let reader = |_: &str| Err("no files here".to_owned());
    import(source, "f", text, &reader).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// What is written, with blanks and line ends as one blank. It is read again in both languages.
fn conf(source: Source, text: &str) -> String {
    let draft = imported(source, text).draft;
    for format in [Format::Conf, Format::Yaml] {
        let written = write(&draft, format);
        if let Err(errors) = parse("out", &written, format) {
            panic!("{written}\n{errors:#?}");
        }
    }
    let all = write(&draft, Format::Conf);
    let lines = all.lines().skip_while(|line| line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

fn says(source: Source, text: &str, expected: &[&str]) {
    let found = conf(source, text);
    for words in expected {
        assert!(found.contains(words), "{text}\nsays no {words:?} but\n{found}");
    }
}

fn notes(source: Source, text: &str, expected: &[&str]) {
    let found: Vec<String> =
        imported(source, text).notes.iter().map(|it| format!("{:?} {it}", it.fate)).collect();
    for words in expected {
        assert!(found.iter().any(|note| note.contains(words)), "{text}\n{words}: {found:#?}");
    }
    assert!(!found.concat().contains("hidden"), "{found:#?}");
}

const PGCAT: &str = r#"
[general]
host = "127.0.0.1"
port = 6433
connect_timeout = 5000
idle_timeout = 30_000
worker_threads = 3
tls_certificate = "c.pem"
tls_private_key = "k.pem"
server_tls = true
enable_prometheus_exporter = true
admin_username = "boss"
admin_password = "hidden"
autoreload = 15000
ban_time = 60

[plugins.query_logger]
enabled = true

[pools.shop]
pool_mode = "session"
default_role = "primary"
load_balancing_mode = "loc"
query_parser_enabled = true

[pools.shop.users.0]
username = "app"
password = "hidden"
pool_size = 5
min_pool_size = 2
server_username = "backend"
server_lifetime = 60000
statement_timeout = 1500

[pools.shop.users.1]
username = "free"
auth_type = "trust"
pool_size = 7
pool_mode = "transaction"

[pools.shop.users.2]
username = "nobody"
pool_size = 1

[pools.shop.shards.0]
servers = [["10.0.0.1", 5432, "primary"], ["10.0.0.2", 5433, "replica"]]
database = "shop_live"

[pools.sharded.users.0]
username = "app"
password = "hidden"
pool_size = 1

[pools.sharded.shards.0]
servers = [["h", 1, "primary"]]
database = "a"

[pools.sharded.shards.1]
servers = [["h", 1, "primary"]]
database = "b"
"#;

#[test]
fn pgcat_is_carried_over() {
    says(
        Source::PgCat,
        PGCAT,
        &[
            "workers 3",
            "backend_connect_timeout_ms 5000",
            "promhttp_server_port 9930",
            "host \"127.0.0.1\" port 6433 tls \"allow\" tls_cert_file \"c.pem\"",
            "storage \"shop\" { type \"remote\" host \"10.0.0.1:5432,10.0.0.2:5433\" port 5432 tls \"prefer\"",
            "method \"leastconn\"",
            "user \"app\" { authentication \"md5\" password \"hidden\" storage \"shop\" storage_db \
             \"shop_live\" storage_user \"backend\" storage_password \"hidden\" pool \"session\" \
             pool_size 5 min_pool_size 2 pool_timeout 5000 pool_ttl 30 server_lifetime 60",
            "options { \"statement_timeout\" \"1500ms\" } target_session_attrs \"read-write\"",
            "user \"free\" { authentication \"none\"",
            "user \"nobody\" { authentication \"block\"",
            "database \"sharded\" { user default { authentication \"block\"",
            "database \"pgbouncer\" { user \"boss\" {",
        ],
    );
    notes(
        Source::PgCat,
        PGCAT,
        &[
            "Lost f:14: autoreload: ",
            "Lost f:17: [plugins]: ",
            "Lost f:24: query_parser_enabled of pool 'shop': ",
            "Changed f:26: statement_timeout: ",
            "Lost f:49: pool 'sharded': it has several shards",
        ],
    );
}

#[test]
fn pgcats_auth_query_is_carried_over() {
    let text = "[general]\nauth_query = \"select $1\"\nauth_query_user = \"asker\"\n\
                auth_query_password = \"hidden\"\n[pools.p.users.0]\nusername = \"u\"\n\
                pool_size = 1\n[pools.p.shards.0]\nservers = [[\"h\", 1, \"primary\"]]\n\
                database = \"d\"\n";
    says(
        Source::PgCat,
        text,
        &[
            "user \"u\" { authentication \"md5\" auth_query \"select $1\" auth_query_user \
             \"asker\" auth_query_db \"p\"",
            "user \"asker\" { pool_routing \"internal\" authentication \"none\" storage \"p\" \
             storage_db \"d\" storage_password \"hidden\"",
        ],
    );
}

const DOORMAN: &str = r#"
general:
  host: "127.0.0.1"
  port: 6434
  connect_timeout: "4s"
  query_wait_timeout: 2000
  idle_timeout: "10m"
  shutdown_timeout: "10s"
  max_connections: 300
  tls_mode: "require"
  tls_certificate: c.pem
  tls_private_key: k.pem
  server_tls_mode: "prefer"
  admin_username: boss
  admin_password: hidden
  hba: ["10.0.0.0/8", "127.0.0.1/32"]
  scaling_fast_retries: 3
  startup_parameters: {search_path: app}
web: {enabled: true, port: 9000}
pools:
  shop:
    server_host: 10.0.0.1
    server_database: shop_live
    application_name: pooled
    pool_mode: session
    reserve_pool_size: 3
    users:
      - {username: app, password: md5d41d8cd98f00b204e9800998ecf8427e, pool_size: 9}
      - {username: token, password: "jwt-pkey-fpath:hidden"}
      - {username: pam, password: "", auth_pam_service: pooler}
    auth_query: {query: "select $1", user: asker, password: hidden, pool_size: 3}
"#;

#[test]
fn pg_doorman_is_carried_over() {
    says(
        Source::PgDoormanYaml,
        DOORMAN,
        &[
            "backend_connect_timeout_ms 4000",
            "client_max 300",
            "graceful_shutdown_timeout_ms 10000",
            "promhttp_server_port 9000",
            "port 6434 tls \"require\" tls_cert_file \"c.pem\" tls_key_file \"k.pem\"",
            "storage \"shop\" { type \"remote\" host \"10.0.0.1\" port 5432 tls \"prefer\"",
            "user \"app\" \"10.0.0.0/8\" { authentication \"md5\"",
            "user \"app\" \"127.0.0.1/32\" {",
            "storage \"shop\" storage_db \"shop_live\" pool \"session\" pool_size 9 pool_timeout \
             2000 pool_ttl 600 server_lifetime 1200",
            "backend_startup_options { \"application_name\" \"pooled\" \"search_path\" \"app\" }",
            "user \"token\" \"10.0.0.0/8\" { authentication \"block\"",
            "user \"pam\" \"10.0.0.0/8\" { authentication \"clear_text\" auth_pam_service \"pooler\"",
            "auth_query \"select $1\" auth_query_user \"asker\" auth_query_db \"shop\"",
            "user \"asker\" { pool_routing \"internal\" authentication \"none\" storage \"shop\" \
             storage_db \"shop_live\" storage_password \"hidden\"",
            "database \"pgdoorman\" { user \"boss\"",
        ],
    );
    notes(
        Source::PgDoormanYaml,
        DOORMAN,
        &[
            "Needless f:17: scaling_fast_retries: ",
            "Lost f:26: reserve_pool_size of pool 'shop': ",
            "Changed f:29: user 'token': signed tokens",
        ],
    );
}

#[test]
fn pg_doormans_toml_is_the_same_model() {
    let yaml = "pools:\n  p:\n    server_host: h\n    users:\n      - username: u\n        \
                password: hidden\n        pool_size: 2\n";
    let toml = "[pools.p]\nserver_host = \"h\"\n[pools.p.users.0]\nusername = \"u\"\n\
                password = \"hidden\"\npool_size = 2\n";
    assert_eq!(conf(Source::PgDoormanYaml, yaml), conf(Source::PgDoormanToml, toml));
    let guarded = format!("[general]\npg_hba = \"host all all 10.0.0.0/8 trust\"\n{toml}");
    says(Source::PgDoormanToml, &guarded, &["user default { authentication \"block\""]);
    notes(Source::PgDoormanToml, &guarded, &["Lost f:2: pg_hba: "]);
}

#[test]
fn an_empty_file_lets_nobody_in_and_breaks_nothing() {
    for source in SOURCES {
        let draft = imported(source, "").draft;
        let _ = write(&draft, Format::Conf);
    }
}

const WORDS: &[&str] = &[
    "[databases]",
    "[pgbouncer]",
    "[users]",
    "[general]",
    "[pools.p]",
    "[pools.p.users.0]",
    "[pools.p.shards.0]",
    "pools:",
    "  p:",
    "    users:",
    "      - ",
    "servers = [[\"h\", 1, \"x\"]]",
    "d = ",
    "* = ",
    "host=",
    "h",
    ":1",
    "@",
    "'",
    "\"",
    "\\",
    "#",
    ";",
    "=",
    " ",
    "\n",
    "\n",
    "\t",
    "user=u",
    "password='a''b'",
    "auth_type = ",
    "any",
    "hba",
    "md5",
    "auth_user = u",
    "pool_size",
    "-1",
    "99999999999999999999",
    "0x",
    "auth_file = f",
    "%include f",
    "username = \"u\"",
    "é",
];

proptest::proptest! {
    /// Whatever a file says, it is converted or refused, and what is written can be read: only
    /// sense may be missing, never syntax.
    #[test]
    fn any_text_is_converted_or_refused(
        picks in proptest::collection::vec(0..WORDS.len(), 0..60),
        other in proptest::collection::vec(0..WORDS.len(), 0..20),
    ) {
        let text = |picks: &[usize]| picks.iter().map(|pick| WORDS[*pick]).collect::<String>();
        let (main, other) = (text(&picks), text(&other));
        let reader = |_: &str| Ok(other.clone());
        for source in SOURCES {
            if let Ok(imported) = import(source, "f", &main, &reader) {
                for format in [Format::Conf, Format::Yaml] {
                    let written = write(&imported.draft, format);
                    if let Err(errors) = parse("out", &written, format) {
                        let syntax = errors.0.iter().find(|it| it.message.contains("syntax"));
                        proptest::prop_assert!(syntax.is_none(), "{main}\n{written}\n{syntax:?}");
                    }
                }
            }
        }
    }
}

const SOURCES: [Source; 4] =
    [Source::PgBouncer, Source::PgCat, Source::PgDoormanToml, Source::PgDoormanYaml];
