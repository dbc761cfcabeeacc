//! Metrics: what the pooler counts, as Prometheus reads it. One table says what there is
//! (`families`), one look gathers the numbers (`snapshot`), one writer knows the two text formats
//! (`text`). Nothing is counted for it here: the hot path knows `tally`, and no more.

mod families;
mod ledger;
#[cfg(test)]
mod page;
mod process;
mod snapshot;
mod text;

pub use ledger::Ledger;
pub use snapshot::{Row, Snapshot};
pub use text::Format;

use families::{About, FAMILIES};
use text::Text;

/// Everything, in this format.
pub fn exposition(snapshot: &Snapshot, format: Format) -> String {
    let mut text = Text::new(format);
    for family in FAMILIES.iter().copied().flatten() {
        text.family(family, snapshot);
    }
    text.finish()
}

/// What `log_general_stats_prom` and `log_route_stats_prom` put into the log, line by line.
pub fn lines(snapshot: &Snapshot, general: bool, routes: bool) -> String {
    let mut text = Text::new(Format::Plain);
    for family in FAMILIES.iter().copied().flatten() {
        let wanted = match family.about {
            About::Process => general,
            About::Routes => routes,
        };
        if wanted {
            text.family(family, snapshot);
        }
    }
    text.finish()
}
