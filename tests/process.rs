//! The process as its operator meets it: command line, exit codes, messages, signals, log lines.

use crate::support::pooler::binary;
use crate::support::process::{new_dir, run, write};
use crate::support::{Login, PATIENCE, Postgres, Setup, Wire, in_some_try, let_pass, until};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn help_and_version() {
    for flag in ["--help", "-h"] {
        let (good, out, err) = run(binary().arg(flag));
        assert!(good, "{flag}: {err}");
        for word in ["--test", "--version", "--help", "config"] {
            assert!(out.to_lowercase().contains(word), "{flag} names {word}: {out}");
        }
    }
    for flag in ["--version", "-V"] {
        let (good, out, _) = run(binary().arg(flag));
        assert!(good && out.contains(env!("CARGO_PKG_VERSION")), "{flag}: {out}");
    }
}

#[test]
fn a_wrong_command_line_is_told_what_is_wrong() {
    for (arguments, expected) in [
        (vec![], "usage"),
        (vec!["--no-such-option"], "--no-such-option"),
        (vec!["/no/such/file.conf"], "/no/such/file.conf"),
        (vec!["--test", "/no/such/file.conf"], "/no/such/file.conf"),
        (vec!["one.conf", "two.conf"], "usage"),
    ] {
        let output = binary().args(&arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.to_lowercase().contains(expected), "{arguments:?}: {text}");
    }
}

const RULES: &str = "database default { user default {\n  authentication \"none\" storage \"pg\" \
                     pool \"transaction\"\n} }\n";

fn config(head: &str) -> String {
    format!(
        "log_format \"%m\\n\"\nlisten {{ host \"127.0.0.1\" port 6432 }}\n\
         storage \"pg\" {{ type \"remote\" host \"127.0.0.1\" port 5432 }}\n{RULES}{head}\n"
    )
}

fn test_config(name: &str, text: &str) -> (Option<i32>, String) {
    let dir = new_dir("pooler-test-config");
    let path = write(&dir, name, text);
    let output = binary().arg("--test").arg(&path).output().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let all = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&all).into_owned())
}

#[test]
fn test_says_that_a_good_file_is_good() {
    let (code, text) = test_config("odyssey.conf", &config(""));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("config is valid"), "{text}");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../odyssey.yaml");
    let (good, out, err) = run(binary().arg("--test").arg(sample));
    assert!(good, "the sample: {out}{err}");
}

#[test]
fn test_says_where_a_bad_file_is_bad() {
    // The line that is added is number 7.
    for (line, place, word) in [
        ("workers 1 workers 2", "odyssey.conf:7:", "workers"),
        ("no_such_option 1", "odyssey.conf:7:", "no_such_option"),
        ("log_debug maybe", "odyssey.conf:7:", "yes or no"),
        ("log_debug \"yes\"", "odyssey.conf:7:", "syntax"),
        ("workers -1", "odyssey.conf:7:", "workers"),
        ("}", "odyssey.conf:7:", "syntax"),
        ("storage \"pg\" { type \"remote\" }", "odyssey.conf:7:", "pg"),
        ("database \"d\" { user \"u\" { pool \"none\" } }", "odyssey.conf:7:", ""),
        ("log_file \"open", "odyssey.conf:7:", ""),
    ] {
        let (code, text) = test_config("odyssey.conf", &config(line));
        assert_eq!(code, Some(1), "{line}: {text}");
        assert!(text.contains(place) && text.contains(word), "{line}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// Odyssey says it on its standard output, in its own words, and scripts look for them there.
#[test]
fn a_log_file_that_cannot_be_opened_ends_the_start_with_a_line() {
    let dir = new_dir("pooler-test-log-file");
    let text = config("log_file \"/no/such/dir/odyssey.log\"");
    let path = write(&dir, "odyssey.conf", &text);
    let (good, out, err) = run(binary().arg(&path));
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(!good, "{out}{err}");
    let line = "error (init) none failed to open log file '/no/such/dir/odyssey.log': No such file";
    assert!(out.contains(line), "{out}{err}");
}

#[test]
fn a_pooler_that_cannot_listen_says_so_and_ends() {
    let pooler = Setup::transaction(1).start();
    let text = Setup::transaction(1).text(pooler.port, Path::new("/no/such/dir"));
    let dir = new_dir("pooler-test-taken");
    let path = write(&dir, "odyssey.conf", &text);
    let started = Instant::now();
    let (good, out, err) = run(binary().arg(&path));
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(!good && started.elapsed() < PATIENCE);
    let place = format!("127.0.0.1:{}", pooler.port);
    assert!(out.contains(&place) || err.contains(&place), "{out}{err}");
    pooler.stop();
}

const STOPPING: &str = "Odyssey is gracefully shutting down";

#[test]
fn sigterm_tells_idle_clients_and_lets_transactions_finish() {
    for (signal, setup) in [
        (Signal::TERM, Setup::transaction(3)),
        (Signal::INT, Setup::transaction(3)),
        (Signal::TERM, Setup::session(3)),
    ] {
        let mut pooler = setup.start();
        let mut fresh = pooler.client();
        let mut used = pooler.client();
        used.query("select 1");
        let mut busy = pooler.client();
        busy.query("start transaction");
        let mut querying = pooler.client();
        if signal == Signal::INT {
            querying.send(&Wire::new().query("select pg_sleep(0.7), 'late'"));
            let asleep = "query like '%late%' and wait_event = 'PgSleep'";
            Postgres::shared().wait_for_backends(asleep, 1, PATIENCE);
        }

        pooler.signal(signal);
        for client in [&mut fresh, &mut used] {
            let told = client.until_closed().error().expect("the reason");
            assert_eq!(told.whole(), ("FATAL", "08006", STOPPING));
            assert!(told.detail.is_some_and(|d| d.contains("the connections are being drained")));
        }
        if signal == Signal::INT {
            let last = querying.until_closed();
            assert_eq!(last.rows().len(), 1, "a running query ends by itself");
        }
        until("the listener to close", PATIENCE, || {
            crate::support::Client::try_connect(&pooler.address()).is_err().then_some(())
        });
        assert_eq!(busy.scalar("select 'still here'"), "still here");
        assert!(pooler.is_alive());
        assert_eq!(busy.query("commit").commands(), ["COMMIT"]);
        assert_eq!(busy.until_closed().error().unwrap().whole(), ("FATAL", "08006", STOPPING));
        let status = pooler.wait_for_exit(PATIENCE);
        assert_eq!(status.code(), Some(0), "{}", pooler.log());
    }
}

#[test]
fn sigterm_with_a_transaction_that_never_ends_is_bounded() {
    let setup = Setup::transaction(1).global("graceful_shutdown_timeout_ms 500");
    let mut pooler = setup.start();
    let mut busy = pooler.client();
    busy.query("start transaction");
    let started = Instant::now();
    pooler.signal(Signal::TERM);
    assert_eq!(pooler.wait_for_exit(PATIENCE).code(), Some(124));
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn enough_signals_end_it_at_once() {
    let mut pooler = Setup::transaction(1).global("max_sigterms_to_die 2").start();
    let mut busy = pooler.client();
    busy.query("start transaction");
    pooler.signal(Signal::TERM);
    pooler.wait_for_line("termination signal received");
    pooler.signal(Signal::TERM);
    assert_eq!(pooler.wait_for_exit(PATIENCE).code(), Some(1));

    let mut pooler = Setup::transaction(1).global("max_sigterms_to_die 1").start();
    let mut busy = pooler.client();
    busy.query("start transaction");
    pooler.signal(Signal::TERM);
    assert_eq!(pooler.wait_for_exit(PATIENCE).code(), Some(1));
}

#[test]
fn log_lines_have_the_form_that_was_asked_for() {
    let dir = new_dir("pooler-test-log");
    let file = dir.join("pooler.log");
    let setup = Setup::transaction(1)
        .global(&format!("log_file \"{}\"", file.display()))
        .global(r#"log_format "%p %t %l [%i %s] %u %d %h (%c) %m\n""#);
    let pooler = setup.start();
    let mut client = pooler.client();
    client.query("select 1");
    client.query("select no_such_column");
    client.leave();
    let gone = pooler.wait_for_line("client disconnected");

    let words: Vec<&str> = gone.splitn(6, ' ').collect();
    assert_eq!(words[0], pooler.pid().to_string(), "{gone}");
    let stamp: String =
        words[1].chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(stamp, "9999-99-99T99:99:99Z", "{gone}");
    assert_eq!(words[2], "info", "{gone}");
    let id = words[3].strip_prefix("[c").expect("the client's id");
    assert!(id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{gone}");
    assert!(words[5].starts_with("app postgres 127.0.0.1 (main) client disconnected"), "{gone}");

    for text in [
        "new client connection 127.0.0.1:",
        "route 'postgres.app' to 'default_db.default_user'",
        "login time: ",
        "new server connection ",
    ] {
        pooler.wait_for_line(text);
    }
    let error = pooler.wait_for_line("42703");
    assert!(error.contains(" error ") && error.contains(&format!("[c{id} s")), "{error}");
    let opened = pooler.wait_for_line("new server connection");
    assert!(opened.contains(" (connect time: ") && opened.contains(" usec, resolve time: "));
    let (on_stdout, log) = (
        pooler.log(),
        until("the file", PATIENCE, || {
            std::fs::read_to_string(&file).ok().filter(|text| text.contains("client disconnected"))
        }),
    );
    assert!(on_stdout.contains(log.lines().last().unwrap()), "both get the same lines");
    pooler.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn statistics_lines_come_in_odysseys_form() {
    let setup = Setup::transaction(2).global("log_stats yes").global("stats_interval 1");
    let pooler = setup.start();
    let mut client = pooler.client();
    client.query("select 1");
    let line = pooler.wait_for_line("[default_db.default_user] 1 clients, ");
    let text = line.split("[default_db.default_user] ").nth(1).unwrap();
    let shape: String =
        text.split(' ').filter(|w| w.parse::<f64>().is_err()).collect::<Vec<_>>().join(" ");
    assert!(
        shape.starts_with("clients, active servers, idle servers, transactions/sec ("),
        "{line}"
    );
    assert!(line.contains(" in bytes/sec, ") && line.contains(" out bytes/sec"), "{line}");
    pooler.stop();
}

/// Nothing polls: an idle pooler sleeps until somebody says something or a deadline comes.
#[test]
fn an_idle_pooler_sleeps() {
    let pooler = Setup::transaction(5).start();
    let mut clients: Vec<_> = (0..20).map(|_| pooler.client()).collect();
    for client in &mut clients {
        client.query("select 1");
    }
    in_some_try(|| {
        let_pass(Duration::from_millis(500));
        let before = wakeups(pooler.pid());
        let_pass(Duration::from_secs(3));
        let woken = wakeups(pooler.pid()) - before;
        let told = format!("{woken} wake-ups in 3 s of nothing to do");
        println!("{told}");
        if woken <= 12 { Ok(()) } else { Err(told) }
    });
    assert_eq!(clients[7].scalar("select 'awake'"), "awake");
    pooler.stop();
}

/// How often the threads of a process went to sleep so far.
fn wakeups(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let count = |status: String| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    tasks.filter_map(|t| count(std::fs::read_to_string(t.path().join("status")).ok()?)).sum()
}

#[test]
fn thousands_of_short_connections_leave_nothing_open() {
    let pooler = Setup::transaction(2).global("log_session no").start();
    let login = Login::new("app", "postgres");
    let files = || std::fs::read_dir(format!("/proc/{}/fd", pooler.pid())).unwrap().count();
    pooler.login(&login).query("select 1");
    let before = files();
    for round in 0..1000 {
        let mut client = pooler.login(&login);
        match round % 3 {
            0 => client.leave(),
            1 => client.vanish_by_reset(),
            _ => drop(client.query("select 1")),
        }
    }
    until("the descriptors to be closed", PATIENCE, || (files() <= before + 2).then_some(()));
    pooler.stop();
}
