//! The manual page, from the tables of flags and subcommands.

use std::fmt::Write as _;

use super::commands::{COMMANDS, Command};
use super::flags::FLAGS;

const HEAD: &str = r#".SH NAME
pooler \- a connection pooler for PostgreSQL, in the place of Odyssey
.SH SYNOPSIS
.B pooler
.RI [ OPTION .\|.\|.] " FILE"
.br
.B pooler
.I COMMAND
.RI [ OPTION .\|.\|.] " " [ FILE ]
.SH DESCRIPTION
With a
.I FILE
alone,
.B pooler
reads it and serves clients until it is told to stop.
A file whose name ends in .yaml or .yml is read as YAML, any other in the language of odyssey.conf.
.PP
Called by the name
.B odyssey
it knows no commands, and prints what Odyssey prints.
A file that has the name of a command is still read when it is the only operand.
.SH OPTIONS
Options stand before or behind the file and may be shortened where that leaves one meaning.
"#;

const TAIL: &str = r#".SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Lets transactions finish, then ends.
Enough of them
.RB ( max_sigterms_to_die )
end it at once.
.TP
.B SIGHUP
Reads the configuration again; a bad one changes nothing.
.TP
.B SIGUSR1
Opens
.B log_file
anew, after it was moved away.
.TP
.B SIGUSR2
Starts the program that stands in the place of this one and hands it the listening sockets and the
idle clients, if
.B enable_online_restart
says so.
One that does not serve within
.B online_restart_timeout_ms
is ended, and nothing has happened.
.SH EXIT STATUS
.TP
.B 0
A clean stop; the file is valid; a rule was found.
.TP
.B 1
It could not start or was told to die; the file has errors; no rule is for this client; the command
line of a run was wrong.
.TP
.B 2
The command line of a command was wrong, or what it was to read or write cannot be.
.TP
.B 124
Clients stayed longer than
.BR graceful_shutdown_timeout_ms .
.SH EXAMPLES
.TP
.B pooler \-\-test /etc/odyssey/odyssey.conf
Is the file valid?
.TP
.B pooler explain odyssey.yaml \-\-user app \-\-database shop \-\-address 10.0.0.7
Which rule does this client meet?
.TP
.B pooler convert /etc/pgbouncer/pgbouncer.ini \-o odyssey.yaml
Carry over what PgBouncer was told.
.SH SEE ALSO
.BR psql (1),
.BR pgbouncer (1)
"#;

/// The page in the language of man(7).
pub(super) fn page() -> String {
    let mut text =
        format!(".TH POOLER 1 \"\" \"pooler {}\" \"User Commands\"\n{HEAD}", crate::version::OURS);
    for flag in &FLAGS {
        let letters: String = flag.letters.chars().map(|it| format!("\\-{it}, ")).collect();
        let _ = writeln!(text, ".TP\n.B {letters}\\-\\-{}\n{}.", escaped(flag.long), flag.doc);
    }
    text.push_str(".SH COMMANDS\n");
    for command in &COMMANDS {
        section(&mut text, command);
    }
    text + TAIL
}

fn section(text: &mut String, command: &Command) {
    let title = escaped(&command.title());
    let (doc, more) = (escaped(command.doc), escaped(command.more));
    let _ = writeln!(text, ".SS {title}\n{doc}.\n{more}");
    for flag in command.flags {
        let _ = writeln!(text, ".TP\n.B {}\n{}.", escaped(&flag.title()), escaped(flag.doc));
    }
}

/// Dashes as they are typed, and nothing at the start of a line that roff would obey.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_everything_there_is() {
        let text = page();
        for flag in &FLAGS {
            assert!(text.contains(&format!("\\-\\-{}\n", escaped(flag.long))), "{}", flag.long);
        }
        for command in &COMMANDS {
            assert!(text.contains(&format!(".SS {}", command.name)), "{}", command.name);
            for flag in command.flags {
                assert!(text.contains(&escaped(&flag.title())), "{}", flag.long);
            }
        }
        for signal in ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"] {
            assert!(text.contains(signal), "{signal}");
        }
        assert!(text.is_ascii());
    }
}
