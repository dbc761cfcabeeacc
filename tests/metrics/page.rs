//! The status page, in a browser.

use super::scrape::{get, start};
use crate::support::process::{new_dir, run};
use crate::support::{PATIENCE, Setup, until};
use std::path::Path;
use std::process::Command;

const HINT: &str =
    "Chromium is missing: scripts/setup test installs it, POOLER_SKIP_DRIVERS=1 does without";

/// Names under which distributions have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The page as it is some readings after it was opened.
fn rendered(port: u16, home: &Path) -> String {
    let works = |name: &&&str| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let name = NAMES.iter().find(works).expect(HINT);
    let mut browser = Command::new(name);
    browser.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
    browser.arg(format!("--user-data-dir={}", home.display()));
    browser.args(["--virtual-time-budget=4000", "--dump-dom"]);
    browser.arg(format!("http://127.0.0.1:{port}/"));
    let (good, dom, errors) = run(&mut browser);
    assert!(good, "{errors}");
    dom
}

#[test]
fn a_browser_shows_who_waits() {
    if std::env::var_os("POOLER_SKIP_DRIVERS").is_some() {
        return;
    }
    let (pooler, port) = start(&Setup::transaction(1));
    let (mut holder, mut waiter) = (pooler.client(), pooler.client());
    holder.query("begin; select 1");
    waiter.send(&crate::support::Wire::new().query("select 2"));
    let home = new_dir("pooler-test-browser");
    let dom = until("the page to show it", PATIENCE, || {
        let dom = rendered(port, &home);
        dom.contains("class=\"waits\"").then_some(dom)
    });
    for shown in ["badge good\">ready<", ">postgres<", " · app, transaction", "1 used, 0 idle of 1"]
    {
        assert!(dom.contains(shown), "{shown}: {dom}");
    }
    assert!(dom.contains("<td class=\"waiting\">1, "), "who waits, and for how long: {dom}");
    assert!(dom.contains("<svg viewBox"), "sparklines: {dom}");
    let _ = std::fs::remove_dir_all(home);
    holder.query("commit");
    waiter.until_ready();
    pooler.stop_with(vec![holder, waiter]);
}

/// Nothing of it comes from elsewhere, and the browser is told to see to that.
#[test]
fn the_page_uses_nothing_from_outside() {
    let (pooler, port) = start(&Setup::transaction(1));
    for path in ["/", "/status.js", "/status.css"] {
        let answer = get(port, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers.contains("Content-Security-Policy: default-src 'none'; "));
        let foreign: Vec<&str> = answer
            .body
            .matches("://")
            .zip(answer.body.split("://").skip(1))
            .map(|(_, it)| it)
            .collect();
        let allowed = |rest: &&str| !rest.starts_with("www.w3.org/2000/svg");
        assert_eq!(foreign.iter().copied().find(|rest| allowed(rest)), None, "{path}");
    }
    pooler.stop();
}
