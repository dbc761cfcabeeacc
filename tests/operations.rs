//! `docs/operations.md` is run: its `sql` blocks at the console, its `sh` blocks in a shell, in the
//! order of the page and beside clients at work.

use crate::console::{console, with_console};
use crate::metrics::scrape::wait_for;
use crate::support::Setup;
use crate::support::process::{free_port, run};
use std::path::Path;
use std::process::Command;

/// A fenced block: its word and what is in it.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(word) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((word.to_owned(), body.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_block_of_the_page_about_operations_works() {
    let metrics = free_port();
    let setup = Setup::transaction(2).global(&format!("promhttp_server_port {metrics}"));
    let pooler = with_console(setup).start();
    wait_for(metrics);
    let mut worker = pooler.client();
    worker.query("select 1");
    let mut admin = console(&pooler);
    let page = include_str!("../docs/operations.md");
    let (blocks, dir) = (blocks(page), pooler.socket_dir());
    assert!(blocks.len() > 10, "{} blocks", blocks.len());
    for (word, text) in blocks {
        match word.as_str() {
            "sql" => {
                for statement in text.split_inclusive(';') {
                    let answer = admin.query(statement);
                    assert_eq!(answer.error(), None, "{statement}");
                }
            }
            "sh" => {
                let this = env!("CARGO_BIN_EXE_pooler");
                let path = format!(
                    "{}:{}",
                    Path::new(this).parent().unwrap().display(),
                    std::env::var("PATH").unwrap()
                );
                let mut shell = Command::new("sh");
                shell.args(["-e", "-c", &text]).env("PATH", path);
                shell.env("METRICS", metrics.to_string()).env("PID", pooler.pid().to_string());
                shell.env("CONF", dir.join("odyssey.conf")).env("LOG", dir.join("log"));
                let (good, out, err) = run(&mut shell);
                assert!(good, "{text}\n{out}{err}");
            }
            other => panic!("what is a block of {other:?}?"),
        }
    }
    assert_eq!(worker.scalar("select 'still here'"), "still here");
    assert_eq!(pooler.client().scalar("select 1 + 1"), "2");
    drop(admin);
    pooler.stop_with(vec![worker]);
}
