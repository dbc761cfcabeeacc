//! What rules say about settings, and what settings cost.

use crate::support::fake::FakeSession;
use crate::support::message::cstr;
use crate::support::{
    Client, FakeServer, Login, PATIENCE, Play, Postgres, Setup, Stage, Wire, until,
};
use std::collections::BTreeMap;
use std::sync::mpsc;

fn app() -> Login {
    Login::new("app", "postgres")
}

/// `maintain_params no`: nothing is applied, and nothing leaks either.
#[test]
fn maintain_params_no_applies_nothing() {
    let pooler = Setup::transaction(1).with("maintain_params no").start();
    let mut a = pooler.login(&app().option("options", "-c work_mem=5MB -c no.sense=x"));
    let mut b = pooler.client();
    assert_eq!(a.scalar("show work_mem"), "4MB");
    a.query("set work_mem = '6MB'");
    assert_eq!(b.scalar("show work_mem"), "4MB");
    assert_eq!(a.scalar("show work_mem"), "4MB");
    let mut c = pooler.login(&app().option("options", "-c statement_timeout=nonsense"));
    assert_eq!(c.scalar("select 1"), "1");
    pooler.stop_with(vec![a, b, c]);
}

/// The pairs of `options` win over what the client gives at startup; they are what RESET falls back
/// to. Seen to fail: a list of names that are applied, all others ignored.
#[test]
fn options_of_a_rule_win_over_the_startup_packet() {
    let options =
        r#"options { "work_mem" "7MB" "geqo" "off" "TimeZone" "Asia/Tokyo" "my.tenant" "it's" }"#;
    let pooler = Setup::transaction(1).with(options).start();
    let mine = app().option("options", "-c work_mem=5MB -c seq_page_cost=2");
    let mut a = pooler.login(&mine.option("TimeZone", "Europe/Paris"));
    let mut b = pooler.client();
    assert_eq!(a.parameters["TimeZone"], "Asia/Tokyo");
    for client in [&mut a, &mut b] {
        assert_eq!(client.scalar("show work_mem"), "7MB");
        assert_eq!(client.scalar("show geqo"), "off");
        assert_eq!(client.scalar("show timezone"), "Asia/Tokyo");
        assert_eq!(client.scalar("show my.tenant"), "it's");
    }
    assert_eq!(a.scalar("show seq_page_cost"), "2");
    assert_eq!(b.scalar("show seq_page_cost"), "1");
    a.query("set work_mem = '8MB'");
    assert_eq!(b.scalar("show work_mem"), "7MB");
    assert_eq!(a.scalar("show work_mem"), "8MB");
    a.query("reset work_mem");
    assert_eq!(b.query("reset all").error(), None);
    assert_eq!(a.scalar("show work_mem"), "7MB");
    assert_eq!(b.scalar("show timezone"), "Asia/Tokyo");
    pooler.stop_with(vec![a, b]);
}

/// `name - 127.0.0.1` and perhaps `:port` behind it.
fn expect_host(client: &mut Client, name: &str) {
    let told = client.scalar("show application_name");
    let rest = told.strip_prefix(name).and_then(|rest| rest.strip_prefix(" - 127.0.0.1"));
    let rest = rest.unwrap_or_else(|| panic!("{name} - 127.0.0.1: {told}"));
    let port = rest.strip_prefix(':').unwrap_or("0");
    assert!(port.parse::<u16>().is_ok(), "{told}");
}

/// Reference §12.3, 3. Seen to fail: a rewrite of SET application_name that forgets the BEGIN which
/// is still owed to the server.
#[test]
fn the_application_name_rewrite_does_not_lose_begin() {
    let pooler = Setup::transaction(1).with("application_name_add_host yes").start();
    let mut client = pooler.login(&app().option("application_name", "shop"));
    let mut other = pooler.login(&app().option("application_name", "other"));
    expect_host(&mut client, "shop");
    expect_host(&mut other, "other");
    expect_host(&mut client, "shop");
    assert_eq!(client.query("begin").shape(), "C Z/T");
    let answer = client.query("set application_name = 'rewritten'");
    assert_eq!((answer.commands(), answer.status()), (vec!["SET".into()], 'T'));
    expect_host(&mut client, "rewritten");
    assert_eq!(client.query("rollback").shape(), "C Z/I");
    expect_host(&mut client, "shop");
    client.query("set application_name to 'again'");
    expect_host(&mut other, "other");
    expect_host(&mut client, "again");
    let mut long = pooler.login(&app().option("application_name", &"x".repeat(100)));
    let told = long.scalar("show application_name");
    assert!(told.len() <= 63 && told.contains("x - 127.0.0.1"), "the address survives: {told}");
    pooler.stop_with(vec![client, other, long]);
}

/// Odyssey's spellings of the switches that have nothing to do here: they must not disturb.
#[test]
fn switches_of_search_path_and_virtual_processing_disturb_nothing() {
    Play::new("switches")
        .setup(|setup| setup.global("smart_search_path_enquoting yes"))
        .login('a', app().option("search_path", r#""a,b", c"#))
        .lines(
            r#"a: show search_path => "a,b", c
               a: set search_path = c, "d e" => SET
               b: show search_path => "$user", public
               a: show search_path => c, "d e""#,
        )
        .as_direct_on(&[Stage::One]);
}

/// A PostgreSQL that answers nothing before it has heard a Sync or a Query.
struct Stub {
    session: FakeSession,
    statements: BTreeMap<Vec<u8>, Vec<u8>>,
    portals: BTreeMap<Vec<u8>, Vec<u8>>,
    status: u8,
}

impl Stub {
    /// Reads one burst, answers it, and says which tags it had; `None` at the end of the stream.
    fn burst(&mut self) -> Option<String> {
        let mut burst = Vec::new();
        while !matches!(burst.last(), Some((b'Q' | b'S', _))) {
            burst.push(self.session.read()?);
        }
        let answers: Vec<u8> =
            burst.iter().flat_map(|(tag, body)| self.answer(*tag, body).0).collect();
        self.session.send(&Wire(answers))?;
        Some(burst.iter().map(|(tag, _)| char::from(*tag)).collect())
    }

    fn answer(&mut self, tag: u8, body: &[u8]) -> Wire {
        let fields: Vec<Vec<u8>> = body.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        match tag {
            b'P' => {
                self.statements.insert(fields[0].clone(), fields[1].clone());
                Wire::new().message(b'1', &[])
            }
            b'B' => {
                let text = self.statements.get(&fields[1]).expect("it was parsed").clone();
                self.portals.insert(fields[0].clone(), text);
                Wire::new().message(b'2', &[])
            }
            b'D' => Wire::new().message(b'n', &[]),
            b'C' => Wire::new().message(b'3', &[]),
            b'E' => {
                let text = self.portals.get(&fields[0]).expect("it was bound").clone();
                self.complete(&text)
            }
            b'Q' => self.complete(&fields[0].clone()).message(b'Z', &[self.status]),
            b'S' => Wire::new().message(b'Z', &[self.status]),
            _ => Wire::new(),
        }
    }

    /// CommandComplete with the first word of the text for a tag.
    fn complete(&mut self, text: &[u8]) -> Wire {
        let text = String::from_utf8_lossy(text).to_uppercase();
        let word = text.split(|c: char| !c.is_alphabetic()).find(|word| !word.is_empty());
        let word = word.unwrap_or("SELECT");
        match word {
            "BEGIN" | "START" => self.status = b'T',
            "COMMIT" | "END" | "ROLLBACK" | "ABORT" => self.status = b'I',
            _ => {}
        }
        let tag = if word == "SELECT" { "SELECT 1" } else { word };
        let row = Wire::new().message(b'D', &[0, 1, 255, 255, 255, 255]);
        let rows = if word == "SELECT" { row } else { Wire::new() };
        rows.message(b'C', &cstr(tag))
    }
}

/// Seen to fail: settings, a Parse and the query that wait for each other's answers. This server
/// gives no answer before it has the whole.
#[test]
fn a_query_that_needs_settings_and_a_parse_takes_one_round_trip() {
    let (sender, bursts) = mpsc::channel();
    let server = FakeServer::start(move |mut session| {
        if session.greet().is_none() {
            return;
        }
        let (statements, portals) = (BTreeMap::new(), BTreeMap::new());
        let mut stub = Stub { session, statements, portals, status: b'I' };
        while let Some(tags) = stub.burst() {
            let _ = sender.send(tags);
        }
    });
    let pooler = Setup::in_front_of(server.port, 1).start();
    let mut first = pooler.client();
    first.send(&Wire::new().parse("s", "select 'first'").sync());
    assert_eq!(first.until_ready().shape(), "1 Z/I");
    let mut second = pooler.login(&app().option("TimeZone", "Asia/Tokyo").option("geqo", "off"));
    second.send(&Wire::new().parse("t", "select 'second'").run("t", &[]).sync());
    assert_eq!(second.until_ready().shape(), "1 2 n D C Z/I");
    first.send(&Wire::new().run("s", &[]).sync());
    assert_eq!(first.until_ready().shape(), "2 n D C Z/I", "of its own, behind the second's");
    second.send(&Wire::new().query("select 'simple'"));
    assert_eq!(second.until_ready().shape(), "D C Z/I");
    second.send(&Wire::new().run("t", &[]).sync());
    assert_eq!(second.until_ready().shape(), "2 n D C Z/I");
    // The stub tells of a burst behind its answer.
    let told: Vec<String> = (0..5).map_while(|_| bursts.recv_timeout(PATIENCE).ok()).collect();
    println!("bursts to the server: {told:?}");
    assert_eq!((told.len(), bursts.try_recv().ok()), (5, None), "one for each request: {told:?}");
    let bursts = told;
    assert!(bursts[1].len() > 5, "the settings went along: {bursts:?}");
    assert_eq!(bursts[4], "BDES", "the server has all it needs: nothing goes in front");
    pooler.stop_with(vec![first, second]);
}

/// `ALTER SYSTEM` and a reload of PostgreSQL: who has set nothing has the new default, and goes on
/// having whatever is the default. Seen to fail: a pooler that takes it for the client's own.
#[test]
fn a_new_default_of_the_server_is_nobodys_own() {
    let postgres = Postgres::start();
    let pooler = Setup::in_front_of(postgres.port, 2).start();
    let (mut a, mut b) = (pooler.client(), pooler.client());
    let alter = |value: &str| {
        let mut admin = postgres.admin();
        for sql in [&format!("alter system set timezone = '{value}'"), "select pg_reload_conf()"] {
            assert_eq!(admin.query(sql).error(), None);
        }
        until("a new default", PATIENCE, || (admin.scalar("show timezone") == value).then_some(()));
    };
    assert_eq!(b.query("set timezone = 'Europe/Paris'").error(), None);
    let own = "select setting, source from pg_settings where name = 'TimeZone'";
    for value in ["Asia/Tokyo", "America/Lima"] {
        alter(value);
        until("it is read", PATIENCE, || (a.scalar("show timezone") == value).then_some(()));
        for _ in 0..3 {
            let now = [Some(value.to_string()), Some("configuration file".into())];
            assert_eq!(a.query(own).rows(), [now]);
            assert_eq!(a.parameters["TimeZone"], value);
            let set = [Some("Europe/Paris".to_string()), Some("session".into())];
            assert_eq!(b.query(own).rows(), [set]);
        }
    }
    let set = "select set_config('timezone', 'Asia/' || 'Tokyo', false)";
    a.query(&format!("create function own() returns text language sql as $${set}$$"));
    assert_eq!(a.scalar("select own()"), "Asia/Tokyo");
    assert_eq!(
        (a.scalar("show timezone"), b.scalar("show timezone")),
        ("Asia/Tokyo".into(), "Europe/Paris".into())
    );
    pooler.stop_with(vec![a, b]);
}
