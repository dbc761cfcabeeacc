//! What is said, in which words, about whom.

use super::{serves, without_chance};
use crate::support::process::write;
use crate::support::{Login, Pooler, Setup, Wire};
use rustix::process::Signal;
use serde_json::Value;

/// Each line as level, ids, context and message, its numbers gone.
fn said(pooler: &Pooler) -> Vec<String> {
    let log = pooler.log();
    let strip = |line: &str| Some(line.splitn(3, ' ').nth(2)?.to_owned());
    log.lines().filter_map(strip).map(|line| without_chance(&line)).collect()
}

#[track_caller]
fn check_said(pooler: &Pooler, expected: &[&str]) {
    let said = said(pooler);
    let lacking: Vec<&&str> =
        expected.iter().filter(|line| !said.iter().any(|it| it == **line)).collect();
    assert!(lacking.is_empty(), "{lacking:#?} in\n{}", said.join("\n"));
}

/// Odyssey's standard lines, word by word, with their contexts. Tools grep for them.
#[test]
fn standard_lines_are_odysseys() {
    let setup = Setup::transaction(1).with("log_debug yes log_query yes");
    let pooler = setup.global("log_stats yes").global("stats_interval 1").start();
    let mut client = pooler.client();
    client.query("select 1");
    let batch = Wire::new().parse("s", "select 2").describe_statement("s");
    let batch = batch.bind("", "s", &[]).describe_portal("").execute("", 0).flush();
    client.send(&batch.close_portal("").close_statement("s").sync());
    client.until_ready();
    client.query("select no_such_column");
    client.leave();
    pooler.refused(&Login::new("app", "nowhere"));
    pooler.wait_for_line("] 0 clients, ");
    check_said(
        &pooler,
        &[
            "info [none none] (startup) Starting Odyssey",
            "info [none none] (server) listening on N.N.N.N:N",
            "info [c… none] (startup) new client connection N.N.N.N:N",
            "info [c… none] (startup) route 'postgres.app' to 'default_db.default_user'",
            "info [none s…] (context) new server connection N.N.N.N:N -> N.N.N.N:N (connect \
             time: N usec, resolve time: N usec)",
            "info [c… none] (setup) login time: N microseconds",
            "info [c… none] (setup) client connection from N.N.N.N:N to route \
             default_db.default_user accepted",
            "info [c… none] (query) select N",
            "info [c… none] (parse) s select N",
            "info [c… none] (describe) (statement) name: s",
            "info [c… none] (bind) bind stmt 's' to portal ''",
            "info [c… none] (describe) (portal) name: ",
            "info [c… none] (execute) name: ",
            "info [c… none] (flush) flush",
            "info [c… none] (close) portal, name: ",
            "info [c… none] (close) prepared statement, name: s",
            "info [c… none] (sync) sync",
            "debug [c… none] (main) query time: N microseconds",
            "error [c… s…] (main) ERROR N column \"no_such_column\" does not exist",
            "info [c… none] (main) client disconnected addr 'N.N.N.N:N', io error = terminated by \
             the client, status OD_OK, route postgres.app, working time: Nus, N queries, N \
             transactions",
            "info [none none] (stats) system worker: msg (N allocated, N cached, N freed, N \
             cache_size), coroutines (N active, N cached) startup errors N",
            "info [none none] (stats) worker[N]: msg (N allocated, N cached, N freed, N \
             cache_size), coroutines (N active, N cached), clients_processed: N",
            "info [none none] (stats) logger: msg (N allocated, N cached, N freed, N \
             cache_size), coroutines (N active, N cached), dropped lines N, queue size N",
            "info [none none] (stats) clients N",
            "info [none none] (stats) [default_db.default_user] N clients, N active servers, N \
             idle servers, N transactions/sec (N usec) N queries/sec (N usec) N in bytes/sec, N \
             out bytes/sec",
        ],
    );
    pooler.stop();
}

#[test]
fn debug_and_queries_can_be_had_for_one_rule() {
    let open = r#"authentication "none" storage "pg" storage_user "app" pool "transaction""#;
    let loud = format!("{open} log_debug yes log_query yes");
    let setup = Setup::new().rule("postgres", "loud", &loud).rule("postgres", "app", open);
    let pooler = setup.rule("postgres", "other", open).start();
    let mut loud = pooler.login(&Login::new("loud", "postgres"));
    for mut client in [pooler.client(), pooler.login(&Login::new("other", "postgres"))] {
        client.query("select 'quiet'");
    }
    loud.query("select 'loud'");
    loud.leave();
    pooler.wait_for_line("query time: ");
    let log = pooler.log();
    assert!(log.contains("(query) select 'loud'") && !log.contains("'quiet'"), "{log}");
    assert_eq!(log.matches("query time: ").count(), 1, "{log}");
    pooler.stop();
}

fn objects(log: &str) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

/// Odyssey's JSON breaks at 1 KiB and at bytes that are no UTF-8.
#[test]
fn whatever_clients_send_json_is_json() {
    let setup = Setup::transaction(1).with("log_query yes log_debug yes");
    let pooler = setup.global("log_format \"JSON\"").start();
    // The server refuses the name; its error is logged with it.
    pooler.refused(&Login::new("app\"\\\u{1}\n{\"level\":\"x\"}", "no\t/"));
    let mut client = pooler.client();
    let long = "é\"\\\n\t\u{1}".repeat(3000);
    client.query(&format!("select '{long}'"));
    client.send(&Wire::new().message(b'Q', b"select '\xff\xfe\xed\xa0\x80'\0"));
    client.until_ready();
    client.leave();
    pooler.wait_for_line("\"queries\":2");
    let log = pooler.log();
    let lines = objects(&log);
    let ended = lines.iter().find(|line| line["queries"] == 2).expect("the end of the session");
    assert_eq!(ended["client"]["user"], "app");
    assert_eq!(ended["client"]["server_host"], "127.0.0.1");
    assert_eq!((&ended["status"], &ended["transactions"]), (&"OD_OK".into(), &2.into()));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (id, uuid) = (text(&ended["client"]["id"]), text(&ended["client"]["uuid"]));
    assert!(uuid.replace('-', "").starts_with(&id[1..]) && uuid.len() == 36, "{ended}");
    assert!(log.contains("\\u0001"), "{log}");
    pooler.stop();
}

/// One line tells the end of a session: who, why, how long, how much.
#[test]
fn each_session_ends_in_one_line() {
    let limit = "pool_idle_in_transaction_timeout 1";
    let setup = Setup::session(9).with(limit).global("log_format \"json\"");
    let mut pooler = setup.start();
    pooler.client().leave();
    pooler.client().vanish_by_reset();
    let mut nonsense = pooler.client();
    nonsense.send(&Wire::new().message(b'@', b""));
    nonsense.until_closed();
    let mut idle = pooler.client();
    idle.query("begin");
    idle.until_closed();
    let mut killed = pooler.client();
    killed.query("select pg_terminate_backend(pg_backend_pid())");
    killed.until_closed();
    let mut last = pooler.client();
    last.query("select 1");
    pooler.signal(Signal::TERM);
    last.until_closed();
    assert!(pooler.wait_for_exit(crate::support::PATIENCE).success());
    let lines = objects(&pooler.log());
    let accepted: Vec<&Value> = lines.iter().filter(|line| is(line, " accepted")).collect();
    assert_eq!(accepted.len(), 6);
    let mut reasons = Vec::new();
    for line in accepted {
        let ends = |it: &&Value| it["event"] == "client_disconnected";
        let same = |it: &&Value| it["client"]["uuid"] == line["client"]["uuid"];
        let ends: Vec<&Value> = lines.iter().filter(same).filter(ends).collect();
        let [end] = ends[..] else { panic!("{line} ends in {ends:?}") };
        assert_eq!(
            (&end["client"]["user"], &end["client"]["database"]),
            (&"app".into(), &"postgres".into())
        );
        assert!(end["working_us"].as_u64().is_some() && end["reason"].is_string(), "{end}");
        reasons.push(end["status"].as_str().unwrap_or_default().to_owned());
    }
    let expected = [
        "OD_OK",
        "OD_ECLIENT_READ",
        "OD_ECLIENT_PROTOCOL_ERROR",
        "OD_EIDLE_IN_TRANSACTION_TIMEOUT",
        "OD_ESERVER_READ",
        "OD_EGRACEFUL_SHUTDOWN",
    ];
    assert_eq!(reasons, expected);
}

fn is(line: &Value, ending: &str) -> bool {
    line["message"].as_str().is_some_and(|message| message.ends_with(ending))
}

#[test]
fn tskv_and_logfmt_have_every_field_of_a_client() {
    for (format, separator, expected) in [("tskv", '\t', "tskv"), ("logfmt", ' ', "timestamp=")] {
        let pooler = Setup::transaction(1).global(&format!("log_format \"{format}\"")).start();
        serves(&pooler, 1);
        let line = pooler.wait_for_line("status=OD_OK");
        assert!(line.starts_with(expected), "{line}");
        for field in [
            "client=c",
            "client_uuid=",
            "user=app",
            "database=postgres",
            "queries=1",
            "context=main",
        ] {
            let found = line.split(separator).any(|it| it.starts_with(field));
            assert!(found, "{field} in {line}");
        }
        pooler.stop();
    }
}

/// Against flags that a reload forgets.
#[test]
fn a_reload_turns_query_lines_on_for_who_comes_then() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let mut early = pooler.client();
    early.query("select 'before'");
    let text = setup.with("log_query yes").text(pooler.port, &pooler.socket_dir());
    write(&pooler.socket_dir(), "odyssey.conf", &text);
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("reload done");
    let mut late = pooler.client();
    late.query("select 'after'");
    pooler.wait_for_line("(query) select 'after'");
    assert!(!pooler.log().contains("'before'"));
    pooler.stop_with(vec![early, late]);
}

#[test]
fn a_host_without_an_address_is_told_in_the_words_that_operators_look_for() {
    let setup = Setup::without_storage()
        .storage("pg", r#"type "remote" host "no..name" port 5432"#)
        .rule("default", "default", r#"authentication "none" storage "pg" pool "session""#);
    let pooler = setup.start();
    pooler.refused(&Login::new("app", "postgres"));
    pooler.wait_for_line("connect: failed to resolve no..name: ");
    pooler.stop();
}
