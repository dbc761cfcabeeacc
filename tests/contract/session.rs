//! What is told to clients that were served: by a server that went, by timeouts, by operators.

use super::{last_words, wire};
use crate::console::{console, table, value, with_console};
use crate::restart::{restart, restarting};
use crate::support::{FakeServer, PATIENCE, Setup};
use rustix::process::Signal;

#[test]
fn with_a_server() {
    let closes = FakeServer::start(|mut session| {
        if session.greet().and_then(|()| session.read_until(b"Q")).is_some() {
            drop(session);
        }
    });
    let pooler = Setup::in_front_of(closes.port, 1).start();
    let mut client = pooler.client();
    client.send(&wire().query("select 1"));
    assert_eq!(
        last_words(&mut client),
        "ERROR 08006 remote server read/write error s…: connection closed by the server \
         HINT: Connect anew and repeat what was not committed"
    );
    pooler.stop();

    for session in [false, true] {
        let setup = if session { Setup::session(1) } else { Setup::transaction(1) };
        let limits = "pool_client_idle_timeout 1 pool_idle_in_transaction_timeout 1";
        let pooler = setup.with(limits).start();
        let mut client = pooler.client();
        client.send(&wire().message(b'!', b""));
        let words = last_words(&mut client);
        let text = "FATAL 08P01 unexpected message type from client or other protocol violation";
        assert!(words.starts_with(&format!("{text} DETAIL: ")), "{words}");
        let due = "FATAL 08006 Odyssey has dropped the connection \
                   DETAIL: Connection was dropped by Odyssey due to";
        let mut client = pooler.client();
        client.query("begin; select 1");
        assert_eq!(last_words(&mut client), format!("{due} idle in transaction timeout"));
        let mut client = pooler.client();
        client.query("select 1");
        if session {
            assert_eq!(last_words(&mut client), format!("{due} idle timeout"));
        }
        let mut client = pooler.client();
        pooler.signal(Signal::TERM);
        assert_eq!(
            last_words(&mut client),
            "FATAL 08006 Odyssey is gracefully shutting down \
             DETAIL: The Odyssey instance is gracefully shutting down, and the connections are \
             being drained"
        );
        pooler.stop();
    }
}

#[test]
fn by_an_operator() {
    let pooler = with_console(Setup::transaction(1)).start();
    let (mut admin, mut client) = (console(&pooler), pooler.client());
    let clients = table(&mut admin, "show clients");
    let row = clients.iter().find(|row| value(row, "user") == "app").expect("it is here");
    admin.query(&format!("kill_client {}", value(row, "id")));
    assert_eq!(
        last_words(&mut client),
        "FATAL 08006 Odyssey has dropped the connection \
         DETAIL: Connection was killed by Odyssey configuration reloading or console command \
         HINT: Try to reconnect"
    );
    pooler.stop_with(vec![admin]);
}

#[test]
fn by_a_restart() {
    let mut pooler = restarting(Setup::session(1)).start();
    let mut client = pooler.client();
    client.query("select 1");
    let new = restart(&pooler);
    assert_eq!(
        last_words(&mut client),
        "FATAL 08006 Odyssey is gracefully shutting down \
         DETAIL: The Odyssey instance is performing online restart to update configuration or \
         binary, and the connections are being drained HINT: Try to reconnect"
    );
    assert!(pooler.wait_for_exit(PATIENCE).success(), "{}", pooler.log());
    new.stop();
}
