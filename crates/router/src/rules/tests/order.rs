//! Random rules and random clients: what is found is what a model finds that is nothing but the
//! sentences of Odyssey's manual, one after the other.

use proptest::prelude::*;

use super::*;

const DATABASES: [&str; 3] = ["*", "db", "x"];
const USERS: [&str; 5] = ["*", "ann", "bob", "+g", "+h"];
const PLACES: [&str; 7] =
    ["", "10.0.0.0/8", "10.1.0.9/16", "0.0.0.0/0", "::/0", "box.example.org", ".example.org"];
const CONNECTIONS: [&str; 5] = ["", "local", "host", "hostssl", "hostnossl"];
const CLIENTS: [&str; 6] = ["unix", "10.1.2.3", "10.2.2.3", "11.0.0.1", "::ffff:10.1.2.3", "::1"];
const HOSTS: [&str; 3] = ["?", "box.example.org", "other.example.org"];

/// Indices into the four lists, and whether it is internal.
type Line = (usize, usize, usize, usize, bool);

/// Often the same names, so that rules that differ in one thing meet.
fn line() -> impl Strategy<Value = Line> {
    let database = prop_oneof![2 => Just(1), 3 => 0..3usize];
    let user = prop_oneof![2 => Just(1), 3 => 0..5usize];
    let place = prop_oneof![2 => Just(0), 3 => 0..7usize];
    (database, user, place, 0..5usize, prop::bool::weighted(0.1))
}

fn text((database, user, place, connection, internal): Line) -> String {
    let [database, user] = [DATABASES[database], USERS[user]];
    let internal = if internal { "internal" } else { "" };
    format!("{database} {user} {} {} {internal}", PLACES[place], CONNECTIONS[connection])
}

/// Is `line` for the client?
fn is_for(line: Line, ask: &Ask<'_>) -> bool {
    let (database, user, place, connection, internal) = line;
    let v4 = |text: &str| {
        let address = ask.address.map(|address| address.to_canonical().to_string());
        address.is_some_and(|address| address.contains('.') && address.starts_with(text))
    };
    let host = match ask.host {
        Host::Named(name) => name,
        Host::Unasked | Host::Nameless => "",
    };
    let tcp = ask.address.is_some();
    let from = match PLACES[place] {
        "" => true,
        "10.0.0.0/8" => v4("10."),
        "10.1.0.9/16" => v4("10.1."),
        "0.0.0.0/0" => v4(""),
        // As it came, a mapped address is one of the sixth version, too.
        "::/0" => ask.address.is_some_and(|address| address.is_ipv6()),
        name => tcp && host.ends_with(name),
    };
    let over = match CONNECTIONS[connection] {
        "" => true,
        "local" => !tcp,
        "host" => tcp,
        "hostssl" => tcp && ask.tls,
        _ => tcp && !ask.tls,
    };
    let named = |name: &str, asked: &str| name == "*" || name == asked;
    let user = match USERS[user] {
        "+g" => ask.user == "ann",
        "+h" => false,
        name => named(name, ask.user),
    };
    !internal && named(DATABASES[database], ask.database) && user && from && over
}

/// What orders two lines by specificity: the larger one is tried first.
fn weight((database, user, place, connection, _): Line) -> (bool, bool, bool, bool) {
    (database > 0, user > 0, place > 0, connection > 0)
}

/// The names that order lines of one weight, the smaller one first; connection types backwards.
fn names((database, user, place, connection, _): Line) -> (String, String, String, usize) {
    let user = match USERS[user] {
        "*" => "default_user".to_owned(),
        name => name.replace('+', "group_"),
    };
    let database = DATABASES[database].replace('*', "default_db");
    (database, user, PLACES[place].to_owned(), CONNECTIONS.len() - connection)
}

/// Better: `left` is tried before `right`. Equal ones are tried in their order in the file.
fn is_before(left: Line, right: Line) -> bool {
    (weight(right), names(left)) < (weight(left), names(right))
        || (weight(left) == weight(right) && names(left) < names(right))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Seen to fail: without the masks of host bits, with weights 100 and 1000 swapped, with the
    /// order of connection types turned.
    #[test]
    fn the_order_is_that_of_a_naive_model(
        lines in prop::collection::vec(line(), 0..24),
        sequential: bool,
        (database, user, client, host) in (1..3usize, 1..3usize, 0..6usize, 0..3usize),
        ssl: bool,
    ) {
        let all: Vec<Arc<Rule>> = lines.iter().map(|one| Arc::new(rule(&text(*one)))).collect();
        let rules = Rules::ordered(all.clone(), sequential);
        for group in rules.groups() {
            let is_g = group.rule().user == UserName::Group("g".to_owned());
            group.replace(if is_g { members(&["ann"]) } else { Members::new() });
        }
        let ssl = if ssl { "ssl" } else { "" };
        let (database, user) = (DATABASES[database], USERS[user]);
        let ask = format!("{database} {user} {} {} {ssl}", CLIENTS[client], HOSTS[host]);
        let mut found = None;
        with_ask(&ask, |ask| {
            let fitting = lines.iter().enumerate().filter(|(_, one)| is_for(**one, ask));
            let best = fitting.reduce(|best, next| {
                if !sequential && is_before(*next.1, *best.1) { next } else { best }
            });
            let rule = rules.find(ask);
            let at = rule.and_then(|rule| all.iter().position(|one| Arc::ptr_eq(one, rule)));
            assert!(rules.question(ask).is_none());
            found = Some((at, best.map(|(index, _)| index)));
        });
        let (at, best) = found.unwrap();
        prop_assert_eq!(at, best, "{} in {:?}", ask, lines.iter().copied().map(text).collect::<Vec<_>>());
    }
}
