//! The section `soft_oom`.

use crate::diagnostic::Complaints;
use crate::fields::Fields;
use crate::model::{SoftOom, SoftOomDrop};
use crate::options::Scope;
use crate::raw::{Block, Value};

const PROCESS_BYTES_MAX: usize = 255; // Odyssey's

/// Those that Odyssey takes, with their numbers on Linux.
const SIGNALS: [(&str, i32); 10] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("STOP", 19),
    ("TSTP", 20),
];

const TERM: i32 = 15;

/// None if there is no such section.
pub(super) fn read(root: &Block, complaints: &mut Complaints) -> Option<SoftOom> {
    let block = root.sections("soft_oom").next()?;
    let fields = Fields::new(Scope::SoftOom, block);
    let limit = match fields.setting("limit").map(|setting| &setting.value) {
        Some(Value::Integer(bytes)) => u64::try_from(*bytes).unwrap_or(0),
        _ => 0,
    };
    if limit == 0 {
        complaints.error(fields.place("limit"), "limit is not set for soft_oom");
    }
    if fields.text("process").is_some_and(|name| name.len() > PROCESS_BYTES_MAX) {
        let message = format!("process is longer than {PROCESS_BYTES_MAX} characters");
        complaints.error(fields.place("process"), message);
    }
    Some(SoftOom {
        limit_bytes: limit,
        process: fields.string("process").unwrap_or_default(),
        interval: fields.duration("check_interval_ms"),
        drop: block.sections("drop").next().map(|block| drop(block, complaints)),
    })
}

fn drop(block: &Block, complaints: &mut Complaints) -> SoftOomDrop {
    let fields = Fields::new(Scope::SoftOomDrop, block);
    let written = fields.text("signal").unwrap_or("SIGTERM");
    let word = written.to_ascii_uppercase();
    let word = word.strip_prefix("SIG").unwrap_or(&word);
    let found = SIGNALS.iter().find(|(name, _)| *name == word);
    if found.is_none() {
        let message = format!("can't parse signal from '{written}'");
        let names = SIGNALS.map(|(name, _)| name).join(", ");
        complaints.error_with_hint(fields.place("signal"), message, &names);
    }
    let signal = found.map_or(TERM, |(_, number)| *number);
    SoftOomDrop { signal, victims_max: fields.count("max_rate") }
}
