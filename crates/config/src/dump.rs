//! A loaded configuration as text again: the values in force, with defaults and with what the
//! checks made of them, in either language. Reading it gives the same model.

use crate::draft::{self, Section, Setting, Word};
use crate::in_force::{self, Item};
use crate::model::AddressSelector;
use crate::options::{Kind, Scope};
use crate::raw::Block;
use crate::{Format, Loaded};

/// What is shown of a secret.
pub(crate) const MASK: &str = "***";

/// Whether a dump shows passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Asterisks instead; what is read from such a dump lets nobody in.
    Masked,
    /// As they are.
    Shown,
}

/// The configuration in force, as text in that language.
pub fn dump(loaded: &Loaded, format: Format, secrets: Secrets) -> String {
    let root = &loaded.written.0;
    let dump = Dump { loaded, secrets };
    let mut section = dump.section(Scope::Top, root, root);
    section.comments.push("The configuration in force, defaults included.".to_owned());
    if secrets == Secrets::Masked {
        section.comments.push("Passwords are masked.".to_owned());
    }
    if root.sections("conn_drop_options").next().is_none() {
        let absent = Block::new(Scope::Top.find("conn_drop_options"), root.place.clone());
        let drop = dump.section(Scope::ConnDrop, root, &absent);
        section.sections.push(drop);
    }
    draft::write(&section, format)
}

struct Dump<'a> {
    loaded: &'a Loaded,
    secrets: Secrets,
}

impl Dump<'_> {
    /// `outer` is the block around it.
    fn section(&self, scope: Scope, outer: &Block, block: &Block) -> Section {
        let mut section = Section::new(block.keyword(), block.name.clone());
        let rule = in_force::rule_of(self.loaded, outer, block);
        let resolve = |option: &str| match rule {
            Some(rule) => in_force::of_rule(rule, option),
            None => in_force::resolved(self.loaded, block, option),
        };
        let items = in_force::items(scope, block, resolve);
        section.settings = items.into_iter().map(|item| self.setting(item)).collect();
        section.connection = block.connection;
        section.address = block.address.as_ref().map(|(address, _)| address.clone());
        if let Some(address @ AddressSelector::Network { .. }) = rule.map(|rule| &rule.address) {
            section.address = Some(address.to_string());
        }
        for inner in &block.blocks {
            section.sections.extend(self.inner(block, inner));
        }
        section
    }

    fn inner(&self, outer: &Block, block: &Block) -> Option<Section> {
        let row = block.row?;
        let Kind::Section { scope, .. } = row.kind else { return None };
        Some(self.section(scope, outer, block))
    }

    fn setting(&self, item: Item) -> Setting {
        let word = match self.secrets {
            Secrets::Masked if item.row.secret => Word::Text(MASK.to_owned()),
            _ => item.word,
        };
        let note = item.written.map(|written| format!("written: {}", in_force::shown(&written)));
        Setting { name: item.row.name.to_owned(), word, note }
    }
}
