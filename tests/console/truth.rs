//! One load with something of everything, counted by those who make it: every table of the console
//! and every metric says the same.

use super::*;
use crate::metrics::scrape::{Page, scrape, wait_for};
use crate::support::papers::{Greeting, Papers, secure_client};
use crate::support::process::free_port;

/// What was done, as those know it who did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    queries: u64,
    transactions: u64,
    sent: u64,
    received: u64,
    errors: u64,
    parses: u64,
    binds: u64,
    waits: u64,
}

impl Done {
    /// A request, its answer, and a transaction of its own.
    fn ask(&mut self, client: &mut Client, request: &Wire) -> Answer {
        self.say(client, request);
        self.transactions += 1;
        self.hear(client)
    }

    fn say(&mut self, client: &mut Client, request: &Wire) {
        self.sent += request.0.len() as u64;
        client.send(request);
    }

    fn hear(&mut self, client: &mut Client) -> Answer {
        let answer = client.until_ready();
        self.queries += 1;
        self.errors += u64::from(answer.error().is_some());
        self.received += bytes(&answer);
        answer
    }
}

fn bytes(answer: &Answer) -> u64 {
    answer.0.iter().map(|message| 5 + message.body.len() as u64).sum()
}

fn query(sql: &str) -> Wire {
    Wire::new().query(sql)
}

fn tls_client(pooler: &Pooler) -> Client {
    let mut client = secure_client(pooler.port, &Greeting::default()).unwrap();
    client.start(&Login::new("app", "postgres")).unwrap();
    client
}

/// One server, reached by TLS; clients that may speak it too.
fn setup() -> Setup {
    let port = Postgres::shared().port;
    let storage = format!(r#"type "remote" host "localhost" port {port} tls "require""#);
    let rule = r#"authentication "none" storage "pg" pool "transaction" pool_size 1"#;
    let setup = Setup::without_storage().storage("pg", &storage).rule("postgres", "app", rule);
    let setup = setup.with("pool_reserve_prepared_statement yes");
    with_console(setup.listen(&format!("tls \"allow\" {}", Papers::shared().shown("server"))))
}

/// Nobody has the server, and no cancel is on its way to it.
fn wait_for_idle(admin: &mut Client) {
    until("the server to be idle", PATIENCE, || {
        let servers = table(admin, "show servers");
        servers.iter().all(|row| value(row, "state") == "idle").then_some(())
    });
}

fn statements(done: &mut Done, clients: [&mut Client; 2]) {
    let run = || Wire::new().run("mine", &["5"]).sync();
    for client in clients {
        let parse = Wire::new().parse("mine", "select 'mine ' || $1").run("mine", &["4"]).sync();
        assert_eq!(done.ask(client, &parse).column(), ["mine 4"]);
        (0..3).for_each(|_| assert_eq!(done.ask(client, &run()).column(), ["mine 5"]));
        (done.parses, done.binds) = (done.parses + 1, done.binds + 4);
    }
}

/// Both ways, in one transaction.
fn copies(done: &mut Done, client: &mut Client) {
    let create = "begin; create temp table copied (n int) on commit drop";
    assert_eq!(done.ask(client, &query(create)).error(), None);
    done.say(client, &query("copy copied from stdin"));
    done.received += bytes(&client.until_tag(b'G'));
    let data = Wire::new().copy_data(b"1\n2\n").copy_data(b"3\n").copy_done();
    done.say(client, &data);
    done.hear(client);
    done.say(client, &query("copy copied to stdout"));
    done.hear(client);
    done.say(client, &query("commit"));
    assert_eq!(done.hear(client).error(), None);
}

fn cancelled(done: &mut Done, client: &mut Client) {
    done.say(client, &query("select pg_sleep(60)"));
    Postgres::shared().wait_for_backends("wait_event = 'PgSleep'", 1, PATIENCE);
    client.cancel();
    done.transactions += 1;
    assert_eq!(done.hear(client).code(), "57014");
}

fn waits(done: &mut Done, holder: &mut Client, waiter: &mut Client, admin: &mut Client) {
    assert_eq!(done.ask(holder, &query("begin; select 1")).error(), None);
    done.say(waiter, &query("select 'waited'"));
    until("it to wait", PATIENCE, || (table(admin, "show waiters").len() == 1).then_some(()));
    done.say(holder, &query("commit"));
    done.hear(holder);
    done.transactions += 1;
    done.waits += 1;
    assert_eq!(done.hear(waiter).column(), ["waited"]);
}

/// A client that is killed; our farewell to it is no traffic.
fn killed(done: &mut Done, pooler: &Pooler, admin: &mut Client) {
    let mut victim = pooler.login(&Login::new("app", "postgres").option("application_name", "V"));
    done.ask(&mut victim, &query("select 'last words'"));
    let clients = table(admin, "show clients");
    let row = clients.iter().find(|row| value(row, "application_name") == "V").unwrap();
    let told = admin.query(&format!("kill_client {}", value(row, "id")));
    assert_eq!(told.error(), None);
    assert_eq!(victim.until_closed().error().map(|error| error.code), Some("08006".into()));
}

#[test]
fn every_table_and_every_metric_tells_the_truth() {
    let metrics = free_port();
    let pooler = setup().global(&format!("promhttp_server_port {metrics}")).start();
    wait_for(metrics);
    let (mut plain, mut secure) = (pooler.client(), tls_client(&pooler));
    let (mut admin, mut done) = (console(&pooler), Done::default());
    for n in 0..10 {
        done.ask(&mut plain, &query(&format!("select {n}")));
        done.ask(&mut secure, &query("select repeat('long ', 2000)"));
    }
    statements(&mut done, [&mut plain, &mut secure]);
    copies(&mut done, &mut plain);
    wait_for_idle(&mut admin); // what a temporary table left is asked behind the last answer
    (0..3).for_each(|_| _ = done.ask(&mut secure, &query("select 1/0")));
    cancelled(&mut done, &mut plain);
    wait_for_idle(&mut admin);
    (0..2).for_each(|_| waits(&mut done, &mut secure, &mut plain, &mut admin));
    killed(&mut done, &pooler, &mut admin);
    let seen = until("all that was sent to be counted", PATIENCE, || {
        let stats = table(&mut admin, "show stats");
        let row = stats.into_iter().find(|row| value(row, "database") == "postgres")?;
        (number(&row, "total_sent") >= done.received).then_some(row)
    });
    tables_agree(&done, &seen, &mut admin);
    let expected = ["OD_ECLIENT_KILLED", "OD_ECLIENT_READ"].map(|name| {
        let errors = table(&mut admin, "show errors_per_route");
        let row = errors.iter().find(|row| value(row, "error_type") == name).cloned().unwrap();
        number(&row, "count")
    });
    assert_eq!(expected, [1, 0]);
    metrics_agree(&done, &scrape(metrics));
    drop(secure);
    pooler.stop_with(vec![plain, admin]);
}

/// The login of the first client asked the server what it reports: one more than transactions.
const FIRST: u64 = 1;

/// Clients of the pool, one of them over TLS.
const LOGINS: u64 = 3;

fn tables_agree(done: &Done, stats: &[(String, String)], admin: &mut Client) {
    let assigned = done.transactions + FIRST;
    let expected = [
        ("query_count", done.queries),
        ("xact_count", done.transactions),
        ("received", done.sent),
        ("sent", done.received),
        ("client_parse_count", done.parses),
        ("server_parse_count", 1),
        ("bind_count", done.binds),
        ("client_login_count", LOGINS),
        ("server_assignment_count", assigned),
    ];
    for (name, count) in expected {
        assert_eq!(number(stats, &format!("total_{name}")), count, "SHOW STATS {name}");
    }
    for (name, count) in [("parse_count", 1), ("parse_count_reuse", 1), ("cancel_count", 1)] {
        assert_eq!(number(stats, &format!("total_{name}")), count, "SHOW STATS {name}");
    }
    assert_eq!(number(stats, "total_requests"), done.queries);
    let totals = table(admin, "show stats_totals");
    let totals = totals.iter().find(|row| value(row, "database") == "postgres").unwrap();
    let all = table(admin, "show totals");
    for (name, count) in expected {
        let name = match name {
            "received" | "sent" => format!("bytes_{name}"),
            name => name.to_owned(),
        };
        assert_eq!(number(totals, &name), count, "SHOW STATS_TOTALS {name}");
        let sum = all.iter().find(|row| value(row, "name") == format!("total_{name}")).unwrap();
        assert_eq!(number(sum, "value"), count, "SHOW TOTALS {name}");
    }
    let pools = table(admin, "show pools_extended");
    let pool = pools.iter().find(|row| value(row, "database") == "postgres").unwrap();
    let traffic = ["bytes_received", "bytes_sent", "tcp_conn_count"].map(|it| number(pool, it));
    assert_eq!(traffic, [done.sent, done.received, LOGINS]);
    // Each query has its time in the sum, the waits are in no query's.
    assert!(number(stats, "total_query_time") <= number(stats, "total_xact_time"));
    assert!(number(stats, "total_wait_time") > 0);
}

fn metrics_agree(done: &Done, page: &Page) {
    for (name, count) in [
        ("odyssey_queries_total", done.queries),
        ("odyssey_transactions_total", done.transactions),
        ("odyssey_route_bytes_received_total", done.sent),
        ("odyssey_route_bytes_sent_total", done.received),
        ("odyssey_route_tcp_connections_total", LOGINS),
        ("odyssey_server_errors_total", done.errors),
        ("odyssey_cancels_total", 1),
        ("odyssey_waits_given_up_total", 0),
        ("odyssey_server_connect_failures_total", 0),
        ("odyssey_pins_total", 0),
        ("odyssey_query_seconds_count", done.queries),
        ("odyssey_transaction_seconds_count", done.transactions),
        ("odyssey_wait_seconds_count", done.waits),
        ("odyssey_login_seconds_count", LOGINS),
        ("odyssey_tls_handshake_seconds_count", 1),
    ] {
        assert_eq!(page.of(name, "postgres"), count as f64, "{name}");
    }
    let checkouts: f64 = ["last", "near", "far", "opened", "waited", "refused"]
        .map(|result| {
            let labels = format!("user=\"app\",database=\"postgres\",result=\"{result}\"");
            page.value(&format!("odyssey_checkouts_total{{{labels}}}"))
        })
        .iter()
        .sum();
    assert_eq!(checkouts, (done.transactions + FIRST) as f64);
}

#[test]
fn every_column_of_clients_and_servers_tells_the_truth() {
    let pooler = setup().start();
    let mut holder = tls_client(&pooler);
    let pid = holder.scalar("select pg_backend_pid()");
    holder.query("begin; select 1");
    let mut local = Client::try_connect(&pooler.socket_address()).unwrap();
    local.start(&Login::new("app", "postgres").option("application_name", "unix")).unwrap();
    local.send(&query("select 'waits'"));
    let mut admin = console(&pooler);
    until("it to wait", PATIENCE, || (table(&mut admin, "show waiters").len() == 1).then_some(()));
    let clients = table(&mut admin, "show clients");
    let in_state = |state: &str| {
        clients.iter().find(|row| value(row, "state") == state).unwrap_or_else(|| panic!("{state}"))
    };
    let (active, queued, idle) = (in_state("active"), in_state("queue"), in_state("pending"));
    let ours = std::process::id().to_string();
    for (row, expected) in [
        (active, [("user", "app"), ("storage_user", "app"), ("remote_pid", "0"), ("wait", "0")]),
        (queued, [("local_port", "-1"), ("port", "-1"), ("remote_pid", &ours), ("tls", "")]),
        (queued, [("link", ""), ("application_name", "unix"), ("type", "C"), ("wait", "0")]),
        (idle, [("user", "admin"), ("database", "console"), ("storage_user", "∅"), ("tls", "")]),
        (idle, [("request_time", "∅"), ("link", ""), ("wait_us", "0"), ("replication", "none")]),
    ] {
        expected.iter().for_each(|(name, told)| assert_eq!(value(row, name), *told, "{name}"));
    }
    assert!(value(active, "tls").starts_with("TLSv1.3/TLS_"), "{active:?}");
    assert!(number(queued, "wait_us") > 0);
    assert_eq!(number(active, "local_port"), u64::from(pooler.port));
    for row in [active, queued] {
        let (came, asked) = (value(row, "connect_time"), value(row, "request_time"));
        assert!(came <= asked && came.ends_with(" UTC"), "{row:?}");
        assert_eq!(value(row, "id"), value(row, "ptr"));
        pooler.wait_for_line(value(row, "id"));
    }
    let servers = table(&mut admin, "show servers");
    let [server] = &servers[..] else { panic!("one server: {servers:?}") };
    let port = Postgres::shared().port.to_string();
    for (name, told) in [
        ("type", "S"),
        ("state", "active"),
        ("addr", "127.0.0.1"),
        ("port", &port),
        ("remote_pid", &pid),
        ("link", value(active, "id")),
        ("offline", "0"),
        ("wait", "0"),
    ] {
        assert_eq!(value(server, name), told, "{name}");
    }
    assert_eq!(value(active, "link"), value(server, "ptr"));
    let seen = holder.scalar(
        "select client_port || ' ' || version || '/' || cipher from pg_stat_activity \
         join pg_stat_ssl using (pid) where pid = pg_backend_pid()",
    );
    assert_eq!(seen, format!("{} {}", value(server, "local_port"), value(server, "tls")));
    let sockets = table(&mut admin, "show sockets");
    let twins = sockets.iter().filter(|row| !value(row, "tls").is_empty()).count();
    assert_eq!((sockets.len(), twins), (4, 2));
    let busy = table(&mut admin, "show active_sockets");
    assert_eq!(busy.len(), 3, "{busy:?}");
    holder.query("commit");
    assert_eq!(local.until_ready().column(), ["waits"]);
    drop(holder);
    pooler.stop_with(vec![local, admin]);
}
