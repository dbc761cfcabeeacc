//! Where it ends: what cannot be known of settings, and how much of them is kept.

use crate::support::process::memory_kib;
use crate::support::{Postgres, Setup};

/// The boundary, as documented above: a function that sets something inside is not looked into.
/// What PostgreSQL reports of it goes along, the rest stays where it happened.
#[test]
fn the_boundary_is_what_a_function_sets_inside() {
    let mut admin = Postgres::shared().admin();
    let made = admin.query(
        "create function sets(name text, value text) returns void language plpgsql as
         $$ begin perform pg_catalog.set_config(name, value, false); end $$",
    );
    assert_eq!(made.error(), None);
    let pooler = Setup::transaction(2).start();
    let (mut a, mut holder) = (pooler.client(), pooler.client());
    a.query("begin");
    assert_eq!(
        a.query("select sets('TimeZone', 'Asia/Tokyo'), sets('work_mem', '9MB')").code(),
        ""
    );
    let first = a.scalar("select pg_backend_pid()");
    a.query("commit");
    assert_eq!(a.parameters["TimeZone"], "Asia/Tokyo", "reported");
    let mut other = pooler.client();
    for client in [&mut holder, &mut other] {
        client.query("begin; select 1");
    }
    let on_first = holder.scalar("select pg_backend_pid()") == first;
    let (frees, _holds) = if on_first { (&mut other, holder) } else { (&mut holder, other) };
    frees.query("rollback");
    assert_ne!(a.scalar("select pg_backend_pid()"), first, "now on the other server");
    assert_eq!(a.scalar("show timezone"), "Asia/Tokyo", "what was reported goes along");
    assert_eq!(a.scalar("show work_mem"), "4MB", "the rest cannot be known");
}

/// Ten thousand settings of many clients cost what they are long, not more.
#[test]
fn settings_of_many_clients_cost_little_memory() {
    const CLIENTS: u64 = 200;
    let pooler = Setup::transaction(2).start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.query("select 1");
    }
    let before = memory_kib(pooler.pid(), "VmRSS");
    for (number, client) in clients.iter_mut().enumerate() {
        client.query(&format!("set my.tenant = '{number}'; set work_mem = '{}kB'", number + 100));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.scalar("show my.tenant"), number.to_string());
        assert_eq!(client.scalar("show work_mem"), format!("{}kB", number + 100));
    }
    let each = memory_kib(pooler.pid(), "VmRSS").saturating_sub(before) / CLIENTS;
    assert!(each < 8, "{each} KiB for two short settings");
    pooler.stop_with(clients);
}

/// What a client may keep is bounded: one that sets forty megabytes has them in its server, not in
/// the pooler.
#[test]
fn a_client_that_sets_values_without_end_is_bounded() {
    const NAMES: usize = 200;
    let pooler = Setup::transaction(2).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    client.query("select 1");
    let before = memory_kib(pooler.pid(), "VmRSS");
    let value = "v".repeat(200_000);
    for number in 0..NAMES {
        assert_eq!(client.query(&format!("set my.n{number} = '{value}'")).shape(), "C Z/I");
    }
    let grown = memory_kib(pooler.pid(), "VmRSS").saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for the settings of one client");
    assert_eq!(other.query("select 'fine'").column(), ["fine"]);
    for name in ["n0", "n199"] {
        let length = format!("select length(current_setting('my.{name}', true))");
        assert_eq!(client.scalar(&length), "200000", "lost in silence");
    }
    pooler.stop_with(vec![client, other]);
}
