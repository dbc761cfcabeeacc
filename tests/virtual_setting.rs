//! `odyssey.target_session_attrs`, which no server knows: asked and set as any other setting, and
//! answered by the pooler where the operator wants that.

use crate::support::pooler::OPEN;
use crate::support::{Answer, Client, Login, PATIENCE, Pooler, Postgres, Setup, Wire};

const SHOW: &str = "show odyssey.target_session_attrs";

fn setup(mode: &str) -> Setup {
    let pool = format!("{OPEN} pool \"{mode}\" pool_size 2");
    Setup::new().rule("default", "default", &pool).global("virtual_processing yes")
}

fn shapes(answer: &Answer) -> String {
    answer.0.iter().map(|message| message.shape()).collect::<Vec<_>>().join(" ")
}

fn attrs(client: &mut Client) -> String {
    client.query(SHOW).column().remove(0)
}

/// The texts of the errors and notices of an answer.
fn said(answer: &Answer) -> Vec<String> {
    let spoken = answer.0.iter().filter(|message| matches!(message.tag, b'N' | b'E'));
    spoken.map(|message| message.error().message).collect()
}

#[test]
fn it_is_shown_set_and_reset() {
    for mode in ["session", "transaction", "statement"] {
        let pooler = setup(mode).start();
        let mut client = pooler.client();
        for hold in [false, true] {
            if hold {
                assert_eq!(client.scalar("select 1"), "1"); // a session has its server now
            }
            let shown = client.query(&format!("/* x */ {}; ", SHOW.to_uppercase()));
            assert_eq!(shapes(&shown), "N T D C Z/I", "{mode}");
            assert_eq!(shown.column(), ["any"]);
            assert_eq!(shown.commands(), ["SHOW"]);
            assert_eq!(said(&shown), ["processed virtually by odyssey"]);
            let set = client.query("set odyssey.target_session_attrs = \"read-only\"");
            assert_eq!((shapes(&set), set.commands()), ("N C Z/I".into(), vec!["SET".into()]));
            assert_eq!(attrs(&mut client), "read-only");
            client.query("set session odyssey.target_session_attrs to 'Prefer-Standby'");
            assert_eq!(attrs(&mut client), "prefer-standby");
            let wrong = client.query("set odyssey.target_session_attrs to 'r'");
            assert_eq!(shapes(&wrong), "E/22023 N Z/I");
            let text = "invalid value for parameter \"odyssey.target_session_attrs\": \"r\"";
            assert_eq!(said(&wrong), [text, "processed virtually by odyssey"]);
            assert_eq!(attrs(&mut client), "prefer-standby");
            client.query("set odyssey.target_session_attrs to default");
            assert_eq!(attrs(&mut client), "any");
        }
        pooler.stop_with(vec![client]);
    }
}

/// Seen to fail: an answer that does not wait for what is before it comes first.
#[test]
fn answers_come_in_the_order_of_the_questions() {
    for mode in ["session", "transaction"] {
        let pooler = setup(mode).start();
        let mut client = pooler.client();
        let sleep = "select 'one' from pg_sleep(0.05)";
        for begin in ["select 'zero'", "begin"] {
            let all = Wire::new()
                .query(begin)
                .query(SHOW)
                .query(sleep)
                .query("set odyssey.target_session_attrs to 'read-write'")
                .query(SHOW)
                .extended("select 'two'", &[])
                .sync()
                .query(SHOW)
                .query("select 'three'");
            client.send(&all);
            let status = if begin == "begin" { 'T' } else { 'I' };
            let answers: Vec<Answer> = (0..8).map(|_| client.until_ready()).collect();
            let columns: Vec<String> = answers.iter().flat_map(Answer::column).collect();
            let columns = columns.join(" ");
            assert!(columns.ends_with("any one read-write two read-write three"), "{columns}");
            assert!(answers[1..].iter().all(|answer| answer.status() == status), "{mode} {begin}");
            client.query("set odyssey.target_session_attrs to any");
            client.query("rollback");
        }
        pooler.stop_with(vec![client]);
    }
}

#[test]
fn in_a_transaction_it_costs_nothing_and_behind_an_error_the_server_answers() {
    for mode in ["session", "transaction"] {
        let pooler = setup(mode).start();
        let mut client = pooler.client();
        assert_eq!(client.query("begin").status(), 'T');
        assert_eq!(client.query(SHOW).status(), 'T');
        assert_eq!(client.scalar("select 1"), "1");
        assert_eq!(client.query(SHOW).status(), 'T');
        client.query("select nonsense");
        assert_eq!(shapes(&client.query(SHOW)), "E/25P02 Z/E");
        assert_eq!(client.query("rollback").status(), 'I');
        assert_eq!(attrs(&mut client), "any");
        pooler.stop_with(vec![client]);
    }
}

/// What is more than one plain statement, or comes by the extended protocol, is the server's.
#[test]
fn everything_else_about_it_is_the_servers() {
    let pooler = setup("transaction").start();
    let mut client = pooler.client();
    assert_eq!(client.query(&format!("{SHOW}; select 1")).code(), "42704");
    assert_eq!(client.extended(SHOW, &[]).code(), "42704");
    let copy = Wire::new().query("copy pg_class from stdin").query(SHOW);
    client.send(&copy.copy_fail("no"));
    let answer = client.until_ready();
    assert!(answer.error().is_some(), "{answer:?}");
    pooler.stop_with(vec![client]);
}

#[test]
fn a_question_may_come_in_parts() {
    for mode in ["session", "transaction"] {
        let pooler = setup(mode).start();
        let mut client = pooler.client();
        let Wire(bytes) = Wire::new().query("begin; select pg_sleep(0.05)").query(SHOW);
        for cut in [bytes.len() - 39, bytes.len() - 20, bytes.len() - 1] {
            client.send(&Wire(bytes[..cut].to_vec()));
            assert_eq!(client.until_ready().status(), 'T');
            client.send(&Wire(bytes[cut..].to_vec()));
            assert_eq!(client.until_ready().column(), ["any"], "{mode} {cut}");
            client.query("rollback");
        }
        pooler.stop_with(vec![client]);
    }
}

#[test]
fn it_begins_with_what_is_said_first() {
    let by_rule = r#"target_session_attrs "read-only""#;
    let rule = || setup("transaction").with(by_rule);
    let both = || rule().listen(r#"target_session_attrs "prefer-standby""#);
    let begins = |pooler: &Pooler, login: &Login| attrs(&mut pooler.login(login));
    let plain = Login::new("app", "postgres");
    let name = "odyssey.target_session_attrs";
    let own = plain.clone().option(name, "read-write");
    let by_options = plain.clone().option("options", &format!("-c {name}=any"));
    let wrong = plain.clone().option(name, "master");
    let pooler = rule().start();
    assert_eq!(begins(&pooler, &plain), "read-only");
    pooler.stop();
    let pooler = both().start();
    assert_eq!(begins(&pooler, &plain), "prefer-standby");
    assert_eq!(begins(&pooler, &own), "read-write");
    assert_eq!(begins(&pooler, &by_options), "any");
    assert_eq!(begins(&pooler, &wrong), "prefer-standby");
    pooler.wait_for_line("invalid value for odyssey.target_session_attrs: \"master\"");
    pooler.stop();
}

#[test]
fn without_the_option_the_server_answers() {
    let pooler = setup("transaction").global("virtual_processing no").start();
    let mut client = pooler.client();
    assert_eq!(client.query(SHOW).code(), "42704");
    client.query("set odyssey.target_session_attrs to 'mine'");
    assert_eq!(attrs(&mut client), "mine");
    pooler.stop_with(vec![client]);
}

/// `query_parsing { mode disabled }`: no query is answered by the pooler, a BEGIN neither.
#[test]
fn without_parsing_every_query_goes_to_the_server() {
    let login = Postgres::shared().role("unparsed");
    for (mode, holding) in [("minimal", 0), ("disabled", 1)] {
        let pooler = setup("transaction").also(&format!("query_parsing {{ mode {mode} }}")).start();
        let mut client = pooler.login(&login);
        assert_eq!(client.query(SHOW).error().is_some(), holding == 1);
        assert_eq!(client.query("begin").status(), 'T');
        let open = "usename = 'unparsed' and state = 'idle in transaction'";
        Postgres::shared().wait_for_backends(open, holding, PATIENCE);
        client.query("rollback");
        pooler.stop_with(vec![client]);
    }
}
