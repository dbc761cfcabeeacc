//! `explain`: which rule a client meets, why no other, what it gets there, and where it goes by
//! each listener. The judgement is `router::Rules`, which a running pooler asks too.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use config::{Config, Effective, Endpoint, Listen, Loaded, Rule, Storage, StorageKind};
use router::{Ask, Host, Rules, Verdict};

use super::commands::Given;
use super::{MISUSED, out, verdict};

pub(super) fn explain(given: &Given) -> ExitCode {
    let client = match Client::read(given) {
        Ok(client) => client,
        Err(what) => return misused(&what),
    };
    let Some(loaded) = verdict::load(Path::new(&given.operand)) else { return ExitCode::FAILURE };
    match explained(&client, &loaded) {
        Ok((text, found)) => {
            out::answer(&text, if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(what) => misused(&what),
    }
}

fn misused(what: &str) -> ExitCode {
    out::aside(&format!("pooler explain: {what}"));
    ExitCode::from(MISUSED)
}

/// The whole answer, and whether there is a rule.
fn explained(client: &Client, loaded: &Loaded) -> Result<(String, bool), String> {
    let rules = Rules::new(&loaded.config);
    for group in &client.groups {
        if !rules.enroll(group, &client.user) {
            return Err(format!("--group-member: no rule is for a group '{group}'"));
        }
    }
    let verdicts = rules.explain(&client.ask());
    let mut text = format!("The client: {client}\nThe rules, as they are tried:\n");
    let widest = verdicts.iter().map(|(rule, _)| title(rule).chars().count()).max();
    let wide = widest.unwrap_or_default();
    for (number, (rule, verdict)) in verdicts.iter().enumerate() {
        let (number, title) = (number + 1, title(rule));
        let _ = writeln!(text, "{number:4}. {title:wide$}  {}  {verdict}", place(rule));
    }
    let found = verdicts.iter().find(|(_, verdict)| *verdict == Verdict::Matched);
    let alias = found.is_none().then(|| rules.find(&client.ask())).flatten();
    if let Some(rule) = alias {
        let (database, name) = (&client.database, &rule.database);
        let _ = writeln!(text, "'{database}' is another name of the console '{name}'.");
    }
    let found = found.map(|(rule, _)| *rule).or(alias);
    match found {
        Some(rule) => {
            settings(&mut text, rule, loaded);
            ways(&mut text, client, rule, &rules, &loaded.config);
        }
        None => text.push_str("No rule is for this client: it is refused.\n"),
    }
    Ok((text, found.is_some()))
}

/// Rules may differ in their connection type only.
fn title(rule: &Rule) -> String {
    match rule.connection.word() {
        Some(connection) => format!("{rule} {connection}"),
        None => rule.to_string(),
    }
}

fn place(rule: &Rule) -> String {
    format!("{}:{}:{}", rule.file, rule.line, rule.column)
}

fn settings(text: &mut String, rule: &Arc<Rule>, loaded: &Loaded) {
    let _ = writeln!(text, "Rule {rule} at {} says:", place(rule));
    let shown: Vec<(Effective, String)> = config::effective(loaded, rule)
        .into_iter()
        .map(|option| {
            let unit = if option.unit.is_empty() { "" } else { " " };
            let value = format!("{}{unit}{}", option.value, option.unit);
            (option, value)
        })
        .collect();
    let wide = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
    let names = wide(&mut shown.iter().map(|(option, _)| option.option.len()));
    let values = wide(&mut shown.iter().map(|(_, value)| value.chars().count().min(VALUE_WIDE)));
    for (Effective { option, origin, written, .. }, value) in &shown {
        let instead = match written {
            Some(written) => format!(", where '{written}' stands"),
            None => String::new(),
        };
        let _ = writeln!(text, "  {option:names$}  {value:values$}  {origin}{instead}");
    }
}

/// Where the client goes by each listener that it can come by: one may have storages of its own.
fn ways(text: &mut String, client: &Client, rule: &Arc<Rule>, rules: &Rules, config: &Config) {
    let listens = config.listens.iter().filter(|listen| client.may_come_by(listen));
    let listens: Vec<(String, &Listen)> = listens.map(|listen| (door(listen), listen)).collect();
    let wide = listens.iter().map(|(door, _)| door.chars().count()).max().unwrap_or_default();
    if !listens.is_empty() {
        text.push_str("Where it goes, by the listener that it comes by:\n");
    }
    for (door, listen) in listens {
        let way = rules.by_way_of(rule, &listen.storages);
        let storages: Vec<String> = way.storages().map(|storage| target(storage)).collect();
        let _ =
            writeln!(text, "  {door:wide$}  {}{}", storages.join(", else "), wishes(listen, rule));
    }
}

fn door(listen: &Listen) -> String {
    match &listen.host {
        Some(host) => format!("{host}:{}", listen.port),
        None => format!("unix socket {}", listen.port),
    }
}

fn target(storage: &Storage) -> String {
    if storage.kind == StorageKind::Local {
        return "the console".to_owned();
    }
    let hosts: Vec<String> = storage.endpoints.iter().map(Endpoint::to_string).collect();
    format!("storage '{}' ({})", storage.name, hosts.join(","))
}

/// What the listener says of hosts and counts: it wins over the rule, but not of their lag.
fn wishes(listen: &Listen, rule: &Rule) -> String {
    let attrs = listen.target_session_attrs.map(|attrs| attrs.as_str().to_owned());
    let method = listen.balancing_method.map(|method| method.as_str().to_owned());
    let lag = listen.catchup_timeout.filter(|_| rule.catchup_timeout.is_none());
    let lag = lag.map(|lag| format!("{} s", lag.as_secs()));
    let said =
        [("target_session_attrs", attrs), ("balancing_method", method), ("catchup_timeout", lag)];
    said.iter()
        .filter_map(|(option, words)| Some(format!("; {option} {}", words.as_deref()?)))
        .collect()
}

const VALUE_WIDE: usize = 40; // longer ones push their line out, not everybody's

/// The client that is asked about.
struct Client {
    user: String,
    database: String,
    /// None: a unix socket.
    address: Option<IpAddr>,
    host: Option<String>,
    tls: bool,
    groups: Vec<String>,
}

impl Client {
    fn read(given: &Given) -> Result<Client, String> {
        let user = given.text("user").ok_or("--user is missing")?;
        let database = given.text("database").unwrap_or_else(|| user.clone());
        let address = match given.text("address").as_deref() {
            None => Some(IpAddr::from([127, 0, 0, 1])),
            Some("local") => None,
            Some(text) => {
                let parsed = text.parse();
                Some(parsed.map_err(|_| format!("--address: '{text}' is no address"))?)
            }
        };
        let (host, tls) = (given.text("host"), given.has("tls"));
        Ok(Client { user, database, address, host, tls, groups: given.texts("group-member") })
    }

    /// By its address; a proxy may be anywhere.
    fn may_come_by(&self, listen: &Listen) -> bool {
        listen.host.is_none() == self.address.is_none() || listen.proxy_protocol.is_some()
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            database: &self.database,
            user: &self.user,
            address: self.address,
            host: self.host.as_deref().map_or(Host::Nameless, Host::Named),
            tls: self.tls,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user '{}', database '{}', ", self.user, self.database)?;
        match (self.address, &self.host) {
            (Some(address), Some(host)) => write!(f, "from {address} ({host}), ")?,
            (Some(address), None) => write!(f, "from {address}, ")?,
            (None, _) => write!(f, "over a unix socket, ")?,
        }
        write!(f, "{}", if self.tls { "with TLS" } else { "does not ask for TLS" })?;
        match self.groups.is_empty() {
            true => Ok(()),
            false => write!(f, ", member of {}", self.groups.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"log_format "%m"
listen { host "*" port 6432 }
storage "pg" { type "remote" host "127.0.0.1" port 5432 }
database "shop" {
  user "app" "10.0.0.0/8" hostssl {
    authentication "none" storage "pg" pool "session" pool_size 7 storage_password "hidden"
  }
  user "app" { authentication "none" storage "pg" pool "transaction" pool_size 5 min_pool_size 9 }
  group "staff" {
    authentication "none" storage "pg" pool "session"
    group_query "select 1" group_query_db "shop" group_query_user "app"
  }
}
database default { user "root" { authentication "block" storage "pg" pool "session" } }
"#;

    fn client(user: &str, database: &str, address: Option<&str>, tls: bool) -> Client {
        let address = address.map(|text| text.parse().expect("an address"));
        let (user, database) = (user.into(), database.into());
        Client { user, database, address, host: None, tls, groups: Vec::new() }
    }

    fn answer(client: &Client) -> Result<(String, bool), String> {
        let loaded = config::parse("o.conf", FILE, config::Format::Conf).expect("it is right");
        explained(client, &loaded)
    }

    fn says(client: &Client, expected: &[&str]) {
        let (text, found) = answer(client).expect("it is understood");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in expected {
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
        assert_eq!(found, text.contains(" says: "), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }

    #[test]
    fn every_rule_is_told_with_its_reason() {
        says(
            &client("app", "shop", Some("10.1.2.3"), true),
            &[
                "The client: user 'app', database 'shop', from 10.1.2.3, with TLS",
                "1. shop.app 10.0.0.0/8 hostssl o.conf:5:3 matches",
                "shop.app all o.conf:8:3 would match, but an earlier rule does",
                "shop.group_staff all o.conf:9:3 is for members of a group",
                "default_db.root all o.conf:14:20 is for another user",
                "Rule shop.app 10.0.0.0/8 at o.conf:5:3 says:",
            ],
        );
        says(
            &client("app", "shop", None, false),
            &[
                "1. shop.app 10.0.0.0/8 hostssl o.conf:5:3 is for clients from elsewhere",
                "app all at o",
            ],
        );
        says(&client("app", "shop", Some("10.1.2.3"), false), &["another kind of connection"]);
        says(&client("me", "other", None, false), &["No rule is for this client: it is refused."]);
    }

    /// As long as only rules were asked, it said of every exporter that it is refused.
    #[test]
    fn the_console_is_found_by_its_other_names() {
        let console = r#"storage "here" { type "local" }
database "admin" { user "stat" { authentication "none" storage "here" pool "session" } }
"#;
        let text = format!("{FILE}{console}");
        let loaded = config::parse("o.conf", &text, config::Format::Conf).expect("it is right");
        let told = |user, database| {
            explained(&client(user, database, None, false), &loaded).expect("it is understood")
        };
        let (text, found) = told("stat", "pgbouncer");
        assert!(found && text.contains("'pgbouncer' is another name of the console 'admin'."));
        assert!(text.contains("Rule admin.stat all at o.conf:16:"), "{text}");
        assert!(!told("somebody", "pgbouncer").1);
    }

    /// As long as only the rule was asked, it said of all listeners that they lead where that does.
    #[test]
    fn storages_of_a_listener_are_where_its_clients_go() {
        let more = r#"unix_socket_dir "/tmp" unix_socket_mode "0700" storage "near" { type "remote" host "db1,db2:5433" port 5432 }
storage "far" { type "remote" host "db3" port 5432 }
storage "here" { type "local" }
listen { host "*" port 6433 storage "near" storage "far" target_session_attrs "read-only" }
listen { port 6434 storage "far" balancing_method "leastconn" catchup_timeout 5 }
database "admin" { user "stat" { authentication "none" storage "here" pool "session" } }
"#;
        let text = format!("{FILE}{more}");
        let loaded = config::parse("o.conf", &text, config::Format::Conf).expect("it is right");
        let ways = |user, database, address| {
            let client = client(user, database, address, false);
            let (text, _) = explained(&client, &loaded).expect("it is understood");
            let (_, ways) = text.split_once("comes by:\n").expect("there are ways");
            ways.to_owned()
        };
        assert_eq!(
            ways("app", "shop", Some("10.0.0.1")),
            "  *:6432  storage 'pg' (127.0.0.1:5432)\n  \
               *:6433  storage 'near' (db1:5432,db2:5433), else storage 'far' (db3:5432); \
             target_session_attrs read-only\n"
        );
        assert_eq!(
            ways("app", "shop", None),
            "  unix socket 6434  storage 'far' (db3:5432); balancing_method leastconn; \
             catchup_timeout 5 s\n"
        );
        let console = ways("stat", "admin", Some("10.0.0.1"));
        assert!(console.contains("*:6433  the console"), "{console}");
    }

    #[test]
    fn each_setting_is_told_with_its_origin() {
        says(
            &client("app", "shop", None, false),
            &[
                "pool_size 5 o.conf:8:",
                "server_lifetime 3600 s default",
                "min_pool_size 5 o.conf:8:82, where '9' stands",
            ],
        );
        says(&client("app", "shop", Some("10.0.0.1"), true), &["storage_password *** o.conf:6:"]);
    }

    #[test]
    fn members_of_a_group_are_believed() {
        let mut one = client("me", "shop", None, false);
        one.groups.push("staff".into());
        says(&one, &["shop.group_staff all o.conf:9:3 matches", "member of staff"]);
        one.groups.push("stuff".into());
        let what = answer(&one).expect_err("there is no such group");
        assert_eq!(what, "--group-member: no rule is for a group 'stuff'");
    }
}
