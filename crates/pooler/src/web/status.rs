//! The numbers of the status page, as JSON. What only grows is given as it is: the page remembers
//! the last reading and makes rates and quantiles of the difference.

use std::fmt::Write as _;

use crate::durations::BOUNDS_US;
use crate::log::json as quoted;
use crate::metrics::{Row, Snapshot};
use crate::tally::Span;

pub(super) fn json(snapshot: &Snapshot) -> String {
    let whole = snapshot.whole();
    let mut json = format!(
        "{{\"version\":{},\"uptime_s\":{:.3},\"unready\":{},\"paused\":{},\"clients\":{},\
         \"client_max\":{},\"resident_bytes\":{},\"turns\":{:?},\"bounds_us\":{BOUNDS_US:?},\"pools\":[",
        quoted(crate::version::OURS),
        whole.uptime.as_secs_f64(),
        whole.unready.map_or_else(|| "null".to_owned(), quoted),
        whole.is_paused,
        whole.clients,
        number(whole.client_max),
        number(whole.resident_bytes),
        whole.turns,
    );
    for (place, row) in snapshot.rows.iter().enumerate() {
        json.push_str(if place == 0 { "" } else { "," });
        pool(&mut json, row);
    }
    json + "]}"
}

// Writing to a String cannot fail.
fn pool(json: &mut String, row: &Row) {
    let Row { counts, seen, .. } = row;
    let steps = |span: Span| seen.spans[span as usize].steps;
    let _ = write!(
        json,
        "{{\"database\":{},\"user\":{},\"mode\":{},\
         \"active\":{},\"waiting\":{},\"idle\":{},\"longest_wait_s\":{:.3},",
        quoted(&row.database),
        quoted(&row.user),
        row.mode.map_or_else(|| "null".to_owned(), quoted),
        row.clients_active(),
        counts.waiting,
        row.clients_idle(),
        row.longest_wait.as_secs_f64(),
    );
    let _ = write!(
        json,
        "\"servers\":{{\"active\":{},\"idle\":{},\"login\":{},\"reset\":{}}},\"capacity\":{},",
        counts.leased,
        counts.idle,
        counts.opening,
        counts.resetting + counts.quarantined,
        row.capacity,
    );
    let totals = &seen.done;
    let _ = write!(
        json,
        "\"queries\":{},\"transactions\":{},\"errors\":{},\"received\":{},\"sent\":{},\
         \"connect_failures\":{},\"query\":{:?},\"wait\":{:?}}}",
        totals.queries,
        totals.transactions,
        totals.errors,
        totals.received_bytes,
        totals.sent_bytes,
        seen.connect_failures,
        steps(Span::Query),
        steps(Span::Wait),
    );
}

fn number<N: ToString>(number: Option<N>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}
