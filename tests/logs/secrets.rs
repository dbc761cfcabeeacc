//! What nobody may read in a log.

use crate::support::process::write;
use crate::support::{Login, Setup, Wire};
use rustix::process::Signal;

/// Every secret of this test has this in it, and nothing else has.
const SECRET: &str = "s3cr3t";

/// A run with everything logged that can be: logins that fail and succeed, by every method, the
/// configuration, a reload that changes passwords, statements that set some.
#[test]
fn no_password_is_in_any_line() {
    for format in ["%p %t %l [%i %s] (%c) %m", "json"] {
        no_password_in(format);
    }
}

fn no_password_in(format: &str) {
    let rule = |method: &str, suffix: &str| {
        format!(
            r#"storage "pg" pool "transaction" authentication "{method}"
               password "{SECRET}-{suffix}" storage_user "app" storage_password "{SECRET}-storage""#
        )
    };
    let methods = ["clear_text", "md5", "scram-sha-256"];
    let mut setup = Setup::new().global(&format!("log_format \"{format}\""));
    for option in ["log_debug yes", "log_query yes", "log_config yes", "log_stats yes"] {
        setup = setup.global(option);
    }
    let with = |suffix: &str| {
        methods.iter().fold(setup.clone(), |setup, method| {
            setup.rule("postgres", method, &rule(method, suffix))
        })
    };
    let pooler = with("before").start();
    for method in methods {
        let login = || Login::new(method, "postgres");
        pooler.refused(&login().password(&format!("{SECRET}-wrong")));
        let mut client = pooler.login(&login().password(&format!("{SECRET}-before")));
        client.query(&format!("alter role nobody password '{SECRET}'"));
        client.extended(&format!("create user\n nobody encrypted password $${SECRET}$$ x"), &[]);
        let sql = "select $1::text || 'shown'";
        client.extended(sql, &[&format!("{SECRET}-value")]);
        client.leave();
    }
    let mut nonsense = pooler.connect();
    nonsense.send(&Login::new("clear_text", "postgres").packet());
    nonsense.send(&Wire::new().message(b'p', format!("{SECRET} without an end").as_bytes()));
    nonsense.until_closed();
    let text = with("after").text(pooler.port, &pooler.socket_dir());
    write(&pooler.socket_dir(), "odyssey.conf", &text);
    pooler.signal(Signal::HUP);
    pooler.wait_for_line("reload done");
    let log = pooler.log();
    assert!(log.contains("password ***") && log.contains("incorrect password"), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    pooler.stop();
}
