//! `ldap_endpoint`, against a real slapd, and against servers that are none.

use super::slapd::{ADMIN, ADMIN_PASSWORD, Slapd};
use super::{asking, lets_in, refuses, rules};
use crate::support::postgres::PASSWORD;
use crate::support::process::{self, free_port};
use crate::support::{Login, Pooler, Postgres, Setup};
use rustix::process::Signal;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const USERS: [&str; 6] = ["lea", "leo", "lou (x)", "a*", "*", "none"];
const METHOD: &str = r#"authentication "clear_text" ldap_endpoint_name "people""#;

fn by(endpoint: &str) -> Pooler {
    let section = format!("ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" {endpoint} }}");
    rules(Setup::new().also(&section), &USERS, METHOD).start()
}

fn searching() -> String {
    format!(
        r#"ldapbasedn "dc=example,dc=org" ldapbinddn "{ADMIN}" ldapbindpasswd "{ADMIN_PASSWORD}""#
    )
}

const BETWEEN: &str = r#"ldapprefix "uid=" ldapsuffix ",dc=example,dc=org""#;

/// Who may come in by whichever way to find entries.
fn is_right(pooler: &Pooler) {
    lets_in(pooler, "lea", "lea secret");
    lets_in(pooler, "leo", "leo secret");
    lets_in(pooler, "lou (x)", "lou secret");
    lets_in(pooler, "a*", "star secret");
    refuses(pooler, "lea", "leo secret");
    refuses(pooler, "leo", ""); // a bind as nobody, which slapd grants
    refuses(pooler, "*", "lea secret");
    refuses(pooler, "none", "lea secret");
}

#[test]
fn entries_are_found_by_name_or_by_search() {
    let slapd = Slapd::start();
    let port = slapd.port;
    for entry in [BETWEEN.to_owned(), searching()] {
        let pooler = by(&format!("ldapport {port} {entry}"));
        is_right(&pooler);
        pooler.stop();
    }
    let narrow = r#"ldapsearchfilter "(mail=one@example.org)""#;
    let pooler = by(&format!("ldapport {port} {} {narrow}", searching()));
    lets_in(&pooler, "lea", "lea secret");
    refuses(&pooler, "leo", "leo secret");
    pooler.wait_for_line("ldap_endpoint 'people': no entry has this user (clear_text by rule");
    pooler.stop();
    let wrong = format!("ldapport {port} {}", searching()).replace(ADMIN_PASSWORD, "wrong");
    let pooler = by(&wrong);
    refuses(&pooler, "lea", "lea secret");
    pooler.wait_for_line("ldap_endpoint 'people': ldapbinddn: ");
    assert!(!pooler.log().contains("lea secret"));
    pooler.stop();
}

#[test]
fn a_user_with_several_entries_is_nobody() {
    let slapd = Slapd::start();
    let search = searching();
    let section = format!(
        "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {} {search} \
         ldapsearchattribute \"mail\" }}",
        slapd.port
    );
    let users = ["one@example.org", "both@example.org"];
    let pooler = rules(Setup::new().also(&section), &users, METHOD).start();
    lets_in(&pooler, "one@example.org", "lea secret");
    refuses(&pooler, "both@example.org", "leo secret");
    pooler.wait_for_line("several entries have this user");
    pooler.stop();
}

#[test]
fn tls_from_the_start_or_later_trusts_only_whom_it_is_told() {
    let slapd = Slapd::start();
    let ca = format!("ldaptls_ca_file \"{}\"", slapd.ca.display());
    let tls = [
        format!("ldapscheme \"ldaps\" ldapport {}", slapd.port_tls),
        format!("ldaptls yes ldapport {}", slapd.port),
    ];
    for tls in tls {
        let pooler = by(&format!("{tls} {ca} {BETWEEN}"));
        is_right(&pooler);
        pooler.stop();
        let pooler = by(&format!("{tls} {BETWEEN}"));
        refuses(&pooler, "lea", "lea secret");
        pooler.wait_for_line("ldap_endpoint 'people': cannot connect: ");
        pooler.stop();
    }
}

/// Fails against LDAP on the threads of `offload`: then nobody can log in for five seconds.
#[test]
fn a_server_that_is_dead_or_silent_harms_only_those_who_log_in_by_it() {
    let slapd = Slapd::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = |name: &str, port: u16| {
        format!(
            "ldap_endpoint \"{name}\" {{ ldapserver \"127.0.0.1\" ldapport {port} {BETWEEN} }}\n"
        )
    };
    let silent_port = silent.local_addr().unwrap().port();
    let sections = endpoint("people", slapd.port)
        + &endpoint("silent", silent_port)
        + &endpoint("dead", free_port());
    let method = |name| METHOD.replace("people", name);
    let setup = rules(Setup::new().also(&sections).global("workers 1"), &["lea"], METHOD);
    let setup = rules(setup, &["stuck"], &method("silent"));
    let setup = rules(setup, &["lost"], &method("dead"));
    let pooler = setup.listen("client_login_timeout 7000").start();
    let start = Instant::now();
    let mut stuck: Vec<_> = (0..12).map(|_| asking(&pooler, "stuck")).collect();
    lets_in(&pooler, "lea", "lea secret");
    refuses(&pooler, "lost", "x");
    assert!(start.elapsed() < Duration::from_millis(4800), "{:?}", start.elapsed());
    process::signal(slapd.pid(), Signal::STOP);
    let mut frozen = asking(&pooler, "lea");
    assert!(frozen.until_closed().error().is_some());
    process::signal(slapd.pid(), Signal::CONT);
    stuck.iter_mut().for_each(|client| drop(client.until_closed()));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    pooler.stop();
}

/// Whom those become whose `description` says so.
fn granting(extra: &str) -> Setup {
    let port = Postgres::shared().port;
    let storage = format!("type \"remote\" host \"localhost\" port {port}");
    let grant = |name: &str, user: &str| {
        format!(
            "ldap_storage_credentials \"{name}\" {{ ldap_storage_username \"{user}\" \
             ldap_storage_password \"{PASSWORD}\" }}\n"
        )
    };
    let grants = grant("ro", "app_scram") + &grant("rw", "app_md5");
    let rule = format!(
        "{extra} storage \"pg\" pool \"transaction\" ldap_endpoint_name \"people\" \
         ldap_storage_credentials_attr \"Description\" {grants}"
    );
    Setup::without_storage().storage("pg", &storage).rule("default", "default", &rule)
}

fn to(database: &str, user: &str) -> Login {
    Login::new(user, database).password(&format!("{user} secret"))
}

/// Each attribute names a host, a database and credentials; the server is asked who it sees.
#[test]
fn what_ldap_says_of_a_user_decides_who_it_is_at_the_server() {
    let slapd = Slapd::start();
    let port = slapd.port;
    let between = format!("{BETWEEN} ldapbinddn \"{ADMIN}\" ldapbindpasswd \"{ADMIN_PASSWORD}\"");
    for entry in [searching(), between] {
        let people = format!(
            "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {port} {entry} }}"
        );
        let setup = granting("authentication \"clear_text\"").also(&people);
        let pooler = setup.start();
        let mut reader = pooler.login(&to("postgres", "lea"));
        let mut writer = pooler.login(&to("other", "lea"));
        assert_eq!(reader.scalar("select current_user"), "app_scram");
        assert_eq!(writer.scalar("select current_user"), "app_md5");
        assert_eq!(reader.scalar("select current_user"), "app_scram", "and stays");
        let refused = pooler.refused(&to("postgres", "leo"));
        assert_eq!(refused.whole().1, "3D000", "for another host only");
        pooler
            .wait_for_line("user 'postgres.leo' gets no storage credentials: ldap_endpoint 'peop");
        assert!(!pooler.log().contains("secret"), "{}", pooler.log());
        pooler.stop_with(vec![reader, writer]);
    }
}

/// Fails against a lookup while the client is routed, as Odyssey's: a wrong password then tells who
/// may become somebody, and each packet of a stranger is a search.
#[test]
fn nobody_learns_what_is_granted_before_the_password_is_right() {
    let slapd = Slapd::start();
    let people = format!(
        "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {} {} }}",
        slapd.port,
        searching()
    );
    let pooler = granting("authentication \"clear_text\"").also(&people).start();
    for user in ["lea", "leo", "nobody"] {
        refuses(&pooler, user, "wrong");
    }
    assert!(!pooler.log().contains("gets no storage credentials"), "{}", pooler.log());
    pooler.stop();
}

/// By whatever method a client came in. While the LDAP server is away there is no guess who it is.
#[test]
fn who_comes_in_by_scram_is_looked_up_too() {
    let slapd = Slapd::start();
    let people = format!(
        "ldap_endpoint \"people\" {{ ldapserver \"127.0.0.1\" ldapport {} {} }}",
        slapd.port,
        searching()
    );
    let scram = "authentication \"scram-sha-256\" password \"lea secret\"";
    let pooler = granting(scram).also(&people).start();
    let mut client = pooler.login(&to("postgres", "lea"));
    assert_eq!(client.scalar("select current_user"), "app_scram");
    drop(slapd);
    let refused = pooler.refused(&to("postgres", "lea"));
    let expected = "ldap authentication failed for user \"lea\": no storage credentials";
    assert_eq!(refused.whole(), ("FATAL", "58000", expected));
    assert_eq!(client.scalar("select current_user"), "app_scram", "who is in stays in");
    pooler.stop_with(vec![client]);
}
