//! Statement pooling, which has no transactions, and BEGIN, which needs no server yet.

use crate::support::{Answer, Client, PATIENCE, Play, Postgres, Setup, Stage, Wire};
use std::time::{Duration, Instant};

const A_WHILE: Duration = Duration::from_millis(50);

fn wire() -> Wire {
    Wire::new()
}

fn statement_pooling(pool_size: usize) -> Setup {
    let open = crate::support::pooler::OPEN;
    let pool = format!(r#"{open} pool "statement" pool_size {pool_size}"#);
    Setup::new().rule("default", "default", &pool)
}

fn expect_refusal(answer: &Answer, severity: &str, sql: &str) {
    let error = answer.error().unwrap_or_else(|| panic!("refused: {sql}: {answer:?}"));
    assert_eq!((error.severity.as_str(), error.code.as_str()), (severity, "0A000"), "{sql}");
    let text = error.message.to_lowercase();
    assert!(text.contains("transaction") && text.contains("statement"), "{sql}: {text}");
}

/// Reference §12.3, 5. Seen to fail: BEGIN succeeds, the server goes at once, and what the client
/// believes to be one transaction is none.
#[test]
fn statement_pooling_refuses_transactions_instead_of_breaking_them() {
    let mut admin = Postgres::shared().admin();
    admin.query("create table in_pieces (i int); grant all on in_pieces to app");
    let pooler = statement_pooling(1).start();
    let (mut client, mut other) = (pooler.client(), pooler.client());
    for sql in [
        "begin",
        "BEGIN",
        "begin work;",
        "start transaction",
        "begin isolation level serializable",
        "/* so */ begin -- it",
        "begin; insert into in_pieces values (1); commit",
        "begin; insert into in_pieces values (1)",
        "insert into in_pieces values (1); begin",
        "insert into in_pieces values (1); start transaction; insert into in_pieces values (2)",
    ] {
        let answer = client.query(sql);
        expect_refusal(&answer, "ERROR", sql);
        assert_eq!(answer.status(), 'I', "{sql}");
        assert_eq!(other.scalar("select 'free'"), "free", "{sql}");
        assert_eq!(client.scalar("select 'goes on'"), "goes on", "{sql}");
    }
    assert_eq!(admin.scalar("select count(*) from in_pieces where i = 2"), "0");
    client.send(&wire().query("begin").query("select 1").query("commit"));
    expect_refusal(&client.until_ready(), "ERROR", "pipelined");
    assert_eq!(client.until_ready().shape(), "T D C Z/I");
    assert_eq!(client.until_ready().status(), 'I');
    pooler.stop_with(vec![client, other]);
}

/// By the extended protocol the refusal may cost the connection, but never half a transaction.
#[test]
fn statement_pooling_refuses_extended_transactions() {
    let mut admin = Postgres::shared().admin();
    admin.query("create table in_batches (i int); grant all on in_batches to app");
    let insert = "insert into in_batches values (1)";
    let pooler = statement_pooling(1).start();
    let mut other = pooler.client();
    let batches = [
        wire().extended("begin", &[]).sync(),
        wire().parse("b", "begin").sync().run("b", &[]).sync(),
        wire().extended("begin", &[]).extended(insert, &[]).extended("commit", &[]).sync(),
        wire().extended("start transaction", &[]).sync().extended(insert, &[]).sync(),
    ];
    for batch in batches {
        let mut client = pooler.client();
        client.send(&batch);
        let mut answers = Vec::new();
        for _ in 0..batch.count_of(b"S") {
            answers.extend(client.until_ready().0);
        }
        let answer = Answer(answers);
        let error = answer.error().unwrap_or_else(|| panic!("refused: {answer:?}"));
        expect_refusal(&answer, &error.severity, "extended");
        assert!(answer.0.iter().all(|m| m.tag != b'Z' || m.body == b"I"), "{answer:?}");
        assert_eq!(other.scalar("select 'free'"), "free");
    }
    let kept: usize = admin.scalar("select count(*) from in_batches").parse().unwrap();
    assert!(kept <= 1, "{kept}: nothing inside a refused batch, at most what stands alone behind");
    pooler.stop_with(vec![other]);
}

/// What is no transaction works as ever, statement by statement.
#[test]
fn statement_pooling_runs_single_statements() {
    let several = wire().extended("select 1", &[]).extended("select 2", &[]).sync();
    let copy = wire().query("copy (select 7) to stdout");
    Play::new("autocommit")
        .setup(|_| statement_pooling(1))
        .lines(
            "a: select 1 => 1
             a: select 1; select 2 => 1 2
             a: select 1/0 => !22012
             a: select 1; select 1/0 => 1 !22012
             a: selec => !42601
             a: => ()
             a: commit => ~25P01 COMMIT
             a: rollback => ~25P01 ROLLBACK
             a! select 3 => 3
             a: savepoint s => !25P01
             a: select 'begin' => begin
             a: do $$ begin perform 1; end $$ => DO
             b: select 4 => 4",
        )
        .step('a', several, "1 2 T D C 1 2 T D C Z/I")
        .step('a', wire().parse("s", "select $1::int").sync(), "1 Z/I")
        .step('b', wire().parse("s", "select 'of b'").sync(), "1 Z/I")
        .step('a', wire().run("s", &["5"]).sync(), "2 T D C Z/I")
        .step('a', copy, "H d c C Z/I")
        .lines("a: set work_mem = '5MB' => SET\n b: show work_mem => 4MB\n a: show work_mem => 5MB")
        .as_direct_on(&[Stage::One]);
}

/// A plain BEGIN takes no server: it is answered while another client holds the only one.
#[test]
fn begin_takes_no_server() {
    let pooler = Setup::transaction(1).start();
    let (mut holder, mut client) = (pooler.client(), pooler.client());
    for begin in ["begin", "BEGIN;", "begin work", "Begin Transaction ;", "/* a */ begin -- b"] {
        assert_eq!(holder.query("begin; select 1").status(), 'T');
        assert_eq!(client.query(begin).shape(), "C Z/T", "{begin} at once");
        client.send(&wire().query("select 'waited'"));
        assert!(client.is_silent_for(A_WHILE), "the query needs the server");
        assert_eq!(holder.query("commit").status(), 'I');
        let answer = client.until_ready();
        assert_eq!((answer.column(), answer.status()), (vec!["waited".into()], 'T'));
        holder.send(&wire().query("select 'now I wait'"));
        assert!(holder.is_silent_for(A_WHILE), "the transaction has begun: {begin}");
        assert_eq!(client.query("commit").commands(), ["COMMIT"]);
        assert_eq!(holder.until_ready().column(), ["now I wait"]);
    }
    let idle: Vec<Client> = (0..20).map(|_| pooler.client()).collect();
    let mut idle: Vec<Client> = idle
        .into_iter()
        .map(|mut client| {
            assert_eq!(client.query("begin").status(), 'T');
            client
        })
        .collect();
    assert_eq!(holder.scalar("select 'free'"), "free", "twenty idle transactions hold nothing");
    for client in &mut idle {
        assert_eq!(client.query("rollback").shape(), "C Z/I");
    }
    pooler.stop_with(vec![holder, client]);
}

#[test]
fn virtual_transaction_no_goes_to_the_server_at_once() {
    let pooler = Setup::transaction(1).global("virtual_transaction no").start();
    let (mut holder, mut client) = (pooler.client(), pooler.client());
    holder.query("begin; select 1");
    client.send(&wire().query("begin"));
    assert!(client.is_silent_for(A_WHILE), "BEGIN waits for the server");
    holder.query("commit");
    assert_eq!(client.until_ready().shape(), "C Z/T");
    holder.send(&wire().query("select 'waits'"));
    assert!(holder.is_silent_for(A_WHILE), "and holds it");
    client.query("rollback");
    assert_eq!(holder.until_ready().column(), ["waits"]);
    pooler.stop_with(vec![holder, client]);
}

/// Reference §12.3, 3. Seen to fail: one answer too many is swallowed with that of the BEGIN.
#[test]
fn an_empty_query_behind_begin_is_not_lost() {
    Play::new("empty behind BEGIN")
        .lines(
            "a: begin => BEGIN /T
             a: => () /T
             a: ; => () /T
             a: -- nothing => () /T
             a: select 1 => 1 /T
             a: commit => COMMIT
             a: begin => BEGIN /T
             a! => () /T
             a: rollback => ROLLBACK",
        )
        .as_direct();
}

/// Reference §12.2, 1. Seen to fail: `BEGIN; selec` as one string is rejected as a whole; whoever
/// waits for the answer to the BEGIN waits for ever. The position in the error is the client's own.
#[test]
fn an_error_after_a_virtual_begin_hangs_nobody() {
    Play::new("errors behind BEGIN")
        .lines(
            "a: begin => BEGIN /T
             a: selec => !42601 /E
             a: select 1 => !25P02 /E
             a: rollback => ROLLBACK
             a: begin => BEGIN /T
             a: select nonsense => !42703 /E
             a: commit => ROLLBACK
             a: begin => BEGIN /T
             a: select 1/0 => !22012 /E
             a: => () /E
             a: rollback => ROLLBACK
             a: begin => BEGIN /T
             a! selec => !42601 /E
             a! rollback => ROLLBACK
             a: begin => BEGIN /T
             a: select 1; selec => !42601 /E
             a: abort => ROLLBACK
             a: begin => BEGIN /T
             a: vacuum => !25001 /E
             a: rollback => ROLLBACK
             b: select 1 => 1",
        )
        .as_direct();
}

#[test]
fn everything_behind_begin_is_as_in_postgresql() {
    let oid = Postgres::shared().admin().scalar("select 'md5(text)'::regprocedure::oid::int");
    let call = wire().function_call(oid.parse().unwrap(), &["hear"]);
    let copy = wire().query("copy pg_temp.nowhere from stdin").copy_done();
    let extended = wire().extended("select $1::int", &["1"]).sync();
    let pipeline = wire().query("begin").query("select 1").query("commit").query("select 2");
    let mixed = wire().query("begin").raw(&extended.0).extended("commit", &[]).sync();
    let doomed = wire().query("begin").query("selec").query("select 1").query("rollback");
    Play::new("behind BEGIN")
        .lines(
            "a: begin => BEGIN /T
             a: begin => ~25001 BEGIN /T
             a: commit => COMMIT
             a: begin => BEGIN /T
             a: commit => COMMIT
             a: begin => BEGIN /T
             a: rollback => ROLLBACK
             a: commit => ~25P01 COMMIT
             a: begin => BEGIN /T
             a: begin; select 1; commit; select 2 => ~25001 BEGIN 1 COMMIT 2
             a: begin => BEGIN /T
             a: set local work_mem = '5MB' => SET /T
             a: show work_mem => 5MB /T
             a: end => COMMIT
             a: show work_mem => 4MB
             a: begin => BEGIN /T
             a: set transaction isolation level serializable => SET /T
             a: show transaction_isolation => serializable /T
             a: savepoint s => SAVEPOINT /T
             a: selec => !42601 /E
             a: rollback to s => ROLLBACK /T
             a: release s => RELEASE /T
             a: commit and chain => COMMIT /T
             a: show transaction_isolation => serializable /T
             a: rollback => ROLLBACK
             a: begin => BEGIN /T
             a: rollback and chain => ROLLBACK /T
             a: abort => ROLLBACK
             a: begin isolation level repeatable read => BEGIN /T
             a: show transaction_isolation => repeatable read /T
             a: commit => COMMIT
             a: begin => BEGIN /T
             a: prepare transaction 'virtual' => PREPARE TRANSACTION
             a: rollback prepared 'virtual' => ROLLBACK PREPARED
             a: begin => BEGIN /T",
        )
        .step('a', wire().sync(), "Z/T")
        .step('a', extended, "1 2 T D C Z/T")
        .lines("a: commit => COMMIT\n a: begin => BEGIN /T")
        .step('a', wire().parse("s", "select 's'").sync(), "1 Z/T")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/T")
        .lines("a: rollback => ROLLBACK\n a: begin => BEGIN /T")
        .step('a', wire().run("s", &[]).sync(), "2 T D C Z/T")
        .lines("a: rollback => ROLLBACK\n a: begin => BEGIN /T")
        .step('a', call, "V Z/T")
        .lines("a: rollback => ROLLBACK\n a: begin => BEGIN /T")
        .step('a', copy, "E/3F000 Z/E")
        .lines("a: rollback => ROLLBACK\n a: begin => BEGIN /T")
        .step('a', wire().extended("commit", &[]).sync(), "1 2 n C Z/I")
        .step('a', pipeline, "C Z/T T D C Z/T C Z/I T D C Z/I")
        .step('a', mixed, "C Z/T 1 2 T D C Z/T 1 2 n C Z/I")
        .step('a', doomed, "C Z/T E/42601 Z/E E/25P02 Z/E C Z/I")
        .as_direct();
}

/// A virtual transaction with settings of the client in front of what follows it.
#[test]
fn settings_and_a_virtual_begin_go_together() {
    Play::new("settings behind BEGIN")
        .lines(
            "a: set work_mem = '5MB'; set default_transaction_isolation = 'serializable' => SET SET
             a: begin => BEGIN /T
             a: show transaction_isolation => serializable /T
             a: show work_mem => 5MB /T
             a: rollback => ROLLBACK
             a: show work_mem => 5MB
             a: begin => BEGIN /T
             a: set work_mem = '6MB' => SET /T
             a: rollback => ROLLBACK
             a: show work_mem => 5MB
             a: begin => BEGIN /T
             a: set work_mem = '7MB' => SET /T
             a: commit => COMMIT
             a: begin => BEGIN /T
             a: selec => !42601 /E
             a: rollback => ROLLBACK
             a: show work_mem => 7MB
             b: show work_mem => 4MB",
        )
        .as_direct();
}

/// A rejected setting in front of a virtual transaction: nothing in it runs.
#[test]
fn a_rejected_setting_behind_a_virtual_begin_runs_nothing() {
    let mut admin = Postgres::shared().admin();
    admin.query("create table behind_begin (i int); grant all on behind_begin to public");
    let pooler = Setup::transaction(1).start();
    let bad = crate::support::Login::new("app", "postgres")
        .option("options", "-c statement_timeout=nonsense");
    let mut client = pooler.login(&bad);
    client.query("begin");
    let insert = "insert into behind_begin values (1)";
    assert_eq!(client.query(insert).code(), "22023");
    let _ = client.query(insert);
    let _ = client.query("commit");
    assert_eq!(client.query(insert).shape(), "E/22023 Z/I");
    assert_eq!(admin.scalar("select count(*) from behind_begin"), "0");
    assert_eq!(pooler.client().scalar("select 'free'"), "free");
    pooler.stop_with(vec![client]);
}

/// A client that is idle in a virtual transaction is idle in a transaction.
#[test]
fn a_virtual_transaction_counts_as_idle_in_transaction() {
    let pooler = Setup::transaction(1).with("pool_idle_in_transaction_timeout 1").start();
    let (mut virtually, mut really, mut idle) = (pooler.client(), pooler.client(), pooler.client());
    assert_eq!(idle.scalar("select 1"), "1");
    let started = Instant::now();
    assert_eq!(virtually.query("begin").status(), 'T');
    assert_eq!(really.query("begin; select 1").status(), 'T');
    for client in [&mut virtually, &mut really] {
        let error = client.until_closed().error().expect("an error, then the end");
        assert_eq!((error.severity.as_str(), error.code.as_str()), ("FATAL", "08006"));
        let text = error.message + &error.detail.unwrap_or_default();
        assert!(text.contains("idle in transaction timeout"), "{text}");
        assert!(started.elapsed() > Duration::from_millis(900) && started.elapsed() < PATIENCE);
    }
    assert_eq!(idle.scalar("select 1"), "1", "idle outside a transaction");
    pooler.stop_with(vec![idle]);
}

/// Reference §12.3, 15. Seen to fail: a pooler that closes the connection to the server and leaves
/// the query to itself.
#[test]
fn the_query_of_a_client_that_vanished_between_flush_and_sync_is_cancelled() {
    let login = Postgres::shared().role("vanished");
    let pooler = Setup::transaction(1).start();
    for begin in ["", "begin"] {
        let mut client = pooler.login(&login);
        if !begin.is_empty() {
            assert_eq!(client.query(begin).status(), 'T');
        }
        let sleep = wire().parse("s", "select pg_sleep($1::int)").bind("", "s", &["60"]).flush();
        client.send(&sleep.execute("", 0).flush());
        client.until_tag(b'2');
        let active = "usename = 'vanished' and wait_event = 'PgSleep'";
        Postgres::shared().wait_for_backends(active, 1, PATIENCE);
        client.vanish_by_reset();
        Postgres::shared().wait_for_backends(active, 0, crate::support::CLEANUP);
        assert_eq!(pooler.login(&login).scalar("select 'free'"), "free");
    }
    pooler.stop();
}

/// Reference §12.2, 2. Seen to fail: no deadline on the server's greeting, or on its answer to what
/// travels in front of a query.
#[test]
fn a_backend_that_accepts_and_never_answers_blocks_nobody() {
    let server = crate::support::FakeServer::start(|session| session.stay_silent());
    let setup = Setup::in_front_of(server.port, 1).global("backend_connect_timeout_ms 300");
    let pooler = setup.start();
    let started = Instant::now();
    let mut clients: Vec<Client> = (0..3).map(|_| pooler.connect()).collect();
    let login = crate::support::Login::new("app", "postgres").option("TimeZone", "Asia/Tokyo");
    for client in &mut clients {
        client.send(&login.packet());
    }
    for mut client in clients {
        client.send(&wire().query("select 1"));
        let error = client.until_closed().error().expect("told, then closed");
        assert_eq!(error.severity, "FATAL", "{error:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    pooler.stop();
}
