//! What is written is what is read, in both languages.

use super::{Section, Word, write};
use crate::{ConnectionType, Format, parse};

fn sample() -> Section {
    let mut root = Section::root();
    root.comments.push("Written by a test.\nIn two\rlines.".to_owned());
    root.set("log_format", r"%p %t \n");
    root.set_noted("workers", "auto", "half of the\nprocessors");
    root.set("log_debug", false);
    root.set("stats_interval", 60);
    let mut listen = Section::plain("listen");
    listen.set("host", "*");
    listen.set("port", 6432);
    root.sections.push(listen);
    let mut storage = Section::named("storage", "pg");
    storage.comments.push("Where servers are.".to_owned());
    storage.set("type", "remote");
    storage.set("host", "[::1]:5432,db:6000");
    let mut balancing = Section::plain("balancing");
    balancing.sections.push(Section::named("method", "roundrobin"));
    storage.sections.push(balancing);
    root.sections.push(storage);
    let mut database = Section::default("database");
    database.sections.push(user("app", Some("10.0.0.0/8")));
    database.sections.push(user("app", None));
    database.sections.push(user("default", None));
    root.sections.push(database);
    root
}

fn user(name: &str, address: Option<&str>) -> Section {
    let mut user = Section::named("user", name);
    user.address = address.map(str::to_owned);
    if address.is_some() {
        user.connection = ConnectionType::HostSsl;
    }
    user.set("authentication", "clear_text");
    user.set("password", r#"0"1'2\x: #"#);
    user.set("auth_common_name", Word::Bare("default".to_owned()));
    user.set("auth_common_name", "default");
    user.set("storage", "pg");
    user.set("pool", "transaction");
    let pairs = [("search_path", "a, \"$user\""), ("work_mem", "1")];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    user.set("options", Word::Pairs(pairs.map(owned).to_vec()));
    user.set("backend_startup_options", Word::Pairs(Vec::new()));
    user
}

const CONF: &str = r##"# Written by a test.
# In two lines.

log_format "%p %t \n"
workers "auto" # half of the processors
log_debug no
stats_interval 60

listen {
    host "*"
    port 6432
}

# Where servers are.
storage "pg" {
    type "remote"
    host "[::1]:5432,db:6000"

    balancing {
        method "roundrobin" {
        }
    }
}

database default {
    user "app" "10.0.0.0/8" hostssl {
        authentication "clear_text"
        password "0\"1'2\x: #"
        auth_common_name default
        auth_common_name "default"
        storage "pg"
        pool "transaction"
        options {
            "search_path" "a, \"$user\""
            "work_mem" "1"
        }
        backend_startup_options {
        }
    }
"##;

const YAML: &str = r##"# Written by a test.
# In two lines.

log_format: '%p %t \n'
workers: auto # half of the processors
log_debug: no
stats_interval: 60

listen:
  - host: '*'
    port: 6432

storages:
  # Where servers are.
  pg:
    type: remote
    host: '[::1]:5432,db:6000'
    balancing:
      method:
        roundrobin: {}

databases:
  default:
    users:
      app:
        - address: 10.0.0.0/8
          connection_type: hostssl
          authentication: clear_text
          password: '0"1''2\x: #'
          auth_common_name:
            - default
            - 'default'
          storage: pg
          pool: transaction
          options:
            search_path: 'a, "$user"'
            work_mem: '1'
          backend_startup_options: {}
        - authentication: clear_text
"##;

#[test]
fn both_languages_look_as_if_written_by_hand() {
    let (conf, yaml) = (write(&sample(), Format::Conf), write(&sample(), Format::Yaml));
    assert!(conf.starts_with(CONF), "{conf}");
    assert!(yaml.starts_with(YAML), "{yaml}");
}

/// The model without the places of rules.
fn model(root: &Section, format: Format) -> String {
    let text = write(root, format);
    let loaded = parse("f", &text, format).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let places = |line: &&str| !["line:", "column:"].iter().any(|it| line.trim().starts_with(it));
    let shown = format!("{:#?}", loaded.config);
    shown.lines().filter(places).collect::<Vec<_>>().join("\n")
}

#[test]
fn both_languages_read_as_the_same() {
    let mut root = sample();
    assert_eq!(model(&root, Format::Conf), model(&root, Format::Yaml));
    // Variants of one name that do not stand together, and a database in two parts.
    let mut database = Section::default("database");
    for name in ["a", "b", "a"] {
        database.sections.push(user(name, None));
    }
    let mut other = Section::named("database", "x");
    other.sections.push(user("default", None));
    root.sections.extend([other, database]);
    assert_eq!(model(&root, Format::Conf), model(&root, Format::Yaml));
}

#[test]
fn any_string_survives_yaml() {
    let strings = [
        "",
        "~",
        "null",
        "yes",
        "No",
        "0x1",
        "1e3",
        "0123",
        "-1",
        "a: b",
        "a #b",
        "- a",
        "#",
        "{",
        "'",
        "\"",
        "\\",
        "a\nb",
        "\r",
        "\t",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}x",
        "é",
        " a ",
        "&a",
        "*a",
        "!a",
        "%",
        "@",
        "`",
        "|",
        ">",
        "?",
        "<<",
        "a:",
        "a/b-c_d.e",
        "\u{7f}",
        "\u{1f600}",
    ];
    for string in strings {
        let mut root = sample();
        let user = &mut root.sections[2].sections[0];
        user.set("storage_password", string);
        user.set("storage_db", string);
        let text = write(&root, Format::Yaml);
        let loaded = parse("f", &text, Format::Yaml).unwrap_or_else(|e| panic!("{string:?} {e}"));
        let rule = &loaded.config.rules[0];
        assert_eq!(rule.storage_db.as_deref(), Some(string), "{text}");
        assert_eq!(rule.storage_password.as_ref().map(|it| it.reveal()), Some(string));
    }
}
