//! Who shares a pool, how many routes there may be, and what the lock orders.

use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::thread;

use super::*;
use crate::pool::{Asker, Checkin, Checkout, Claim, ClientId, Grant};
use crate::testing::rule;
use config::{RuleChange, SharedPool, Storage};

type TestRoutes = Routes<usize, (), usize>;
type TestRoute = Route<usize, (), usize>;

fn get(routes: &TestRoutes, rule: &Arc<Rule>, who: (&str, &str)) -> Arc<TestRoute> {
    routes.get_or_create(rule, who.0, who.1, Replication::No).unwrap()
}

fn asker(client: u64) -> Asker {
    Asker { client: ClientId(client), machine: 0, last: None }
}

#[test]
fn servers_for_replication_are_a_route_of_their_own() {
    let routes = TestRoutes::new();
    let rule = Arc::new(rule("* *"));
    let kinds = [Replication::No, Replication::Physical, Replication::Logical];
    for kind in kinds.into_iter().chain(kinds) {
        let route = routes.get_or_create(&rule, "db", "bob", kind).unwrap();
        assert_eq!(route.key().replication, kind);
    }
    assert_eq!(routes.len(), kinds.len());
}

/// Machines share routes, whatever they put in, as long as it may move between threads.
#[test]
fn a_route_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Route<std::cell::Cell<u8>, std::cell::Cell<u8>, std::cell::Cell<u8>>>();
    shared::<Routes<std::cell::Cell<u8>, std::cell::Cell<u8>, std::cell::Cell<u8>>>();
}

#[test]
fn clients_share_a_route_when_rule_and_backend_identity_are_the_same() {
    let routes = TestRoutes::new();
    let plain = Arc::new(rule("* *"));
    let same_text = Arc::new(rule("* *"));
    let funnel = Arc::new(Rule {
        storage_db: Some("d".into()),
        storage_user: Some("u".into()),
        ..rule("* *")
    });
    for (one, other, shared) in [
        ((&plain, ("db", "bob")), (&plain, ("db", "bob")), true),
        ((&plain, ("db", "bob")), (&plain, ("db", "joe")), false),
        ((&plain, ("db", "bob")), (&plain, ("x", "bob")), false),
        ((&plain, ("db", "bob")), (&same_text, ("db", "bob")), false),
        ((&funnel, ("db", "bob")), (&funnel, ("x", "joe")), true),
        ((&funnel, ("d", "u")), (&plain, ("d", "u")), false),
    ] {
        let one = get(&routes, one.0, one.1);
        let other = get(&routes, other.0, other.1);
        assert_eq!(Arc::ptr_eq(&one, &other), shared, "{:?} {:?}", one.key(), other.key());
    }
    let route = get(&routes, &funnel, ("db", "bob"));
    assert_eq!((route.key().database.as_str(), route.key().user.as_str()), ("d", "u"));
    assert_eq!(routes.snapshot().len(), routes.len());
}

#[test]
fn a_route_keeps_its_rule_s_limits() {
    let limited = Rule {
        pool_size: Some(3),
        client_max: Some(1),
        pool_ttl: Some(Duration::from_secs(5)),
        ..rule("db bob")
    };
    let route = get(&TestRoutes::new(), &Arc::new(limited), ("db", "bob"));
    let first = route.admit().unwrap();
    let refusal = Refusal::ClientMax { scope: Scope::Route, limit: 1 };
    assert_eq!(route.admit().unwrap_err(), refusal);
    drop(first);
    assert_eq!(route.clients(), 0);
    let limits = route.with(|pool| *pool.limits());
    assert_eq!((limits.size, limits.ttl), (Some(3), Some(Duration::from_secs(5))));
}

#[test]
fn the_last_thing_learned_counts() {
    let route = get(&TestRoutes::new(), &Arc::new(rule("db bob")), ("db", "bob"));
    assert_eq!(route.learned(), None);
    route.learn(vec![("server_version".to_owned(), "16".to_owned())].into());
    route.learn(vec![("server_version".to_owned(), "17".to_owned())].into());
    assert_eq!(route.learned().unwrap()[0].1, "17");
}

#[test]
fn a_full_house_forgets_empty_routes_of_default_rules_only() {
    let routes = TestRoutes::with_max(3);
    let (named, anybody) = (Arc::new(rule("db bob")), Arc::new(rule("* *")));
    drop(get(&routes, &named, ("db", "bob")));
    let held = get(&routes, &anybody, ("db", "held"));
    drop(get(&routes, &anybody, ("db", "gone")));
    drop(get(&routes, &anybody, ("db", "new")));
    assert_eq!(routes.len(), 3, "the one that was gone made room");

    let admitted = get(&routes, &anybody, ("db", "new")).admit().unwrap();
    let full = Refusal::RoutesFull { limit: 3 };
    assert_eq!(
        routes.get_or_create(&anybody, "db", "one more", Replication::No).err(),
        Some(full.clone())
    );
    drop(held);
    drop(get(&routes, &anybody, ("db", "one more")));

    let busy = get(&routes, &anybody, ("db", "one more"));
    let opened = busy.with(|pool| pool.checkout(asker(1), || (), Instant::now()));
    assert!(matches!(opened, Checkout::Granted(Grant::Open(_))));
    drop(busy);
    assert_eq!(routes.get_or_create(&anybody, "db", "last", Replication::No).err(), Some(full));
    drop(admitted);
    assert!(routes.get_or_create(&anybody, "db", "last", Replication::No).is_ok());
}

#[test]
fn an_empty_dynamic_route_is_kept_for_a_minute() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let routes = TestRoutes::new();
    let (named, anybody) = (Arc::new(rule("db bob")), Arc::new(rule("* *")));
    drop(get(&routes, &named, ("db", "bob")));
    let held = get(&routes, &anybody, ("db", "joe"));
    assert_eq!(routes.collect(at(0)), 0);
    drop(held);
    assert_eq!(routes.collect(at(100)), 0, "empty from now on");
    let back = get(&routes, &anybody, ("db", "joe"));
    assert_eq!(routes.collect(at(130)), 0);
    drop(back);
    assert_eq!(routes.collect(at(150)), 0);
    assert_eq!(routes.collect(at(209)), 0);
    assert_eq!(routes.collect(at(210)), 1);
    let named_route = routes.snapshot().pop().unwrap();
    named_route.retire();
    assert_eq!(routes.collect(at(211)), 0, "somebody has it");
    drop(named_route);
    assert_eq!(routes.collect(at(212)), 1, "its rule is gone");
    assert!(routes.is_empty());
}

fn tuned(old: &Arc<Rule>, new: Rule) -> (Arc<Rule>, RuleChange) {
    let new = Arc::new(new);
    (Arc::clone(&new), RuleChange::Tuned { old: Arc::clone(old), new })
}

/// Seen to fail: an adoption that leaves routes under the old object gives the new rule a second
/// pool beside the first.
#[test]
fn a_tuned_rule_keeps_its_routes() {
    let (routes, now) = (TestRoutes::new(), Instant::now());
    let old = Arc::new(Rule { client_max: Some(1), pool_size: Some(1), ..rule("* *") });
    let route = get(&routes, &old, ("db", "bob"));
    let _client = route.admit().unwrap();
    let (new, change) =
        tuned(&old, Rule { client_max: Some(2), pool_size: Some(2), ..rule("* *") });
    let concerned = routes.adopt(&[change]);
    assert!(concerned.len() == 1 && Arc::ptr_eq(&concerned[0], &route));
    let Retuned { close, wake } = route.retune(now);
    assert!(close.is_empty() && wake.is_empty());
    // Who met the old rule a moment ago comes to the same place, now and after another reload.
    for rule in [&new, &old] {
        assert!(Arc::ptr_eq(&get(&routes, rule, ("db", "bob")), &route));
    }
    let (newest, change) = tuned(&new, rule("* *"));
    assert_eq!(routes.adopt(&[change]).len(), 1);
    for rule in [&newest, &new, &old] {
        assert!(Arc::ptr_eq(&get(&routes, rule, ("db", "bob")), &route));
        assert!(!get(&routes, rule, ("db", "joe")).is_retired());
    }
    assert!(route.admit().is_ok() && Arc::ptr_eq(&route.rule(), &newest));
}

#[test]
fn a_removed_rule_retires_its_routes_and_whoever_comes_late() {
    let (routes, now) = (TestRoutes::new(), Instant::now());
    let (gone, stays) = (Arc::new(rule("db bob")), Arc::new(rule("db joe")));
    let (route, other) = (get(&routes, &gone, ("db", "bob")), get(&routes, &stays, ("db", "joe")));
    assert_eq!(routes.adopt(&[RuleChange::Removed(Arc::clone(&gone))]).len(), 1);
    assert!(route.is_retired() && !other.is_retired());
    drop(route);
    assert_eq!(routes.collect(now), 1);
    // It met its rule before the reload and asks for the route behind it.
    assert!(get(&routes, &gone, ("db", "bob")).is_retired());
    assert_eq!(routes.collect(now), 1);
    assert_eq!(routes.len(), 1);
}

#[test]
fn a_replaced_rule_has_routes_of_its_own() {
    let (routes, now) = (TestRoutes::new(), Instant::now());
    let old = Arc::new(Rule { min_pool_size: 1, ..rule("* *") });
    let new = Arc::new(rule("* *"));
    let route = get(&routes, &old, ("db", "bob"));
    let Checkout::Granted(Grant::Open(slot)) =
        route.with(|pool| pool.checkout(asker(1), || (), now))
    else {
        panic!("the pool is empty");
    };
    assert!(route.with(|pool| pool.opened(slot, 0, now)));
    assert_eq!(route.with(|pool| pool.checkin(slot, 7, 0, now)), Checkin::Parked);
    let change = RuleChange::Replaced { old: Arc::clone(&old), new: Arc::clone(&new) };
    assert_eq!(routes.adopt(&[change]).len(), 1);
    assert!(!Arc::ptr_eq(&get(&routes, &new, ("db", "bob")), &route));
    assert_eq!(route.retune(now).close, [7], "idle servers of a retired route go");
    assert!(!route.with(|pool| pool.is_short(now)), "and it keeps none");
}

/// Seen to fail: a rule that comes back is a new one, with a second pool of the whole size beside
/// the one its old clients use.
#[test]
fn a_rule_that_comes_back_finds_its_routes_and_keeps_its_size() {
    let [here, elsewhere] = [false, true].map(|other| vec![(0, 1, other)]);
    let gone = vec![(1, 1, false)];
    for between in [elsewhere, gone] {
        let (routes, now) = (TestRoutes::new(), Instant::now());
        let mut config = file(&here);
        let route = visit(&routes, &config).pop().unwrap().0;
        let _client = route.admit().unwrap();
        let ask = |client| {
            move |pool: &mut Pool<usize, (), usize>| pool.checkout(asker(client), || (), now)
        };
        let Checkout::Granted(Grant::Open(slot)) = route.with(ask(1)) else { panic!("it is new") };
        assert!(route.with(|pool| pool.opened(slot, 0, now)));
        for next in [&between, &here] {
            let config::Diff { config: new, rules, .. } = config::diff(&config, file(next));
            let concerned = routes.adopt(&rules);
            assert!(concerned.iter().any(|one| Arc::ptr_eq(one, &route)));
            concerned.iter().for_each(|one| drop(one.retune(now)));
            config = new;
        }
        let again = visit(&routes, &config).pop().unwrap().0;
        assert!(Arc::ptr_eq(&again, &route));
        assert!(matches!(again.with(ask(2)), Checkout::Wait(_)), "its one server is in use");
        let closes = again.with(|pool| pool.checkin(slot, 7, 0, now));
        assert!(matches!(closes, Checkin::Close(7, Some(()))), "one of before the reloads goes");
    }
}

/// A file with these rules: user, size of the pool, and whether the database is another one.
fn file(rules: &[(u8, u8, bool)]) -> config::Config {
    let mut text = String::from(
        "log_format \"%m\"\nlisten { host \"*\" port 1 }\n\
         storage \"pg\" { type \"remote\" host \"db\" port 1 }\n",
    );
    for (user, size, other) in rules {
        let db = if *other { "storage_db \"x\"" } else { "" };
        text += &format!(
            "database \"db\" {{ user \"u{user}\" {{ authentication \"none\" storage \"pg\" \
             pool \"session\" pool_size {size} {db} }} }}\n"
        );
    }
    config::parse("f", &text, config::Format::Conf).unwrap().config
}

/// A route for each rule that somebody can meet, with the limit it keeps.
fn visit(routes: &TestRoutes, config: &config::Config) -> Vec<(Arc<TestRoute>, Option<usize>)> {
    let rules = crate::Rules::new(config);
    let met = (0..4_u8).filter_map(|user| {
        let name = format!("u{user}");
        let host = crate::Host::Unasked;
        let ask = crate::Ask { database: "db", user: &name, address: None, host, tls: false };
        let rule = rules.find(&ask)?;
        let route = get(routes, rule, ("db", &name));
        assert!(!route.is_retired() && Arc::ptr_eq(&route.rule(), rule), "{name}");
        let size = route.with(|pool| pool.limits().size);
        assert_eq!(size, rule.pool_size, "{name}");
        Some((route, size))
    });
    met.collect()
}

/// Routes of rules that were there all the time are the same ones, others are gone or new; none is
/// left over.
fn there_and_back(one: &[(u8, u8, bool)], two: &[(u8, u8, bool)]) {
    let (routes, now) = (TestRoutes::new(), Instant::now());
    let adopt = |old: &config::Config, new: config::Config| {
        let config::Diff { config, rules, .. } = config::diff(old, new);
        for route in routes.adopt(&rules) {
            let Retuned { close, wake } = route.retune(now);
            assert!(close.is_empty() && wake.is_empty());
        }
        config
    };
    let first = file(one);
    let before = visit(&routes, &first);
    let there = adopt(&first, file(two));
    drop(visit(&routes, &there));
    let back = adopt(&there, file(one));
    let after = visit(&routes, &back);
    assert_eq!(after.len(), before.len());
    for ((old, size), (new, same)) in before.iter().zip(&after) {
        assert_eq!((old.key(), size), (new.key(), same));
        assert_eq!(old.is_retired(), !Arc::ptr_eq(old, new), "the same one, or its heir");
    }
    drop((before, after));
    routes.collect(now);
    assert!(routes.snapshot().iter().all(|route| !route.is_retired()), "none is left over");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn there_and_back_again_the_routes_are_as_before(
        one in proptest::collection::vec((0..4_u8, 1..3_u8, proptest::bool::ANY), 1..5),
        two in proptest::collection::vec((0..4_u8, 1..3_u8, proptest::bool::ANY), 1..5),
    ) {
        there_and_back(&one, &two);
    }
}

/// What several pools share is known by its name: those that go and those that come have it
/// together.
#[test]
fn a_shared_pool_is_resized() {
    let (routes, now) = (TestRoutes::new(), Instant::now());
    let shared = |size| Some(Arc::new(SharedPool { name: "s".into(), pool_size: Some(size) }));
    let storage =
        |max| Arc::new(Storage { server_max_routing: max, ..(*rule("* *").storage).clone() });
    let old = Arc::new(Rule { shared_pool: shared(2), storage: storage(9), ..rule("* *") });
    let (one, two) = (get(&routes, &old, ("db", "one")), get(&routes, &old, ("db", "two")));
    let open = |route: &Arc<TestRoute>, client| {
        let decision = route.with(|pool| pool.checkout(asker(client), || (), now));
        let Checkout::Granted(Grant::Open(slot)) = decision else { panic!("{decision:?}") };
        assert!(route.with(|pool| pool.opened(slot, 0, now)));
        slot
    };
    let (idle, busy) = (open(&one, 1), open(&two, 2));
    assert_eq!(one.with(|pool| pool.checkin(idle, 7, 0, now)), Checkin::Parked);
    let (new, change) =
        tuned(&old, Rule { shared_pool: shared(1), storage: storage(9), ..rule("* *") });
    assert_eq!(routes.adopt(&[change]).len(), 2);
    assert_eq!(one.retune(now).close, [7], "there is one too many");
    assert!(two.retune(now).close.is_empty());
    assert_eq!(two.with(|pool| pool.checkin(busy, 8, 0, now)), Checkin::Parked);
    let (_, change) =
        tuned(&new, Rule { shared_pool: shared(3), storage: storage(9), ..rule("* *") });
    assert_eq!(routes.adopt(&[change]).len(), 2);
    for client in 3..5 {
        open(&one, client);
    }
}

/// Real threads: owners take and return servers while cancellers cancel. While a cancel is in
/// flight its server is its target's or nobody's. Seen to fail: a `checkin` that ignores cancels.
#[test]
fn the_lock_orders_cancels_and_returns() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 3_000;
    let sized = Rule { pool_size: Some(2), ..rule("db bob") };
    let route = get(&TestRoutes::new(), &Arc::new(sized), ("db", "bob"));
    // Which client runs a query on which server; 0 is nobody.
    let owners: [AtomicU64; 2] = Default::default();
    let running = AtomicU64::new(CLIENTS as u64);
    thread::scope(|scope| {
        for client in 1..=CLIENTS as u64 {
            let (route, owners, running) = (&route, &owners, &running);
            scope.spawn(move || {
                let mut rounds = 0;
                while rounds < ROUNDS {
                    rounds += usize::from(use_a_server(route, client, owners));
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut target = 0;
                while running.load(Ordering::SeqCst) > 0 {
                    target = target % CLIENTS as u64 + 1;
                    cancel(&route, target, &owners);
                }
            });
        }
    });
    let (counts, counters) = route.with(|pool| (pool.counts(), *pool.counters()));
    assert_eq!((counts.idle, counts.servers(), counts.waiting), (2, 2, 0));
    assert!(counters.cancels > 0, "the test cancelled something");
}

/// True when there was a server; else the client left the queue again.
fn use_a_server(route: &Route<usize, (), usize>, client: u64, owners: &[AtomicU64; 2]) -> bool {
    let now = Instant::now();
    let (slot, server) = match route.with(|pool| pool.checkout(asker(client), || (), now)) {
        Checkout::Granted(Grant::Take(slot, server)) => (slot, server),
        Checkout::Granted(Grant::Open(slot)) => {
            let server = slot.index() as usize;
            assert!(route.with(|pool| pool.opened(slot, server, now)));
            (slot, server)
        }
        Checkout::Wait(ticket) => {
            thread::yield_now();
            match route.with(|pool| pool.give_up(ticket, now)) {
                crate::GaveUp::Granted(crate::Grant::Take(slot, server)) => (slot, server),
                crate::GaveUp::Left => return false,
                other => panic!("no server is ever lost here: {other:?}"),
            }
        }
        Checkout::Refuse(refusal) => panic!("{refusal}"),
    };
    let before = owners[server].swap(client, Ordering::SeqCst);
    assert_eq!(before, 0, "one server, one owner");
    thread::yield_now();
    owners[server].store(0, Ordering::SeqCst);
    let back = route.with(|pool| pool.checkin(slot, server, 0, now));
    assert!(matches!(back, Checkin::Parked | Checkin::Quarantined | Checkin::Wake(())));
    true
}

fn cancel(route: &Route<usize, (), usize>, target: u64, owners: &[AtomicU64; 2]) {
    let Some((slot, server)) = route.with(|pool| pool.begin_cancel(ClientId(target))) else {
        return thread::yield_now();
    };
    for _ in 0..3 {
        let hit = owners[server].load(Ordering::SeqCst);
        assert!(hit == 0 || hit == target, "a cancel for {target} hits {hit}");
        thread::yield_now();
    }
    let _ = route.with(|pool| pool.cancel_done(slot, Instant::now()));
}

#[test]
fn a_panic_under_the_lock_ends_the_process() {
    const CHILD: &str = "ROUTER_TEST_PANIC_UNDER_THE_LOCK";
    if std::env::var_os(CHILD).is_some() {
        let route = get(&TestRoutes::new(), &Arc::new(rule("db bob")), ("db", "bob"));
        // Without the abort this thread would die alone and the test would pass.
        let panicked = thread::spawn(move || route.with(|_| panic!("on purpose"))).join();
        assert!(panicked.is_err());
        return;
    }
    let name = "route::tests::a_panic_under_the_lock_ends_the_process";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    assert_eq!(output.status.signal(), Some(SIGABRT), "{output:?}");
}

type Crowd = Routes<usize, std::sync::mpsc::Sender<()>, usize>;

/// Runs the errands as the pooler does: what is closed is gone, who is woken gets a message.
fn errands(routes: &Crowd, route: &Route<usize, std::sync::mpsc::Sender<()>, usize>) {
    routes.run_errands(route, Instant::now, |done| {
        if let Done::Wake(waker) = done {
            waker.send(()).unwrap();
        }
    });
}

/// One query: a server is got, opened if need be, and given back.
fn query(routes: &Crowd, route: &Route<usize, std::sync::mpsc::Sender<()>, usize>, id: u64) {
    let now = Instant::now();
    let (sender, woken) = std::sync::mpsc::channel();
    let answer = route.with(|pool| pool.checkout(asker(id), || sender, now));
    errands(routes, route);
    let grant = match answer {
        Checkout::Granted(grant) => grant,
        Checkout::Refuse(refusal) => panic!("{refusal}"),
        Checkout::Wait(ticket) => {
            woken.recv_timeout(Duration::from_secs(20)).expect("it is not forgotten");
            let Claim::Granted(grant) = route.with(|pool| pool.claim(ticket)) else {
                panic!("who is woken has a grant")
            };
            grant
        }
    };
    let slot = match grant {
        Grant::Take(slot, _) => slot,
        Grant::Open(slot) => {
            assert!(route.with(|pool| pool.opened(slot, 0, now)));
            errands(routes, route);
            slot
        }
    };
    let outcome = route.with(|pool| pool.checkin(slot, 0, 0, Instant::now()));
    errands(routes, route);
    if let Checkin::Wake(waker) | Checkin::Close(_, Some(waker)) = outcome {
        waker.send(()).unwrap();
    }
}

/// Real threads on three routes with one budget. Seen to fail: errands that are run only by those
/// who give something back, for somebody may begin to wait a moment later.
#[test]
fn nobody_is_forgotten_between_routes_that_share() {
    let shared = Arc::new(config::SharedPool { name: "one".into(), pool_size: Some(2) });
    let rule = Arc::new(Rule { shared_pool: Some(shared), ..rule("* *") });
    let routes = Crowd::new();
    let three = ["a", "b", "c"]
        .map(|name| routes.get_or_create(&rule, name, "u", Replication::No).unwrap());
    // Many short rounds: the last one of each has nobody behind it whose errands help.
    for _ in 0..200 {
        thread::scope(|scope| {
            for id in 0..6_u64 {
                let (routes, route) = (&routes, &three[id as usize % 3]);
                scope.spawn(move || (0..20).for_each(|_| query(routes, route, id)));
            }
        });
    }
    let servers = three.iter().map(|route| route.with(|pool| pool.counts().servers()));
    assert!(servers.sum::<usize>() <= 2);
    assert!(three.iter().any(|route| route.with(|pool| pool.counters().ceded) > 0));
    drop(three);
    assert_eq!(routes.len(), 3);
    assert!(routes.snapshot().iter().all(|route| route.budgets.len() == 2));
}
