//! Settings and transactions: what is taken back was never set, in whatever form it came.

use super::wire;
use crate::support::{Login, Play, Setup, Stage};

/// Seen to fail: a pooler that believes every SET whose tag came.
#[test]
fn what_a_transaction_takes_back_was_never_set() {
    Play::new("transactions")
        .lines(
            "a: begin => BEGIN /T
             a: set local work_mem = '6MB' => SET /T
             a: show work_mem => 6MB /T
             a: commit => COMMIT
             a: show work_mem => 4MB
             a: begin; set work_mem = '7MB' => BEGIN SET /T
             a: rollback => ROLLBACK
             a: show work_mem => 4MB
             a: start transaction => START TRANSACTION /T
             a: set work_mem = '8MB' => SET /T
             a: end => COMMIT
             a: show work_mem => 8MB
             a: begin => BEGIN /T
             a: set work_mem = '9MB' => SET /T
             a: selec => !42601 /E
             a: commit => ROLLBACK
             a: show work_mem => 8MB
             a: set local work_mem = '12MB' => ~25P01 SET
             a: show work_mem => 8MB
             a: begin; set local work_mem = '1MB'; set work_mem = '2MB' => BEGIN SET SET /T
             a: commit => COMMIT
             a: show work_mem => 2MB
             a: begin; set work_mem = '3MB'; set local work_mem = '1MB' => BEGIN SET SET /T
             a: show work_mem => 1MB /T
             a: commit => COMMIT
             a: show work_mem => 3MB
             a: begin; set work_mem = '5MB' => BEGIN SET /T
             a: commit and chain => COMMIT /T
             a: set work_mem = '6MB' => SET /T
             a: rollback and chain => ROLLBACK /T
             a: show work_mem => 5MB /T
             a: rollback => ROLLBACK
             a: show work_mem => 5MB
             a: begin => BEGIN /T
             a: discard all => !25001 /E
             a: rollback => ROLLBACK
             a: show work_mem => 5MB
             b: show work_mem => 4MB",
        )
        .as_direct();
}

/// In a transaction RESET leads to what the client came with, if it was done. Seen to fail: a
/// pooler that sets `TimeZone` to that behind ROLLBACK AND CHAIN, though the RESET was refused; one
/// that does not do it again behind a ROLLBACK TO.
#[test]
fn a_reset_that_was_refused_resets_nothing() {
    let settings = "-c TimeZone=Europe/Paris -c geqo=off -c my.tenant=born -c role=porter";
    Play::new("refused resets")
        .before(&super::role("porter"))
        .login('a', Login::new("app", "postgres").option("options", settings))
        .lines(
            "a: set timezone = 'Asia/Tokyo'; set geqo = on; set my.tenant = 'new'; set role app
             a: begin; select 1/0 => BEGIN !22012 /E
             a: reset all => !25P02 /E
             a: reset role => !25P02 /E
             a: rollback and chain => ROLLBACK /T
             a: show timezone => Asia/Tokyo /T
             a: show geqo => on /T
             a: show my.tenant => new /T
             a: select current_user => app /T
             a: savepoint s; reset all; reset role => SAVEPOINT RESET RESET /T
             a: show timezone => Europe/Paris /T
             a: rollback to s => ROLLBACK /T
             a: show timezone => Asia/Tokyo /T
             a: show my.tenant => new /T
             a: reset geqo; reset my.tenant; reset role; savepoint s
             a: select 1/0 => !22012 /E
             a: rollback to s => ROLLBACK /T
             a: show timezone => Asia/Tokyo /T
             a: show geqo => off /T
             a: show my.tenant => born /T
             a: select current_user => porter /T
             a: commit => COMMIT
             a: show timezone => Asia/Tokyo
             a: show my.tenant => born
             a: select current_user => porter
             a: set geqo = on => SET
             a: begin; reset geqo; savepoint s; rollback to s; commit
             a: show geqo => off
             a: set geqo = on => SET
             a: begin; savepoint s; reset geqo; rollback to s; commit
             a: show geqo => on",
        )
        .as_direct();
}

/// A setting of the application's own cannot be unset: behind a RESET it is empty. Seen to fail: a
/// pooler that, once an error makes the RESET uncertain, takes that for a value; one that takes any
/// empty value for a RESET then.
#[test]
fn a_reset_of_ones_own_setting_behind_an_error_leads_to_what_the_client_came_with() {
    let deployed = wire().query("select 1"); // what its server lacks is there behind it
    let behind_error = |text| deployed.clone().run("nothing", &[]).sync().query(text);
    let undone = "begin; reset my.tenant; rollback";
    Play::new("uncertain resets of one's own setting")
        .login('a', Login::new("app", "postgres").option("options", "-c my.tenant=born"))
        .step('a', behind_error("reset my.tenant"), "T D C Z/I E/26000 Z/I C Z/I")
        .lines(
            "a: show my.tenant => born
             a: set my.tenant = 'new' => SET",
        )
        .step('a', behind_error("reset my.tenant"), "T D C Z/I E/26000 Z/I C Z/I")
        .lines(
            "a: show my.tenant => born
             a: set my.tenant = '' => SET",
        )
        .step('a', behind_error(undone), "T D C Z/I E/26000 Z/I C C C Z/I")
        .lines("a: show my.tenant =>")
        .as_direct();
}

/// Behind the first snapshot of a transaction nobody may choose its isolation level any more. Seen
/// to fail: a pooler that leads a RESET back by `SELECT set_config`.
#[test]
fn a_transaction_chooses_its_isolation_level_behind_a_reset() {
    let settings = "-c TimeZone=Europe/Paris -c my.tenant=it's -c search_path=app -c role=porter";
    let play = Play::new("isolation behind a reset")
        .before(&super::role("porter"))
        .login('a', Login::new("app", "postgres").option("options", settings));
    let resets = ["reset timezone", "reset my.tenant", "reset search_path", "reset role"];
    let resets = resets.into_iter().chain(["set timezone to default", "reset all"]);
    let choices = [
        "set transaction isolation level serializable, read only, deferrable",
        "set local transaction_isolation = 'repeatable read'",
        "set transaction_deferrable = on",
    ];
    let mut lines = String::new();
    for (number, reset) in resets.enumerate() {
        let choice = choices[number % choices.len()];
        for [begin, middle] in [["a: begin", "a: "], ["a: begin", "a! "], ["a! begin", "a! "]] {
            lines += &format!(
                "a: set timezone = 'Asia/Tokyo'; set my.tenant = 'new'; set search_path = 'x'
                 a: set role app
                 {begin}
                 {middle}{reset}
                 {middle}{choice}
                 a: show transaction_isolation
                 a: show timezone
                 a: show my.tenant
                 a: show search_path
                 a: select current_user
                 a: commit => COMMIT
                 a: show my.tenant\n"
            );
        }
    }
    play.lines(&lines).as_direct();
}

/// On a server that is new, too, where statements of ours are prepared first. Seen to fail: a
/// pooler that prepares queries in front of a BEGIN.
#[test]
fn a_transaction_chooses_its_isolation_level_on_a_new_server() {
    let pooler = Setup::transaction(2).start();
    for choice in ["isolation level serializable", "deferrable"] {
        let mut a = pooler.client();
        assert_eq!(a.query("begin").status(), 'T');
        let answer = a.query(&format!("set transaction {choice}"));
        assert_eq!((answer.error(), answer.status()), (None, 'T'), "{choice}");
        let mut other = pooler.client();
        assert_eq!(other.query("begin").status(), 'T');
        let answer = other.query(&format!("set transaction {choice}"));
        assert_eq!((answer.error(), answer.status()), (None, 'T'), "{choice} on another");
    }
}

/// Seen to fail: a pooler that holds back the data of a COPY until the COPY is done, since a RESET
/// in front of it decides about what follows.
#[test]
fn data_of_a_copy_behind_a_reset_is_not_held_back() {
    let copy = |text: &str| wire().query(text).copy_data(b"1\n").copy_done();
    Play::new("copy behind a reset")
        .before("create table if not exists held (i int); grant all on held to app")
        .login('a', Login::new("app", "postgres").option("geqo", "off"))
        .step('a', copy("reset geqo; copy held from stdin"), "C G C Z/I")
        .lines("a: begin; reset geqo => BEGIN RESET /T")
        .step('a', copy("copy held from stdin"), "G C Z/T")
        .lines("a: show geqo => off /T\n a: rollback => ROLLBACK")
        .as_direct();
}

#[test]
fn savepoints_take_settings_back() {
    Play::new("savepoints")
        .lines(
            "a: begin; set work_mem = '8MB' => BEGIN SET /T
             a: savepoint s => SAVEPOINT /T
             a: set work_mem = '9MB'; set my.tenant = 'gone' => SET SET /T
             a: rollback to s => ROLLBACK /T
             a: show work_mem => 8MB /T
             a: commit => COMMIT
             a: show work_mem => 8MB
             a: select coalesce(current_setting('my.tenant', true), '') =>
             a: begin; savepoint s => BEGIN SAVEPOINT /T
             a: set work_mem = '10MB'; release s => SET RELEASE /T
             a: commit => COMMIT
             a: show work_mem => 10MB
             a: begin; savepoint s; set work_mem = '11MB' => BEGIN SAVEPOINT SET /T
             a: savepoint S; set work_mem = '12MB' => SAVEPOINT SET /T
             a: rollback to savepoint s => ROLLBACK /T
             a: show work_mem => 11MB /T
             a: release s; rollback to s; commit => RELEASE ROLLBACK COMMIT
             a: show work_mem => 10MB
             a: begin; savepoint \"S\"; set work_mem = '13MB' => BEGIN SAVEPOINT SET /T
             a: rollback to s => !3B001 /E
             a: rollback to \"S\" => ROLLBACK /T
             a: set geqo = off => SET /T
             a: commit => COMMIT
             a: show work_mem => 10MB
             a: show geqo => off
             b: show work_mem => 4MB",
        )
        .as_direct();
}

/// PREPARE TRANSACTION ends the transaction as COMMIT does: settings stay, whatever becomes of it.
#[test]
fn prepare_transaction_keeps_settings() {
    Play::new("two-phase commit")
        .lines(
            "a: begin; set work_mem = '13MB'; set local geqo = off => BEGIN SET SET /T
             a: prepare transaction 'one' => PREPARE TRANSACTION
             a: show work_mem => 13MB
             a: show geqo => on
             b: show work_mem => 4MB
             b: rollback prepared 'one' => ROLLBACK PREPARED
             a: show work_mem => 13MB
             a: begin; set work_mem = '14MB' => BEGIN SET /T
             a: selec => !42601 /E
             a: prepare transaction 'two' => ROLLBACK
             a: show work_mem => 13MB",
        )
        .as_direct();
}

#[test]
fn settings_in_strings_of_many_statements() {
    Play::new("many statements")
        .lines(
            "a: set work_mem = '5MB'; select 1; show work_mem => SET 1 5MB
             a: show work_mem => 5MB
             a: set work_mem = '6MB'; select 1/0 => SET !22012
             a: show work_mem => 5MB
             a: select 'set geqo = on;'; set geqo = off; -- set geqo = on => set geqo = on; SET
             a: show geqo => off
             a: show work_mem => 5MB
             a: set work_mem = '8MB'; selec => !42601
             a: show work_mem => 5MB
             a: set work_mem = '9MB'; commit; select 1/0 => SET ~25P01 COMMIT !22012
             a: show work_mem => 9MB
             a: begin; set work_mem = '10MB' => BEGIN SET /T
             a: commit; set work_mem = '11MB'; select 1/0 => COMMIT SET !22012
             a: show work_mem => 10MB
             a: begin; set work_mem = '12MB'; rollback; set geqo = on
             a: show work_mem => 10MB
             a: show geqo => on
             a: set work_mem = '13MB'; reset work_mem; set work_mem = '14MB' => SET RESET SET
             a: show work_mem => 14MB
             a: select set_config('work_mem', '15MB', false); set geqo = off; reset all
             a: show work_mem => 4MB
             a: do $$ begin execute 'set my.inside = 1'; end $$; set work_mem = '16MB' => DO SET
             a: show work_mem => 16MB
             b: show work_mem => 4MB",
        )
        .as_direct();
}

#[test]
fn settings_by_the_extended_protocol_and_in_pipelines() {
    let set = |value: &str| wire().extended(&format!("set work_mem = '{value}'"), &[]);
    let show = wire().extended("show work_mem", &[]).sync().0;
    let two_batches = set("6MB").sync().raw(&show);
    let failing = set("7MB").extended("select 1/0", &[]).sync().raw(&show);
    let skipped = wire().extended("selec", &[]).raw(&set("8MB").sync().0).raw(&show);
    let three = wire().query("set work_mem = '9MB'").query("select 1/0").query("show work_mem");
    let across = wire().extended("begin", &[]).sync().raw(&set("10MB").sync().0);
    let across = across.extended("rollback", &[]).sync().raw(&show);
    let portal = wire().parse("s", "set work_mem = '11MB'").bind("p", "s", &[]);
    Play::new("pipelines")
        .step('a', set("5MB").sync(), "1 2 n C Z/I")
        .lines("a: show work_mem => 5MB\n b: show work_mem => 4MB")
        .step('a', two_batches, "1 2 n C Z/I 1 2 T D C Z/I")
        .lines("a: show work_mem => 6MB")
        .step('a', failing, "1 2 n C 1 E/22012 Z/I 1 2 T D C Z/I")
        .lines("a: show work_mem => 6MB")
        .step('a', skipped, "E/42601 Z/I 1 2 T D C Z/I")
        .lines("a: show work_mem => 6MB")
        .step('a', three, "C Z/I E/22012 Z/I T D C Z/I")
        .lines("a: show work_mem => 9MB")
        .step('a', across, "1 2 n C Z/T 1 2 n C Z/T 1 2 n C Z/I 1 2 T D C Z/I")
        .lines("a: show work_mem => 9MB")
        .step('a', portal.clone().sync(), "1 2 Z/I")
        .lines("a: show work_mem => 9MB")
        .step('a', wire().bind("p", "s", &[]).execute("p", 0).sync(), "2 C Z/I")
        .lines("a: show work_mem => 11MB\n b: show work_mem => 4MB")
        .as_direct();
}

/// Clients in transactions of their own, each on a server of its own, are not confused.
#[test]
fn settings_of_clients_that_are_inside_transactions_at_once() {
    Play::new("at once")
        .lines(
            "a: begin; set local work_mem = '5MB'; set my.tenant = 'a' => BEGIN SET SET /T
             b: begin; set work_mem = '6MB'; set my.tenant = 'b' => BEGIN SET SET /T
             a: show work_mem => 5MB /T
             b: show work_mem => 6MB /T
             b: commit => COMMIT
             a: commit => COMMIT
             a: show work_mem => 4MB
             b: show work_mem => 6MB
             a: show my.tenant => a
             b: show my.tenant => b",
        )
        .as_direct_on(&[Stage::Two, Stage::Roomy]);
}

/// `pg_settings` says for ever that they were set, and from PostgreSQL 16 on nobody can reset them.
/// Seen to fail there: a pooler that carries them along once it asks for everything that is set;
/// the next client of that server is refused.
#[test]
fn settings_of_one_transaction_are_nobodys() {
    Play::new("settings of one transaction")
        .lines(
            "a: begin isolation level serializable, read only => BEGIN /T
             a: commit => COMMIT
             a: do $$ begin perform 1; end $$ => DO
             b: select 1 => 1
             b: show transaction_isolation => read committed
             a: begin; select set_config('transaction_read_only', 'on', false) => BEGIN on /T
             a: set default_transaction_isolation = 'repeatable read' => SET /T
             a: commit => COMMIT
             a: show transaction_read_only => off
             a: show transaction_isolation => repeatable read
             b: show transaction_isolation => read committed
             a: reset default_transaction_isolation => RESET
             a: show transaction_isolation => read committed",
        )
        .as_direct();
}

/// It is a command in the clothes of a setting: it cannot be read, and not be reset.
#[test]
fn the_seed_is_no_setting() {
    Play::new("seed")
        .lines(
            "a: set seed = 0.5 => SET
             a: select 1 => 1
             b: select 1 => 1
             a: show seed => unavailable
             b: select 1 => 1",
        )
        .as_direct();
}

/// Seen to fail: a pooler that prepares statements of its own in front of the client's BEGIN, in
/// its transaction: that takes a snapshot.
#[test]
fn a_begin_behind_a_begin_may_say_how_isolated_it_is() {
    Play::new("isolated a little later")
        .lines(
            "a: discard all => DISCARD ALL
             a: begin => BEGIN /T
             a: begin isolation level serializable => ~25001 BEGIN /T
             a: show transaction_isolation => serializable /T
             a: commit => COMMIT",
        )
        .as_direct();
}

/// Seen to fail: a pooler that takes a server behind a DISCARD ALL for a new one, whatever the same
/// batch has set there before the answer came: the client loses it, and the next one has it.
#[test]
fn what_a_batch_sets_behind_its_discard_all_is_its_clients() {
    let both = |behind: &str| wire().extended("discard all", &[]).extended(behind, &[]).sync();
    let set = "select set_config('work_mem', '9MB', false), set_config('my.tenant', 'a', false)";
    Play::new("behind a discard all")
        .lines("a: set geqo = off => SET")
        .step('a', both(set), "1 2 n C 1 2 T D C Z/I")
        .lines(
            "b: show work_mem => 4MB
             a: show work_mem => 9MB
             a: show my.tenant => a
             a: show geqo => on
             b: show geqo => on",
        )
        .step('a', both("set work_mem = '10MB'"), "1 2 n C 1 2 n C Z/I")
        .lines(
            "b: show work_mem => 4MB
             a: show work_mem => 10MB",
        )
        .as_direct();
}

/// Seen to fail: a pooler that takes a Bind of nothing for one that may change anything: the client
/// is told a default of the server that it will never meet.
#[test]
fn what_fails_behind_a_discard_all_hides_no_startup_setting() {
    let discard = wire().parse("d", "discard all").run("d", &[]);
    Play::new("hidden")
        .login('a', Login::new("app", "postgres").option("application_name", "born"))
        .step('a', wire().extended("select pg_advisory_lock(7)", &[]).sync(), "1 2 T D C Z/I")
        .step('a', wire().close_statement("").sync(), "3 Z/I")
        .step('a', discard.run("", &[]).sync(), "1 2 n C E/26000 Z/I")
        .lines("a: show application_name => born")
        .as_direct_on(&[Stage::Roomy]);
}
