//! What the table alone can judge: options given twice, ranges, and options that are refused.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Complaints, Place};
use crate::options::{Kind, Status};
use crate::raw::{Block, Setting, Value};

/// Walks over the whole tree.
pub(crate) fn inspect(root: &Block, complaints: &mut Complaints) {
    Inspector { complaints }.block(root);
}

struct Inspector<'a> {
    complaints: &'a mut Complaints,
}

impl Inspector<'_> {
    fn block(&mut self, block: &Block) {
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for setting in &block.settings {
            let row = setting.row;
            let first = seen.insert(row.name, &setting.place);
            // What is ignored may be ignored twice, as in Odyssey.
            let may_repeat = row.repeats || row.status == Status::Deprecated;
            if let Some(first) = first.filter(|_| !may_repeat) {
                let message = format!("duplicate option '{}'", row.name);
                let hint = format!("it stands in {}:{} already", first.file, first.line);
                self.complaints.error_with_hint(&setting.place, message, &hint);
            }
            self.range(setting);
            self.fate(setting);
        }
        let mut seen = HashSet::new();
        for inner in &block.blocks {
            let Some(row) = inner.row else { continue };
            if !seen.insert(row.name) && !row.repeats {
                let name = if row.name == "method" { "balancing method" } else { row.name };
                self.complaints.error(&inner.place, format!("{name} is redefined"));
            }
            self.block(inner);
        }
    }

    fn range(&mut self, setting: &Setting) {
        let (Kind::Integer { min, max }, Value::Integer(number)) =
            (setting.row.kind, &setting.value)
        else {
            return;
        };
        let name = setting.row.name;
        let message = if i32::try_from(*number).is_err() {
            format!("value for option '{name}' is out of int range")
        } else if (min..=max).contains(number) {
            return;
        } else if min == 0 && max == i64::from(i32::MAX) {
            format!("{name} must be non-negative")
        } else {
            format!("value for option '{name}' must be between {min} and {max}")
        };
        self.complaints.error(&setting.place, message);
    }

    fn fate(&mut self, setting: &Setting) {
        let Setting { row, place, .. } = setting;
        let name = row.name;
        match row.status {
            Status::Deprecated => {
                let message = format!("option '{name}' is deprecated and ignored");
                self.complaints.warning(place, message);
            }
            Status::Refused { why } => {
                self.complaints.refusal(place, format!("option '{name}' is refused: {why}"));
            }
            Status::Built | Status::Harmless => {}
        }
    }
}
