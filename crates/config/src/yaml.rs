//! odyssey.yaml into the raw tree: the same options and sections, as maps and lists, led by the
//! same table.
//!
//! A section with a name is a map of names (`storages: {pg: {…}}`), one without is a map or a list
//! of maps (`listen: [{…}]`). A map of names may be a list of such maps. A user may be a list of
//! maps, told apart by `address` and `connection_type`. A plain `default` is the default, a quoted
//! one is a name. Keys of the top level that start with `x-` are for anchors to live in.

mod tree;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::files::{Files, Source};
use crate::import::tree as tree_of_others;
use crate::model::Name;
use crate::options::{self, Kind, Label, Row, Scope};
use crate::raw::{self, Block, Setting, Value};

use tree::{Node, NodeKind};

/// Reads one file into the tree; the files it includes too.
pub(crate) fn read(
    files: &mut Files<'_>,
    source: &Source<'_>,
    root: &mut Block,
) -> Result<(), Diagnostics> {
    let document = tree::compose(source)?;
    if !is_section(&document) {
        // Nothing that follows would be worth telling.
        let hint = "such as 'listen: …', one option a line; is this file YAML?".to_owned();
        let message = "here a map of options is expected";
        return Err(Diagnostic::at(&document.place, message).hint(hint).into());
    }
    Reader { files }.body(Scope::Top, &document, root)
}

/// Any document, for the files of others; its texts only, without the table.
pub(crate) fn plain(source: &Source<'_>) -> Result<tree_of_others::Node, Diagnostic> {
    Ok(plain_node(tree::compose(source)?))
}

fn plain_node(node: Node) -> tree_of_others::Node {
    let null = node.is_null();
    let kind = match node.kind {
        NodeKind::Scalar { .. } if null => tree_of_others::Kind::Scalar(String::new()),
        NodeKind::Scalar { text, .. } => tree_of_others::Kind::Scalar(text),
        NodeKind::List(items) => {
            tree_of_others::Kind::List(items.into_iter().map(plain_node).collect())
        }
        NodeKind::Map(pairs) => {
            let pair = |(key, value): (Node, Node)| {
                (key.text().unwrap_or_default().to_owned(), plain_node(value))
            };
            tree_of_others::Kind::Table(pairs.into_iter().map(pair).collect())
        }
    };
    tree_of_others::Node { place: node.place, kind }
}

struct Reader<'a, 'b> {
    files: &'a mut Files<'b>,
}

impl Reader<'_, '_> {
    /// The inside of a section. Only what includes cannot read ends it; the rest is told and
    /// skipped.
    fn body(&mut self, scope: Scope, node: &Node, block: &mut Block) -> Result<(), Diagnostics> {
        let NodeKind::Map(pairs) = &node.kind else { return Ok(()) };
        let selects = matches!(block.keyword(), "user" | "group");
        for (key, value) in pairs {
            let Some(word) = key.text() else {
                self.expected(key, "the name of an option")?;
                continue;
            };
            if (scope == Scope::Top && word.starts_with("x-"))
                || (selects && self.selector(word, value, block)?)
            {
                continue;
            }
            match scope.find_yaml(word) {
                Some(row) => self.item(row, &key.place, value, block)?,
                None => self.unknown(scope, word, &key.place),
            }
        }
        Ok(())
    }

    fn unknown(&mut self, scope: Scope, word: &str, place: &Place) {
        let message = format!("unknown directive '{word}'");
        let complaints = &mut self.files.complaints;
        let suggestion = || options::suggestion(scope, word);
        match complaints.have_room().then(suggestion).flatten() {
            Some(hint) => complaints.error_with_hint(place, message, &hint),
            None => complaints.error(place, message),
        }
    }

    /// Whether this was one of the two keys that tell the variants of a user apart.
    fn selector(
        &mut self,
        word: &str,
        value: &Node,
        block: &mut Block,
    ) -> Result<bool, Diagnostics> {
        match (word, value.text()) {
            ("address", Some(address)) => {
                block.address = Some((address.to_owned(), value.place.clone()));
            }
            ("address", None) => self.expected(value, "an address")?,
            ("connection_type", text) => match text.and_then(raw::connection_type) {
                Some(connection) => block.connection = connection,
                None => self.expected(value, "default, local, host, hostssl or hostnossl")?,
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn item(
        &mut self,
        row: &'static Row,
        place: &Place,
        value: &Node,
        block: &mut Block,
    ) -> Result<(), Diagnostics> {
        match (row.kind, &value.kind) {
            (Kind::Section { scope, label: Label::None }, NodeKind::List(items)) if row.repeats => {
                for item in items {
                    let inner = Block::new(Some(row), item.place.clone());
                    self.section(scope, item, inner, block)?;
                }
                Ok(())
            }
            (Kind::Section { scope, label: Label::None }, _) => {
                self.section(scope, value, Block::new(Some(row), place.clone()), block)
            }
            (Kind::Section { scope, label }, _) => self.named(row, (scope, label), value, block),
            (_, NodeKind::List(items)) if row.repeats => {
                items.iter().try_for_each(|item| self.setting(row, &item.place, item, block))
            }
            _ => self.setting(row, place, value, block),
        }
    }

    fn section(
        &mut self,
        scope: Scope,
        body: &Node,
        mut inner: Block,
        block: &mut Block,
    ) -> Result<(), Diagnostics> {
        if !is_section(body) {
            return self.expected(body, "a map of options");
        }
        self.body(scope, body, &mut inner)?;
        block.blocks.push(inner);
        Ok(())
    }

    /// A map of names to bodies.
    fn named(
        &mut self,
        row: &'static Row,
        (scope, label): (Scope, Label),
        value: &Node,
        block: &mut Block,
    ) -> Result<(), Diagnostics> {
        let pairs = match &value.kind {
            NodeKind::Map(pairs) => pairs,
            // `method: roundrobin` reads better than `method: {roundrobin: {}}`.
            NodeKind::Scalar { text, .. } if row.name == "method" && !value.is_null() => {
                let mut inner = Block::new(Some(row), value.place.clone());
                inner.name = Some(Name::Named(text.clone()));
                block.blocks.push(inner);
                return Ok(());
            }
            // A list of such maps, where the order counts and names come back.
            NodeKind::List(maps) if maps.iter().all(|map| matches!(map.kind, NodeKind::Map(_))) => {
                return maps.iter().try_for_each(|map| self.named(row, (scope, label), map, block));
            }
            _ if value.is_null() => return Ok(()),
            _ => return self.expected(value, "a map of names"),
        };
        for (key, body) in pairs {
            let NodeKind::Scalar { text, plain } = &key.kind else {
                self.expected(key, "a name")?;
                continue;
            };
            let is_default = label == Label::NameOrDefault && *plain && text == "default";
            let name = if is_default { Name::Default } else { Name::Named(text.clone()) };
            let variants = match &body.kind {
                NodeKind::List(variants) if matches!(row.name, "user" | "group") => &variants[..],
                _ => std::slice::from_ref(body),
            };
            for variant in variants {
                let place = if variants.len() > 1 { &variant.place } else { &key.place };
                let mut inner = Block::new(Some(row), place.clone());
                inner.name = Some(name.clone());
                self.section(scope, variant, inner, block)?;
            }
        }
        Ok(())
    }

    fn setting(
        &mut self,
        row: &'static Row,
        place: &Place,
        node: &Node,
        block: &mut Block,
    ) -> Result<(), Diagnostics> {
        if row.kind == Kind::Include {
            return match node.text() {
                Some(path) => self.files.include(path, &node.place, block),
                None => self.expected(node, "the path of a file"),
            };
        }
        match value(row.kind, node) {
            Ok(value) => block.settings.push(Setting { row, place: place.clone(), value }),
            Err(wanted) => {
                let message = format!("option '{}' expects {wanted}", row.name);
                match mistake(row.kind, node) {
                    Some(hint) => {
                        self.files.complaints.error_with_hint(&node.place, message, hint);
                    }
                    None => self.files.complaints.error(&node.place, message),
                }
            }
        }
        Ok(())
    }

    /// Complains and goes on.
    fn expected(&mut self, node: &Node, wanted: &str) -> Result<(), Diagnostics> {
        self.files.complaints.error(&node.place, format!("here {wanted} is expected"));
        Ok(())
    }
}

/// A map of options, or nothing where one could stand.
fn is_section(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Map(_)) || node.is_null()
}

/// The value of that kind, or what was expected instead. Quotes around numbers do no harm and
/// neither does their absence around strings: `password: 0123` is the four characters as they
/// stand.
fn value(kind: Kind, node: &Node) -> Result<Value, String> {
    let wanted = match kind {
        Kind::Flag => "yes or no",
        Kind::Integer { .. } => "a number",
        Kind::Size => "a number of bytes, perhaps with k, m or g",
        Kind::IntegerOrText => "a number or a word",
        Kind::Pairs => "a map of strings",
        Kind::Bare(words) => &words.join(" or "),
        _ => "a string",
    };
    let found = match (kind, &node.kind) {
        (Kind::Pairs, NodeKind::Map(pairs)) => pairs
            .iter()
            .map(|(key, value)| Some((key.text()?.to_owned(), value.text()?.to_owned())))
            .collect::<Option<Vec<_>>>()
            .map(Value::Pairs),
        (_, NodeKind::Scalar { text, plain }) if !node.is_null() => scalar(kind, text, *plain),
        _ => None,
    };
    found.ok_or_else(|| wanted.to_owned())
}

/// What is often written instead.
fn mistake(kind: Kind, node: &Node) -> Option<&'static str> {
    match (kind, &node.kind) {
        (Kind::Flag, NodeKind::Scalar { plain: false, .. }) => Some("write it without quotes"),
        (_, NodeKind::Scalar { .. }) if node.is_null() => Some("nothing stands behind the colon"),
        (_, NodeKind::List(_)) => Some("one value is expected, not a list"),
        (Kind::Pairs, _) => None,
        (_, NodeKind::Map(_)) => Some("one value is expected, not a map"),
        (Kind::Integer { .. }, NodeKind::Scalar { text, .. }) if raw::size(text).is_some() => {
            Some("no suffix is allowed here")
        }
        _ => None,
    }
}

fn scalar(kind: Kind, text: &str, plain: bool) -> Option<Value> {
    match kind {
        Kind::Flag => match text {
            "yes" | "true" if plain => Some(Value::Flag(true)),
            "no" | "false" if plain => Some(Value::Flag(false)),
            _ => None,
        },
        Kind::Integer { .. } => text.parse().ok().map(Value::Integer),
        Kind::Size => raw::size(text).map(Value::Integer),
        Kind::IntegerOrText => match text.parse() {
            Ok(number) => Some(Value::Integer(number)),
            Err(_) => Some(Value::Text(text.to_owned())),
        },
        Kind::TextOrDefault if plain && text == "default" => Some(Value::Default),
        Kind::Text | Kind::TextOrDefault => Some(Value::Text(text.to_owned())),
        Kind::Bare(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::Pairs | Kind::Section { .. } | Kind::Include => None,
    }
}
