//! Statements: one text, one statement, as long as anybody holds it, whoever else lets go.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[test]
fn one_text_is_one_statement() {
    let statements = Statements::new();
    let first = statements.intern(b"select 1\0\0\0");
    let again = statements.intern(b"select 1\0\0\0");
    let typed = statements.intern(b"select 1\0\0\x01\0\0\0\x17");
    assert_eq!(first, again);
    assert_ne!(first, typed);
    assert_eq!((first.body(), typed.number()), (&b"select 1\0\0\0"[..], 1));
    assert_eq!((statements.len(), statements.body_bytes()), (2, 11 + 15));
}

#[test]
fn a_statement_lives_as_long_as_somebody_knows_it() {
    let statements = Statements::new();
    let first = statements.intern(b"select 1");
    let number = first.number();
    let second = first.clone();
    drop(first);
    assert_eq!(statements.intern(b"select 1").number(), number);
    drop(second);
    assert!(statements.is_empty());
    assert_eq!(statements.body_bytes(), 0);
    assert_ne!(statements.intern(b"select 1").number(), number, "a server may know the old one");
}

#[test]
fn handles_outlive_the_statements() {
    let statements = Statements::new();
    let handle = statements.intern(b"select 1");
    drop(statements);
    assert_eq!(handle.body(), b"select 1");
}

#[test]
fn names_are_odysseys() {
    let check = |number, name: &str| assert_eq!(&*StatementName::new(number), name.as_bytes());
    check(0, "odyssey_pstmt_0");
    check(9, "odyssey_pstmt_9");
    check(10, "odyssey_pstmt_10");
    check(1_234_567_890, "odyssey_pstmt_1234567890");
    check(u64::MAX, "odyssey_pstmt_18446744073709551615");
    assert_eq!(&*Statements::new().intern(b"q").name(), b"odyssey_pstmt_0");
}

#[test]
fn a_printed_statement_does_not_tell_its_text() {
    let statement = Statements::new().intern(b"secret");
    assert_eq!(format!("{statement:?}"), "Interned(Statement(0, 6 bytes))");
    assert_eq!(format!("{:?}", statement.name()), "odyssey_pstmt_0");
}

#[test]
fn texts_with_one_hash_are_two_statements() {
    let statements = Statements::new();
    let (one, two) = (statements.intern_as(7, b"one"), statements.intern_as(7, b"two"));
    assert_ne!(one, two);
    assert_eq!(statements.intern_as(7, b"one"), one);
    drop(one);
    assert_eq!(statements.intern_as(7, b"two"), two);
    assert_eq!((statements.len(), statements.body_bytes()), (1, 3));
}

#[test]
fn who_interns_second_at_the_same_time_gets_the_first() {
    let statements = Statements::new();
    let (first, second) = (statements.fresh(7, b"q"), statements.fresh(7, b"q"));
    assert_eq!(statements.shards.lock(7).keep(&first), None);
    assert_eq!(statements.shards.lock(7).keep(&second), Some(first.clone()));
    drop(second);
    assert_eq!(statements.intern_as(7, b"q"), first, "a statement nobody kept removes nothing");
}

/// Fails against a Drop that removes whatever has its text: the one that was interned between the
/// end of its last handle and its lock would be forgotten while it lives.
#[test]
fn the_end_of_a_statement_spares_its_successor() {
    let statements = Statements::new();
    let first = statements.intern_as(7, b"q");
    let watch = Arc::downgrade(&first.0);
    let successor = statements.fresh(7, b"q");
    thread::scope(|scope| {
        let mut shard = statements.shards.lock(7);
        scope.spawn(move || drop(first)); // no handle at once, but removed only after our lock
        let deadline = Instant::now() + Duration::from_secs(60);
        while watch.strong_count() > 0 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(shard.keep(&successor), None);
        assert_eq!(shard.known.len(), 2);
    });
    assert_eq!(statements.intern_as(7, b"q"), successor);
    assert_eq!((statements.len(), statements.body_bytes()), (1, 1));
}

/// Fails against the same wrong Drop as the test above, and against one whose `keep` does not look
/// again: two live handles of one text differ.
#[test]
fn threads_that_intern_and_drop_the_same_texts_agree() {
    const ROUNDS: usize = 100_000;
    let statements = Statements::new();
    thread::scope(|scope| {
        for thread in 0..4 {
            let statements = &statements;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let body = [b'a' + ((round + thread) % 2) as u8];
                    let first = statements.intern(&body);
                    let again = statements.intern(&body);
                    assert_eq!(first, again, "thread {thread}, round {round}");
                    assert_eq!(first.body(), body);
                }
            });
        }
    });
    assert_eq!((statements.len(), statements.body_bytes()), (0, 0));
}

#[derive(Clone, Debug)]
enum Op {
    /// A body, by its length.
    Intern(usize),
    /// A handle, counted modulo how many there are.
    Clone(usize),
    Drop(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..6_usize).prop_map(Op::Intern),
        1 => (0..100_usize).prop_map(Op::Clone),
        4 => (0..100_usize).prop_map(Op::Drop),
    ]
}

fn check(statements: &Statements, handles: &[(usize, Interned)]) {
    let mut alive = BTreeMap::new();
    for (len, handle) in handles {
        let number = *alive.entry(*len).or_insert(handle.number());
        assert_eq!((handle.number(), handle.body().len()), (number, *len));
    }
    assert_eq!(statements.len(), alive.len());
    assert_eq!(statements.body_bytes(), alive.keys().sum::<usize>());
    let mut numbers: Vec<u64> = alive.values().copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), alive.len(), "a number is shared: {alive:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_text_is_known_exactly_while_it_is_held(
        one_hash: bool,
        ops in prop::collection::vec(op(), 0..100),
    ) {
        let statements = Statements::new();
        let mut handles: Vec<(usize, Interned)> = Vec::new();
        for op in ops {
            match op {
                Op::Intern(len) => {
                    let body = vec![b'x'; len];
                    let handle = match one_hash {
                        true => statements.intern_as(7, &body),
                        false => statements.intern(&body),
                    };
                    handles.push((len, handle));
                }
                Op::Clone(n) if !handles.is_empty() => {
                    handles.push(handles[n % handles.len()].clone());
                }
                Op::Drop(n) if !handles.is_empty() => {
                    handles.swap_remove(n % handles.len());
                }
                Op::Clone(_) | Op::Drop(_) => {}
            }
            check(&statements, &handles);
        }
        handles.clear();
        check(&statements, &handles);
    }
}

#[test]
fn a_retired_statement_is_found_no_more_and_its_text_makes_another() {
    let statements = Statements::new();
    let old = statements.intern(b"select * from t\0");
    statements.retire(&old);
    let new = statements.intern(b"select * from t\0");
    assert_ne!(old, new);
    assert!(old.is_retired() && !new.is_retired());
    assert_eq!(statements.intern(b"select * from t\0"), new);
    drop((old, new));
    assert!(statements.is_empty());
}
