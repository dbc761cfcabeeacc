//! The column `reload` of the table says what the difference of two configurations does.

use super::{CONF, loaded};
use crate::Format::Conf;
use crate::diff;
use crate::options::{Kind, Reload, Row, Scope, Status};

/// Two values that both go together with the least file.
fn values(row: &Row) -> Option<(&'static str, &'static str)> {
    match (row.kind, row.name) {
        (Kind::Flag, _) => Some(("yes", "no")),
        (Kind::Integer { .. }, _) => Some(("19", "18")),
        (_, "workers") => Some(("3", "2")),
        (_, "unix_socket_mode") => Some(("\"0600\"", "\"0660\"")),
        (_, "log_format" | "log_file" | "pid_file" | "unix_socket_dir") => {
            Some(("\"/tmp/x\"", "\"/tmp/y\""))
        }
        _ => None,
    }
}

#[test]
fn the_column_says_what_a_reload_does() {
    let mut seen = 0;
    for row in Scope::Top.rows().filter(|row| row.status == Status::Built) {
        let (name, Some((old, new))) = (row.name, values(row)) else { continue };
        let rest = CONF.replace(r#"log_format "%m""#, "");
        let others: String = [
            ("log_format", "\"%m\""),
            ("unix_socket_mode", "\"0600\""),
            ("enable_online_restart", "no"),
        ]
        .iter()
        .filter(|(other, _)| *other != name)
        .map(|(other, value)| format!("{other} {value}\n"))
        .collect();
        let config = |value| loaded(&format!("{others}{name} {value}\n{rest}"), Conf).config;
        let difference = diff(&config(old), config(new));
        let line = format!("process: {name} ");
        let tells = |lines: &[String]| lines.iter().any(|it| it.starts_with(&line));
        let restart = tells(&difference.needs_restart);
        if restart || tells(&difference.applied) {
            seen += 1;
            assert_eq!(restart, row.reload == Reload::Restart, "{name}");
        }
    }
    assert!(seen > 30, "{seen}");
}
