//! Logins by psycopg, which carries a libpq of its own: one process for as many as a test wants.

use super::{command, is_skipped, shows_up};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

pub struct Psycopg {
    /// Of its libpq, such as 170005.
    pub version: u32,
    process: Child,
    asked: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Psycopg {
    /// None where the tests do without drivers.
    pub fn start() -> Option<Psycopg> {
        if is_skipped() {
            return None;
        }
        shows_up("psycopg", &[".venv/bin/python", "-c", "import psycopg"]);
        let mut command = command(&[".venv/bin/python", "psycopg_logins.py"]);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
        let (asked, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut psycopg = Psycopg { version: 0, process, asked, said: BufReader::new(said) };
        psycopg.version = psycopg.line().trim().parse().expect("the version of libpq");
        Some(psycopg)
    }

    /// Who the server sees, or what libpq complains of.
    pub fn login(&mut self, target: &str) -> Result<String, String> {
        writeln!(self.asked, "{target}").unwrap();
        let line = self.line();
        let answer: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        match answer["user"].as_str() {
            Some(user) => Ok(user.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("Python answers");
        line
    }
}

impl Drop for Psycopg {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
