//! Which rule a client meets: rules and clients as lines, the rule's number as the answer.

use super::*;
use crate::testing::rule;

mod order;

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

/// A word behind the address that is not `ssl` is the name of the host, `?` is none.
fn with_ask(text: &str, use_it: impl FnOnce(&Ask<'_>)) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let address = (words[2] != "unix").then(|| words[2].parse().unwrap());
    let tls = words[3..].contains(&"ssl");
    let host = match words[3..].iter().find(|word| **word != "ssl") {
        None => Host::Unasked,
        Some(&"?") => Host::Nameless,
        Some(name) => Host::Named(name),
    };
    use_it(&Ask { database: words[0], user: words[1], address, host, tls });
}

fn rules(lines: &[&str]) -> Rules {
    Rules::ordered(lines.iter().map(|line| Arc::new(rule(line))).collect(), true)
}

fn members(names: &[&str]) -> Members {
    names.iter().map(|name| (*name).into()).collect()
}

/// The rule found, as it is called in messages; `-` for none, and `?` behind it when something is
/// to be found out first.
fn answer(rules: &Rules, ask: &str) -> String {
    let mut text = String::new();
    with_ask(ask, |ask| {
        text = rules.find(ask).map_or("-".to_owned(), |rule| rule.user.to_string());
        text += match rules.question(ask) {
            None => "",
            Some(Question::HostName) => " host?",
            Some(Question::Members(_)) => " members?",
        };
    });
    text
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

/// Host bits in a rule mean nothing; Odyssey compares them and never matches.
#[test]
fn host_bits_are_masked() {
    check("db bob 10.0.0.5/8", false, "db bob 10.9.9.9", Some(0));
    check("db bob 10.0.0.5/8", false, "db bob ::ffff:10.9.9.9", Some(0));
    check("db bob 10.0.0.5/32", false, "db bob 10.0.0.4", None);
    check("db bob 2001:db8::5/32", false, "db bob 2001:db8:1::1", Some(0));
}

#[test]
fn hosts_are_met_by_their_names() {
    let rules = rules(&["db a box.example.org", "db b .example.org", "db +g .example.org", "* *"]);
    for (ask, expected) in [
        ("db a 10.0.0.1", "default_user host?"),
        ("db a unix", "default_user"),
        ("db a 10.0.0.1 ?", "default_user"),
        ("db a 10.0.0.1 box.example.org", "a"),
        ("db a 10.0.0.1 BOX.Example.org", "a"),
        ("db a 10.0.0.1 xbox.example.org", "default_user members?"),
        ("db b 10.0.0.1 box.example.org", "b"),
        ("db b 10.0.0.1 example.org", "default_user"),
        ("db b 10.0.0.1 .example.org", "b"),
        ("db b 10.0.0.1 örg", "default_user"),
        ("db b 10.0.0.1 ssl", "default_user host?"),
        ("x b 10.0.0.1", "default_user"),
    ] {
        assert_eq!(answer(&rules, ask), expected, "{ask}");
    }
}

#[test]
fn only_members_meet_the_rule_of_a_group() {
    let rules = rules(&["db +staff", "* *"]);
    assert_eq!(answer(&rules, "db ann unix"), "default_user members?");
    assert_eq!(answer(&rules, "x ann unix"), "default_user", "nothing is asked in vain");
    let group = rules.groups().next().unwrap();
    assert!(group.replace(members(&["ann", "bob"])));
    assert!(!group.replace(members(&["bob", "ann"])), "no news");
    for (user, expected) in
        [("ann", "group_staff"), ("eve", "default_user"), ("group_staff", "default_user")]
    {
        assert_eq!(answer(&rules, &format!("db {user} unix")), expected);
    }
    assert!(group.replace(members(&["eve"])));
    assert_eq!(answer(&rules, "db ann unix"), "default_user");
    assert_eq!(answer(&rules, "db eve unix"), "group_staff");
    group.gave_no_answer();
    assert_eq!(answer(&rules, "db eve unix"), "group_staff", "the last answer stays good");
}

/// Seen to fail: a rule that takes "unknown" for "not a member" lets everybody in whom the group is
/// to keep out, for as long as its server is down.
#[test]
fn a_group_that_keeps_out_fails_closed() {
    let rules = rules(&["db +evil block", "db +good", "* *"]);
    rules.groups().for_each(|group| group.gave_no_answer());
    assert_eq!(answer(&rules, "db ann unix"), "group_evil");
    rules.groups().next().unwrap().replace(members(&["eve"]));
    assert_eq!(answer(&rules, "db ann unix"), "default_user", "the other one lets pass");
    assert_eq!(answer(&rules, "db eve unix"), "group_evil");
}

#[test]
fn new_rules_inherit_what_old_ones_knew() {
    let old = rules(&["db +a", "db +b", "db +c"]);
    let of = |rules: &Rules, group: &str| {
        let mut groups = rules.groups();
        let found = groups.find(|one| one.rule().user == UserName::Group(group.to_owned()));
        Arc::clone(found.unwrap())
    };
    of(&old, "a").replace(members(&["ann"]));
    of(&old, "c").gave_no_answer();
    let new = rules(&["x +a 10.0.0.0/8", "db +b", "db +c", "db +d"]);
    new.inherit(&old);
    let known = ["a", "b", "c", "d"].map(|group| of(&new, group).membership("ann"));
    use Membership::*;
    assert_eq!(known, [Member, Unasked, Unknown, Unasked]);
}

#[test]
fn what_if_one_were_a_member() {
    let rules = rules(&["db +a", "* *"]);
    assert!(!rules.enroll("b", "ann") && rules.enroll("a", "ann"));
    assert_eq!(answer(&rules, "db ann unix"), "group_a");
    assert_eq!(answer(&rules, "db eve unix"), "default_user");
}

#[test]
fn internal_rules_serve_the_pooler_alone() {
    let rules = rules(&["db checker internal", "db +g internal", "* * internal", "db checker"]);
    with_ask("db checker unix", |ask| {
        let found = rules.find(ask).unwrap();
        assert_eq!(found.routing, PoolRouting::ClientVisible);
        assert_eq!(rules.explain(ask)[0].1, Verdict::Internal);
    });
    assert_eq!(rules.groups().count(), 0);
    let service = |database, user| rules.service(database, user).unwrap().to_string();
    assert_eq!(service("db", "checker"), "db.checker all");
    assert_eq!(service("db", "eve"), "default_db.default_user all");
}

#[test]
fn an_explanation_tells_every_rule() {
    let lines = ["db bob", "db bob local", "db joe", "x bob", "db +g", "db bob 10.0.0.0/8", "* *"];
    let rules = rules(&lines);
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
