//! Texts and what is told of them.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A head in a few letters.
fn show(head: &Head<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match head {
        Head::Set { name } => format!("set {}", text(name)),
        Head::Reset { name } => format!("reset {}", text(name)),
        Head::Prepare { name } => format!("prepare {}", text(&name.folded)),
        Head::Execute { name } => format!("execute {}", text(&name.folded)),
        Head::Deallocate { name } => format!("deallocate {}", text(&name.folded)),
        Head::SetConfig { name, local } => {
            let name = name.as_ref().map_or_else(|| "?".to_owned(), |name| text(name));
            let local = local.map_or("?", |local| if local { "local" } else { "session" });
            format!("config {name} {local}")
        }
        other => format!("{other:?}"),
    }
}

fn heads(sql: &[u8]) -> String {
    statements(sql).map(|statement| show(&statement.head)).collect::<Vec<_>>().join("; ")
}

fn check(sql: impl AsRef<[u8]>, expected: &str) {
    let sql = sql.as_ref();
    assert_eq!(heads(sql), expected, "{}", String::from_utf8_lossy(sql));
    if heads(sql).split("; ").any(|head| !["", "Other"].contains(&head)) {
        assert!(is_remarkable(sql), "{}", String::from_utf8_lossy(sql));
    }
}

#[test]
fn settings_in_all_spellings() {
    check("set search_path = x", "set search_path");
    check("SET SESSION Search_Path TO 'x'", "set search_path");
    check("set \"Search_Path\" to x", "set search_path");
    check("set MyApp . \"User\" = '1'", "set myapp.user");
    check("set local x = 1", "SetLocal");
    check("set local time zone 'UTC'", "SetLocal");
    check("set local.x = 1", "set local.x");
    check("set session.x = 1", "set session.x");
    check("set time zone 'UTC'", "set timezone");
    check("set session time zone local", "set timezone");
    check("set time.zone = 1", "set time.zone");
    check("set names 'utf8'", "set client_encoding");
    check("set schema 's'", "set search_path");
    check("set role r", "set role");
    check("set local role r", "SetLocal");
    check("set session authorization default", "set session_authorization");
    check("set session session authorization x", "set session_authorization");
    check("set xml option document", "set xmloption");
    check("set session characteristics as transaction read only", "SetCharacteristics");
    check("set local session characteristics as transaction read only", "SetLocal");
    check("set transaction isolation level serializable", "SetLocal");
    check("set transaction_read_only = on", "SetLocal");
    check("set constraints all deferred", "SetLocal");
    check("set constraints.x = 1", "set constraints.x");
    check("set u&\"search\\005fpath\" = x", "set ");
    check("set a.u&\"b\" = x", "set ");
    check("set", "set ");
    check("set x from current", "set x");
    check("reset x", "reset x");
    check("reset all", "ResetAll");
    check("reset \"all\"", "reset all");
    check("reset session authorization", "reset session_authorization");
    check("reset time zone", "reset timezone");
    check("reset transaction isolation level", "SetLocal");
    check("reset role", "reset role");
    check("alter role x set y = 1", "Other");
    check("update pg_settings set setting = 1", "config ? ?");
    check("UPDATE only \"pg_catalog\" . pg_settings s set x = 1", "config ? ?");
    check("explain analyze update pg_settings set setting = 1", "config ? ?");
    check("select 1; update pg_settings set setting = 1", "Other; config ? ?");
    check("update t set pg_settings = 1", "Other");
    assert!(!is_remarkable(b"update t set a = 1"));
}

#[test]
fn transactions() {
    for plain in ["begin", "BEGIN;", "Begin Work", "begin transaction ; ", "/* x */ begin -- y"] {
        check(plain, "BeginPlain");
    }
    check("begin isolation level serializable", "Begin");
    check("begin work read only", "Begin");
    check("start transaction", "Begin");
    check("start x", "Other");
    check("commit; end; commit and chain", "Commit; Commit; Commit");
    check("commit prepared 'x'", "Other");
    check("rollback; abort; rollback work", "Rollback; Rollback; Rollback");
    check("rollback to x; rollback transaction to savepoint x", "RollbackTo; RollbackTo");
    check("rollback prepared 'x'", "Other");
    check("savepoint a; release a", "Savepoint; Release");
    check("prepare transaction 'x'", "PrepareTransaction");
}

#[test]
fn prepared_statements() {
    check("prepare P as select 1", "prepare p");
    check("prepare \"P\"(int) as select 1", "prepare P");
    check("prepare \"a\"\"b\" as select 1", "prepare a\"b");
    check("prepare transaction as select 1", "prepare transaction");
    check("prepare transaction(int) as select 1", "prepare transaction");
    check("prepare u&\"p\" as select 1", "prepare ");
    check("execute p(1)", "execute p");
    check("explain execute p", "execute p");
    check("explain (analyze, costs off) execute p(1)", "execute p");
    check("explain analyze verbose execute p", "execute p");
    check("create table t (a) with (x=1) as execute p(1)", "execute p");
    check("create temp table t as execute p", "CreateTemp; execute p");
    check("create view v as select a as execute from t", "Other");
    check("create trigger t after insert on x execute function f()", "Other");
    check("deallocate p", "deallocate p");
    check("deallocate prepare P", "deallocate p");
    check("deallocate prepare", "deallocate prepare");
    check("deallocate all; deallocate prepare all", "DeallocateAll; DeallocateAll");
    check("deallocate \"all\"", "deallocate all");
}

#[test]
fn the_range_of_a_name_is_where_it_is_written() {
    let sql = b"select 1; EXECUTE /* the */ \"My\"\"Plan\" (1)";
    let Some(Statement { head: Head::Execute { name }, text, at }) = statements(sql).nth(1) else {
        panic!("no EXECUTE")
    };
    assert_eq!(&sql[name.range.clone()], b"\"My\"\"Plan\"");
    assert_eq!(&*name.folded, b"My\"Plan");
    assert_eq!((at, text), (10, &sql[10..]));
}

#[test]
fn what_else_stays_in_a_session() {
    check("discard all; discard temp; discard TEMPORARY", "DiscardAll; DiscardTemp; DiscardTemp");
    check("discard plans; discard sequences", "DiscardOther; DiscardOther");
    check("listen x; unlisten *", "Listen; Unlisten");
    check("declare c cursor for select 1; close c", "Declare; Close");
    check("show x; do $$ begin end $$; call p()", "Show; Do; Call");
    check("create temp table t (a int)", "CreateTemp");
    check("create or replace local temporary view v as select 1", "CreateTemp");
    check("create table temp (a int)", "Other");
    check("select 1 into temp t", "CreateTemp");
    check("select 1 into local temporary table t", "CreateTemp");
    check("insert into temp values (1)", "Other");
    check("explain analyze create temp table t as select 1", "CreateTemp");
    check("notify x; load 'x'; fetch 1 from c", "Other; Other; Other");
    check("explain select 1", "Other");
}

#[test]
fn calls_of_set_config() {
    check("select set_config('Search_Path', '', false)", "config search_path session");
    check("SELECT pg_catalog.SET_CONFIG ( 'a.b' , f(1, 2) , TRUE )", "config a.b local");
    check("select \"set_config\"('a'::text, $1, 'f'::bool)", "config a session");
    check("select \"SET_CONFIG\"('a', '', true)", "Other");
    check("select set_config($1, $2, $3)", "config ? ?");
    check("select set_config($1, '', true)", "config ? local");
    check("select set_config('a' || 'b', array[1, 2], false)", "config ? session");
    check("select set_config('a', '', not true)", "config a ?");
    check("select set_config('a''b', '', false)", "config ? session");
    check("select set_config(e'a', '', false)", "config a session");
    check("select set_config(E'a\\142', '', false)", "config ? session");
    check("select set_config(e'', '', false)", "config  session");
    check("select set_config('a'\n'b', '', false)", "config ? session");
    check("select set_config('a'", "config ? ?");
    check("select set_config", "Other");
    check("select 'set_config(1)', reset_config('a', 'b', true)", "Other");
    let two = "select set_config('a', 'x', false), set_config('b', set_config('c', 'y', true), f)";
    check(two, "config a session; config b session; config c local");
    check("prepare p as select set_config('a', 'b', false)", "prepare p; config a session");
    check("select 1 where exists (select set_config('a', '1', false))", "config a session");
    let statement = b" select set_config('a', '', true) ;";
    let told: Vec<_> = statements(statement).map(|told| (told.at, told.text)).collect();
    assert_eq!(told, [(1, &statement[1..33])]);
}

#[test]
fn statements_end_at_semicolons_outside_of_quotes() {
    check("", "");
    check(" ;; -- x\n ; /* y */ ;", "");
    check("select 1", "Other");
    check("select 1; set a = 1", "Other; set a");
    check("select ';set a = 1;'; set b = 2", "Other; set b");
    check("select ''';set a = 1;'''; set b = 2", "Other; set b");
    check("select \"x\"\";set a = 1;\"; set b = 2", "Other; set b");
    check("select $$;set a = 1;$$; set b = 2", "Other; set b");
    check("select $x$;set a = 1;$$;$X$;$y$$x$; set b = 2", "Other; set b");
    check("select $é$;set a = 1;$é$; set b = 2", "Other; set b");
    check("select a$x$; set b = 2; select $x$", "Other; set b; Other");
    check("select 1$x$;set a = 1;$x$; set b = 2", "Other; set b");
    check("select $1$x$;set a = 1;$x$; set b = 2", "Other; set b");
    check("select $1; set b = 2; select $1", "Other; set b; Other");
    check("select 1 -- ;set a = 1;\n; set b = 2", "Other; set b");
    check("select 1 -- ;set a = 1;\r; set b = 2", "Other; set b");
    check("select 1 /* ;/* */ set a = 1; */; set b = 2", "Other; set b");
    check("select 1 /*/ ; set a = 1; */; set b = 2", "Other; set b");
    check("select 1 /***/; set b = 2 /* ", "Other; set b");
    check("select 2 */*;set a=1;*/ 3; set b = 2", "Other; set b");
    check("select E'\\';set a = 1;'; set b = 2", "Other; set b");
    check("select E'\\\\'; set b = 2", "Other; set b");
    check("select E'x'\n'\\';set a = 1;'; set b = 2", "Other; set b");
    check("select E'x' -- c\n '\\';set a = 1;'; set b = 2", "Other; set b");
    check("select n';set a = 1;', b'1', x'f', u&';'; set b = 2", "Other; set b");
    check("select u&\";set a = 1;\"; set b = 2", "Other; set b");
    check("select 'open; set a = 1", "Other");
    check("settle x; selects; set_x", "Other; Other; Other");
}

/// With standard_conforming_strings off `\'` is no end of a string. We do not know.
#[test]
fn doubtful_quotes_are_read_both_ways() {
    check(r"select '\'; set a = 1; --'", "Other; set a");
    check(r"select '\''; set a = 1; --'", "Other; set a");
    check(r"select '\'; set a = 1; select '\''; set b = 2", "Other; set a; Other; set b");
    check(r"set a = 1; select 'x\y', '\\'; set b = 2", "set a; Other; set b");
    check(
        r"select set_config('a\'', 'x', set_config('b', '', false)",
        "config ? ?; config b session",
    );
    // In Shift-JIS 0x95 0x5c is one character, and the quote behind it is one.
    check(b"select E'\x95\\'; set a = 1; --'", "Other; set a");
    assert_eq!(only(br"set a = '\'; set b = '"), None);
    assert!(only(br"set a = 'c:\\'").is_some());
}

#[test]
fn only_one_statement() {
    let head = |sql: &'static str| only(sql.as_bytes()).map(|statement| show(&statement.head));
    assert_eq!(head(" ; /* x */ BEGIN ; -- y").as_deref(), Some("BeginPlain"));
    assert_eq!(head("begin; begin"), None);
    assert_eq!(head(" ; "), None);
    assert_eq!(head("select set_config('a', '', true)").as_deref(), Some("config a local"));
    assert_eq!(head("select set_config('a', '', true), set_config('b', '', true)"), None);
}

#[test]
fn most_queries_are_not_remarkable() {
    for sql in [
        "",
        ";",
        "select abalance from accounts where aid = $1",
        "SELECT 1;",
        " (select 1) union (select 2) ; \n",
        "-- name: Get :one\nselect * from account_code",
        "/* app; x */ select 1".split(';').collect::<String>().as_str(),
        "with x as (select 1) insert into t select * from x;",
        "copy t from stdin",
        "update t set config = 1",
    ] {
        assert!(!is_remarkable(sql.as_bytes()), "{sql}");
    }
    for sql in [
        "select 1; select 2",
        "select 1;;set a = 1",
        "SELECT SET_CONFIG('a', '', false)",
        "select Pg_Advisory_Lock(1)",
        "select * from TeMpErature",
        "begin",
        "set a = 1",
        "( set )",
        "'x'",
        "listen x",
    ] {
        assert!(is_remarkable(sql.as_bytes()), "{sql}");
    }
}

/// A block too short or too few, and a word at its edge is missed.
#[test]
fn words_are_seen_wherever_they_are() {
    for word in [";x", "set_CONFIG", "advisory_lock", "TEMP"] {
        for before in 0..70 {
            for behind in 0..40 {
                let sql = format!("select{}{word}{}", " ".repeat(before), "x".repeat(behind));
                assert!(is_remarkable(sql.as_bytes()), "{sql}");
            }
        }
    }
}

/// Pieces whose order makes them mean something else.
fn some_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "'",
        "''",
        "\"",
        "$$",
        "$a$",
        "$1",
        "\\",
        "\\'",
        "e'",
        "E'",
        "u&'",
        "u&\"",
        "--",
        "/*",
        "*/",
        "\n",
        "\r",
        " ",
        ";",
        ";",
        "set a = 1",
        "set_config('a', 'b', true)",
        "select ",
        "x",
        "execute p",
        "prepare \"P\" as ",
        "into temp t",
        "create ",
        "explain ",
        "(",
        ")",
        ",",
        "begin",
        "deallocate ",
        "reset ",
        "é",
    ];
    let pieces = pieces.map(|piece| piece.as_bytes().to_vec());
    let piece = prop_oneof![
        20 => prop::sample::select(pieces.to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_told_within_its_bounds(text in some_text()) {
        let mut remarkable = false;
        for told in statements(&text) {
            prop_assert_eq!(text.get(told.at..told.at + told.text.len()), Some(told.text));
            prop_assert!(!told.text.is_empty());
            if let Head::Prepare { name } | Head::Execute { name } | Head::Deallocate { name } =
                &told.head
            {
                prop_assert!(text.get(name.range.clone()).is_some());
            }
            remarkable |= told.head != Head::Other;
        }
        prop_assert!(is_remarkable(&text) || !remarkable);
    }

    #[test]
    fn bytes_from_nowhere_never_panic(text in any::<Vec<u8>>()) {
        let remarkable = statements(&text).any(|told| told.head != Head::Other);
        prop_assert!(is_remarkable(&text) || !remarkable);
        let _ = only(&text);
    }
}

/// What a text of 64 KiB, the longest one that is looked at, may cost a machine. Seen to fail where
/// the arguments of each call are read to the end of the text: 12 s without optimisation.
#[test]
fn calls_inside_each_other_cost_no_more_than_others() {
    let text = format!("select {}", "set_config(".repeat(5_800));
    let begun = Instant::now();
    assert_eq!(statements(text.as_bytes()).count(), 5_800);
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
}

#[test]
fn a_long_argument_is_not_read_to_its_end() {
    let local = |value: &str| {
        let text = format!("select set_config('a', {value}, true)");
        let heads: Vec<_> = statements(text.as_bytes()).map(|one| one.head).collect();
        let [Head::SetConfig { name: Some(name), local }] = &heads[..] else { panic!("{heads:?}") };
        assert_eq!(**name, *b"a");
        *local
    };
    assert_eq!(local("'b' || ".repeat(10).trim_end_matches(" || ")), Some(true));
    assert_eq!(local("'b' || ".repeat(40).trim_end_matches(" || ")), None, "nobody can tell");
}
