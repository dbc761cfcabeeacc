//! Groups: their members are asked of PostgreSQL while the pooler runs.

use crate::support::fake::FakeSession;
use crate::support::pooler::OPEN;
use crate::support::{FakeServer, Login, PATIENCE, Pooler, Postgres, Setup, until};
use std::time::{Duration, Instant};

/// How the members are asked for.
const SERVICE: &str = r#"
database "postgres" {
  user "checker" { authentication "none" storage "pg" pool "transaction" pool_routing "internal" }
}
"#;

/// A group of database `postgres` whose members become `postgres` at the server.
fn group(name: &str, selector: &str, query: &str, options: &str) -> String {
    format!(
        r#"database "postgres" {{ group "{name}" {selector} {{
             storage "pg" storage_user "postgres" pool "transaction" {options}
             group_query "{query}" group_query_user "checker" group_query_db "postgres"
           }} }}"#
    )
}

const FREE: &str = r#"authentication "none""#;

/// One that asks five times a second, with a role for that.
fn setup() -> Setup {
    lonely().also(SERVICE)
}

/// Without a rule to ask by.
fn lonely() -> Setup {
    // A second pooler in one test finds it there.
    let _ = Postgres::shared().admin().query("create role checker login");
    Setup::new().global("group_checker_interval 200")
}

fn members(pooler: &Pooler, group: &str, count: usize) {
    pooler.wait_for_line(&format!("group postgres.group_{group} has {count} members now"));
}

fn ann() -> Login {
    Login::new("ann", "postgres")
}

fn sql(text: &str) {
    assert_eq!(Postgres::shared().admin().query(text).error(), None, "{text}");
}

#[test]
fn membership_comes_and_goes() {
    let (setup, query) = (setup(), "select name from staff");
    sql("create table staff (name text); grant select on staff to checker");
    let pooler = setup
        .also(&group("staff", "", query, FREE))
        .also(&group("far", r#""255.0.0.0/24""#, query, FREE))
        .rule("postgres", "bob", OPEN)
        .with(r#"pool "transaction""#)
        .start();
    members(&pooler, "staff", 0);
    let refused = pooler.refused(&ann());
    assert_eq!(refused.code, "3D000");
    assert!(refused.message.ends_with("route for 'postgres.ann' is not found"), "{refused:?}");

    sql("insert into staff values ('ann'), (null), ('eve')");
    members(&pooler, "staff", 2);
    let mut client = pooler.login(&ann());
    assert_eq!(client.scalar("select current_user"), "postgres");
    pooler.wait_for_line("route 'postgres.ann' to 'postgres.group_staff'");
    assert_eq!(pooler.refused(&Login::new("group_staff", "postgres")).code, "3D000");

    sql("delete from staff where name = 'ann'");
    members(&pooler, "staff", 1);
    assert_eq!(pooler.refused(&ann()).code, "3D000");
    assert_eq!(client.scalar("select 1"), "1", "who is in stays in");
    let servers = "select count(*) from pg_stat_activity where usename = 'checker'";
    let servers: usize = Postgres::shared().admin().scalar(servers).parse().unwrap();
    assert!(servers <= 2, "two groups ask again and again by way of the same servers");
    pooler.stop_with(vec![client]);
}

#[test]
fn the_last_answer_stays_good_while_there_is_no_other() {
    let setup = setup();
    sql("create table staff (name text); grant select on staff to checker");
    sql("insert into staff values ('ann')");
    let pooler = setup.also(&group("staff", "", "select name from staff", FREE)).start();
    members(&pooler, "staff", 1);

    sql("alter table staff rename to nobody");
    let line = pooler.wait_for_line("group_query of postgres.group_staff failed");
    assert!(
        line.contains("42P01") && line.contains("the last answer stays good, 1 members"),
        "{line}"
    );
    assert!(line.contains("(group_checker)"), "{line}");
    let mut client = pooler.login(&ann());
    assert_eq!(client.scalar("select 1"), "1");

    sql("alter table nobody rename to staff; insert into staff values ('eve')");
    members(&pooler, "staff", 2);
    pooler.stop_with(vec![client]);
}

/// Seen to fail: a rule that takes a group nobody has asked for one without members sends the first
/// clients to the rule behind it, as Odyssey does for seven seconds.
#[test]
fn the_first_login_waits_for_the_first_answer() {
    let query = "select 'ann' from pg_advisory_xact_lock(77)";
    let setup = setup();
    let mut gate = Postgres::shared().admin();
    gate.query("select pg_advisory_lock(77)");
    let pooler = setup
        .also(&group("slow", "", query, FREE))
        .rule("default", "default", OPEN)
        .with(r#"storage_user "app" pool "transaction""#)
        .start();
    let mut elsewhere = pooler.login(&Login::new("ann", "other"));
    assert_eq!(elsewhere.scalar("select current_user"), "app");
    assert!(!pooler.log().contains("members now"), "it did not wait");
    let mut client = pooler.connect();
    client.send(&ann().packet());
    assert!(client.is_silent_for(Duration::from_millis(300)), "there is no answer yet");
    gate.query("select pg_advisory_unlock(77)");
    assert_eq!(client.until_ready().error(), None);
    assert_eq!(client.scalar("select current_user"), "postgres");
    let mut other = pooler.login(&Login::new("eve", "postgres"));
    assert_eq!(other.scalar("select current_user"), "app");
    pooler.stop_with(vec![client, other, elsewhere]);
}

/// Seen to fail: without a bound of its own the login hangs as long as the server is silent.
#[test]
fn a_silent_server_holds_up_the_first_login_for_a_moment_and_no_other() {
    let mute = FakeServer::start(FakeSession::stay_silent);
    let storage = format!(r#"type "remote" host "127.0.0.1" port {}"#, mute.port);
    let pooler = lonely()
        .storage("mute", &storage)
        .also(&SERVICE.replace("\"pg\"", "\"mute\""))
        .also(&group("staff", "", "select 'ann'", FREE))
        .rule("default", "default", OPEN)
        .with(r#"storage_user "app" pool "transaction""#)
        .start();
    for limit in [Duration::from_secs(12), Duration::from_millis(4800)] {
        let begun = Instant::now();
        let mut client = pooler.login(&ann());
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
        assert_eq!(client.scalar("select current_user"), "app");
    }
    let line = pooler.wait_for_line("group_query of postgres.group_staff failed");
    assert!(line.contains("timed out"), "{line}");
    pooler.stop();
}

/// Seen to fail: where "unknown" is "not a member", the blocked come in while the server is down.
#[test]
fn a_group_that_keeps_out_fails_closed() {
    let blocked = r#"authentication "block""#;
    let pooler = setup()
        .also(&group("evil", "", "select nonsense", blocked))
        .also(&group("good", "", "select nonsense", FREE))
        .rule("default", "default", OPEN)
        .with(r#"storage_user "app" pool "transaction""#)
        .start();
    pooler.wait_for_line("group_query of postgres.group_evil failed");
    let refused = pooler.refused(&ann());
    assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("FATAL", "28000"));
    assert!(refused.message.ends_with("user blocked: postgres ann"), "{refused:?}");
    let mut client = pooler.login(&Login::new("ann", "other"));
    assert_eq!(client.scalar("select current_user"), "app");
    pooler.stop_with(vec![client]);
}

#[test]
fn members_of_a_group_prove_who_they_are() {
    let options = r#"authentication "md5" password "password1""#;
    let pooler = setup().also(&group("staff", "local", "select 'ann'", options)).start();
    members(&pooler, "staff", 1);
    assert_eq!(pooler.refused(&ann().password("password1")).code, "3D000", "not by TCP");
    let login = |password: &str| {
        let mut client = crate::support::Client::try_connect(&pooler.socket_address()).unwrap();
        client.start(&ann().password(password)).map(|()| client)
    };
    assert_eq!(login("wrong").err().expect("refused").code, "28P01");
    let mut client = login("password1").expect("let in");
    assert_eq!(client.scalar("select current_user"), "postgres");
    pooler.stop_with(vec![client]);
}

#[test]
fn what_a_group_query_may_not_do() {
    for (query, complaint) in [
        ("select 1, 2", "one column is expected, 2 came"),
        ("begin", "the transaction was left open"),
    ] {
        let pooler = setup().also(&group("staff", "", query, FREE)).start();
        let line = until(&format!("a complaint about {query}"), PATIENCE, || {
            let log = pooler.log();
            log.lines().find(|line| line.contains("group_query of")).map(str::to_owned)
        });
        assert!(line.contains(complaint), "{query}: {line}");
        assert!(line.contains("nobody is known to be a member"), "{line}");
        pooler.stop();
    }
}

/// A long list is taken; an endless one costs no more than its bound, and is stopped.
#[test]
fn there_may_be_many_members_but_not_any_number() {
    let many = "select 'u' || generate_series(1, 100000)";
    let endless = "select repeat('x', 60) || generate_series(1, 1000000)";
    let pooler = setup()
        .also(&group("many", "", many, FREE))
        .also(&group("endless", "", endless, FREE))
        .start();
    members(&pooler, "many", 100_000);
    let line = pooler.wait_for_line("group_query of postgres.group_endless failed");
    assert!(line.contains("the answer has more than 16777216 bytes"), "{line}");
    let mut client = pooler.login(&Login::new("u77777", "postgres"));
    assert_eq!(client.scalar("select current_user"), "postgres");
    assert_eq!(pooler.refused(&Login::new("u100001", "postgres")).code, "3D000");
    let kib = pooler.memory_peak_kib();
    assert!(kib < 200 * 1024, "{kib} KiB");
    pooler.stop_with(vec![client]);
}

#[test]
fn an_internal_rule_is_not_for_clients() {
    let pooler = setup().also(&group("staff", "", "select 'ann'", FREE)).start();
    assert_eq!(pooler.refused(&Login::new("checker", "postgres")).code, "3D000");
    pooler.stop();
}

/// A question that hangs ends by itself, and the process does not wait for it.
#[test]
fn a_slow_question_does_not_hold_up_the_end() {
    let pooler = setup().also(&group("slow", "", "select 'x' from pg_sleep(60)", FREE)).start();
    Postgres::shared().wait_for_backends("query like '%pg_sleep(60)%'", 1, PATIENCE);
    let begun = Instant::now();
    pooler.stop();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
