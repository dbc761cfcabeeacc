//! What is told in the console; the session goes on.

use super::{in_words, wire};
use crate::console::{console, with_console};
use crate::support::{Answer, Login, Setup};

fn error(answer: &Answer) -> String {
    answer.0.iter().find(|message| message.tag == b'E').map_or("none".into(), in_words)
}

#[test]
fn to_whoever_may_not_or_says_what_is_no_command() {
    let pooler = with_console(Setup::transaction(1)).start();
    let mut stat = pooler.login(&Login::new("stat", "console"));
    let denied = "ERROR 42501 Unsuitable user role to emit console command \
                  HINT: the rule's `role` says what it may do";
    assert_eq!(error(&stat.query("reload")), denied);
    let mut admin = console(&pooler);
    assert_eq!(
        error(&admin.query("dance a little")),
        "ERROR 42601 console command error: dance a little HINT: SHOW HELP lists the commands"
    );
    admin.send(&wire().function_call(1, &[]));
    assert_eq!(
        error(&admin.until_tag(b'E')),
        "ERROR 0A000 unsupported request 'FunctionCall' \
         HINT: the console takes queries, simple and extended"
    );
    admin.send(&wire().sync());
    admin.until_ready();
    for (command, what) in [("create module 'x'", "loaded"), ("drop module 'x'", "unloaded")] {
        let words = error(&admin.query(command));
        assert_eq!(words, format!("ERROR 0A000 there are no modules that could be {what}"));
    }
    pooler.stop_with(vec![stat, admin]);
}
