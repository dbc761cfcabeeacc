//! A client that writes while it reads. The obvious wrong implementation is the half-duplex relay:
//! it writes all it has to one side before it reads the other again, and stands still for ever as
//! soon as client and server both fill their socket buffers.

use crate::support::{Client, Setup, Wire};
use std::io::Write;
use std::thread;

const MB: usize = 1024 * 1024;
const QUERIES: usize = 40;

/// Writes from one thread and reads from another; returns the bytes of rows that came.
fn write_while_reading(client: &mut Client, readies: usize, batch: impl Fn(usize) -> Wire + Sync) {
    let mut writer = client.socket.try_clone();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..QUERIES {
                writer.write_all(&batch(number).0).expect("the relay takes what we write");
            }
        });
        let mut bytes = 0;
        for _ in 0..readies {
            let answer = client.until_ready();
            assert_eq!(answer.error(), None);
            bytes += answer.column().iter().map(String::len).sum::<usize>();
        }
        assert_eq!(bytes, QUERIES * MB);
    });
}

#[test]
fn forty_megabytes_of_queries_while_forty_megabytes_of_answers_come() {
    let argument = "x".repeat(MB);
    let echo = "select repeat('y', length($1))";
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        let mut client = pooler.client();

        let one_batch = |number| {
            let query = Wire::new().extended(echo, &[&argument]);
            if number + 1 == QUERIES { query.sync() } else { query }
        };
        write_while_reading(&mut client, 1, one_batch);

        let batches = |_| Wire::new().extended(echo, &[&argument]).sync();
        write_while_reading(&mut client, QUERIES, batches);

        let literal = format!("select repeat('y', length('{argument}'))");
        write_while_reading(&mut client, QUERIES, |_| Wire::new().query(&literal));
        println!("peak memory of the pooler: {} KiB", pooler.memory_peak_kib());
        assert!(pooler.memory_peak_kib() < 64 * 1024, "bounded buffers");
        pooler.stop();
    }
}

/// The sharpest form: while large answers are still under way, large queries follow that the server
/// cannot read yet. Seen to fail: with a `write_all` to the server in the relay, both stand still.
#[test]
fn large_answers_first_and_large_queries_behind_them() {
    let argument = "x".repeat(2 * MB);
    let large_answer = "select repeat('y', 2 * 1048576)";
    for setup in [Setup::transaction(1), Setup::session(1)] {
        let pooler = setup.start();
        let mut client = pooler.client();
        let extended = |number| match number {
            0..20 => Wire::new().extended(large_answer, &[]),
            39 => Wire::new().extended("select '' from length($1)", &[&argument]).sync(),
            _ => Wire::new().extended("select '' from length($1)", &[&argument]),
        };
        write_while_reading(&mut client, 1, extended);

        let query = format!("select '' from length('{argument}')");
        let simple = |number| Wire::new().query(if number < 20 { large_answer } else { &query });
        write_while_reading(&mut client, QUERIES, simple);
        pooler.stop();
    }
}

#[test]
fn copy_in_while_notices_come_back() {
    let pooler = Setup::transaction(1).start();
    let mut client = pooler.client();
    client.query(
        "begin; create temp table t (v text);
         create function pg_temp.shout() returns trigger language plpgsql as
         $$ begin raise notice '%', repeat('n', 10000); return new; end $$;
         create trigger shout before insert on t for each row execute function pg_temp.shout()",
    );
    client.send(&Wire::new().query("copy t from stdin"));
    client.until_tag(b'G');
    let mut writer = client.socket.try_clone();
    let answer = thread::scope(|scope| {
        scope.spawn(move || {
            let row = [vec![b'r'; 9_999], vec![b'\n']].concat();
            for _ in 0..2000 {
                writer.write_all(&Wire::new().copy_data(&row).0).unwrap();
            }
            writer.write_all(&Wire::new().copy_done().0).unwrap();
        });
        client.until_ready()
    });
    assert_eq!(answer.commands(), ["COPY 2000"]);
    assert_eq!(answer.0.iter().filter(|m| m.tag == b'N').count(), 2000);
    client.query("rollback");
    pooler.stop();
}
