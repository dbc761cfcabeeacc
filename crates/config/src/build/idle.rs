//! Sections that are not built yet: nothing is made of them, but mistakes in them are told as
//! Odyssey would.

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::options::Scope;
use crate::raw::{Block, Value};

const PROCESS_BYTES_MAX: usize = 255; // Odyssey's
const SIGNALS: [&str; 10] =
    ["HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "TERM", "STOP", "TSTP"];

pub(super) fn check(root: &Block, complaints: &mut Complaints) {
    for block in root.sections("soft_oom") {
        check_soft_oom(block, complaints);
    }
    for block in root.sections("query_parsing") {
        let fields = Fields::new(Scope::QueryParsing, block);
        if fields.text("mode") == Some("full") {
            let message = "full mode of query parsing is not supported now";
            complaints.error(fields.place("mode"), message);
        }
    }
}

fn check_soft_oom(block: &Block, complaints: &mut Complaints) {
    let fields = Fields::new(Scope::SoftOom, block);
    match fields.setting("limit").map(|setting| &setting.value) {
        Some(Value::Integer(bytes)) if *bytes > 0 => {}
        _ => complaints.error(fields.place("limit"), "limit is not set for soft_oom"),
    }
    if fields.text("process").is_some_and(|name| name.len() > PROCESS_BYTES_MAX) {
        let message = format!("process is longer than {PROCESS_BYTES_MAX} characters");
        complaints.error(fields.place("process"), message);
    }
    for drop in block.sections("drop") {
        let fields = Fields::new(Scope::SoftOomDrop, drop);
        let word = fields.text("signal").unwrap_or("SIGTERM").to_ascii_uppercase();
        if !SIGNALS.contains(&word.strip_prefix("SIG").unwrap_or(&word)) {
            let written = fields.text("signal").unwrap_or_default();
            let message = format!("can't parse signal from '{written}'");
            complaints.error_with_hint(fields.place("signal"), message, &SIGNALS.join(", "));
        }
    }
}
