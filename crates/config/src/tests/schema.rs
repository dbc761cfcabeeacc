//! The JSON Schema takes what the reader takes. The judge here knows the few words of JSON Schema
//! that ours uses; JSON is read as the YAML it is.

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::yaml_schema;

#[derive(Debug)]
enum Tree {
    Scalar { text: String, plain: bool },
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn read(text: &str) -> Tree {
    let events = Parser::new_from_str(text).map(|event| event.expect("this is YAML").0);
    let mut events = events.filter(|event| {
        matches!(event, Event::Scalar(..))
            || matches!(event, Event::SequenceStart(..) | Event::SequenceEnd)
            || matches!(event, Event::MappingStart(..) | Event::MappingEnd)
    });
    tree(&mut events).expect("a document is not empty")
}

/// None at the end of a list or map.
fn tree<'a>(events: &mut impl Iterator<Item = Event<'a>>) -> Option<Tree> {
    match events.next()? {
        Event::Scalar(text, style, ..) => {
            Some(Tree::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
        }
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            while let Some(item) = tree(events) {
                items.push(item);
            }
            Some(Tree::List(items))
        }
        Event::MappingStart(..) => {
            let mut pairs = Vec::new();
            while let Some(Tree::Scalar { text, .. }) = tree(events) {
                pairs.push((text, tree(events).expect("a key has a value")));
            }
            Some(Tree::Map(pairs))
        }
        _ => None,
    }
}

impl Tree {
    fn get(&self, key: &str) -> Option<&Tree> {
        let Tree::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        match self {
            Tree::Scalar { text, .. } => text,
            _ => "",
        }
    }

    fn items(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }
}

/// What JSON Schema calls the kind of a value, in the order of preference.
fn kinds(value: &Tree) -> &'static [&'static str] {
    match value {
        Tree::List(_) => &["array"],
        Tree::Map(_) => &["object"],
        Tree::Scalar { plain: false, .. } => &["string"],
        Tree::Scalar { text, .. } => match text.as_str() {
            "" | "~" | "null" => &["null"],
            "true" | "false" => &["boolean"],
            text if text.parse::<i64>().is_ok() => &["integer", "number"],
            text if text.parse::<f64>().is_ok() => &["number"],
            _ => &["string"],
        },
    }
}

/// What is wrong with the value at that path; empty for nothing.
fn judge(root: &Tree, schema: &Tree, value: &Tree, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(reference) = schema.get("$ref") {
        let name = reference.text().trim_start_matches("#/$defs/");
        let definition = root.get("$defs").and_then(|all| all.get(name)).expect("it is defined");
        found.extend(judge(root, definition, value, path));
    }
    if let Some(forms) = schema.get("anyOf") {
        let judged: Vec<_> = forms.items().iter().map(|it| judge(root, it, value, path)).collect();
        if !judged.iter().any(Vec::is_empty) {
            // The form that is at least of the right kind was meant.
            let other_kind = format!("{path}: is [");
            let meant = |all: &Vec<String>| !all.iter().any(|it| it.starts_with(&other_kind));
            found.extend(judged.iter().find(|all| meant(all)).unwrap_or(&judged[0]).clone());
        }
    }
    if let Some(types) = schema.get("type")
        && !types.items().iter().any(|it| kinds(value).contains(&it.text()))
    {
        found.push(format!("{path}: is {:?}", kinds(value)));
    }
    if let Some(words) = schema.get("enum")
        && !words.items().iter().any(|it| it.text() == value.text())
    {
        found.push(format!("{path}: '{}' is none of the words", value.text()));
    }
    found.extend(range(schema, value, path));
    match value {
        Tree::List(items) => {
            let each =
                schema.get("items").into_iter().flat_map(|it| items.iter().map(move |i| (it, i)));
            found.extend(each.flat_map(|(it, item)| judge(root, it, item, &format!("{path}[]"))));
        }
        Tree::Map(pairs) => found.extend(fields(root, schema, pairs, path)),
        Tree::Scalar { .. } => {}
    }
    found
}

fn range(schema: &Tree, value: &Tree, path: &str) -> Option<String> {
    let bound = |word: &str| schema.get(word).and_then(|bound| bound.text().parse::<i64>().ok());
    let number: i64 = value.text().parse().ok().filter(|_| kinds(value).contains(&"integer"))?;
    let outside = bound("minimum").is_some_and(|min| number < min)
        || bound("maximum").is_some_and(|max| number > max);
    outside.then(|| format!("{path}: {number} is out of range"))
}

fn fields(root: &Tree, schema: &Tree, pairs: &[(String, Tree)], path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in pairs {
        let path = format!("{path}.{key}");
        let others = schema.get("additionalProperties");
        match (schema.get("properties").and_then(|all| all.get(key)), others) {
            (Some(property), _) => found.extend(judge(root, property, value, &path)),
            (None, Some(Tree::Scalar { .. })) if !key.starts_with("x-") => {
                found.push(format!("{path}: is unknown"));
            }
            (None, Some(others @ Tree::Map(_))) => found.extend(judge(root, others, value, &path)),
            (None, _) => {}
        }
    }
    for name in schema.get("required").map_or(&[][..], Tree::items) {
        if !pairs.iter().any(|(key, _)| key == name.text()) {
            found.push(format!("{path}: lacks {}", name.text()));
        }
    }
    found
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let root = read(&yaml_schema());
    assert_eq!(judge(&root, &root, &read(text), "").join("\n"), expected, "{text}");
}

#[test]
fn the_sample_holds() {
    check(include_str!("../../../../odyssey.yaml"), "");
}

#[test]
fn what_the_reader_takes_holds() {
    check("include: [a.yaml, b.yaml]\nx-anything: {a: [1]}\nworkers: auto\nlog_debug: true", "");
    check("listens: [{port: 1}, {port: '2', host: '*'}]\nclient_max: -1\nkeepalive: '5'", "");
    check("storage: {a: {type: local, balancing: {method: leastconn}}}", "");
    check("storages: [{a: {type: remote, balancing: {method: {leastconn: {az_aware: no}}}}}]", "");
    let rule = "{authentication: none, pool: session, storage: a, password: 0123}";
    check(&format!("databases: {{d: {{users: {{u: {rule}, v: [{rule}, {rule}]}}}}}}"), "");
    check("soft_oom: {limit: 1g, drop: {signal: term}}\nquery_parsing: {mode: minimal}", "");
}

#[test]
fn what_the_reader_refuses_does_not_hold() {
    check("log_debu: yes", ".log_debu: is unknown");
    check("log_debug: on", ".log_debug: 'on' is none of the words");
    check("keepalive: -1", ".keepalive: -1 is out of range");
    check("listen: {port: 70000}", ".listen.port: 70000 is out of range");
    check("listen: {host: a}", ".listen: lacks port");
    check("storages: {a: {type: other}}", ".storages.a.type: 'other' is none of the words");
    check(
        "databases: {d: {users: {u: [3]}}}",
        ".databases.d.users.u[]: is [\"integer\", \"number\"]",
    );
    check("workers: {}", ".workers: is [\"object\"]");
}
