//! What is told where there are too many: clients, clients of a rule, clients that wait for a
//! server, bytes of memory.

use super::{after, last_words, start, wire};
use crate::support::{Login, PATIENCE, Setup, until};

#[test]
fn at_the_limits() {
    let limited = Setup::transaction(1).with("client_max 1").start();
    let _only = limited.client();
    assert_eq!(
        after(&limited, &[start("app")]),
        "ERROR 53300 too many client tcp connections (client_max for user postgres.app 1) \
         HINT: close connections that are not needed, or raise client_max"
    );
    let pooler = Setup::transaction(1).with("pool_timeout 200").start();
    let mut holder = pooler.client();
    holder.query("begin; select 1");
    let mut waits = pooler.client();
    waits.send(&wire().query("select 1"));
    let words = last_words(&mut waits);
    let text = "FATAL 53300 too many active clients for user \
                (pool_size for user postgres.app reached 1)";
    assert!(words.starts_with(text), "{words}");
    let full = Setup::transaction(1).global("client_max 1").start();
    let _only = until("a place", PATIENCE, || {
        let mut client = full.connect();
        client.start(&Login::new("app", "postgres")).ok().map(|()| client)
    });
    // It is heard before: who cancels, or wants the console, gets in.
    assert_eq!(
        after(&full, &[start("app")]),
        "ERROR 53300 too many tcp connections (global client_max 1) \
         HINT: close connections that are not needed, or raise client_max"
    );
}

/// Its own size is none where a shared pool has one.
#[test]
fn in_a_shared_pool() {
    let rule = r#"authentication "none" storage "pg" pool "transaction" shared_pool "few"
                  pool_timeout 100"#;
    let setup = Setup::new().also("shared_pool \"few\" { pool_size 1 }");
    let pooler = setup.rule("default", "default", rule).start();
    let mut holder = pooler.client();
    holder.query("begin; select 1");
    let mut waits = pooler.client();
    waits.send(&wire().query("select 1"));
    let words = last_words(&mut waits);
    let text = "FATAL 53300 too many active clients for user \
                (pool_size for user postgres.app reached 0) DETAIL: waited 1";
    assert!(words.starts_with(text), "{words}");
    pooler.stop_with(vec![holder]);
}

/// The limit is below what any host uses.
#[test]
fn in_memory() {
    let setup = Setup::transaction(1).also("soft_oom { limit 1 check_interval_ms 500 }");
    let pooler = setup.start();
    pooler.wait_for_line("new clients are refused");
    assert_eq!(after(&pooler, &[start("app")]), "FATAL 53200 soft out of memory");
    pooler.stop();
}
