//! What a random client may say: simple queries, batches, pipelines, COPY, and nonsense. All that
//! it touches is its own, so that what it is told hangs on nobody else.

use crate::support::{Seeded, Wire};

/// Longer than the 63 bytes that count.
pub const LONG_NAME: &str = "long_name_that_is_longer_than_the_sixty_three_bytes_that_count__";
const NAMES: [&str; 4] = ["", "s", "S2", LONG_NAME];
const PORTALS: [&str; 3] = ["", "p", "q"];
const UPPER: u32 = 871;
const LONG_BYTES: usize = 100_000;

/// Simple queries: `@` is the client's number.
const QUERIES: [&str; 147] = [
    "select 1",
    "select 'ä', 2; select 3",
    "",
    ";",
    "-- nothing",
    "selec",
    "select 1/0",
    "select 1; select 1/0; select 2",
    "select 1; selec",
    "select nope",
    "show all_of_it",
    "begin",
    "begin",
    "begin",
    "BEGIN ; ",
    "begin read only",
    "start transaction",
    "begin isolation level serializable",
    "begin; select 1",
    "begin; select 1/0",
    "commit",
    "commit",
    "commit",
    "end",
    "rollback",
    "rollback",
    "abort",
    "commit and chain",
    "rollback and chain",
    "commit; select 1",
    "rollback; begin",
    "savepoint a",
    "savepoint a",
    "savepoint b",
    "rollback to a",
    "rollback to b",
    "release a",
    "set work_mem = '5MB'",
    "set local work_mem = '6MB'",
    "reset work_mem",
    "show work_mem",
    "set my.tenant = 'it''s'",
    "set local my.tenant = 'local'",
    "reset my.tenant",
    "select coalesce(current_setting('my.tenant', true), ''), current_setting('work_mem')",
    "set timezone = 'Asia/Tokyo'",
    "set time zone default",
    "show timezone",
    "set datestyle = german",
    "set datestyle = 'dmy'",
    "reset datestyle",
    "show datestyle",
    "set application_name = 'twin'",
    "set local application_name = 'x'",
    "reset all",
    "set session characteristics as transaction read only",
    "set session characteristics as transaction read write",
    "set role twin_clerk",
    "reset role",
    "set local role twin_clerk",
    "select current_user",
    "set client_encoding = latin1",
    "set client_encoding = 'UTF8'",
    "set geqo = maybe",
    "select set_config('geqo', 'off', false), set_config('work_mem', '9MB', true)",
    "select set_config('my.' || 'other', 'x', false)",
    "show geqo",
    "do $$ begin perform set_config('enable_sort', 'off', false); end $$",
    "show enable_sort",
    "prepare x as select $1::int, 'x'",
    "execute x(1)",
    "execute x(nope)",
    "deallocate x",
    "execute s(1)",
    "execute s",
    "execute \"S2\"(2); select nope",
    "execute s2(1)",
    "deallocate s; select nope",
    "deallocate \"S2\"",
    "prepare s as select 1",
    "deallocate all",
    "select 1; execute s; select 2",
    "discard all",
    "discard plans",
    "discard temp",
    "create temp table tmp@ (i int)",
    "insert into tmp@ values (1)",
    "select count(*) from tmp@",
    "drop table tmp@",
    "create temp table tc@ (i int) on commit drop; select 1",
    "declare c cursor with hold for select generate_series(1, 5)",
    "fetch 2 from c",
    "close c",
    "declare d cursor for select generate_series(1, 5)",
    "fetch 1 from d",
    "listen twin_@",
    "notify twin_@, 'hello'",
    "unlisten *",
    "select pg_advisory_lock(42000 + @)",
    "select pg_advisory_unlock(42000 + @)",
    "select pg_advisory_xact_lock(43000 + @)",
    "insert into twin_@ values (7, 'seven')",
    "delete from twin_@ where i = 7",
    "select * from twin_@ order by i",
    "copy twin_@ to stdout",
    "select repeat('long', 20000)",
    "select pg_notify('twin_@', 'f')",
    "set statement_timeout = '77s'; show statement_timeout",
    "set local work_mem to default",
    "set session authorization default",
    "select set_config('my.tenant', 'c', true)",
    "select set_config('datestyle', 'iso, ymd', false)",
    "set search_path = public",
    "set search_path = nowhere, \"$user\", public",
    "reset search_path",
    "select current_schemas(true)[1:0], current_setting('search_path')",
    "set intervalstyle = iso_8601",
    "set client_min_messages = warning",
    "set standard_conforming_strings = off",
    "select 'it\\'; execute s; --'",
    "select E'it\\'; execute s; --', $$; execute s; $$",
    "prepare y(int) as select $1, 'y'; execute y(2); deallocate y",
    "explain (costs off) execute s(1)",
    "create temp table ct@ on commit drop as execute s(1)",
    "begin; declare e cursor with hold for select 5; commit; fetch all from e; close e",
    "begin; declare e cursor for select 5; savepoint a",
    "fetch 1 from e",
    "move 1 in c",
    "close all",
    "begin; set transaction isolation level repeatable read, read only",
    "show transaction_isolation",
    "show default_transaction_read_only",
    "begin; set local statement_timeout = '5ms'; create temp table sl@ as select from pg_sleep(5)",
    "rollback prepared 'twin_@'",
    "begin; prepare z as select nope",
    "do $$ begin raise notice 'from a block'; end $$",
    "do $$ begin perform set_config('geqo', 'on', false); end $$",
    "set constraints all deferred",
    "discard sequences",
    "copy (select generate_series(1, 3)) to stdout",
    "copy nope from stdin",
    "lock table twin_@ in share mode",
    "insert into twin_@ values (1, 'again') on conflict do nothing returning i",
    "select 1 /* ; execute s; */ -- ; deallocate all",
    "release savepoint b; select 1",
    "notify twin_@; listen twin_@",
    "unlisten twin_@",
];

/// So many texts speak of statements.
const NAMING: usize = 3;
/// Texts to be prepared. None shows a setting that a client may come with: behind a RESET in its
/// own batch it sees the server's default.
const TEXTS: [&str; 26] = [
    "deallocate s",
    "execute x(1)",
    "execute s(1)",
    "select $1::int, 's'",
    "select 's'",
    "select generate_series(1, 5)",
    "selec",
    "select nope",
    "select 1/$1::int",
    "begin",
    "commit",
    "rollback",
    "set geqo_effort = 7",
    "show geqo_effort",
    "select set_config('my.tenant', $1, false)",
    "insert into twin_@ values ($1::int, 'new')",
    "select * from twin_@ order by i",
    "",
    "reset all",
    "discard all",
    "savepoint a",
    "rollback to a",
    "set local geqo = off",
    "copy twin_@ to stdout",
    "select length($1)",
    "select 'a'; select 'b'",
];

const VALUES: [&str; 5] = ["1", "0", "x", "", "it's"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// As many ReadyForQuery come.
    Ready(usize),
    /// Nobody knows what comes: until nothing does.
    Silence,
}

#[derive(Clone)]
pub struct Step {
    pub text: String,
    pub wire: Wire,
    pub ends: Ends,
}

/// A client's life.
#[derive(Clone)]
pub struct Script {
    pub options: Vec<(&'static str, &'static str)>,
    pub steps: Vec<Step>,
    /// What it says at last, without waiting for an answer.
    pub goodbye: Wire,
    /// The number of its user.
    pub user: usize,
    number: usize,
}

fn one_of<T: Copy>(all: &[T], random: &mut Seeded) -> T {
    all[random.below(all.len())]
}

/// May a failed transaction be over behind this text? Statements that the server lacks cannot be
/// prepared in front of it, and are not there for what stands behind it.
fn ends_failed(text: &str) -> bool {
    let verbs = ["commit", "end", "rollback", "abort"];
    verbs.iter().any(|verb| text.starts_with(verb))
}

/// Does it speak of prepared statements?
fn speaks(text: &str) -> bool {
    let verbs = ["execute", "prepare", "deallocate"];
    verbs.iter().any(|verb| text.contains(verb))
}

/// Does it reset a setting? What stands behind it in one text sees the server's default.
fn resets(text: &str) -> bool {
    ["reset", "default"].iter().any(|word| text.contains(word))
}

/// Does it show one, or add to what it was?
fn shows(text: &str) -> bool {
    ["show", "current", "dmy"].iter().any(|word| text.contains(word))
}

impl Script {
    pub fn new(number: usize, user: usize, steps: usize, random: &mut Seeded) -> Script {
        let options = [
            ("work_mem", "8MB"),
            ("application_name", "born"),
            ("TimeZone", "Europe/Paris"),
            ("options", "-c my.tenant=born -c geqo=off"),
            ("DateStyle", "SQL, DMY"),
        ];
        let options = options.into_iter().filter(|_| random.below(4) == 0).collect();
        let (steps_of, goodbye) = (Vec::with_capacity(steps), Wire::new());
        let mut script = Script { options, steps: steps_of, goodbye, user, number };
        while script.steps.len() < steps {
            script.step(random);
        }
        let (goodbye, _) = script.batch(random);
        script.goodbye = match random.below(3) {
            0 => Wire::new().terminate(),
            1 => goodbye.terminate(),
            _ => goodbye,
        };
        script
    }

    fn step(&mut self, random: &mut Seeded) {
        match random.below(25) {
            0..=10 => self.query(random),
            11..=15 => {
                let (wire, text) = self.batch(random);
                self.say(wire.sync(), text, 1);
            }
            16 | 17 => self.pipeline(random),
            18 => {
                // Nobody knows what a Flush brings; the Sync comes later, or a Query does.
                let (wire, text) = self.batch(random);
                self.push(wire.flush(), text + "H", Ends::Silence);
                self.push(Wire::new().sync(), "S".into(), Ends::Silence);
            }
            19 => self.copy_in(random),
            20 => self.copy_in_extended(random),
            21 => self.call(random),
            22 => self.nonsense(random),
            23 => {
                // A Query ends a batch, unless that failed.
                let (wire, text) = self.batch(random);
                let query = self.text(&QUERIES, random);
                let both = format!("{text} | {query}");
                self.push(wire.query(&query), both, Ends::Silence);
                self.push(Wire::new().sync(), "S".into(), Ends::Silence);
            }
            _ => self.transaction(random),
        }
    }

    fn push(&mut self, wire: Wire, text: String, ends: Ends) {
        self.steps.push(Step { text, wire, ends });
    }

    fn say(&mut self, wire: Wire, text: String, ready: usize) {
        self.push(wire, text, Ends::Ready(ready));
    }

    fn text(&self, all: &[&'static str], random: &mut Seeded) -> String {
        one_of(all, random).replace('@', &self.number.to_string())
    }

    fn query(&mut self, random: &mut Seeded) {
        let mut text = self.text(&QUERIES, random);
        if random.below(12) == 0 {
            let behind = self.text(&QUERIES, random);
            let differs =
                (ends_failed(&text) && speaks(&behind)) || (resets(&text) && shows(&behind));
            if !differs {
                text = format!("{text}; {behind}");
            }
        }
        match random.below(4) {
            0 => self.say(Wire::new().extended(&text, &[]).sync(), format!("extended {text}"), 1),
            _ => self.say(Wire::new().query(&text), text, 1),
        }
    }

    /// A transaction as applications have them.
    fn transaction(&mut self, random: &mut Seeded) {
        self.say(Wire::new().query("begin"), "begin".into(), 1);
        for _ in 0..random.below(3) {
            self.query(random);
        }
        let (wire, text) = self.batch(random);
        self.say(wire.sync(), text, 1);
        let end = one_of(&["commit", "rollback", "commit"], random);
        self.say(Wire::new().query(end), end.into(), 1);
    }

    /// Extended messages without a Sync.
    fn batch(&self, random: &mut Seeded) -> (Wire, String) {
        let mut wire = Wire::new();
        let mut words = Vec::new();
        for _ in 0..1 + random.below(3) {
            let (name, portal) = (one_of(&NAMES, random), one_of(&PORTALS, random));
            // Names in texts that have a name themselves are the client's at each server.
            let texts = if name.is_empty() { &TEXTS[..] } else { &TEXTS[NAMING..] };
            let text = self.text(texts, random);
            let value = one_of(&VALUES, random);
            let values = &[value][..random.below(2)];
            let word = match random.below(15) {
                0..=3 => {
                    wire = wire.parse(name, &text).bind("", name, values).describe_portal("");
                    wire = wire.execute("", 0);
                    format!("run {name:?} as {text:?} {values:?}")
                }
                4..=6 => {
                    wire = wire.run(name, values);
                    format!("run {name:?} {values:?}")
                }
                7 => {
                    wire = wire.parse(name, &text);
                    format!("parse {name:?} {text:?}")
                }
                8 => {
                    wire = wire.close_statement(name).parse(name, &text);
                    format!("close and parse {name:?} {text:?}")
                }
                9 => {
                    let rows = random.below(3) as u32;
                    wire = wire.bind(portal, name, values).execute(portal, rows);
                    wire = wire.describe_portal(portal).execute(portal, 1);
                    format!("portal {portal:?} of {name:?} {values:?} by {rows}")
                }
                10 => {
                    wire = wire.describe_statement(name).close_statement(name);
                    format!("describe and close {name:?}")
                }
                11 => {
                    wire = wire.close_statement(name).describe_statement(name);
                    format!("close and describe {name:?}")
                }
                12 => {
                    wire = wire.bind(portal, name, values).execute(portal, 1);
                    wire = wire.close_portal(portal).describe_portal(portal);
                    format!("close portal {portal:?} of {name:?} {values:?} and describe it")
                }
                13 => {
                    wire = wire.run(name, values).flush();
                    format!("run {name:?} {values:?} and flush")
                }
                _ => {
                    wire = wire.close_portal(portal).execute(portal, 0);
                    format!("close and execute portal {portal:?}")
                }
            };
            words.push(word);
        }
        (wire, format!("[{}]", words.join(", ")))
    }

    /// Several requests at once.
    fn pipeline(&mut self, random: &mut Seeded) {
        let (mut wire, mut words) = (Wire::new(), Vec::new());
        let requests = 2 + random.below(4);
        for _ in 0..requests {
            let (more, text) = match random.below(3) {
                0 => {
                    let text = self.text(&QUERIES, random);
                    (Wire::new().query(&text), text)
                }
                1 => (Wire::new().sync(), "S".into()),
                _ => {
                    let (batch, text) = self.batch(random);
                    (batch.sync(), text)
                }
            };
            wire = wire.raw(&more.0);
            words.push(text);
        }
        self.say(wire, format!("pipeline: {}", words.join(" | ")), requests);
    }

    fn copy_in(&mut self, random: &mut Seeded) {
        let text = format!("copy twin_{} from stdin", self.number);
        let (data, end) = self.copied(random);
        let wire = Wire::new().query(&text).copy_data(&data).raw(&end.0);
        self.push(wire, text, Ends::Silence);
    }

    fn copied(&self, random: &mut Seeded) -> (Vec<u8>, Wire) {
        let data = [&b"8\teight\n"[..], b"x\ty\n", b"9\tnine\n8\t8\n", b""];
        let data = one_of(&data, random).to_vec();
        let end = match random.below(4) {
            0 => Wire::new().copy_fail("no"),
            _ => Wire::new().copy_done(),
        };
        (data, end)
    }

    /// As libpq does: the Sync in front of the data is swallowed.
    fn copy_in_extended(&mut self, random: &mut Seeded) {
        let text = format!("copy twin_{} from stdin", self.number);
        let (data, end) = self.copied(random);
        let wire = Wire::new().extended(&text, &[]);
        self.push(wire.flush(), format!("extended {text}"), Ends::Silence);
        let wire = Wire::new().copy_data(&data).raw(&end.0).sync();
        self.push(wire, "data".into(), Ends::Silence);
    }

    fn call(&mut self, random: &mut Seeded) {
        let oid = one_of(&[UPPER, UPPER, 1], random);
        let value = one_of(&VALUES, random);
        let wire = Wire::new().function_call(oid, &[value]);
        self.say(wire, format!("function {oid}({value})"), 1);
    }

    fn nonsense(&mut self, random: &mut Seeded) {
        let (wire, text) = match random.below(6) {
            0 => (Wire::new().message(b'Q', b"select '\xff\xfe'\0"), "invalid UTF-8".into()),
            1 => {
                let value = "x".repeat(LONG_BYTES);
                (Wire::new().extended("select length($1)", &[&value]).sync(), "long value".into())
            }
            2 => {
                let text = format!("select length('{}')", "y".repeat(LONG_BYTES));
                (Wire::new().query(&text), "long text".into())
            }
            3 => {
                // One integer, and one column, both in binary.
                let bind = b"\0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x07\0\x01\0\x01";
                let wire = Wire::new().parse("", "select $1::int + 1").message(b'B', bind);
                (wire.execute("", 0).sync(), "binary".into())
            }
            4 => {
                let wire = Wire::new()
                    .parse("", "select $1::text")
                    .message(b'B', b"\0\0\0\0\0\x01\0\0\0\x02\xff\xff\0\0");
                (wire.execute("", 0).sync(), "invalid UTF-8 as a value".into())
            }
            _ => {
                let wire = Wire::new().copy_data(b"stray").copy_done();
                (wire.query("select 'behind strays'"), "stray copy data".into())
            }
        };
        self.say(wire, text, 1);
    }
}
