//! What is told without `odyssey:` in front: answers of the pooler in a server's place, notices,
//! and what servers say themselves where Odyssey answers.

use super::{bare, wire};
use crate::support::pooler::OPEN;
use crate::support::process::free_port;
use crate::support::{Answer, Postgres, Setup};

/// Errors and notices of an answer.
fn said(answer: &Answer) -> Vec<String> {
    answer.0.iter().filter(|message| matches!(message.tag, b'E' | b'N')).map(bare).collect()
}

const VIRTUALLY: &str = "NOTICE 00000 processed virtually by odyssey";

#[test]
fn in_a_servers_place() {
    let pooler = Setup::transaction(1).global("virtual_processing yes").start();
    let mut client = pooler.client();
    let wrong = client.query("set odyssey.target_session_attrs to 'x'");
    let text = "invalid value for parameter \"odyssey.target_session_attrs\": \"x\"";
    assert_eq!(said(&wrong), [&format!("ERROR 22023 {text}"), VIRTUALLY]);
    for query in ["show odyssey.target_session_attrs", "reset odyssey.target_session_attrs"] {
        assert_eq!(said(&client.query(query)), [VIRTUALLY]);
    }
    pooler.stop_with(vec![client]);
}

#[test]
fn to_who_waits() {
    let options = "pool_notice_after_waiting_ms 0 pool_timeout 200";
    let pooler = Setup::transaction(1).with(options).start();
    let (mut holder, mut waits) = (pooler.client(), pooler.client());
    holder.query("begin; select 1");
    waits.send(&wire().query("select 1"));
    let first = waits.until_tag(b'N');
    assert_eq!(said(&first), ["NOTICE 00000 waiting for free backend connection"]);
    holder.query("rollback");
    let served = said(&waits.until_ready());
    let took = "NOTICE 00000 waiting took ";
    assert!(served[0].starts_with(took) && served[0].ends_with(" ms"), "{served:?}");
    holder.query("begin; select 1");
    waits.send(&wire().query("select 1"));
    let refused = waits.until_closed();
    let mut notices = refused.0.iter().filter(|message| message.tag == b'N').map(bare);
    let last = notices.next_back().expect("two of them");
    assert!(last.starts_with(took) && last.ends_with(" ms, timeout"), "{last}");
    pooler.stop_with(vec![holder]);
}

#[test]
fn of_hosts() {
    let (port, nobody) = (Postgres::shared().port, free_port());
    let storage = format!(
        "type \"remote\" host \"127.0.0.1:{port},127.0.0.1:{nobody}\" \
         balancing {{ show_notice_messages yes }}"
    );
    let setup = Setup::without_storage().storage("pg", &storage);
    let rule = format!("{OPEN} pool \"transaction\"");
    let pooler = setup.rule("default", "default", &rule).start();
    let mut client = pooler.client();
    let told = said(&client.query("select 1"));
    assert_eq!(told, [format!("NOTICE 00000 select host 127.0.0.1:{port}")]);
    pooler.stop_with(vec![client]);
}

/// Of prepared statements, in the client's own names.
#[test]
fn by_servers() {
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    let table = [
        (
            wire().parse("x", "select 1").parse("x", "select 2").sync(),
            "42P05",
            "\"x\" already exists",
        ),
        (wire().bind("", "y", &[]).sync(), "26000", "\"y\" does not exist"),
        (wire().describe_statement("y").sync(), "26000", "\"y\" does not exist"),
    ];
    for (packet, code, text) in table {
        client.send(&packet);
        let error = client.until_ready().error().expect("it cannot be");
        assert_eq!(error.code, code);
        assert_eq!(error.message, format!("prepared statement {text}"));
    }
    client.send(&wire().bind("", "", &[]).sync());
    let error = client.until_ready().error().expect("there is none");
    let text = "unnamed prepared statement does not exist";
    assert_eq!((error.code.as_str(), error.message.as_str()), ("26000", text));
    pooler.stop_with(vec![client]);
}
