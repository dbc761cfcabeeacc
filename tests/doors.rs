//! Who comes as far as being asked, and who is told that it was wrong: the HBA file, and what
//! becomes of those who guess.

use crate::support::message::cstr;
use crate::support::pooler::OPEN;
use crate::support::process::{self, free_port};
use crate::support::{Client, Login, PATIENCE, PgError, Pooler, Setup, Wire, until};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const REJECTED: (&str, &str, &str) = ("ERROR", "28P01", "host based authentication rejected");

/// A pooler with this HBA file, for whose rules nobody needs a password.
fn behind(lines: &str) -> Pooler {
    let dir = process::new_dir("hba");
    let rule = format!(r#"{OPEN} pool "transaction" storage_db "postgres" storage_user "app""#);
    let setup = Setup::new().global("hba_file \"hba\"").rule("default", "default", &rule);
    process::write(&dir, "hba", lines);
    let port = free_port();
    let config = process::write(&dir, "odyssey.conf", &setup.text(port, &dir));
    Pooler::on(dir, &config, port)
}

/// The lines of one reload, after the HBA file says `lines`.
fn reload(pooler: &Pooler, lines: &str) -> String {
    process::write(&pooler.socket_dir(), "hba", lines);
    let before = pooler.log().len();
    pooler.signal(Signal::HUP);
    until("the reload to end", PATIENCE, || {
        let log = pooler.log()[before..].to_owned();
        let ends = ["reload done", "reload rejected, nothing was changed"];
        ends.iter().any(|end| log.contains(end)).then_some(log)
    })
}

fn by_socket(pooler: &Pooler, user: &str) -> Result<(), PgError> {
    let mut client = Client::try_connect(&pooler.socket_address()).unwrap();
    client.start(&Login::new(user, "postgres"))
}

#[test]
fn the_first_line_that_fits_lets_in_or_keeps_out() {
    let pooler = behind(
        "# who may come\n\
         local all all reject\n\
         hostssl all all all allow\n\
         host postgres \"no one\",bad 127.0.0.0/8 reject\n\
         host sameuser all 127.0.0.1 255.255.255.255 trust\n\
         host postgres good all trust\n",
    );
    pooler.login(&Login::new("good", "postgres"));
    pooler.login(&Login::new("bad", "bad"));
    for (user, database) in [("bad", "postgres"), ("no one", "postgres"), ("good", "elsewhere")] {
        assert_eq!(pooler.refused(&Login::new(user, database)).whole(), REJECTED, "{user}");
    }
    assert_eq!(by_socket(&pooler, "good").unwrap_err().whole(), REJECTED);
    pooler.wait_for_line("user 'postgres.good': host based authentication allowed");
    let line = pooler.wait_for_line("user 'postgres.bad' ");
    assert!(line.contains("hba:4 rejects it"), "{line}");
    let line = pooler.wait_for_line("user 'elsewhere.good' ");
    assert!(line.contains("no line of hba lets it in"), "{line}");
    pooler.stop();
}

#[test]
fn a_reload_reads_the_lines_again_and_a_broken_one_changes_nothing() {
    let pooler = behind("host all all all trust\nlocal all all trust\n");
    let mut before = pooler.login(&Login::new("one", "postgres"));
    let log = reload(&pooler, "host all one all trust\nlocal all all reject\n");
    assert!(log.contains("process: hba_file"), "{log}");
    pooler.login(&Login::new("one", "postgres"));
    assert_eq!(pooler.refused(&Login::new("two", "postgres")).whole(), REJECTED);
    assert_eq!(by_socket(&pooler, "one").unwrap_err().whole(), REJECTED);
    assert_eq!(before.scalar("select 1"), "1", "who is in stays in");
    let log = reload(&pooler, "host all all all trust\n\nhost all all everywhere trust\n");
    assert!(log.contains("hba:3:1: invalid IP address 'everywhere'"), "{log}");
    assert!(log.contains("reload rejected"), "{log}");
    assert_eq!(pooler.refused(&Login::new("two", "postgres")).whole(), REJECTED);
    pooler.stop_with(vec![before]);
}

fn guarded(method: &str) -> Setup {
    let rule = format!(r#"authentication "{method}" password "right" storage "pg" pool "session""#);
    let rule = format!(r#"{rule} storage_user "app" storage_password "x""#);
    ["app", "other"]
        .into_iter()
        .fold(Setup::new(), |setup, user| setup.rule("postgres", user, &rule))
}

/// A connection that has just sent a wrong password.
fn guess(pooler: &Pooler, user: &str) -> Client {
    let mut client = pooler.connect();
    client.send(&Login::new(user, "postgres").packet());
    client.until_tag(b'R');
    client.send(&Wire::new().message(b'p', &cstr("wrong")));
    client
}

/// How long who has guessed five times waits.
const LONG: Duration = Duration::from_secs(2);

/// Fails against a refusal that is told at once, and against one that waits with the permit of
/// `client_max_routing` in its hands.
#[test]
fn guessing_gets_slower_for_the_one_who_guesses_and_for_nobody_else() {
    let pooler = guarded("clear_text").global("client_max_routing 1").start();
    let start = Instant::now();
    for _ in 0..5 {
        guess(&pooler, "app").until_closed();
    }
    let pauses = Duration::from_millis(125 + 250 + 500 + 1000);
    assert!(start.elapsed() >= pauses, "{:?}", start.elapsed());
    let start = Instant::now();
    let mut last = guess(&pooler, "app"); // it waits for at least two seconds
    pooler.login(&Login::new("app", "postgres").password("right"));
    pooler.login(&Login::new("other", "postgres").password("right"));
    guess(&pooler, "other").until_closed();
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert!(last.until_closed().error().is_some());
    assert!(start.elapsed() >= LONG, "{:?}", start.elapsed());
    let start = Instant::now();
    guess(&pooler, "app").until_closed();
    assert!(start.elapsed() < LONG, "a right password made good");
    pooler.stop();
}

#[test]
fn the_operator_reads_why_and_no_secret() {
    let pooler = guarded("md5").start();
    pooler.refused(&Login::new("app", "postgres").password("secret guess"));
    let line = pooler.wait_for_line("user 'postgres.app' incorrect password");
    assert!(line.contains("wrong password (md5 by rule 'postgres.app all', "), "{line}");
    assert!(line.contains("odyssey.conf:"), "{line}");
    let log = pooler.log();
    assert!(!log.contains("secret guess") && !log.contains("right"), "{log}");
    pooler.stop();
}

/// What the server's first message of SCRAM says behind its nonce: salt and count.
pub fn challenge(pooler: &Pooler, user: &str) -> String {
    let first = "n,,n=,r=abc";
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    let mut client = pooler.connect();
    client.send(&Login::new(user, "postgres").packet());
    client.until_tag(b'R');
    let initial = [&cstr("SCRAM-SHA-256")[..], &length, first.as_bytes()].concat();
    client.send(&Wire::new().message(b'p', &initial));
    let body = client.read().expect("a challenge").body;
    let text = String::from_utf8_lossy(&body[4..]).into_owned();
    text.split_once(",s=").expect("a salt").1.to_owned()
}

/// Fails against a salt for each password: two users with one password were seen to have it.
#[test]
fn a_salt_tells_neither_who_exists_nor_who_has_whose_password() {
    let pooler = guarded("scram-sha-256").start();
    let [app, other] = ["app", "other"].map(|user| challenge(&pooler, user));
    assert_eq!(app, challenge(&pooler, "app"), "always the same for one name");
    assert_ne!(app, other);
    assert!(app.ends_with(",i=4096"), "{app}");
    pooler.stop();
}
