//! Listeners with storages of their own: one after the other, whatever the rule's storage is.

use crate::support::client::Address;
use crate::support::pooler::OPEN;
use crate::support::process::free_port;
use crate::support::{Client, Login, PATIENCE, Pooler, Postgres, Setup, Wire, let_pass, until};
use rustix::process::Signal;
use std::collections::HashSet;

const PORT: &str = "select inet_server_port()";

fn remote(port: u16) -> String {
    format!("type \"remote\" host \"127.0.0.1:{port}\" endpoints_status_poll_interval 100")
}

fn storage(name: &str, port: u16, options: &str) -> String {
    format!("storage \"{name}\" {{ {} {options} }}\n", remote(port))
}

/// Storage `pg` is the rule's; a second listener, at the port that comes with it, has others.
fn setup(port: u16, others: &str, storages: &str, rule: &str) -> (Setup, u16) {
    let (listen, console) =
        (free_port(), "authentication \"none\" role \"admin\" pool \"session\"");
    let setup = Setup::without_storage()
        .storage("pg", &remote(port))
        .storage("local", "type \"local\"")
        .also(others)
        .also(&format!("listen {{ host \"127.0.0.1\" port {listen} {storages} }}"))
        .rule("console", "default", &format!("{console} storage \"local\""))
        .rule("default", "default", &format!("{OPEN} pool \"transaction\" pool_size 2 {rule}"));
    (setup, listen)
}

fn login() -> Login {
    Login::new("postgres", "postgres")
}

fn at(port: u16, login: &Login) -> Client {
    let mut client = Client::try_connect(&Address::Tcp(port)).unwrap();
    client.start(login).unwrap_or_else(|error| panic!("{error:?}"));
    client
}

fn port(client: &mut Client) -> u16 {
    client.scalar(PORT).parse().unwrap()
}

fn change(pooler: &Pooler, from: &str, to: &str, told: &str) {
    let config = pooler.socket_dir().join("odyssey.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&config, text.replace(from, to)).unwrap();
    pooler.signal(Signal::HUP);
    pooler.wait_for_line(told);
}

/// A dead one first, then two that live: the rule's storage has nothing to do with it.
#[test]
fn the_next_storage_is_for_when_the_first_will_not_do() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let dead = free_port();
    let others = format!("{}{}", storage("dead", dead, ""), storage("two", standby.port, ""));
    let storages = "storage \"dead\" storage \"two\" storage \"pg\"";
    let (setup, listen) = setup(primary.port, &others, storages, "");
    let pooler = setup.start();
    let mut through = [pooler.login(&login()), at(listen, &login())];
    for _ in 0..5 {
        assert_eq!(through.each_mut().map(port), [primary.port, standby.port]);
    }
    let mut writer = at(listen, &login().option("odyssey.target_session_attrs", "read-write"));
    assert_eq!(port(&mut writer), primary.port, "of the third, for the second does not write");
    let client = &mut through[1];
    client.send(&Wire::new().query("select pg_sleep(600)"));
    standby.wait_for_backends(
        "query like 'select pg_sleep(600)%' and state = 'active'",
        1,
        PATIENCE,
    );
    client.cancel();
    assert_eq!(client.until_ready().code(), "57014", "a cancel finds it there");
    let mut console = at(listen, &Login::new("admin", "console"));
    let pools = console.query("show databases");
    assert_eq!(pools.error(), None, "the console is where it was");
    let mut clients = Vec::from(through);
    clients.extend([writer, console]);
    pooler.stop_with(clients);
}

/// The first storage's host comes back, and clients with it.
#[test]
fn clients_go_back_to_the_first_storage() {
    let (mut first, second) = (Postgres::start(), Postgres::shared());
    let others = storage("first", first.port, "");
    let storages = "storage \"first\" storage \"pg\"";
    let (setup, listen) = setup(second.port, &others, storages, "");
    let pooler = setup.start();
    let mut client = at(listen, &login());
    assert_eq!(port(&mut client), first.port);
    first.restart();
    let gone = |client: &mut Client| client.query(PORT).error().is_some();
    let _ = gone(&mut client); // its server went with the host
    until("the first storage again", PATIENCE, || {
        let mut client = at(listen, &login());
        let answer = client.query(PORT);
        let_pass(std::time::Duration::from_millis(20));
        (answer.error().is_none() && answer.column() == [first.port.to_string()]).then_some(())
    });
    pooler.stop_with(Vec::new());
}

/// Who lags is passed over, storage by storage.
#[test]
fn a_storage_that_lags_is_passed_over() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let watchdog = "watchdog { storage \"two\" storage_db \"postgres\" storage_user \"postgres\" \
                    authentication \"none\" pool \"session\" pool_routing \"internal\" \
                    watchdog_lag_query \"select extract(epoch from now()) - 100\" }";
    let others = storage("two", standby.port, watchdog);
    let storages = "storage \"two\" storage \"pg\" catchup_timeout 10";
    let (setup, listen) = setup(primary.port, &others, storages, "");
    let pooler = setup.start();
    until("a lag", PATIENCE, || {
        let rows = pooler.login(&Login::new("admin", "console")).query("show storages").rows();
        rows.iter().any(|row| row[11].is_some()).then_some(())
    });
    let mut minding = at(listen, &login());
    let mut careless = at(listen, &login().option("odyssey_catchup_timeout", "0"));
    assert_eq!([port(&mut minding), port(&mut careless)], [primary.port, standby.port]);
    pooler.stop_with(vec![minding, careless]);
}

/// A reload that changes the list is for who comes then; who is here stays where it was.
#[test]
fn storages_of_a_listener_change_by_reload() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let others = storage("two", standby.port, "");
    let (setup, listen) = setup(primary.port, &others, "storage \"two\"", "");
    let pooler = setup.start();
    let mut old = at(listen, &login());
    assert_eq!(port(&mut old), standby.port);
    change(&pooler, " storage \"two\" }", " }", "storage two -> (none)");
    let mut new = at(listen, &login());
    assert_eq!([port(&mut old), port(&mut new)], [standby.port, primary.port]);
    let back = " storage \"two\" storage \"pg\" }";
    change(
        &pooler,
        &format!("port {listen} }}"),
        &format!("port {listen}{back}"),
        "(none) -> two,pg",
    );
    let mut newest = at(listen, &login());
    assert_eq!(port(&mut newest), standby.port);
    pooler.stop_with(vec![old, new, newest]);
}

/// The storage says in turn, the listener the fewest servers: who comes first makes one, and it is
/// the other host's turn with none.
#[test]
fn a_listener_may_balance_by_a_method_of_its_own() {
    let primary = Postgres::shared();
    let Some(standby) = primary.standby() else { return };
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
    let listen = free_port();
    let by_load = "balancing_method \"leastconn\"";
    let setup = Setup::without_storage()
        .storage("pg", &format!("type \"remote\" host \"{hosts}\""))
        .also(&format!("listen {{ host \"127.0.0.1\" port {listen} {by_load} }}"))
        .rule("default", "default", &format!("{OPEN} pool \"transaction\" pool_size 4"));
    let pooler = setup.start();
    let ports = |client: &mut Client| (0..4).map(|_| port(client)).collect::<HashSet<u16>>();
    let mut in_turn = pooler.login(&login());
    assert_eq!(ports(&mut in_turn).len(), 2);
    let mut holders = [0; 3].map(|_| pooler.login(&login()));
    let held: Vec<u16> = holders
        .iter_mut()
        .map(|client| {
            client.query("begin read only; select 1");
            port(client)
        })
        .collect();
    let few = if held.iter().filter(|port| **port == primary.port).count() > 1 {
        standby.port
    } else {
        primary.port
    };
    let mut by_load = at(listen, &login());
    assert_eq!(ports(&mut by_load), HashSet::from([few]), "{held:?}");
    let mut clients = Vec::from(holders);
    clients.extend([in_turn, by_load]);
    pooler.stop_with(clients);
}
