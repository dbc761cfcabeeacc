//! The shape of lines: a template of Odyssey's flags, or one of the structured formats, chosen by
//! `log_format`.

use std::fmt::Arguments;

use super::event::{Event, Level, Who, since_1970};
use super::structured;
use super::template::Template;

/// A parsed `log_format`.
pub struct Format {
    shape: Shape,
    pid: u32,
}

enum Shape {
    Template(Template),
    Json,
    Logfmt,
    Tskv,
}

impl Format {
    /// As Odyssey: a text with `json` anywhere in it, however it is written, is that format. Ours:
    /// the whole text `logfmt` or `tskv`. All else is a template.
    pub fn new(text: &str) -> Self {
        let folded = text.to_ascii_lowercase();
        let shape = match folded.trim_end_matches("\\n") {
            _ if folded.contains("json") => Shape::Json,
            "logfmt" => Shape::Logfmt,
            "tskv" => Shape::Tskv,
            _ => Shape::Template(Template::new(text)),
        };
        Self { shape, pid: std::process::id() }
    }

    /// The line, ending in a newline.
    pub fn line(
        &self,
        level: Level,
        context: &str,
        who: &Who<'_>,
        message: Arguments<'_>,
    ) -> Vec<u8> {
        let (since_1970, pid) = (since_1970(), self.pid);
        self.shaped(&Event { since_1970, pid, level, context, who, message })
    }

    fn shaped(&self, event: &Event<'_>) -> Vec<u8> {
        let mut line = String::with_capacity(160);
        match &self.shape {
            Shape::Template(template) => template.write(&mut line, event),
            Shape::Json => structured::json(&mut line, event),
            Shape::Logfmt => structured::logfmt(&mut line, event),
            Shape::Tskv => structured::tskv(&mut line, event),
        }
        if !line.ends_with('\n') {
            line.push('\n');
        }
        line.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::{Endpoint, Storage, StorageKind, Tls};
    use proptest::prelude::*;

    use super::super::event::Fact;
    use super::*;
    use crate::id::{Id, Kind};

    /// A line at a fixed moment, with the parts of it that differ from run to run replaced.
    fn line(format: &str, who: &Who<'_>, message: &str) -> String {
        let event = Event {
            since_1970: Duration::from_millis(1_700_000_000_042),
            pid: 77,
            level: Level::Info,
            context: "startup",
            who,
            message: format_args!("{message}"),
        };
        let line = Format::new(format).shaped(&event);
        let thread = format!("{:#x}", machine::process::thread_id());
        String::from_utf8(line).expect("lines are text").replace(&thread, "THREAD")
    }

    fn check(format: &str, who: &Who<'_>, message: &str, expected: &str) {
        assert_eq!(line(format, who, message), expected, "{format}");
    }

    #[test]
    fn flags_print_what_is_known_and_none_for_the_rest() {
        let address = machine::Address::Tcp("10.0.0.7:4242".parse().unwrap());
        let who = Who { user: Some("u"), address: Some(&address), ..Who::default() };
        check("%l [%i %s] (%c) %m\n", &who, "hi", "info [none none] (startup) hi\n");
        check("%u %d %h:%r %% %q", &who, "", "u none 10.0.0.7:4242 % %q\n");
        check("%n.%e %t %p %T", &who, "", "1700000000.042 2023-11-14T22:13:20Z 77 THREAD\n");
        check(r"a\tb\x%m\\", &who, "m", "a\tb\\xm\\\n");
        check("100%", &who, "", "100\n");
        let unix = machine::Address::Unix("".into());
        let host = |host: &str| Endpoint::Tcp { host: host.into(), port: 1 };
        let storage = Storage {
            name: "pg".into(),
            kind: StorageKind::Remote,
            endpoints: vec![host("db1"), host("db2")],
            balancing: config::Balancing::default(),
            status_max_age: std::time::Duration::from_secs(1),
            tls: Tls::default(),
            server_max_routing: 1,
        };
        let who = Who {
            address: Some(&unix),
            storage: Some(&storage),
            external: Some("e@x"),
            ..Who::default()
        };
        check("%h:%r %H %x", &who, "", "<unix socket>:none db1,db2 e@x\n");
    }

    /// The line of a test of Odyssey's.
    #[test]
    fn a_tskv_template_is_only_a_template() {
        let format = r"tskv\ttimestamp=%t\tms=%e\tlevel=%l\tcid=%i\tdb=%d\tuser=%u\tmsg=%M\n";
        let who = Who { user: Some("u\tdb=root"), ..Who::default() };
        let expected = "tskv\ttimestamp=2023-11-14T22:13:20Z\tms=042\tlevel=info\tcid=none\tdb=none\t\
                        user=u db=root\tmsg=a\\=b\\tc\\nd\n";
        check(format, &who, "a=b\tc\nd", expected);
    }

    #[test]
    fn a_user_name_cannot_forge_a_line() {
        let who = Who { user: Some("eve\n1 error forged"), ..Who::default() };
        check("%u %m", &who, "two\nlines", "eve 1 error forged two lines\n");
    }

    #[test]
    fn structured_formats_tell_what_is_known() {
        let address = machine::Address::Tcp("[::1]:9".parse().unwrap());
        let client = Id::random(Kind::Client);
        let uuid = client.uuid().unwrap();
        let facts = [("status", Fact::Text(&"OD_OK")), ("queries", Fact::Number(3))];
        let who = Who {
            client: Some(client),
            user: Some("a b"),
            database: Some("d=1"),
            address: Some(&address),
            facts: &facts,
            ..Who::default()
        };
        let expected = format!(
            "{{\"timestamp\":\"2023-11-14T22:13:20.042Z\",\"pid\":\"77\",\"tid\":\"THREAD\",\
             \"level\":\"info\",\"context\":\"startup\",\"message\":\"say \\\"hi\\\"\",\
             \"client\":{{\"id\":\"{client}\",\"uuid\":\"{uuid}\",\"ip\":\"::1\",\"port\":\"9\",\
             \"user\":\"a b\",\"database\":\"d=1\"}},\"status\":\"OD_OK\",\"queries\":3}}\n"
        );
        check("my JSON lines", &who, "say \"hi\"", &expected);
        let expected = format!(
            "timestamp=2023-11-14T22:13:20.042Z pid=77 tid=THREAD level=info context=startup \
             client={client} client_uuid={uuid} ip=::1 port=9 user=\"a b\" database=\"d=1\" \
             status=OD_OK queries=3 msg=\"say \\\"hi\\\"\"\n"
        );
        check("logfmt\\n", &who, "say \"hi\"", &expected);
        let expected = format!(
            "tskv\ttskv_format=odyssey\ttimestamp=2023-11-14T22:13:20.042Z\tpid=77\ttid=THREAD\t\
             level=info\tcontext=startup\tclient={client}\tclient_uuid={uuid}\tip=::1\tport=9\t\
             user=a b\tdatabase=d\\=1\tstatus=OD_OK\tqueries=3\tmsg=say \"hi\"\n"
        );
        check("tskv", &who, "say \"hi\"", &expected);
    }

    proptest! {
        /// Against Odyssey's, which cuts the object in the middle, and against a missing escape.
        #[test]
        fn every_json_line_is_json(user in ".*", message in any::<Vec<u8>>(), times in 0..40usize) {
            let message = String::from_utf8_lossy(&message).repeat(times * times);
            let who = Who { user: Some(&user), ..Who::default() };
            let line = line("json", &who, &message);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let told = value["message"].as_str().unwrap();
            let kept = told.strip_suffix('…').unwrap_or(told);
            prop_assert!(message.starts_with(kept));
            prop_assert!(!told.is_empty() || message.is_empty());
            prop_assert_eq!(line.matches('\n').count(), 1);
        }

        #[test]
        fn every_line_is_one_line(user in ".*", message in ".*") {
            for format in ["%u %d %m", "tskv", "logfmt", "json", "%M"] {
                let line = line(format, &Who { user: Some(&user), ..Who::default() }, &message);
                let breaks = |c: char| matches!(c, '\n' | '\r' | '\u{85}');
                prop_assert!(!line.trim_end_matches('\n').contains(breaks));
            }
        }
    }
}
