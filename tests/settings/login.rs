//! What a client gives at startup, and what it is told there.

use crate::support::fake::{one_row, parameter};
use crate::support::{Client, FakeServer, Login, Play, Postgres, Setup};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn app() -> Login {
    Login::new("app", "postgres")
}

/// Seen to fail: a pooler with a list of the parameters it knows drops the rest of them in silence,
/// one that parses `options` stops at the first word it does not know.
#[test]
fn no_startup_parameter_is_dropped() {
    let options = r"-c geqo=off -c my.tenant=x\ y -cwork_mem=5MB --lock-timeout=7s -c seq_page_cost=1.5 --my.other=\\";
    let a = app().option("application_name", "shop").option("TimeZone", "Europe/Paris");
    let a = a.option("datestyle", "german").option("search_path", r#""a,b", c, "x y""#);
    let a = a.option("statement_timeout", "70s").option("extra_float_digits", "-3");
    let a = a.option("client_encoding", "LATIN1").option("options", options);
    let b =
        app().option("geqo", "on").option("my.tenant", "it's \"b\" \\").option("WORK_MEM", "6MB");
    let c = app().option("client_encoding", "'utf-8'").option("options", "");
    Play::new("startup")
        .login('a', a)
        .login('b', b)
        .login('c', c)
        .lines(
            r#"a: show application_name => shop
               b: show application_name =>
               a: show timezone => Europe/Paris
               a: show datestyle
               a: show search_path
               a: show statement_timeout => 70s
               a: select 1.23456789::float8 => 1.23456789
               a: show client_encoding => LATIN1
               c: show client_encoding => UTF8
               b: show client_encoding => UTF8
               a: show geqo => off
               b: show geqo => on
               a: show my.tenant => x y
               b: show my.tenant => it's "b" \
               a: show my.other => \
               a: show work_mem => 5MB
               b: show work_mem => 6MB
               c: show work_mem => 4MB
               a: show lock_timeout => 7s
               a: show seq_page_cost => 1.5
               a! show work_mem => 5MB
               a: begin => BEGIN /T
               a: show work_mem => 5MB /T
               a: selec => !42601 /E
               a: rollback => ROLLBACK
               a: show work_mem => 5MB
               b: show statement_timeout => 0
               b: show search_path => "$user", public"#,
        )
        .as_direct();
}

/// The server shows what `SET` would have made of the list, or, without the option, what the client
/// wrote; it means the same. Seen to fail: with the option read and forgotten.
#[test]
fn smart_search_path_enquoting_shows_a_list_as_set_writes_it() {
    let smart = Setup::transaction(1).global("smart_search_path_enquoting yes").start();
    let plain = Setup::transaction(1).start();
    let mut direct = Postgres::shared().admin();
    for list in [r#""$user",public,popis"#, r#"Public , "Mine""#, r#""a,b","say ""so""",_9"#] {
        direct.query(&format!("set search_path = {list}"));
        let login = app().option("search_path", list);
        let written = direct.scalar("show search_path");
        let (mut smart, mut plain) = (smart.login(&login), plain.login(&login));
        assert_eq!(smart.scalar("show search_path"), written);
        assert_eq!(plain.scalar("show search_path"), list);
        let schemas = "select current_schemas(true)::text";
        assert_eq!(smart.scalar(schemas), plain.scalar(schemas));
        smart.query("set search_path = nowhere");
        smart.query("reset search_path");
        assert_eq!(smart.scalar("show search_path"), written);
        smart.leave();
        plain.leave();
    }
    let trick = app().option("options", "--search-path=public;create/**/table/**/trick()");
    let mut client = smart.login(&trick);
    assert_eq!(client.scalar("show search_path"), r#""public;create/**/table/**/trick()""#);
    assert_eq!(client.query("select * from public.trick").code(), "42P01");
    smart.stop_with(vec![client]);
    plain.stop();
}

/// A role that the client asks for at startup. Seen to fail: without it the first query runs as
/// somebody who may do more.
#[test]
fn a_role_given_at_startup_is_there_at_the_first_query() {
    Play::new("role at startup")
        .before(&super::role("porter"))
        .login('a', app().option("role", "porter"))
        .lines(
            "a: select current_user => porter
             b: select current_user => app
             a! select current_user => porter
             a: set role none => SET
             a: select current_user => app
             a: reset role => RESET
             a: select current_user",
        )
        .as_direct();
}

fn all_settings(client: &mut Client) -> BTreeMap<String, Option<String>> {
    let rows = client.query("show all").rows();
    assert!(rows.len() > 100);
    rows.into_iter().map(|row| (row[0].clone().unwrap(), row[1].clone())).collect()
}

#[test]
fn show_all_of_a_fresh_client_equals_a_direct_connections() {
    let pooler = Setup::transaction(1).start();
    let mut direct = Client::try_connect(&Postgres::shared().address()).unwrap();
    direct.start(&app()).unwrap();
    let untouched = all_settings(&mut direct);
    let options = "-c work_mem=5MB -c geqo=off -c default_transaction_read_only=on";
    let mut other = pooler.login(&app().option("options", options).option("TimeZone", "UTC"));
    other.query("set statement_timeout = '70s'; set datestyle = german; set my.tenant = 'x'");
    other.query("set session characteristics as transaction isolation level repeatable read");
    other.query("select set_config('search_path', 'nowhere', false)");
    other.query("set client_encoding = 'LATIN1'; set application_name = 'other'");
    let mut fresh = pooler.client();
    assert_eq!(all_settings(&mut fresh), untouched);
    other.query("set work_mem = '7MB'");
    assert_eq!(all_settings(&mut fresh), untouched);
    assert_eq!(all_settings(&mut pooler.client()), untouched);
    pooler.stop_with(vec![fresh, other]);
}

/// Seen to fail: a login that shows every client of a route what the first one's server said.
#[test]
fn parameter_status_at_login_shows_the_clients_own_values() {
    let logins = [
        app(),
        app().option("TimeZone", "Asia/Tokyo").option("application_name", "shop"),
        app().option("DateStyle", "German, DMY").option("client_encoding", "LATIN1"),
        app().option("options", "-c intervalstyle=iso_8601 -c standard_conforming_strings=off"),
        app().option("options", r"-c TimeZone=Europe/Paris -c application_name=o\ o"),
        Login::new("postgres", "postgres"),
    ];
    let pooler = Setup::transaction(1).start();
    let mut clients = Vec::new();
    for round in 0..2 {
        for login in &logins {
            let mut direct = Client::try_connect(&Postgres::shared().address()).unwrap();
            direct.start(login).unwrap();
            let mut client = pooler.login(login);
            assert_eq!(client.parameters, direct.parameters, "round {round}, {:?}", login.options);
            client.query("set timezone = 'Pacific/Chatham'; set application_name = 'changed'");
            assert_eq!(client.parameters["TimeZone"], "Pacific/Chatham");
            clients.push(client);
        }
    }
    pooler.stop_with(clients);
}

/// The server's end of a connection that a client will not meet again: the next one says something
/// else of itself. Seen to fail: a pooler that swallows what servers say at their greeting.
#[test]
fn a_client_that_moves_to_another_kind_of_server_is_told() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = FakeServer::start(move |mut session| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let standby = if number == 0 { "off" } else { "on" };
        let told = parameter("server_version", &format!("15.{number}"));
        let told = told.raw(&parameter("in_hot_standby", standby).0);
        if session.greet_with(&told).is_none() {
            return;
        }
        while let Some((tag, _)) = session.read_until(b"Q") {
            session.send(&one_row());
            if number == 0 && tag == b'Q' {
                return; // this server is gone: the pooler opens another one
            }
        }
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut client = pooler.client();
    assert_eq!(client.query("select 'x'").column(), ["x"]);
    assert_eq!(client.parameters["server_version"], "15.0");
    pooler.wait_for_line("idle server lost");
    let answer = client.query("select 'x'");
    assert_eq!(answer.column(), ["x"]);
    assert_eq!(client.parameters["server_version"], "15.1", "{answer:?}");
    assert_eq!(client.parameters["in_hot_standby"], "on");
    pooler.stop_with(vec![client]);
}
