//! `auth_query`: the secrets of clients stand with PostgreSQL, which is asked for them.

use crate::support::pooler::{OPEN, SERVICE};
use crate::support::{Client, Login, PATIENCE, Pooler, Postgres, Setup, let_pass, until};
use std::time::{Duration, Instant};

const QUERY: &str = "select usename, passwd from pg_shadow where usename = $1";

/// How long an answer is believed at most, with room for a slow machine.
const LIFE: Duration = Duration::from_secs(11);

fn sql(text: &str) {
    assert_eq!(Postgres::shared().admin().query(text).error(), None, "{text}");
}

/// Everybody proves himself by `method`, with what `query` tells.
fn asking(method: &str, query: &str) -> Setup {
    let rule = format!(
        r#"authentication "{method}" storage "pg" pool "transaction" auth_query "{query}"
           auth_query_user "postgres" auth_query_db "postgres""#
    );
    Setup::new().also(SERVICE).rule("default", "default", &rule)
}

fn ann(password: &str) -> Login {
    Login::new("ann", "postgres").password(password)
}

const WRONG: (&str, &str) = ("28P01", "password authentication failed for user \"ann\"");

fn wrong(pooler: &Pooler, login: &Login) {
    let refused = pooler.refused(login);
    assert_eq!((refused.code.as_str(), refused.ours()), WRONG, "{refused:?}");
}

/// How often the query ran so far, by a function that counts.
const COUNTING: &str = "
    create table public.asked (name text);
    create function public.tell(name text) returns table (u text, p text) language sql volatile
        security definer set search_path = '' as $f$
        insert into public.asked values (name);
        select rolname::text, rolpassword from pg_catalog.pg_authid where rolname = name
    $f$;";

fn asked(name: &str) -> usize {
    let query = format!("select count(*) from public.asked where name = '{name}'");
    Postgres::shared().admin().scalar(&query).parse().unwrap()
}

#[test]
fn each_method_and_each_kind_of_secret() {
    sql("set password_encryption = 'md5'; create role ann_md5 login password 'hunter2'");
    sql("set password_encryption = 'scram-sha-256'; create role ann login password 'hunter2';
         create table plain (u text, p text); insert into plain values ('ann', 'hunter2')");
    let plain = "select u, p from public.plain where u = $1";
    for (method, user, query) in [
        ("clear_text", "ann", QUERY),
        ("clear_text", "ann_md5", QUERY),
        ("clear_text", "ann", plain),
        ("md5", "ann_md5", QUERY),
        ("md5", "ann", plain),
        ("scram-sha-256", "ann", QUERY),
        ("scram-sha-256", "ann", plain),
    ] {
        let pooler = asking(method, query).start();
        let login = Login::new(user, "postgres");
        let mut client = pooler.login(&login.clone().password("hunter2"));
        assert_eq!(client.scalar("select current_user"), user, "{method}");
        let refused = pooler.refused(&login.password("hunter3"));
        assert_eq!(refused.code, "28P01", "{method} {refused:?}");
        pooler.stop_with(vec![client]);
    }
}

/// Seen to fail: Odyssey dies of a NULL, and tells strangers apart by 28000.
#[test]
fn strangers_and_users_without_a_password_fail_as_wrong_passwords_do() {
    sql("create role nopass login; create role ann login password 'x'");
    for method in ["clear_text", "md5", "scram-sha-256"] {
        let pooler = asking(method, QUERY).start();
        for (user, why) in [
            ("nobody", "auth_query knows no such user"),
            ("nopass", "auth_query says that the user has no password"),
        ] {
            for password in ["", "x"] {
                let refused = pooler.refused(&Login::new(user, "postgres").password(password));
                let text = format!("password authentication failed for user \"{user}\"");
                assert_eq!((refused.code.as_str(), refused.ours()), ("28P01", text.as_str()));
            }
            pooler.wait_for_line(why);
        }
        pooler.stop();
    }
}

#[test]
fn valid_until_is_honoured() {
    sql("create role ann login password 'x' valid until '2020-01-01';
         create role bob login password 'x' valid until 'infinity';
         create role eve login password 'x' valid until '2999-12-31 12:00:00.5+03';
         create role kim login password 'x'; alter role postgres set datestyle = 'German'");
    let query = "select rolname, rolpassword, rolvaliduntil from pg_authid where rolname = $1";
    let pooler = asking("scram-sha-256", query).start();
    wrong(&pooler, &ann("x"));
    pooler.wait_for_line("the password has expired (VALID UNTIL)");
    for user in ["bob", "eve", "kim"] {
        pooler.login(&Login::new(user, "postgres").password("x"));
    }
    pooler.stop();
}

/// The one place where an operator finds out, and what he finds.
#[test]
fn a_query_that_tells_something_else_is_named_and_lets_nobody_in() {
    sql("create role ann login password 'x'");
    for (query, why) in [
        ("select passwd from pg_shadow where usename = $1", "it has 1 columns, and 2 or 3 are"),
        ("select 1, 2, null, 4", "it has 4 columns"),
        ("select usename, passwd from pg_shadow where $1 <> ''", "it has more than one row"),
        ("select usename, passwd, 'soon' from pg_shadow where usename = $1", "neither a timestamp"),
        ("select usename, passwd from nowhere where usename = $1", "42P01"),
        ("selekt $1", "42601"),
    ] {
        let pooler = asking("scram-sha-256", query).start();
        let refused = pooler.refused(&ann("x"));
        let text = "frontend auth: failed to make auth query";
        assert_eq!(refused.whole(), ("ERROR", "28000", text), "{query}");
        let line = pooler.wait_for_line("auth_query by postgres.postgres for user 'ann' failed");
        assert!(line.contains(why), "{line}");
        pooler.stop();
    }
}

/// Seen to fail: with the role's own search_path somebody who may create a table in `public` tells
/// the pooler what anybody's password is.
#[test]
fn a_search_path_leads_the_query_nowhere() {
    sql("create role ann login password 'x'; create schema evil;
         create view evil.pg_shadow as select 'ann'::name as usename, 'mine' as passwd;
         alter role postgres set search_path = evil, pg_catalog");
    let pooler = asking("scram-sha-256", QUERY).start();
    pooler.login(&ann("x"));
    wrong(&pooler, &ann("mine"));
    pooler.stop();
}

#[test]
fn a_name_is_a_parameter_and_never_sql() {
    let name = "o'x\"; drop table t --$1";
    sql(&format!("create role \"{}\" login password 'x'", name.replace('"', "\"\"")));
    let pooler = asking("scram-sha-256", QUERY).start();
    let mut client = pooler.login(&Login::new(name, "postgres").password("x"));
    assert_eq!(client.scalar("select current_user"), name);
    let refused = pooler.refused(&Login::new("' or 1=1 --", "postgres").password("x"));
    assert_eq!(refused.code, "28P01");
    pooler.stop_with(vec![client]);
}

#[test]
fn many_logins_of_one_user_are_one_question() {
    sql(COUNTING);
    sql("create role ann login password 'x'");
    let pooler = asking("scram-sha-256", "select * from public.tell($1)").start();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| pooler.login(&ann("x")));
        }
    });
    assert_eq!(asked("ann"), 1);
    for _ in 0..5 {
        pooler.login(&ann("x"));
    }
    assert_eq!(asked("ann"), 1);
    pooler.stop();
}

/// One that never asks again would let the old password in for ever.
#[test]
fn a_changed_password_counts_at_once_where_the_method_allows_and_soon_elsewhere() {
    sql("create role ann login password 'old'");
    let clear = asking("clear_text", QUERY).start();
    let scram = asking("scram-sha-256", QUERY).start();
    for pooler in [&clear, &scram] {
        pooler.login(&ann("old"));
    }
    sql("alter role ann password 'new'");
    let begun = Instant::now();
    let_pass(Duration::from_millis(1100)); // who guesses has nobody asked more often
    clear.login(&ann("new"));
    wrong(&scram, &ann("new"));
    scram.wait_for_line("auth_query tells another now");
    scram.login(&ann("new"));
    assert!(begun.elapsed() < Duration::from_secs(9), "not by the end of the old answer's life");
    for pooler in [&clear, &scram] {
        wrong(pooler, &ann("old"));
    }
    clear.stop();
    scram.stop();
}

#[test]
fn a_dropped_user_is_out_when_the_answer_is_old() {
    sql("create role ann login password 'x'");
    let pooler = asking("scram-sha-256", QUERY).start();
    pooler.login(&ann("x"));
    sql("drop role ann");
    until("the end of what was told", LIFE + PATIENCE, || {
        pooler.connect().start(&ann("x")).err().filter(|refused| refused.code == "28P01")
    });
    pooler.stop();
}

/// Guessing costs the server one question a second, not one a guess.
#[test]
fn guesses_do_not_become_questions() {
    sql(COUNTING);
    sql("create role ann login password 'x'");
    let pooler = asking("clear_text", "select * from public.tell($1)").start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| wrong(&pooler, &ann("guess")));
        }
    });
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(asked("ann") <= 2 + seconds, "{} questions in {seconds} s", asked("ann"));
    pooler.stop();
}

/// Behind a storage of its own, so that it can die alone.
#[test]
fn who_was_told_comes_in_while_the_auth_database_is_away() {
    sql("create role ann login password 'x'; create role bob login password 'x'");
    let gate = Gate::new(Postgres::shared().port);
    let storage = format!(r#"type "remote" host "127.0.0.1" port {}"#, gate.port);
    let service = SERVICE.replace("\"pg\"", "\"auth\"");
    let rule = format!(
        r#"authentication "scram-sha-256" storage "pg" pool "transaction" auth_query "{QUERY}"
           auth_query_user "postgres" auth_query_db "postgres""#
    );
    let setup = Setup::new().storage("auth", &storage).also(&service);
    let pooler = setup.rule("default", "default", &rule).start();
    pooler.login(&ann("x"));
    gate.close();
    let_pass(LIFE); // what was told is old now
    let begun = Instant::now();
    let mut client = pooler.login(&ann("x"));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!(client.scalar("select 1"), "1");
    let refused = pooler.refused(&Login::new("bob", "postgres").password("x"));
    assert_eq!(refused.whole().1, "28000", "{refused:?}");
    pooler.wait_for_line("for user 'bob' failed: failed to connect to remote server");
    pooler.stop_with(vec![client]);
}

/// Odyssey makes it of the default rule of the default database.
#[test]
fn the_internal_rule_may_be_left_out() {
    sql("create role ann login password 'x'");
    let rule = format!(
        r#"authentication "scram-sha-256" storage "pg" pool "transaction" auth_query "{QUERY}"
           auth_query_user "postgres" auth_query_db "postgres""#
    );
    let blocked = r#"authentication "block" storage "pg" pool "session""#;
    let setup = Setup::new().rule("postgres", "ann", &rule);
    let pooler = setup.clone().rule("default", "default", blocked).start();
    pooler.login(&ann("x"));
    assert_eq!(pooler.refused(&Login::new("postgres", "postgres")).code, "28000", "for us alone");
    pooler.stop();

    let pooler = setup.start();
    assert_eq!(pooler.refused(&ann("x")).code, "28000");
    pooler.wait_for_line("no internal rule for postgres.postgres");
    pooler.stop();
}

/// Seen to fail in Odyssey, which keeps one secret a route: the second user is let in by the
/// first one's.
#[test]
fn users_that_share_a_server_user_do_not_share_a_password() {
    sql("create role ann login password 'hers'; create role bob login password 'his'");
    let pooler = asking("scram-sha-256", QUERY).with(r#"storage_user "app""#).start();
    let bob = |password: &str| Login::new("bob", "postgres").password(password);
    let mut client = pooler.login(&ann("hers"));
    assert_eq!(client.scalar("select current_user"), "app");
    assert_eq!(pooler.refused(&bob("hers")).code, "28P01");
    pooler.login(&bob("his"));
    wrong(&pooler, &ann("his"));
    pooler.stop_with(vec![client]);
}

#[test]
fn the_query_leaves_nothing_in_the_server_it_used() {
    sql("create role ann login password 'x'");
    let service = SERVICE.replace(r#"pool "transaction""#, r#"pool "transaction" pool_size 1"#);
    let rule = format!(
        r#"authentication "scram-sha-256" storage "pg" pool "transaction" auth_query "{QUERY}"
           auth_query_user "postgres" auth_query_db "postgres""#
    );
    let pooler = Setup::new()
        .also(&service)
        .rule("postgres", "postgres", &format!(r#"{OPEN} pool "transaction" pool_size 1"#))
        .rule("postgres", "ann", &rule)
        .start();
    for user in ["nobody", "ann", "nopass", "ann"] {
        let _ = pooler.connect().start(&Login::new(user, "postgres").password("x"));
    }
    let state = "select count(*) filter (where state = 'idle'), count(*) from pg_stat_activity
                 where query like '%pg_shadow%' and pid <> pg_backend_pid()";
    let mut admin: Client = Postgres::shared().admin();
    assert_eq!(admin.query(state).rows(), [[Some("1".to_owned()), Some("1".to_owned())]]);
    pooler.stop();
}

/// A port that leads to another one until it is closed, with all that came through.
struct Gate {
    port: u16,
    open: std::sync::Arc<std::sync::Mutex<Option<Vec<std::net::TcpStream>>>>,
}

impl Gate {
    fn new(to: u16) -> Gate {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = std::sync::Arc::new(std::sync::Mutex::new(Some(Vec::new())));
        let theirs = open.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut open = theirs.lock().unwrap();
                let Some(streams) = open.as_mut() else { continue };
                let server = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
                streams.extend([client, server]);
            }
        });
        Gate { port, open }
    }

    fn close(&self) {
        for stream in self.open.lock().unwrap().take().into_iter().flatten() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
