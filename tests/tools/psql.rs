//! A psql that stays: one line is said, its output read, the next line may depend on it. What it
//! writes to stderr is not looked at: `\echo :SQLSTATE` says it too.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What psql is asked to echo behind each answer.
const MARK: &str = "--- that was all ---";

pub struct Psql {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Psql {
    /// `program` is a psql with its host and port; rows come bare, one a line.
    pub fn start(mut program: Command) -> Psql {
        program.args(["-d", "postgres", "-A", "-t", "-q"]);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = program.spawn().expect("psql runs");
        let to = process.stdin.take().expect("a pipe");
        let from = BufReader::new(process.stdout.take().expect("a pipe"));
        Psql { process, to, from }
    }

    /// Says SQL or backslash commands, and returns what they print.
    pub fn says(&mut self, text: &str) -> String {
        writeln!(self.to, "{text}\n\\echo {MARK}").expect("psql listens");
        let mut answer = String::new();
        loop {
            let at = answer.len();
            let count = self.from.read_line(&mut answer).expect("psql answers");
            assert!(count > 0, "psql ended after {text:?}: {answer}");
            if answer[at..].trim_end() == MARK {
                answer.truncate(at);
                return answer;
            }
        }
    }

    /// Ends as by `\q`.
    pub fn quit(mut self) {
        drop(self.to);
        let status = self.process.wait().expect("psql ends");
        assert!(status.success(), "psql: {status}");
    }
}
