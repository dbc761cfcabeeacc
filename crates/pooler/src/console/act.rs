//! Commands that change something: pauses, ends, reloads. Each says when it is done, and what
//! became of it.

use std::collections::HashSet;
use std::sync::Arc;

use router::{ClientId, Stuck};
use wire::{Notice, Severity};

use super::call::{Call, Reply, Stop};
use crate::backend::Home;
use crate::log::Who;
use crate::reload::{Refused, Report};
use crate::session::Standing;
use crate::turns::Turns;

/// An answer that says no more than that it is done.
fn done() -> Result<Reply, Stop> {
    Ok(Reply::default())
}

/// `PAUSE`
pub fn pause(call: &Call<'_>) -> Result<Reply, Stop> {
    let database = call.database()?;
    begin_pause(call, database)?;
    say_gates(call, "on", database);
    let homes = paused_homes(call);
    call.wait_until(|| homes.iter().all(|home| home.route.with(|pool| pool.is_quiet())))?;
    done()
}

/// `SUSPEND`
pub fn suspend(call: &Call<'_>) -> Result<Reply, Stop> {
    begin_pause(call, None)?;
    say_gates(call, "on", None);
    done()
}

/// `RESUME`
pub fn resume(call: &Call<'_>) -> Result<Reply, Stop> {
    let database = call.database()?;
    let gated = call.shared.routes.set_gates(|gates| gates.resume(database), machine::now());
    for one in gated.map_err(stuck)? {
        call.shared.home(Arc::clone(&one.route)).obey(one);
    }
    for standing in everybody(call) {
        if standing.home.as_ref().is_some_and(|home| !home.route.is_paused()) {
            standing.may_stay();
        }
    }
    call.shared.janitor.ring();
    say_gates(call, "off", database);
    done()
}

/// Odyssey's line, which is of all databases.
fn say_gates(call: &Call<'_>, state: &str, database: Option<&str>) {
    if database.is_none() {
        let text = format_args!("global pause is {state}");
        call.shared.log.info("pause", &Who::default(), text);
    }
}

/// `DISABLE`
pub fn disable(call: &Call<'_>) -> Result<Reply, Stop> {
    let database = call.one_database()?;
    let gated = call.shared.routes.set_gates(|gates| gates.disable(database), machine::now());
    drop(gated.map_err(stuck)?); // it pauses nothing
    done()
}

/// `ENABLE`
pub fn enable(call: &Call<'_>) -> Result<Reply, Stop> {
    let database = call.one_database()?;
    let enable = |gates: &mut router::Gates| {
        gates.enable(database);
        Ok(())
    };
    drop(call.shared.routes.set_gates(enable, machine::now()).map_err(stuck)?);
    done()
}

/// `KILL`
pub fn kill(call: &Call<'_>) -> Result<Reply, Stop> {
    let database = call.database()?;
    begin_pause(call, database)?;
    for standing in everybody(call) {
        if standing.home.as_ref().is_some_and(|home| home.route.is_paused()) {
            standing.kill();
        }
    }
    done()
}

/// `KILL_CLIENT`
pub fn kill_client(call: &Call<'_>) -> Result<Reply, Stop> {
    const IDS: &str = "SHOW CLIENTS lists the ids";
    let malformed = || {
        Notice::error("42601", "console command error: the id of a client is required")
            .with_hint(IDS)
    };
    let id = call.optional()?.ok_or_else(malformed)?;
    let digits = id.strip_prefix(['c', 'C']).filter(|digits| digits.len() == 12);
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let client = ClientId(number.ok_or_else(malformed)?);
    let found = call.shared.rosters.iter().find_map(|roster| roster.find(client));
    let Some(found) = found else {
        let notice = Notice::error("42704", format!("client {id} is not here"));
        return Err(notice.with_hint(IDS).into());
    };
    found.kill();
    done()
}

/// `RECONNECT`, `DROP SERVERS`
pub fn reconnect(call: &Call<'_>) -> Result<Reply, Stop> {
    let homes = homes_of(call)?;
    homes.iter().for_each(|home| home.reconnect());
    done()
}

/// `WAIT_CLOSE`
pub fn wait_close(call: &Call<'_>) -> Result<Reply, Stop> {
    let homes = homes_of(call)?;
    let is_closed =
        |home: &Arc<Home>| home.route.with(|pool| pool.slots().all(|slot| !slot.is_closing));
    call.wait_until(|| homes.iter().all(is_closed))?;
    done()
}

/// `RELOAD`
pub fn reload(call: &Call<'_>) -> Result<Reply, Stop> {
    let text = format_args!("RELOAD command received");
    call.shared.log.info("console", &Who::default(), text);
    let report = call.shared.reloads.ask().map_err(|refused| {
        Notice::error(
            "55000",
            match refused {
                Refused::Stopping => "the process is about to end, nothing is reloaded",
                Refused::Crowded => "too many wait for a reload already",
                Refused::NoAnswer => "the reload takes long; the log tells what comes of it",
            },
        )
    })?;
    let Report { applied, needs_restart, rejected, warnings } = report;
    if !rejected.is_empty() {
        let notice = Notice::error("F0000", "reload rejected, nothing was changed");
        let notice = notice.with_detail(rejected.join("\n"));
        return Err(notice.with_hint("mend the files and RELOAD again").into());
    }
    let say = |text: String| Notice::new(Severity::Notice, "00000", text);
    let mut notices: Vec<Notice> = warnings.into_iter().map(say).collect();
    notices.extend(applied.into_iter().map(say));
    let restart = needs_restart.into_iter().map(|line| say(format!("needs restart: {line}")));
    notices.extend(restart);
    Ok(Reply { notices, ..Reply::default() })
}

/// `SHUTDOWN`
pub fn shutdown(call: &Call<'_>) -> Result<Reply, Stop> {
    let mode = call.optional()?.map(str::to_ascii_uppercase);
    if !matches!(mode.as_deref(), None | Some("WAIT_FOR_CLIENTS" | "WAIT_FOR_SERVERS")) {
        let text = "console command error: SHUTDOWN WAIT_FOR_CLIENTS or WAIT_FOR_SERVERS";
        return Err(Notice::error("42601", text).into());
    }
    machine::process::terminate_self()
        .map_err(|error| Notice::error("58000", format!("no signal can be sent: {error}")))?;
    done()
}

/// From now on nobody is given a server, and who keeps one is asked to leave.
fn begin_pause(call: &Call<'_>, database: Option<&str>) -> Result<(), Notice> {
    let gated = call.shared.routes.set_gates(|gates| gates.pause(database), machine::now());
    for one in gated.map_err(stuck)? {
        call.shared.home(Arc::clone(&one.route)).obey(one);
    }
    for standing in everybody(call) {
        if standing.home.as_ref().is_some_and(|home| home.route.is_paused()) {
            standing.ask_to_yield();
        }
    }
    Ok(())
}

fn paused_homes(call: &Call<'_>) -> Vec<Arc<Home>> {
    let homes = call.shared.homes().into_iter();
    homes.filter(|home| home.route.is_paused()).collect()
}

/// The homes of the database that is named, or all.
fn homes_of(call: &Call<'_>) -> Result<Vec<Arc<Home>>, Notice> {
    let database = call.database()?;
    let is_meant = |home: &Arc<Home>| {
        database.is_none_or(|name| home.route.database_names().iter().any(|one| one == name))
    };
    Ok(call.shared.homes().into_iter().filter(is_meant).collect())
}

fn everybody(call: &Call<'_>) -> Vec<Arc<Standing>> {
    let (mut turns, mut found, mut seen) = (Turns::default(), Vec::new(), HashSet::new());
    for roster in &call.shared.rosters {
        turns.round();
        found.extend(roster.all().into_iter().filter(|one| seen.insert(one.person.id)));
    }
    found
}

fn stuck(stuck: Stuck) -> Notice {
    match stuck {
        Stuck::Full => Notice::error("54000", "too many databases are paused or disabled by name")
            .with_hint("PAUSE without a name pauses them all"),
        Stuck::EverythingIsPaused => {
            let text = "all databases are paused, one alone cannot be resumed";
            Notice::error("55000", text).with_hint("RESUME resumes them all")
        }
    }
}
