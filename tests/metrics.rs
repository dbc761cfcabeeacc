//! Metrics, probes and the status page: what they say is well formed and true, and who asks for
//! them, however badly, is nobody's trouble.

mod page;
pub mod scrape;

use crate::console::{console, with_console};
use crate::support::fake::one_row;
use crate::support::process::{self, free_port};
use crate::support::{Client, FakeServer, Login, PATIENCE, Pooler, Setup, Wire, until};
use rustix::process::Signal;
use scrape::{Page, ask, get, get_as, scrape, start};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";

#[test]
fn both_formats_are_well_formed_and_say_the_same() {
    let (pooler, port) = start(&Setup::transaction(2).with("quantiles \"0.5,0.99\""));
    let mut client = pooler.login(&Login::new("app", "postgres"));
    client.query("select 1");
    let plain = scrape(port);
    let answer = get_as(port, "/metrics", OPEN_METRICS);
    assert!(answer.headers.contains("Content-Type: application/openmetrics-text; version=1.0.0"));
    let open = Page::parse(&answer.body, true);
    let plain_names: Vec<&str> =
        plain.families.keys().map(|name| name.trim_end_matches("_total")).collect();
    let mut open_names: Vec<&str> = open.families.keys().map(String::as_str).collect();
    open_names.sort_unstable();
    let mut sorted = plain_names.clone();
    sorted.sort_unstable();
    assert_eq!(open_names, sorted);
    assert_eq!(open.of("odyssey_queries_total", "postgres"), 1.0);
    assert_eq!(plain.value("odyssey_exporter_up"), 1.0);
    let median = "odyssey_route_query_duration_seconds{user=\"app\",database=\"postgres\",\
                  quantile=\"0.5\"}";
    assert!(plain.value(median) > 0.0);
    pooler.stop_with(vec![client]);
}

/// Every family that docs/metrics.md names is there and no other; the dashboard and the alert rules
/// speak of nothing else.
#[test]
fn the_documents_name_what_there_is() {
    let (pooler, port) = start(&Setup::transaction(1));
    pooler.client().query("select 1");
    let page = scrape(port);
    let read = |path: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let rows = read("docs/metrics.md");
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut documented: Vec<&str> =
        rows.map(|(name, _)| name).filter(|name| !name.starts_with('/')).collect();
    documented.sort_unstable();
    let live: Vec<&str> = page.families.keys().map(String::as_str).collect();
    assert_eq!(documented, live);
    for path in ["packaging/grafana/dashboard.json", "packaging/prometheus/alerts.yaml"] {
        let text = read(path);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<&str> = words.filter(|word| is_metric(word)).collect();
        assert!(names.len() > 10, "{path} speaks of metrics");
        for name in names {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
            let known = |name: &str| page.families.contains_key(name);
            assert!(known(name) || base.is_some_and(known), "{path}: {name}");
        }
    }
    pooler.stop();
}

fn is_metric(word: &str) -> bool {
    let starts = ["odyssey_", "process_"].iter().any(|start| word.starts_with(start));
    starts && word.len() > "odyssey_".len()
}

/// A number for each of what was done, counted by the clients.
#[test]
fn counters_add_up() {
    let (pooler, port) = start(&Setup::transaction(1));
    let mut sent = 0;
    let mut got = 0;
    let (mut one, mut two) = (pooler.client(), pooler.client());
    let mut say = |client: &mut Client, sql: &str| {
        let request = Wire::new().query(sql);
        sent += request.0.len();
        client.send(&request);
    };
    let mut hear = |client: &mut Client| {
        let answer = client.until_ready();
        got += answer.0.iter().map(|message| 5 + message.body.len()).sum::<usize>();
    };
    for n in 0..40 {
        say(&mut one, &format!("select {n}"));
        hear(&mut one);
    }
    for _ in 0..7 {
        say(&mut one, "select 1/0");
        hear(&mut one);
    }
    for _ in 0..3 {
        say(&mut one, "begin; select 1");
        hear(&mut one);
        say(&mut two, "select 'waited'");
        until("it to wait", PATIENCE, || {
            let waiting = scrape(port).of("odyssey_client_pool_waiting_route", "postgres");
            (waiting == 1.0).then_some(())
        });
        say(&mut one, "commit");
        hear(&mut one);
        hear(&mut two);
    }
    one.leave();
    two.leave();
    sent += 2 * 5; // their goodbyes
    let page = until("both to be counted", PATIENCE, || {
        let page = scrape(port);
        let gone = page.value("odyssey_lists_used_clients") == 0.0;
        (gone && page.of("odyssey_route_bytes_received_total", "postgres") == sent as f64)
            .then_some(page)
    });
    for (name, expected) in [
        ("odyssey_queries_total", 40 + 7 + 3 * 3),
        ("odyssey_transactions_total", 40 + 7 + 3 * 2),
        ("odyssey_server_errors_total", 7),
        ("odyssey_route_bytes_received_total", sent),
        ("odyssey_route_bytes_sent_total", got),
        ("odyssey_query_seconds_count", 40 + 7 + 3 * 3),
        ("odyssey_transaction_seconds_count", 40 + 7 + 3 * 2),
        ("odyssey_wait_seconds_count", 3),
        ("odyssey_login_seconds_count", 2),
        ("odyssey_connect_seconds_count", 1),
        ("odyssey_servers_opened_total", 1),
        ("odyssey_waits_given_up_total", 0),
        ("odyssey_server_connect_failures_total", 0),
    ] {
        assert_eq!(page.of(name, "postgres"), expected as f64, "{name}");
    }
    let division = "odyssey_sqlstate_errors_total{source=\"server\",class=\"22\"}";
    assert_eq!(page.value(division), 7.0);
    pooler.stop();
}

/// Nobody ever came as far as a server of this route; that is what has to be seen.
#[test]
fn servers_that_were_never_reached_are_counted() {
    let nowhere = free_port();
    let (pooler, port) = start(&Setup::in_front_of(nowhere, 1));
    assert_eq!(pooler.refused(&Login::new("app", "postgres")).code, "08006");
    let page = scrape(port);
    assert_eq!(page.of("odyssey_server_connect_failures_total", "postgres"), 1.0);
    assert_eq!(page.of("odyssey_servers_opened_total", "postgres"), 0.0);
    assert_eq!(page.value("odyssey_errors_total{type=\"OD_ESERVER_CONNECT\"}"), 1.0);
    pooler.stop();
}

/// A name that was only tried is shown to nobody.
#[test]
fn who_proves_nothing_gets_no_row() {
    let rule =
        "authentication \"clear_text\" password \"secret\" storage \"pg\" pool \"transaction\"";
    let (pooler, port) = start(&Setup::new().rule("default", "default", rule));
    for n in 0..3 {
        let login = Login::new("app", &format!("guess{n}")).password("wrong");
        assert_eq!(pooler.refused(&login).code, "28P01");
    }
    let page = scrape(port);
    assert!(!page.samples.keys().any(|series| series.contains("guess")));
    let told = "odyssey_sqlstate_errors_total{source=\"pooler\",class=\"28\"}";
    assert_eq!(page.value(told), 3.0);
    pooler.stop();
}

/// Databases are strangers' words. Without the bound each of these had rows of its own.
#[test]
fn the_number_of_rows_is_bounded_and_nothing_is_lost() {
    const SHOWN_MAX: usize = 256;
    const DATABASES: usize = SHOWN_MAX + 40;
    let server = FakeServer::start(|mut session| {
        if session.greet().is_some() {
            while session.read_until(b"Q").is_some() {
                session.send(&one_row());
            }
        }
    });
    let (pooler, port) = start(&Setup::in_front_of(server.port, 1));
    for n in 0..DATABASES {
        let mut client = pooler.login(&Login::new("app", &format!("db{n}")));
        client.query("select 'x'");
        client.leave();
    }
    let page = until("all to be counted", PATIENCE, || {
        let page = scrape(port);
        let rows = |name: &str| -> Vec<f64> {
            let start = format!("{name}{{");
            let of = page.samples.iter().filter(|(series, _)| series.starts_with(&start));
            of.map(|(_, value)| *value).collect()
        };
        let queries = rows("odyssey_queries_total");
        assert!(queries.len() <= SHOWN_MAX + 1, "{} rows", queries.len());
        (queries.iter().sum::<f64>() == DATABASES as f64).then_some(page)
    });
    let other = "odyssey_queries_total{user=\"other\",database=\"other\"}";
    assert_eq!(page.value(other), (DATABASES - SHOWN_MAX) as f64);
    pooler.stop();
}

/// Twenty say half a request, twenty do not read what they asked for. Served one after the other,
/// or without taking places back, the next scraper would wait for all of them.
#[test]
fn scrapers_that_stall_keep_nobody_out() {
    let (pooler, port) = start(&Setup::transaction(1));
    let mut client = pooler.client();
    let mut stalled = Vec::new();
    for n in 0..40 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        match n % 2 {
            0 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHos").unwrap(),
            _ => {
                let request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500);
                let _ = stream.set_nonblocking(true);
                let _ = stream.write(request.as_bytes());
            }
        }
        stalled.push(stream);
        assert_eq!(client.scalar("select 1"), "1");
    }
    for _ in 0..3 {
        assert_eq!(scrape(port).value("odyssey_exporter_up"), 1.0);
        assert_eq!(get(port, "/livez").body, "alive\n");
    }
    assert_eq!(client.scalar("select 2"), "2");
    drop(stalled);
    pooler.stop_with(vec![client]);
}

#[test]
fn a_hundred_scrapes_under_load_see_numbers_that_only_grow() {
    let (pooler, port) = start(&Setup::transaction(2));
    let stop = AtomicBool::new(false);
    let done: u64 = std::thread::scope(|scope| {
        let load = || {
            let (mut client, mut done) = (pooler.client(), 0);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.scalar("select 1"), "1");
                done += 1;
            }
            client.leave();
            done
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let mut before = Page::default();
        for n in 0..100 {
            let page = if n % 2 == 0 {
                scrape(port)
            } else {
                let text = get_as(port, "/metrics", OPEN_METRICS).body;
                let mut page = Page::parse(&text, true);
                page.families.clear();
                page
            };
            for (series, value) in &page.samples {
                let name = series.split('{').next().unwrap_or_default();
                let grows = ["_total", "_count", "_bucket", "_sum"];
                let earlier = before.samples.get(series);
                if grows.iter().any(|suffix| name.ends_with(suffix)) {
                    assert!(earlier.is_none_or(|earlier| earlier <= value), "{series} fell");
                }
            }
            before = page;
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    until("all to be counted", PATIENCE, || {
        (scrape(port).of("odyssey_queries_total", "postgres") == done as f64).then_some(())
    });
    pooler.stop();
}

/// Without the port staying open while clients leave, a balancer would learn nothing.
#[test]
fn readyz_says_no_while_the_process_drains() {
    let (mut pooler, port) = start(&Setup::transaction(1));
    assert_eq!(get(port, "/readyz").body, "ready\n");
    let mut client = pooler.client();
    client.query("begin; select 1");
    pooler.signal(Signal::TERM);
    pooler.wait_for_line("termination signal received");
    let ready = get(port, "/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "not ready: shutting down\n"));
    assert_eq!(scrape(port).value("odyssey_ready"), 0.0);
    assert_eq!(get(port, "/livez").status, 200);
    client.query("commit");
    drop(client);
    assert!(pooler.wait_for_exit(PATIENCE).success());
}

/// PAUSE is for all poolers at once, while PostgreSQL restarts. If each of them said that it is not
/// ready, a balancer had nobody left, and turned away clients that would only have had to wait.
#[test]
fn readyz_says_yes_under_pause_suspend_and_disable() {
    let (pooler, port) = start(&with_console(Setup::transaction(1)));
    let mut admin = console(&pooler);
    let mut client = pooler.client();
    let ready = |say: &str| {
        let answer = get(port, "/readyz");
        assert_eq!((answer.status, answer.body.as_str()), (200, say));
        scrape(port).value("odyssey_is_paused")
    };
    for (begin, end) in [("pause", "resume"), ("suspend", "resume")] {
        assert_eq!(admin.query(begin).error(), None);
        assert_eq!(ready("ready, and paused: clients wait for RESUME\n"), 1.0);
        client.send(&Wire::new().query("select 'waited'"));
        assert_eq!(admin.query(end).error(), None);
        assert_eq!(client.until_ready().column(), ["waited"]);
        assert_eq!(ready("ready\n"), 0.0);
    }
    for one_of_many in ["disable postgres", "enable postgres", "pause postgres"] {
        assert_eq!(admin.query(one_of_many).error(), None);
        assert_eq!(ready("ready\n"), 0.0, "{one_of_many}");
    }
    admin.query("resume");
    pooler.stop_with(vec![client, admin]);
}

#[test]
fn readyz_says_no_when_no_more_clients_may_come() {
    let (pooler, port) = start(&Setup::transaction(1).global("client_max 1"));
    let client = until("the place to be free", PATIENCE, || {
        let mut client = pooler.connect();
        client.start(&Login::new("app", "postgres")).is_ok().then_some(client)
    });
    assert_eq!(get(port, "/readyz").body, "not ready: client_max is reached\n");
    drop(client);
    until("it to be ready", PATIENCE, || (get(port, "/readyz").status == 200).then_some(()));
    let full = "odyssey_sqlstate_errors_total{source=\"pooler\",class=\"53\"}";
    assert!(scrape(port).samples.get(full).is_none_or(|n| *n >= 1.0));
    pooler.stop();
}

#[test]
fn a_port_that_is_taken_keeps_no_client_out() {
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let setup = Setup::transaction(1).global(&format!("promhttp_server_port {port}"));
    let pooler = setup.start();
    pooler.wait_for_line(&format!("bind to 127.0.0.1:{port} failed"));
    assert_eq!(pooler.client().scalar("select 1"), "1");
    drop(taken);
    reload(&pooler, &setup);
    until("the port to be bound", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok());
    assert_eq!(get(port, "/readyz").status, 200);
    pooler.stop();
}

#[test]
fn a_reload_opens_moves_and_closes_the_port() {
    let setup = Setup::transaction(1);
    let pooler = setup.start();
    let (first, second) = (free_port(), free_port());
    let on = |port: u16| setup.clone().global(&format!("promhttp_server_port {port}"));
    reload(&pooler, &on(first));
    pooler.wait_for_line(&format!("promhttp_server_port (none) -> {first}"));
    is_open(first, true);
    reload(&pooler, &on(second));
    is_open(second, true);
    is_open(first, false);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    reload(&pooler, &on(taken.local_addr().unwrap().port()));
    pooler.wait_for_line("reload rejected, nothing was changed");
    is_open(second, true);
    let results = "odyssey_reloads_total{result=\"rejected\"}";
    until("it to be counted", PATIENCE, || (scrape(second).value(results) == 1.0).then_some(()));
    reload(&pooler, &setup);
    is_open(second, false);
    pooler.stop();
}

fn reload(pooler: &Pooler, setup: &Setup) {
    let dir = pooler.socket_dir();
    process::write(&dir, "odyssey.conf", &setup.text(pooler.port, &dir));
    pooler.signal(Signal::HUP);
}

fn is_open(port: u16, expected: bool) {
    let open = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    until(&format!("{port} open: {expected}"), PATIENCE, || (open() == expected).then_some(()));
}

#[test]
fn what_is_not_asked_properly_is_refused() {
    let (pooler, port) = start(&Setup::transaction(1));
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("\0\0\0\u{8}nonsense\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(ask(port, request).status, status, "{request:?}");
    }
    let head = ask(port, "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.status == 200 && head.body.is_empty() && head.headers.contains("Content-Length"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000));
    assert_eq!(ask(port, &long).status, 431);
    let two = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n\
               GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let both = ask(port, two).body;
    assert!(both.starts_with("alive\n") && both.ends_with("ready\n"), "{both}");
    pooler.stop();
}

#[test]
fn the_log_has_them_when_asked_to() {
    let setup = Setup::transaction(1).global("stats_interval 1");
    let setup = setup.global("log_general_stats_prom yes").global("log_route_stats_prom yes");
    let pooler = setup.start();
    let mut client = pooler.client();
    client.query("select 1");
    pooler.wait_for_line("(stats) odyssey_log_lines_dropped_total 0");
    pooler.wait_for_line("odyssey_query_seconds_count{user=\"app\",database=\"postgres\"} ");
    assert!(!pooler.log().contains("system worker:"), "log_stats is off");
    pooler.stop_with(vec![client]);
}
