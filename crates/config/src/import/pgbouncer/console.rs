//! The database `pgbouncer`, which is the console.

use super::access::{AuthType, Door};
use super::hba;
use super::storages::Storages;
use super::{Bouncer, Database, Notes};
use crate::draft::Section;
use crate::import::pairs::Pairs;
use crate::model::Name;

const DATABASE: &str = "pgbouncer";

/// None if nobody may use it.
pub(super) fn write(
    bouncer: &Bouncer,
    storages: &mut Storages,
    notes: &mut Notes,
) -> Option<Section> {
    let place = bouncer.settings.place("admin_users");
    let here = Database { name: Name::Named(DATABASE.into()), pairs: Pairs::default(), place };
    let mut block = Section::named("database", DATABASE);
    block.comments.push("The console; tools look for it under this name.".into());
    if AuthType::of(&bouncer.settings) == AuthType::Any {
        let mut rule = Section::default("user");
        rule.set("authentication", "none");
        rest(&mut rule, "admin", storages);
        block.sections.push(rule);
        return Some(block);
    }
    let mut seen: Vec<&str> = Vec::new();
    for (option, role) in [("admin_users", "admin"), ("stats_users", "stat")] {
        for name in bouncer.settings.text(option).unwrap_or_default().split(',').map(str::trim) {
            if name.is_empty() || seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let Some(user) = bouncer.users.iter().find(|user| user.name == name) else {
                let why = format!("'{name}' is not in auth_file, so it has no password here");
                notes.lost(&bouncer.settings.place(option), option, why);
                continue;
            };
            for way in hba::ways(bouncer, &here.name, Some(name)) {
                let mut rule = Section::named("user", name);
                (rule.address, rule.connection) = (way.address, way.connection);
                let door = Door { bouncer, database: &here, kind: way.kind };
                if !door.for_user(user, &mut rule, notes) {
                    rule.settings.clear();
                    rule.set("authentication", "block");
                }
                rest(&mut rule, role, storages);
                block.sections.push(rule);
            }
        }
    }
    (!block.sections.is_empty()).then_some(block)
}

fn rest(rule: &mut Section, role: &str, storages: &mut Storages) {
    rule.set("role", role);
    rule.set("storage", storages.console());
    rule.set("pool", "session");
}
