//! A setting that the server rejects in front of a query: the client gets the server's own error,
//! its query does not run, and the connection goes on.

use crate::support::fake::{self, FakeSession};
use crate::support::message::cstr;
use crate::support::{Answer, Client, FakeServer, Login, Pooler, Postgres, Setup, Wire};

/// What the client asks for at startup, and what the server says to it.
struct Bad {
    login: Login,
    code: String,
    text: String,
}

fn app() -> Login {
    Login::new("app", "postgres")
}

/// Parameters that no server takes, as this version of PostgreSQL rejects them.
fn bad_logins() -> Vec<Bad> {
    const BAD: [(&str, &str); 7] = [
        ("role", "postgres"),
        ("role", "nobody's"),
        ("statement_timeout", "nonsense"),
        ("no_such_thing", "1"),
        ("TimeZone", "Mars/Phobos"),
        ("log_statement", "all"),
        ("search_path", "a,,b"),
    ];
    let mut direct = Client::try_connect(&Postgres::shared().address()).unwrap();
    direct.start(&app()).unwrap();
    let mut bad = |name: &str, value: &str, login: Login| {
        let error = direct.extended("select set_config($1, $2, false)", &[name, value]).error();
        let error = error.unwrap_or_else(|| panic!("{name} = {value} is rejected"));
        Bad { login, code: error.code, text: error.message }
    };
    let given = BAD.map(|(name, value)| bad(name, value, app().option(name, value)));
    let options = "-c work_mem=5MB -c statement_timeout=nonsense -c geqo=off";
    let among = bad("statement_timeout", "nonsense", app().option("options", options));
    given.into_iter().chain([among]).collect()
}

/// A table that only a query that ran could have filled.
fn evidence(name: &str) -> Client {
    let mut admin = Postgres::shared().admin();
    let made = admin.query(&format!("create table {name} (i int); grant all on {name} to public"));
    assert_eq!(made.error(), None);
    admin
}

fn expect_error(answer: &Answer, bad: &Bad, at: &str) {
    let error = answer.error().unwrap_or_else(|| panic!("{at}: an error: {answer:?}"));
    let told = (error.severity.as_str(), error.code.as_str(), error.message.as_str());
    assert_eq!(told, ("ERROR", bad.code.as_str(), bad.text.as_str()), "{at}");
    assert_eq!(answer.shape(), format!("E/{} Z/I", bad.code), "{at}: nothing but the error");
}

fn log_in(pooler: &Pooler, bad: &Bad) -> Client {
    let mut client = pooler.connect();
    client.start(&bad.login).unwrap_or_else(|e| panic!("{:?}: {e:?}", bad.login.options));
    client
}

/// The transaction of a virtual BEGIN failed with the settings; a text ends it and goes on. Seen to
/// fail: a pooler that puts nothing in front of what is said in a failed transaction.
#[test]
fn what_stands_behind_a_rollback_in_its_text_is_refused_too() {
    let mut admin = evidence("never_behind");
    let pooler = Setup::transaction(1).start();
    let mut other = pooler.login(&app());
    let insert = "insert into never_behind values (1)";
    for ends in [
        format!("rollback; {insert}"),
        format!("commit; {insert}"),
        format!("rollback; begin; {insert}"),
        "rollback and chain".to_owned(),
    ] {
        let mut client = pooler.login(&app().option("role", "postgres"));
        let shape = |client: &mut Client, text: &str| {
            client.send(&Wire::new().query(text));
            client.until_ready().shape()
        };
        assert_eq!(shape(&mut client, "begin"), "C Z/T");
        assert_eq!(shape(&mut client, insert), "E/42501 Z/E");
        assert_eq!(shape(&mut client, insert), "E/25P02 Z/E");
        assert_eq!(shape(&mut client, &ends), "E/25P02 Z/I", "{ends}");
        assert_eq!(shape(&mut client, insert), "E/42501 Z/I", "{ends}");
        assert_eq!(other.scalar("select 'free'"), "free");
        assert_eq!(shape(&mut client, "begin"), "C Z/T");
        assert_eq!(shape(&mut client, insert), "E/42501 Z/E");
        assert_eq!(shape(&mut client, " rollback /* alone */;"), "C Z/I");
        client.leave();
    }
    assert_eq!(admin.scalar("select count(*) from never_behind"), "0");
    pooler.stop_with(vec![other]);
}

/// The client says at once what comes next. Seen to fail: a pooler that puts nothing in front of a
/// request as long as it asks the server what the refused one before may have left: the second one
/// runs with the settings of nobody. And one that takes what the server has, where the refused one
/// would have set something, for what the client wants.
#[test]
fn what_follows_a_refused_request_is_refused_too() {
    const ROUNDS: usize = 10;
    let mut admin = evidence("never_followed");
    let pooler = Setup::transaction(1).start();
    let mut other = pooler.login(&app());
    let mut nonsense = pooler.login(&app().option("statement_timeout", "nonsense"));
    let insert = || Wire::new().extended("insert into never_followed values (1)", &[]).sync();
    for first in [
        "set geqo = off",
        "set timezone = 'Asia/Tokyo'",
        "select set_config('my.own', 'x', false)",
        "create temp table t (i int)",
        "select pg_advisory_lock(1)",
        "listen x",
    ] {
        let mut client = pooler.login(&app().option("role", "postgres"));
        for _ in 0..ROUNDS {
            assert_eq!(other.query("set timezone = 'UTC'").error(), None);
            for request in [Wire::new().query(first), insert()] {
                client.send(&request);
                assert_eq!(client.until_ready().shape(), "E/42501 Z/I", "{first}");
            }
        }
        client.leave();
    }
    for _ in 0..ROUNDS {
        for request in [Wire::new().query("set statement_timeout = 0"), insert()] {
            nonsense.send(&request);
            assert_eq!(nonsense.until_ready().shape(), "E/22023 Z/I", "it was never set");
        }
        assert_eq!(other.scalar("show statement_timeout"), "0");
    }
    assert_eq!(admin.scalar("select count(*) from never_followed"), "0");
    pooler.stop_with(vec![other, nonsense]);
}

/// Reference §12.3, 1, second half. Seen to fail: settings sent as a Query of their own, whose
/// failure does not stop the client's query; and a pooler that closes the connection instead.
#[test]
fn a_rejected_deploy_disconnects_nobody_and_runs_nothing() {
    let mut admin = evidence("never_filled");
    let pooler = Setup::transaction(1).start();
    let mut other = pooler.login(&app().option("options", "-c work_mem=6MB"));
    let insert = "insert into never_filled values (1)";
    let batch = || Wire::new().extended(insert, &[]).sync();
    let named = Wire::new().parse("s", insert).describe_statement("s").run("s", &[]).sync();
    let flushed = Wire::new().extended(insert, &[]).flush().sync();
    let requests = [
        ("simple", Wire::new().query(insert), 1),
        ("a string of many", Wire::new().query(&format!("select 1; {insert}; {insert}")), 1),
        ("a string that commits", Wire::new().query(&format!("begin; {insert}; commit")), 1),
        ("simple, pipelined", Wire::new().query(insert).query(insert), 2),
        ("extended", batch(), 1),
        ("named", named, 1),
        ("with a Flush", flushed, 1),
        ("batches", batch().raw(&batch().0).raw(&batch().0), 3),
        ("mixed", batch().query(insert).raw(&batch().0), 3),
        (
            "copy",
            Wire::new().query("copy never_filled from stdin").copy_data(b"1\n").copy_done(),
            1,
        ),
    ];
    for bad in bad_logins() {
        let mut client = log_in(&pooler, &bad);
        for (name, wire, readies) in &requests {
            client.send(wire);
            for batch in 0..*readies {
                let at = format!("{name}, {batch}, {:?}", bad.login.options);
                expect_error(&client.until_ready(), &bad, &at);
            }
            assert_eq!(other.scalar("show work_mem"), "6MB", "the server is as good as before");
        }
        assert_eq!(admin.scalar("select count(*) from never_filled"), "0", "{}", bad.text);
        client.leave();
    }
    assert_eq!(other.query(insert).commands(), ["INSERT 0 1"]);
    pooler.stop_with(vec![other]);
}

/// The server that rejected is in nobody's hands afterwards, and in no transaction.
#[test]
fn a_rejected_setting_costs_others_nothing() {
    let postgres = Postgres::shared();
    let login = postgres.role("rejected_ones");
    let pooler = Setup::transaction(2).start();
    let mut good = pooler.login(&login.clone().option("options", "-c work_mem=5MB"));
    let pid = good.scalar("select pg_backend_pid()");
    let mut bad: Vec<Client> = (0..10)
        .map(|_| pooler.login(&login.clone().option("options", "-c statement_timeout=nonsense")))
        .collect();
    for client in &mut bad {
        assert_eq!(client.query("select 1").shape(), "E/22023 Z/I");
        client.send(&Wire::new().query("select 1").query("select 2"));
    }
    for client in &mut bad {
        assert_eq!(client.until_ready().shape(), "E/22023 Z/I");
        assert_eq!(client.until_ready().shape(), "E/22023 Z/I");
        assert_eq!(good.scalar("show work_mem"), "5MB");
    }
    let mut admin = postgres.admin();
    let still = format!("select count(*) from pg_stat_activity where pid = {pid}");
    assert_eq!(admin.scalar(&still), "1", "no connection was lost over it");
    let stuck = "usename = 'rejected_ones' and state like 'idle in%'";
    postgres.wait_for_backends(stuck, 0, crate::support::CLEANUP);
    bad.push(good);
    pooler.stop_with(bad);
}

/// What was good yesterday may be rejected today: the role is taken away from a client that lives.
#[test]
fn a_setting_that_is_rejected_later() {
    let mut admin = evidence("never_filled_later");
    admin.query(&super::role("bellboy"));
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    client.query("set role bellboy");
    assert_eq!(client.scalar("select current_user"), "bellboy");
    assert_eq!(admin.query("revoke bellboy from app").error(), None);
    assert_eq!(other.scalar("select current_user"), "app");
    let answer = client.query("insert into never_filled_later values (1)");
    assert_eq!(answer.shape(), "E/42501 Z/I");
    assert_eq!(admin.query("grant bellboy to app").error(), None);
    assert_eq!(other.scalar("select current_user"), "app");
    assert_eq!(client.scalar("select current_user"), "bellboy", "and good again");
    assert_eq!(admin.scalar("select count(*) from never_filled_later"), "0");
    pooler.stop_with(vec![client, other]);
}

/// A server that takes no setting, and says so at length.
fn refuse_at_length(mut session: FakeSession) -> Option<()> {
    session.greet()?;
    let mut executed = 0;
    loop {
        let complete = |text: &str| Wire::new().message(b'C', &cstr(text));
        let answer = match session.read()? {
            (b'P', _) => Wire::new().message(b'1', &[]),
            (b'B', _) => Wire::new().message(b'2', &[]),
            (b'C', _) => Wire::new().message(b'3', &[]),
            (b'E', _) if executed == 0 => {
                executed += 1;
                complete("BEGIN")
            }
            (b'E', _) => {
                session.send(&fake::error("ERROR", "22023", &"no, ".repeat(20_000)))?;
                session.read_until(b"S")?;
                Wire::new().message(b'Z', b"E")
            }
            (b'Q', _) => complete("ROLLBACK").message(b'Z', b"I"),
            (tag, _) => panic!("{:?} is not to come", char::from(tag)),
        };
        session.send(&answer)?;
    }
}

/// Seen to fail: a pooler that overlooks an error that is too long to be looked into. The query was
/// skipped with the settings, and nobody asked the server to go on.
#[test]
fn a_long_rejection_is_one_too() {
    let server = FakeServer::start(|session| {
        refuse_at_length(session);
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut client = pooler.login(&app().option("TimeZone", "Mars/Phobos"));
    let answer = client.query("update something");
    assert_eq!(answer.shape(), "E/22023 Z/I");
    assert_eq!(answer.error().map(|error| error.message.len()), Some(80_000));
    pooler.stop_with(vec![client]);
}
