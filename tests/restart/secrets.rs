//! Clients whose own secrets open their servers (`auth_query`, `password_passthrough`) move with
//! them.

use super::{restart, restarting};
use crate::doors::challenge;
use crate::support::pooler::{ASKING, SERVICE};
use crate::support::postgres::PASSWORD;
use crate::support::{Login, PATIENCE, Setup, until};
use std::fs;

fn everybody(method: &str, options: &str) -> Setup {
    let rule = format!(r#"authentication "{method}" storage "pg" pool "transaction" {options}"#);
    restarting(Setup::new().also(SERVICE).rule("default", "default", &rule))
}

fn login(user: &str) -> Login {
    Login::new(user, "postgres").password(PASSWORD)
}

/// SCRAM keys, what `auth_query` told, the password itself. Against a process that moves a client
/// and has nothing to show to its servers, and one that writes a secret down.
#[test]
fn a_client_moves_with_what_opens_its_servers() {
    let passing = format!("{ASKING} password_passthrough yes");
    for (method, options, user) in [
        ("scram-sha-256", ASKING, "app_scram"),
        ("md5", ASKING, "app_md5"),
        ("clear_text", &*passing, "app_clear"),
        ("clear_text", &*passing, "app_scram"),
    ] {
        let mut pooler = everybody(method, options).global("log_debug yes").start();
        let mut clients: Vec<_> = (0..3).map(|_| pooler.login(&login(user))).collect();
        assert_eq!(clients[0].scalar("select current_user"), user);
        let new = restart(&pooler);
        assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
        for client in &mut clients {
            assert_eq!(client.scalar("select current_user"), user, "{method}");
        }
        let newest = restart(&pooler);
        until("its end", PATIENCE, || (!new.is_alive()).then_some(()));
        assert_eq!(clients[2].scalar("select current_user"), user, "{method}, moved twice");
        let log = pooler.log();
        assert!(!log.contains(PASSWORD) && !log.contains("SCRAM-SHA-256$"), "{log}");
        drop(clients);
        newest.stop();
    }
}

/// Seen to fail with salts of each process: who is known has his own salt before and after, who is
/// not had another.
#[test]
fn asking_before_and_after_does_not_tell_who_exists() {
    let mut pooler = everybody("scram-sha-256", ASKING).start();
    let salts = |pooler: &_| ["app_scram", "nobody"].map(|user| challenge(pooler, user));
    let before = salts(&pooler);
    let new = restart(&pooler);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    assert_eq!(salts(&pooler), before);
    let newest = restart(&pooler);
    until("its end", PATIENCE, || (!new.is_alive()).then_some(()));
    assert_eq!(salts(&pooler), before, "from one to the next to the next");
    newest.stop();
}

/// The file decides, and not what was allowed once.
#[test]
fn a_password_is_not_passed_on_where_the_new_file_forbids_it() {
    let setup = everybody("clear_text", &format!("{ASKING} password_passthrough yes"));
    let mut pooler = setup.start();
    let mut client = pooler.login(&login("app_clear"));
    assert_eq!(client.scalar("select 1"), "1");
    let file = pooler.socket_dir().join("odyssey.conf");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("password_passthrough yes", "")).unwrap();
    let new = restart(&pooler);
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    let error = client.query("select 1").error().expect("there is no server");
    assert_eq!(error.code, "08006");
    let detail = error.detail.unwrap_or_default();
    assert!(detail.contains("password required for route"), "{detail}");
    drop(client);
    new.stop();
}

/// Its servers open by what the other one showed. In another process they would not, before that
/// one comes.
#[test]
fn a_client_whose_servers_another_one_opens_stays() {
    let rule = format!(r#"{ASKING} storage_user "app_scram""#);
    let setup = everybody("scram-sha-256", &rule);
    let mut pooler = setup.global("conn_drop_options { drop_enabled no }").start();
    let mut opener = pooler.login(&login("app_scram"));
    let mut other = pooler.login(&login("app_clear"));
    assert_eq!(opener.scalar("select 1"), "1");
    assert_eq!(other.scalar("select current_user"), "app_scram");
    let new = restart(&pooler);
    pooler.wait_for_line("taken over from the old process");
    assert_eq!(opener.scalar("select 2"), "2");
    assert_eq!(other.scalar("select current_user"), "app_scram");
    assert!(pooler.is_alive(), "for the one who stays");
    drop(other);
    assert!(pooler.wait_for_exit(PATIENCE).success());
    assert_eq!(opener.scalar("select 3"), "3");
    drop(opener);
    new.stop();
}
