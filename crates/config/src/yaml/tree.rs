//! A YAML document as a tree of scalars, lists and maps with places; aliases and `<<` are already
//! replaced.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput};

use crate::diagnostic::{Diagnostic, Place};
use crate::files::Source;
use crate::options;

const DEPTH_MAX: usize = 32; // the language itself is about eight levels deep
const COPIES_MAX: usize = 100_000; // aliases of aliases grow exponentially

/// A node and where it starts.
#[derive(Clone)]
pub(super) struct Node {
    pub kind: NodeKind,
    pub place: Place,
}

#[derive(Clone)]
pub(super) enum NodeKind {
    /// Raw text; plain means without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Nothing at all, as behind `key:` at the end of a line.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Scalar { .. } => 0,
            NodeKind::List(items) => items.iter().map(Node::count).sum(),
            NodeKind::Map(pairs) => {
                pairs.iter().map(|(key, value)| key.count() + value.count()).sum()
            }
        }
    }
}

/// The only document of the text; a null node if there is none.
pub(super) fn compose(source: &Source<'_>) -> Result<Node, Diagnostic> {
    let mut composer = Composer {
        source,
        line_lengths: line_lengths(source.text),
        parser: Parser::new_from_str(source.text),
        anchors: HashMap::new(),
        copies: 0,
    };
    let mut document = None;
    loop {
        let (event, span) = composer.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            _ if document.is_some() => {
                let message = "a second document in one file; only one is read";
                let hint = "remove the line '---' between them".to_owned();
                return Err(Diagnostic::at(&composer.place(&span.start), message).hint(hint));
            }
            event => document = Some(composer.node(event, &span, 0)?),
        }
    }
    let place = source.place(1, 1);
    Ok(document.unwrap_or(Node { kind: null(), place }))
}

/// Of YAML's lines, which end in a carriage return too.
fn line_lengths(text: &str) -> Vec<usize> {
    let text = text.replace("\r\n", "\n");
    text.split(['\n', '\r']).map(|line| line.chars().count()).collect()
}

fn null() -> NodeKind {
    NodeKind::Scalar { text: String::new(), plain: true }
}

struct Composer<'a> {
    source: &'a Source<'a>,
    /// In characters; there is always a last line.
    line_lengths: Vec<usize>,
    parser: Parser<'a, StrInput<'a>>,
    /// Finished nodes by the parser's anchor number.
    anchors: HashMap<usize, Node>,
    /// Nodes made so far that do not stand in the text, but behind aliases.
    copies: usize,
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Err(error)) => {
                let place = self.place(error.marker());
                if error.info().contains("recursion limit") {
                    return Err(too_deep(&place));
                }
                let hint = self.mistake(&place);
                Err(Diagnostic::at(&place, format!("syntax error, {}", error.info())).hint(hint))
            }
        }
    }

    /// What is often wrong with a line of YAML.
    fn mistake(&self, place: &Place) -> Option<String> {
        let line = self.source.text.lines().nth(place.line - 1)?;
        let indent = &line[..line.len() - line.trim_start().len()];
        if indent.contains('\t') {
            return Some("YAML is indented with blanks, never with tabs".to_owned());
        }
        let key = line.trim_start().split([':', ' ', '"']).next()?;
        if options::is_keyword(key) && !line.contains(':') {
            return Some("in YAML a colon stands behind an option's name".to_owned());
        }
        Some(
            "a bracket, quote or colon here or in the lines above is not as YAML wants it"
                .to_owned(),
        )
    }

    /// Inside the text, always: the parser is now and then a step behind the end of a line or of
    /// the text.
    fn place(&self, marker: &Marker) -> Place {
        let last = self.line_lengths.len() - 1;
        let line = marker.line().saturating_sub(1);
        match self.line_lengths.get(line) {
            Some(length) => self.source.place(line + 1, marker.col().min(*length) + 1),
            None => self.source.place(last + 1, self.line_lengths[last] + 1),
        }
    }

    /// The node that begins with that event.
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Diagnostic> {
        let place = self.place(&span.start);
        if depth > DEPTH_MAX {
            return Err(too_deep(&place));
        }
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                (NodeKind::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(anchor, _) => (NodeKind::List(self.list(depth)?), anchor),
            Event::MappingStart(anchor, _) => (NodeKind::Map(self.map(depth)?), anchor),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Diagnostic::at(&place, "this alias stands inside its own anchor"));
                };
                self.spend(node.count(), &place)?;
                return Ok(Node { place, ..node });
            }
            _ => (null(), 0),
        };
        let node = Node { kind, place };
        if anchor > 0 {
            self.spend(node.count(), &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, place: &Place) -> Result<(), Diagnostic> {
        self.copies += nodes;
        match self.copies > COPIES_MAX {
            true => Err(Diagnostic::at(place, "the document is too large, aliases expanded")),
            false => Ok(()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Diagnostic> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Diagnostic> {
        let mut pairs = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => break,
                (event, span) => self.node(event, &span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            match &key.kind {
                NodeKind::Scalar { text, plain: true } if text == "<<" => {
                    merge(value, &mut merged)?
                }
                _ => pairs.push((key, value)),
            }
        }
        let mut own: HashSet<String> =
            pairs.iter().filter_map(|(key, _)| key.text()).map(str::to_owned).collect();
        merged.retain(|(key, _): &(Node, Node)| {
            key.text().is_none_or(|text| own.insert(text.to_owned()))
        });
        pairs.extend(merged);
        Ok(pairs)
    }
}

fn too_deep(place: &Place) -> Diagnostic {
    let hint = "no option needs so many levels; is a bracket left open?".to_owned();
    Diagnostic::at(place, "this is nested too deeply").hint(hint)
}

/// What stands behind `<<`: a map, or a list of maps of which earlier ones win.
fn merge(value: Node, into: &mut Vec<(Node, Node)>) -> Result<(), Diagnostic> {
    match value.kind {
        NodeKind::Map(pairs) => into.extend(pairs),
        NodeKind::List(maps) => {
            for map in maps {
                merge(map, into)?;
            }
        }
        NodeKind::Scalar { .. } => {
            return Err(Diagnostic::at(&value.place, "'<<' expects a map or a list of maps"));
        }
    }
    Ok(())
}
