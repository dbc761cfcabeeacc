//! Noise: clients beside those that are compared, on the same servers. They are cancelled at random
//! moments, their servers are terminated under them, they vanish in the middle of what they do.
//! What they are told themselves is not looked at: whoever is compared must hear nothing of it.

use crate::support::{Client, Login, Pooler, Postgres, Seeded, Wire};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// So long a noisy client waits for an answer, and for a server that others keep.
const PATIENCE: Duration = Duration::from_millis(300);
/// A query of it takes no longer, unless it is cancelled or forsaken.
const QUERY_MS_MAX: usize = 12;

/// What makes dirt, and is left behind by who vanishes.
const DIRT: [&str; 9] = [
    "set work_mem = '66MB'; set my.tenant = 'noise'",
    "select set_config('application_name', 'noise', false)",
    "begin; set local timezone = 'Asia/Tokyo'; select 1",
    "begin; select nope",
    "prepare s as select 'noise'; prepare x as select 'noise'",
    "create temp table noise (i int); set role twin_clerk",
    "begin; declare c cursor with hold for select generate_series(1, 9)",
    "listen twin_0; listen twin_1; select pg_try_advisory_lock(1, 1)",
    "create temp table tc (i int); copy tc from stdin",
];

/// Makes noise until all is over.
pub fn make(pooler: &Pooler, login: &Login, mut random: Seeded, over: &AtomicBool) {
    let mut admin = Postgres::shared().admin();
    while !over.load(Ordering::Relaxed) {
        let mut client = pooler.connect();
        if client.start(login).is_err() {
            continue;
        }
        client.socket.limit(PATIENCE);
        for _ in 0..1 + random.below(4) {
            match random.below(5) {
                0 | 1 => be_cancelled(&mut client, &mut random),
                2 => be_terminated(&mut client, &mut admin),
                3 => ask(&mut client, &Wire::new().query(DIRT[random.below(DIRT.len())])),
                _ => prepare(&mut client, &mut random),
            }
        }
        vanish(client, &mut random);
    }
}

/// Says something, and reads what comes of it, as long as it has patience.
fn ask(client: &mut Client, wire: &Wire) {
    let _ = client.try_send(wire);
    while let Ok(Some(message)) = client.try_read() {
        if matches!(message.tag, b'Z' | b'G') {
            return;
        }
    }
}

/// Its cancels come before its query runs, while it runs, and when it has ended long ago.
fn be_cancelled(client: &mut Client, random: &mut Seeded) {
    let sleep = format!("select pg_sleep(0.{:03})", random.below(QUERY_MS_MAX));
    let wire = match random.below(3) {
        0 => Wire::new().query(&sleep),
        1 => Wire::new().extended(&sleep, &[]).sync(),
        _ => Wire::new().extended("set geqo = off", &[]).extended(&sleep, &[]).sync(),
    };
    let _ = client.try_send(&wire);
    for _ in 0..random.below(4) {
        crate::support::let_pass(Duration::from_millis(random.below(QUERY_MS_MAX) as u64));
        client.cancel();
    }
    ask(client, &Wire::new());
    if random.below(2) == 0 {
        client.cancel();
    }
}

/// In a transaction it knows its server, and nobody else has it.
fn be_terminated(client: &mut Client, admin: &mut Client) {
    let _ = client.try_send(&Wire::new().query("begin; select pg_backend_pid()"));
    let mut pid = None;
    while let Ok(Some(message)) = client.try_read() {
        match (message.tag, &mut pid) {
            (b'D', _) => pid = String::from_utf8(message.body[6..].to_vec()).ok(),
            (b'Z', Some(pid)) if message.body == b"T" => {
                admin.query(&format!("select pg_terminate_backend({pid})"));
                return;
            }
            (b'Z', _) => return,
            _ => {}
        }
    }
}

/// Names that the others have, too.
fn prepare(client: &mut Client, random: &mut Seeded) {
    let name = ["", "s", "S2"][random.below(3)];
    let wire = Wire::new().close_statement(name).parse(name, "select 'noise'");
    match random.below(3) {
        0 => ask(client, &wire.run(name, &[]).sync()),
        1 => ask(client, &wire.run("nothing", &[]).sync()),
        _ => drop(client.try_send(&wire.run(name, &[]).flush())),
    }
}

/// It goes as it likes, in the middle of something.
fn vanish(mut client: Client, random: &mut Seeded) {
    let unfinished = [
        Wire::new(),
        Wire::new().query("select pg_sleep(9)"),
        Wire::new().query("begin; select pg_sleep(9)"),
        Wire::new().extended("select generate_series(1, 100000)", &[]).flush(),
        Wire::new().parse("s", "select 'noise'"),
        Wire::new().raw(b"Q\0\0\0\x20select"),
        Wire::new().query("select 1").terminate(),
    ];
    let _ = client.try_send(&unfinished[random.below(unfinished.len())]);
    match random.below(3) {
        0 => client.vanish_by_reset(),
        1 => client.vanish_by_close(),
        _ => client.finish_sending(),
    }
}
