//! What there may be too much of: bytes of a client's statements, statements that one text speaks
//! of. Beyond a bound a client is served all the same, or told; nobody else notices.

use super::wire;
use crate::console::{console, with_console};
use crate::support::{Client, Setup, Wire, in_some_try};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Of each statement: as many as a client's 16 MiB hold, and two more.
const LONG: usize = 1_000_000;
const FITTING: usize = 16;

fn name(number: usize) -> String {
    format!("s{number}")
}

fn run(client: &mut Client, number: usize) {
    client.send(&wire().run(&name(number), &[]).sync());
    let answer = client.until_ready();
    assert_eq!(answer.column(), [number.to_string()], "{:?}", answer.error());
}

/// Seen to fail: a pooler that counts statements and does not weigh them; and one that pins a
/// client for good though it has closed what it was pinned for.
#[test]
fn who_prepares_too_many_bytes_keeps_its_server_until_it_closes_them() {
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    let comment = "x".repeat(LONG);
    for number in 0..FITTING {
        client
            .send(&wire().parse(&name(number), &format!("select {number} /* {comment} */")).sync());
        assert_eq!(client.until_ready().shape(), "1 Z/I");
    }
    assert_eq!(other.scalar("select 'free'"), "free");
    assert!(!pooler.log().contains("pinned to server"));
    for number in FITTING..FITTING + 2 {
        client
            .send(&wire().parse(&name(number), &format!("select {number} /* {comment} */")).sync());
        assert_eq!(client.until_ready().shape(), "1 Z/I");
    }
    pooler.wait_for_line("pinned to server");
    (0..FITTING + 2).rev().for_each(|number| run(&mut client, number));
    let close = |number| wire().close_statement(&name(number)).sync();
    for number in FITTING..FITTING + 2 {
        client.send(&close(number));
        assert_eq!(client.until_ready().shape(), "3 Z/I");
    }
    assert_eq!(other.scalar("select 'free again'"), "free again");
    client.send(&wire().run(&name(FITTING), &[]).sync());
    assert_eq!(client.until_ready().code(), "26000");
    run(&mut client, 0);
    pooler.stop_with(vec![client, other]);
}

/// Seen to fail: a pooler that goes on when its table of answers is full: it believes then that the
/// server has statements that were never sent.
#[test]
fn a_text_that_speaks_of_thousands_of_statements_is_told_where_it_ends() {
    const STATEMENTS: usize = 3000;
    const SPOKEN_OF: usize = 2100;
    const KNOWN_MAX: usize = 256;
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    let parse = |number| wire().parse(&name(number), &format!("select {number}")).0;
    client.send(&Wire((0..STATEMENTS).flat_map(parse).collect()).sync());
    assert_eq!(client.until_ready().error(), None);

    let execute = |number: usize| format!("execute {};", name(number));
    let text: String = (0..SPOKEN_OF).map(execute).collect();
    let answer = client.query(&text);
    assert_eq!(answer.rows().len(), KNOWN_MAX);
    let error = answer.error().expect("one text does not speak of so many");
    assert_eq!(error.message, format!("prepared statement \"{}\" does not exist", name(KNOWN_MAX)));
    let fitting: String = (0..KNOWN_MAX).chain(0..KNOWN_MAX).map(execute).collect();
    assert_eq!(client.query(&fitting).rows().len(), 2 * KNOWN_MAX, "each as often as it likes");

    (0..STATEMENTS).step_by(7).for_each(|number| run(&mut client, number));
    assert_eq!(other.query("execute s1").code(), "26000", "it has none");
    pooler.stop_with(vec![client, other]);
}

/// Seen to fail: a pooler that reads a statement's text again for each EXECUTE of it in one text,
/// or for each Bind: gigabytes of it, while all clients of its worker wait.
#[test]
fn a_long_statement_executed_thousands_of_times_holds_nobody_up() {
    const TIMES: usize = 6000;
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    let text = format!("select 1 /* temp {} */", "x".repeat(LONG));
    client.send(&wire().parse("a", &text).sync());
    assert_eq!(client.until_ready().shape(), "1 Z/I");
    assert_eq!(client.query(&"execute a;".repeat(TIMES)).rows().len(), TIMES);
    let run = wire().bind("", "a", &[]).execute("", 0).0;
    client.send(&Wire(run.repeat(TIMES)).sync());
    assert_eq!(client.until_ready().rows().len(), TIMES);
    assert_eq!(other.scalar("select 'free'"), "free");
    pooler.stop_with(vec![client, other]);
}

/// Seen to fail: a pooler that goes through all settings, and for each through all, at each RESET.
#[test]
fn a_thousand_settings_reset_thousands_of_times_hold_nobody_up() {
    const SETTINGS: usize = 990;
    const TIMES: usize = 6000;
    let pooler = Setup::transaction(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    let set = |number: usize| format!("set a.b{number} = 1;");
    assert_eq!(client.query(&(0..SETTINGS).map(set).collect::<String>()).error(), None);
    assert_eq!(other.scalar("select 'free'"), "free");
    assert_eq!(client.scalar("show a.b989"), "1", "it is carried");
    assert_eq!(client.query(&"reset all;".repeat(TIMES)).error(), None);
    assert_eq!(other.scalar("select 'free again'"), "free again");
    assert_eq!(client.scalar("show a.b989"), "", "it was reset");
    pooler.stop_with(vec![client, other]);
}

/// A short Bind makes a megabyte that is copied: the text of its statement speaks of another one,
/// by a name that the server knows otherwise. Seen to fail: a pooler that counts what a client says
/// and not what is done for it, and an engine that hears of nobody else meanwhile: whoever is on
/// the same worker had no answer for all that time, or for a third of it.
#[test]
fn who_makes_much_work_of_little_lets_others_have_their_turn() {
    const TIMES: usize = 200;
    let pooler = with_console(Setup::transaction(1).global("workers 1")).start();
    // The console is answered without a server: as soon as it has its turn.
    let (mut busy, mut other) = (pooler.client(), console(&pooler));
    let text = format!("execute s /* {} */", "x".repeat(LONG));
    busy.send(&wire().parse("s", "select 1").parse("e", &text).sync());
    assert_eq!(busy.until_ready().shape(), "1 1 Z/I");
    let run = |times: usize| Wire(wire().bind("", "e", &[]).execute("", 0).0.repeat(times)).sync();
    busy.send(&run(1));
    assert_eq!(busy.until_ready().rows().len(), 1);
    in_some_try(|| {
        let (done, begun) = (AtomicBool::new(false), Instant::now());
        let (all, longest) = thread::scope(|scope| {
            let others = scope.spawn(|| longest_wait(&mut other, &done));
            busy.send(&run(TIMES));
            assert_eq!(busy.until_ready().rows().len(), TIMES);
            done.store(true, Ordering::Relaxed);
            (begun.elapsed(), others.join().unwrap())
        });
        let told = format!("{longest:?} of {all:?} were one wait of the other one");
        println!("{told}");
        if longest * 3 < all { Ok(()) } else { Err(told) }
    });
    pooler.stop_with(vec![busy, other]);
}

/// Asks for something until it is done.
fn longest_wait(console: &mut Client, done: &AtomicBool) -> Duration {
    let mut longest = Duration::ZERO;
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        assert_eq!(console.query("show is_paused").error(), None);
        longest = longest.max(asked.elapsed());
    }
    longest
}
