//! Which rule a client meets: rules and clients as lines, the rule's number as the answer.

use super::*;
use crate::testing::rule;

/// `rules` has one rule a line (`database user [address] [connection]`), `ask` is
/// `database user address|unix [ssl]`; the answer is the line of the rule, from 0.
fn check(rules: &str, sequential: bool, ask: &str, expected: Option<usize>) {
    let all: Vec<Arc<Rule>> = rules.lines().map(|line| Arc::new(rule(line.trim()))).collect();
    let ordered = Rules::ordered(all.clone(), sequential);
    with_ask(ask, |asked| {
        let found = ordered.find(asked);
        let line = found.and_then(|found| all.iter().position(|rule| Arc::ptr_eq(rule, found)));
        assert_eq!(line, expected, "{ask} in\n{rules}");
        let matched = ordered.explain(asked).into_iter().find(|(_, v)| *v == Verdict::Matched);
        assert_eq!(matched.is_some(), found.is_some());
    });
}

fn with_ask(text: &str, use_it: impl FnOnce(&Ask<'_>)) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let address = (words[2] != "unix").then(|| words[2].parse().unwrap());
    let asked_ssl = words.get(3) == Some(&"ssl");
    use_it(&Ask { database: words[0], user: words[1], address, asked_ssl });
}

#[test]
fn the_more_specific_rule_comes_first() {
    let rules = "* *
                 db *
                 * bob
                 db bob
                 db bob 10.0.0.0/8
                 db bob 10.0.0.0/8 hostssl
                 db bob local";
    for (ask, expected) in [
        ("x y unix", Some(0)),
        ("x bob 1.2.3.4", Some(2)),
        ("db y 1.2.3.4", Some(1)),
        ("db bob 1.2.3.4 ssl", Some(3)),
        ("db bob 10.1.2.3", Some(4)),
        ("db bob 10.1.2.3 ssl", Some(5)),
        ("db bob unix", Some(6)),
    ] {
        check(rules, false, ask, expected);
    }
}

#[test]
fn a_named_database_outweighs_everything_else() {
    let rules = "* bob 10.0.0.0/8 host
                 db *";
    check(rules, false, "db bob 10.0.0.1", Some(1));
    check(rules, false, "no bob 10.0.0.1", Some(0));
    check(rules, false, "no joe 10.0.0.1", None);
}

#[test]
fn sequential_routing_follows_the_file() {
    let rules = "* *
                 db bob";
    check(rules, true, "db bob unix", Some(0));
    check(rules, false, "db bob unix", Some(1));
}

#[test]
fn a_rule_that_fits_not_by_address_lets_the_next_one_try() {
    let rules = "db bob 10.0.0.0/8
                 * *";
    check(rules, false, "db bob 11.0.0.1", Some(1));
    check(rules, false, "db bob unix", Some(1));
    check("db bob 10.0.0.0/8", false, "db bob 11.0.0.1", None);
    check("db bob 0.0.0.0/0", false, "db bob unix", None);
    check("db bob 0.0.0.0/0", false, "db bob ::1", None);
    check("db bob ::/0", false, "db bob ::1", Some(0));
    check("db bob 10.0.0.0/8", false, "db bob ::ffff:10.1.1.1", Some(0));
}

#[test]
fn connection_types_tell_sockets_and_what_was_asked_for() {
    for (connection, clients) in [
        ("", [true, true, true]),
        ("local", [true, false, false]),
        ("host", [false, true, true]),
        ("hostssl", [false, false, true]),
        ("hostnossl", [false, true, false]),
    ] {
        let asks = ["db bob unix", "db bob 1.1.1.1", "db bob 1.1.1.1 ssl"];
        for (ask, fits) in asks.iter().zip(clients) {
            check(&format!("db bob {connection}"), false, ask, fits.then_some(0));
        }
    }
}

#[test]
fn ties_go_by_name_then_by_the_narrower_connection() {
    check("db bob host\ndb bob hostssl", false, "db bob 1.1.1.1 ssl", Some(1));
    check("db bob hostssl\ndb bob host", false, "db bob 1.1.1.1 ssl", Some(0));
    check("db bob 10.0.0.0/8\ndb bob 0.0.0.0/0", false, "db bob 10.0.0.1", Some(1));
    check("db bob\ndb bob", false, "db bob unix", Some(0));
}

#[test]
fn names_are_compared_byte_by_byte() {
    check("db bob", false, "DB bob unix", None);
    check("db bob", false, "db bobby unix", None);
    check("default_db default_user", false, "x y unix", None);
}

#[test]
fn groups_have_no_members_yet() {
    check("db +staff\n* *", false, "db staff unix", Some(1));
    check("db +staff", false, "db group_staff unix", None);
}

#[test]
fn an_explanation_tells_every_rule() {
    let lines = ["db bob", "db bob local", "db joe", "x bob", "db +g", "db bob 10.0.0.0/8", "* *"];
    let rules = Rules::ordered(lines.iter().map(|line| Arc::new(rule(line))).collect(), true);
    with_ask("db bob 11.0.0.1", |ask| {
        let verdicts: Vec<Verdict> = rules.explain(ask).into_iter().map(|(_, v)| v).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Matched,
                Verdict::Connection,
                Verdict::User,
                Verdict::Database,
                Verdict::Group,
                Verdict::Address,
                Verdict::Shadowed,
            ]
        );
    });
}
