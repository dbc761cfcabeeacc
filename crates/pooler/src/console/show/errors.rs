//! Errors, by Odyssey's names. Odyssey counts those of the last five minutes, which a collector
//! takes for a counter that falls; here they are counted since the start.

use std::collections::BTreeMap;

use super::super::call::{Call, Reply, Stop};
use super::super::row::{Column, Row, long, text};
use crate::errors::NAMES;
use crate::readings::{Counted, SeenTotals, counted};

/// `SHOW ERRORS`
pub const ERRORS: &[Column] = &[
    text("error_type", "Odyssey's name of it"),
    long("count", "clients that ended like this, or could not come"),
];

/// `SHOW ERRORS_PER_ROUTE`
pub const ERRORS_PER_ROUTE: &[Column] = &[
    text("error_type", "Odyssey's name of it"),
    text("user", "at the server"),
    text("database", "at the server"),
    long("count", "clients that ended like this, or could not come"),
];

/// `SHOW ERRORS`
pub fn errors(call: &Call<'_>) -> Result<Reply, Stop> {
    let counts = call.shared.errors.counts();
    let rows = NAMES.iter().zip(counts).map(|(name, count)| vec![(*name).into(), count.into()]);
    Ok(rows.collect::<Vec<Row>>().into())
}

/// `SHOW ERRORS_PER_ROUTE`: what can happen on a route.
pub fn errors_per_route(call: &Call<'_>) -> Result<Reply, Stop> {
    let mut found: BTreeMap<(String, String), SeenTotals> = BTreeMap::new();
    let mut add = |names, seen: &SeenTotals| {
        let entry = found.entry(names).or_default();
        *entry = entry.plus(seen);
    };
    let Counted { routes, gone } = counted(call.shared);
    gone.into_iter().for_each(|(names, seen)| add(names, &seen));
    routes.into_iter().for_each(|route| add((route.database, route.user), &route.seen));
    let mut rows = Vec::new();
    for ((database, user), seen) in found {
        let counted = NAMES.iter().zip(seen.errors);
        let of_routes =
            |(name, _): &(&&str, u64)| !name.starts_with("OD_ROUTER") || name.ends_with("_ROUTE");
        rows.extend(counted.filter(of_routes).map(|(name, count)| -> Row {
            vec![(*name).into(), user.clone().into(), database.clone().into(), count.into()]
        }));
    }
    Ok(rows.into())
}
