//! Settings of a client are there at its next transaction, on whatever server, and never at another
//! client's. Each play is performed on PostgreSQL itself and through the pooler.
//!
//! The boundary: what a function sets inside is seen only if PostgreSQL reports it. And a custom
//! setting such as `my.tenant`, once set on a server, is the empty string there for those who never
//! set it, not NULL: PostgreSQL forgets no name.

mod bounds;
mod login;
mod rejected;
mod rules;
mod transactions;

use crate::support::{Login, Play, Postgres, Setup, Wire};

fn wire() -> Wire {
    Wire::new()
}

/// SQL that makes a role once.
fn role(name: &str) -> String {
    let plain = name.replace("\"\"", "\"");
    format!(
        "do $do$ begin if not exists (select from pg_roles where rolname = '{plain}') \
         then create role \"{name}\"; end if; end $do$; grant \"{name}\" to app;"
    )
}

/// Reference §12.3, 2. Seen to fail: with a pooler that tracks what the server reports, work_mem is
/// 4MB again at once; with one that resets nothing, each client has the other's.
#[test]
fn a_set_of_unreported_parameters_is_not_lost() {
    Play::new("top level")
        .lines(
            "a: set work_mem = '5MB' => SET
             b: set work_mem to '6MB' => SET
             a: show work_mem => 5MB
             b: show work_mem => 6MB
             a: set session statement_timeout = '70s' => SET
             a: SET geqo TO off => SET
             b: show statement_timeout => 0
             b: show geqo => on
             a: show statement_timeout => 70s
             a: show geqo => off
             a: set my.tenant = 'a' => SET
             b: select coalesce(current_setting('my.tenant', true), '') =>
             b: set my.tenant = 'b' => SET
             a: show my.tenant => a
             b: show my.tenant => b
             a: set schema 'elsewhere' => SET
             a: show search_path => elsewhere
             a: set session characteristics as transaction isolation level serializable => SET
             a: show transaction_isolation => serializable
             b: show transaction_isolation => read committed
             a: set default_transaction_read_only = on => SET
             a: create table never () => !25006
             a: set xml option document => SET
             a: show xmloption => document
             a: show work_mem => 5MB
             b: show work_mem => 6MB",
        )
        .as_direct();
}

#[test]
fn reported_parameters_and_the_odd_forms_of_set() {
    Play::new("odd forms")
        .lines(
            "a: SET TIME ZONE 'Asia/Tokyo' => SET
             a: show timezone => Asia/Tokyo
             b: set datestyle to sql, dmy => SET
             b: show datestyle => SQL, DMY
             a: select current_setting('datestyle') = 'SQL, DMY' => f
             b: select current_setting('timezone') = 'Asia/Tokyo' => f
             a: set time zone interval '-08:00' hour to minute => SET
             a: show timezone => <-08>+08
             a: set time zone 3.5 => SET
             a: show timezone => <+03:30>-03:30
             a: set names 'LATIN1' => SET
             a: show client_encoding => LATIN1
             b: show client_encoding => UTF8
             a: set names => SET
             a: show client_encoding => UTF8
             a: set application_name to mine => SET
             a: select application_name from pg_stat_activity where pid = pg_backend_pid() => mine
             b: show application_name =>
             a: /* not */ set /* in */ \"work_mem\" = 5000 -- the way => SET
             a: show work_mem => 5000kB
             a:   SeT wOrK_mEm = '0.5GB' ; => SET
             a: show work_mem => 512MB
             a: set intervalstyle = sql_standard => SET
             a: set standard_conforming_strings = off => SET
             a: show standard_conforming_strings => off
             a: show intervalstyle => sql_standard
             b: show standard_conforming_strings => on
             a: set extra_float_digits = -3 => SET
             a: select 1.23456789::float8 => 1.23456789
             a: set bytea_output = escape => SET
             a: select 'x'::bytea => x
             b: select 'x'::bytea => \\x78",
        )
        .as_direct();
}

/// PostgreSQL reports a value when it differs from the last one that it reported on that
/// connection, whoever it was for. Seen to fail: a client that sets what the stranger before it had
/// is not told.
#[test]
fn a_client_is_told_what_it_set_whatever_the_server_had_before() {
    let login = Login::new("app", "postgres").option("TimeZone", "Asia/Tokyo");
    Play::new("told")
        .login('a', login)
        .lines(
            "a: select 1 => 1
             a: set timezone = 'Pacific/Chatham' => SET
             b: set timezone = 'Asia/Tokyo' => SET
             a: reset timezone => RESET
             b: set application_name = 'stranger' => SET
             a: begin => BEGIN /T
             a: set timezone = 'Pacific/Chatham' => SET /T
             a: show timezone => Pacific/Chatham /T
             a: rollback => ROLLBACK
             a: set local timezone = 'Pacific/Chatham' => ~25P01 SET
             a: set datestyle = 'German'; selec => !42601
             a: set datestyle = 'German' => SET
             b: begin; set local datestyle = 'German' => BEGIN SET /T
             b: commit => COMMIT
             a! set application_name = 'stranger' => SET
             a: discard all => DISCARD ALL
             b: reset all => RESET",
        )
        .as_direct();
}

/// Against a pooler that tells everybody what it told the last client of the route.
#[test]
fn each_client_of_a_route_is_told_its_own_at_login() {
    let pooler = Setup::transaction(2).start();
    let login = || Login::new("app", "postgres");
    let told = |login: &Login| {
        let parameters = pooler.login(login).parameters;
        ["TimeZone", "application_name"].map(|name| parameters[name].clone())
    };
    let plain = told(&login());
    let tokyo = login().option("TimeZone", "Asia/Tokyo");
    let named = login().option("application_name", "named");
    for _ in 0..2 {
        assert_eq!(told(&tokyo)[0], "Asia/Tokyo");
        assert_eq!(told(&tokyo), ["Asia/Tokyo", plain[1].as_str()]);
        assert_eq!(told(&named), [plain[0].as_str(), "named"]);
        assert_eq!(told(&login()), plain);
    }
    pooler.stop();
}

/// `set_config` is a SELECT: its tag tells nothing. Seen to fail: a pooler that goes by tags.
#[test]
fn set_config_outlives_the_transaction_only_if_it_says_so() {
    Play::new("set_config")
        .lines(
            "a: select set_config('work_mem', '8MB', false) => 8MB
             a: show work_mem => 8MB
             a: select set_config('work_mem', '9MB', true) => 9MB
             a: show work_mem => 8MB
             a: SELECT pg_catalog.set_config('search_path', '', false) =>
             a: show search_path =>
             b: show search_path => \"$user\", public
             a: begin => BEGIN /T
             a: select set_config('work_mem', '10MB', false) => 10MB /T
             a: rollback => ROLLBACK
             a: show work_mem => 8MB
             a! select set_config('work_mem', '11MB', false), set_config('geqo', 'f', false) => 11MB
             a: show work_mem => 11MB
             a: show geqo => off
             a: select set_config('work_mem', '12MB', false), 1/0 => !22012
             a: show work_mem => 11MB
             a: select set_config('nonsense', 'x', false) => !42704
             a: reset work_mem => RESET
             a: show work_mem => 4MB",
        )
        .as_direct();
}

/// The value stands in the Bind, not in the text.
#[test]
fn set_config_with_bound_values() {
    let sql = "select set_config($1, $2, false)";
    Play::new("bound set_config")
        .step('a', wire().extended(sql, &["work_mem", "5MB"]).sync(), "1 2 T D C Z/I")
        .lines("a: show work_mem => 5MB")
        .step('a', wire().parse("s", sql).sync(), "1 Z/I")
        .step('a', wire().run("s", &["my.tenant", "it's"]).sync(), "2 T D C Z/I")
        .lines("a: show my.tenant => it's\n a: show work_mem => 5MB\n b: show work_mem => 4MB")
        .as_direct();
}

/// Seen to fail: names that are taken for names only if they are short and plain.
#[test]
fn set_config_with_bound_names_of_any_kind() {
    let sql = "select set_config($1, $2, false)";
    for name in [format!("my.{}", "x".repeat(100)), "my.größe".into(), "my.a$1.b".into()] {
        let show = format!("select coalesce(current_setting('{name}', true), '')");
        Play::new("odd bound names")
            .step('a', wire().extended(sql, &[&name, "of a"]).sync(), "1 2 T D C Z/I")
            .lines(&format!("a: {show} => of a\n b: {show} => \n a: {show} => of a"))
            .as_direct();
    }
}

/// Seen to fail: RESET that falls back to the server's default, or to what another client of that
/// server had at startup.
#[test]
fn reset_falls_back_to_what_this_client_gave_at_startup() {
    let options = "-c work_mem=11MB -c my.tenant=startup -c statement_timeout=70s";
    let login = Login::new("app", "postgres").option("options", options);
    let login = login.option("TimeZone", "Europe/Paris").option("application_name", "shop");
    let other = Login::new("app", "postgres").option("options", "-c work_mem=13MB");
    Play::new("reset")
        .login('a', login)
        .login('b', other)
        .lines(
            "a: show work_mem => 11MB
             b: show work_mem => 13MB
             a: set work_mem = '5MB' => SET
             a: reset work_mem => RESET
             a: show work_mem => 11MB
             a: set my.tenant = 'other' => SET
             a: set my.tenant to default => SET
             a: show my.tenant => startup
             a: set time zone 'Asia/Tokyo' => SET
             a: reset time zone => RESET
             a: show timezone => Europe/Paris
             a: set time zone local => SET
             a: show timezone => Europe/Paris
             a: set application_name = 'other'; set work_mem = '6MB' => SET SET
             a: reset all => RESET
             a: show application_name => shop
             a: show work_mem => 11MB
             a: set statement_timeout = 0; set geqo = off => SET SET
             a: show statement_timeout => 0
             a: DISCARD ALL => DISCARD ALL
             a: show statement_timeout => 70s
             a: show geqo => on
             b: show work_mem => 13MB
             a: begin; reset work_mem; set my.tenant = 'x'; reset all => BEGIN RESET SET RESET /T
             a: rollback => ROLLBACK
             a: set work_mem = '5MB' => SET
             a: begin => BEGIN /T
             a: reset all => RESET /T
             a: show work_mem => 11MB /T
             a: rollback => ROLLBACK
             a: show work_mem => 5MB
             a: discard plans => DISCARD PLANS
             a: show work_mem => 5MB
             a! discard all => DISCARD ALL
             a: show work_mem => 11MB",
        )
        .as_direct();
}

#[test]
fn roles_are_settings_too() {
    Play::new("roles")
        .before(&format!("{} {}", role("clerk"), role("Odd \"\"Name")))
        .lines(
            "a: set role clerk => SET
             a: select current_user => clerk
             b: select current_user => app
             a: show role => clerk
             a: reset all => RESET
             a: select current_user => clerk
             a: begin; set local role none => BEGIN SET /T
             a: select current_user => app /T
             a: commit => COMMIT
             a: select current_user => clerk
             a: set role none => SET
             a: select current_user => app
             b: set role \"Odd \"\"Name\" => SET
             b: select current_user => Odd \"Name
             a: select current_user => app
             b: reset role => RESET
             b: show role => none
             a: set role 'clerk' => SET
             a: set role postgres => !42501
             a: select current_user => clerk
             a: discard all => DISCARD ALL
             a: select current_user => app
             a: set session authorization clerk => !42501
             a: set session authorization app => SET
             a: set session authorization default => SET
             a: select session_user => app",
        )
        .as_direct();
}

/// Everything that a server role may do, it does as that role: seen to fail with a pooler that
/// carries the role along after the query.
#[test]
fn session_authorization_goes_along_and_takes_the_role_with_it() {
    let superuser = Login::new("postgres", "postgres");
    let cashier = superuser.clone().option("options", "-c role=cashier");
    Play::new("session authorization")
        .before(&role("cashier"))
        .login('a', superuser.clone())
        .login('b', superuser)
        .login('c', cashier)
        .lines(
            "a: set session authorization app => SET
             a: select session_user || ' ' || current_user => app app
             b: select session_user || ' ' || current_user => postgres postgres
             a: set role cashier => SET
             a: select session_user || ' ' || current_user => app cashier
             c: select session_user || ' ' || current_user => postgres cashier
             a: show is_superuser => off
             b: show is_superuser => on
             a: set session authorization 'cashier' => SET
             a: show role => none
             a: select session_user || ' ' || current_user => cashier cashier
             a: reset session authorization => RESET
             a: select session_user || ' ' || current_user => postgres postgres
             c: set role app => SET
             c: select current_user => app
             c: reset role => RESET
             c: select session_user || ' ' || current_user
             a: set session authorization app => SET
             a: discard all => DISCARD ALL
             a: select session_user || ' ' || current_user => postgres postgres",
        )
        .as_direct();
}

#[test]
fn values_with_quotes_backslashes_and_odd_names() {
    Play::new("odd values")
        .lines(
            r#"a: set my.tenant = 'it''s a \ "test"; select 1 --' => SET
               b: set my.tenant = E'tab\there\\n\'' => SET
               a: show my.tenant => it's a \ "test"; select 1 --
               b: select current_setting('my.tenant') = E'tab\there\\n\'' => t
               a: set my.tenant = $x$dollar's $$y$$ $x$ => SET
               a: select current_setting('my.tenant') || '!' => dollar's $$y$$ !
               a: set my.tenant = U&'d\0061t\+000061' => SET
               a: show my.tenant => data
               a: set my.tenant = '$1 %s {} ?' => SET
               a: show my.tenant => $1 %s {} ?
               a: set search_path = "a,b", c => SET
               b: set search_path = 'x y', "Z" => SET
               a: show search_path => "a,b", c
               b: show search_path => "x y", "Z"
               a: set search_path = 'a,b' => SET
               a: show search_path => "a,b"
               a: set search_path to '' => SET
               a: show search_path => ""
               b: set search_path to "it's ""quoted""", "$user" => SET
               b: show search_path => "it's ""quoted""", "$user"
               a: set standard_conforming_strings = off => SET
               a: set escape_string_warning = off => SET
               a: set my.tenant = 'back\\slash\'' => SET
               a: show my.tenant => back\slash'
               a: set my.tenant = 'one' 'two' => !42601
               a: set application_name = 'it''s "mine" \\' => SET
               a: show application_name => it's "mine" \
               a: set my.tenant = '' => SET
               a: show my.tenant =>
               a: set my.tenant.deep_er = on => SET
               a: show my.tenant.deep_er => on"#,
        )
        .as_direct();
}

/// A value in the client's encoding means that value only in that encoding. Seen to fail: settings
/// that travel before, or without, client_encoding.
#[test]
fn values_that_are_not_utf_8() {
    let latin = |sql: &str| {
        let bytes: Vec<u8> = sql.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        wire().message(b'Q', &[bytes, vec![0]].concat())
    };
    Play::new("LATIN1")
        .lines("a: set client_encoding = 'LATIN1' => SET")
        .step('a', latin("set my.tenant = 'caf\u{e9}'"), "C Z/I")
        .step('a', latin("show my.tenant"), "T D C Z/I")
        .lines("a: select length(current_setting('my.tenant')) => 4")
        .step('b', wire().query("set my.tenant = 'caf\u{e9} \u{2615}'"), "C Z/I")
        .lines("b: select length(current_setting('my.tenant')) => 6")
        .step('a', latin("select 'caf\u{e9}' = current_setting('my.tenant')"), "T D C Z/I")
        .lines("a: reset client_encoding => RESET")
        .lines("a: show my.tenant => caf\u{e9}")
        .as_direct();
}

/// Reference §12.3, 1. Seen to fail: a deploy that is built in 512 bytes, and skipped if it does
/// not fit.
#[test]
fn a_deploy_over_512_bytes_is_applied() {
    let startup = "s".repeat(4096);
    let login = Login::new("app", "postgres");
    let login = login.option("options", &format!("-c my.startup={startup} -c work_mem=5MB"));
    let login = login.option("search_path", &vec!["long_schema_name"; 200].join(", "));
    let set = format!("a: set my.tenant = '{}' => SET\n", "t".repeat(4096));
    let both = "select md5(current_setting('my.startup')) || md5(current_setting('my.tenant'))";
    Play::new("four kilobytes")
        .login('a', login)
        .lines(&set)
        .lines("a: select length(current_setting('my.tenant')) => 4096")
        .lines("a: select length(current_setting('my.startup')) => 4096")
        .lines(&format!("a: {both}\n b: set work_mem = '6MB' => SET\n a: {both}\n a! {both}"))
        .lines("a: select length(current_setting('search_path')) => 3598\n a: show work_mem => 5MB")
        .as_direct();
}

/// Seen to fail: settings put in front of a query as one string break VACUUM and are rolled back
/// with a query that fails.
#[test]
fn settings_disturb_no_query_behind_them() {
    let oid = Postgres::shared().admin().scalar("select 'md5(text)'::regprocedure::oid::int");
    let call = wire().function_call(oid.parse().unwrap(), &["hear"]);
    let copy = wire().query("copy disturbed from stdin").copy_data(b"1\n").copy_done();
    let mine = "select query from pg_stat_activity where pid = pg_backend_pid()";
    Play::new("behind settings")
        .before(
            "drop table if exists disturbed; create table disturbed (i int);
             alter table disturbed owner to app",
        )
        .lines("a: set work_mem = '5MB'; set my.tenant = 'x' => SET SET")
        .lines("a: vacuum disturbed => VACUUM\n a! vacuum disturbed => VACUUM")
        .lines("a: create index concurrently on disturbed (i) => CREATE INDEX")
        .lines("a: select 1/0 => !22012\n a: show work_mem => 5MB")
        .lines("a! select 1/0\n a: show work_mem => 5MB\n a: selec => !42601")
        .lines("a:   => ()\n a: ; => ()\n a! \n a: show work_mem => 5MB")
        .lines("a: select nonsense => !42703\n a: select now() = statement_timestamp() => t")
        .lines(&format!("a: {mine} => {mine}\n a! {mine} => {mine}"))
        .step('a', wire().sync(), "Z/I")
        .step('a', call, "V Z/I")
        .step('a', copy, "G C Z/I")
        .lines("a: copy disturbed to stdout\n a: commit => ~25P01 COMMIT\n a: show work_mem => 5MB")
        .lines("a: begin isolation level serializable read only => BEGIN /T")
        .lines("a: show transaction_isolation => serializable /T\n a: rollback => ROLLBACK")
        .as_direct();
}

/// A client that wants to hear everything hears nothing of the pooler's own statements.
#[test]
fn debug_messages_of_the_preamble_stay_inside() {
    Play::new("debug messages")
        .lines(
            "a: set client_min_messages = debug2 => SET
             a: set work_mem = '5MB'
             a: show work_mem
             a: select 1
             b: select 1 => 1",
        )
        .as_direct();
}
