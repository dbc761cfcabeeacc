//! The table as a JSON Schema of the YAML, `docs/odyssey.schema.json`, so that an editor completes
//! and checks. It knows words, types and ranges; what options say together, only the checker knows.

mod json;

use super::{Kind, Label, Row, Scope, Status, TABLE};
use json::{Json, list, map, text};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const SCALAR: &[&str] = &["string", "number", "boolean"];
const NUMBER: &str = "^-?[0-9]+$"; // quotes around numbers do no harm
const SIZE: &str = "^-?[0-9]+([kKmMgG][bB]?|[bB])?$";

/// The schema of odyssey.yaml, as JSON.
pub fn schema() -> String {
    let definitions = TABLE.iter().filter(|(scope, _)| *scope != Scope::Top);
    let mut schema = vec![
        ("$schema", text(DIALECT)),
        ("title", text("odyssey.yaml")),
        ("description", text("The options of odyssey.conf, written as YAML.")),
    ];
    schema.extend(body(Scope::Top));
    // Where anchors live.
    schema.push(("patternProperties", map([("^x-", map([]))])));
    let definitions = definitions.map(|(scope, _)| (definition_name(*scope), map(body(*scope))));
    schema.push(("$defs", Json::Map(definitions.collect())));
    map(schema).to_string()
}

/// What a section of that scope may hold.
fn body(scope: Scope) -> Vec<(&'static str, Json)> {
    let mut properties = Vec::new();
    for row in scope.rows() {
        for name in row.spellings() {
            properties.push((name.to_owned(), value(row)));
        }
    }
    if matches!(scope, Scope::Rule | Scope::Group) {
        properties.extend(selector());
    }
    let mut body = vec![
        ("type", list(["object", "null"])),
        ("properties", Json::Map(properties)),
        ("additionalProperties", Json::Flag(false)),
    ];
    // A file may include the rest.
    if scope != Scope::Top {
        let required = scope.rows().filter(|row| row.required).map(|row| row.name);
        body.push(("required", list(required)));
    }
    body
}

/// The two keys that tell the variants of a user apart.
fn selector() -> [(String, Json); 2] {
    let words = ["default", "local", "host", "hostssl", "hostnossl"];
    let address = [
        ("type", text("string")),
        ("description", text("For clients from this network only, such as 10.0.0.0/8.")),
    ];
    let connection = [
        ("enum", list(words)),
        ("default", text("default")),
        ("description", text("For clients that come so only.")),
    ];
    [("address".to_owned(), map(address)), ("connection_type".to_owned(), map(connection))]
}

/// What may stand behind an option's name.
fn value(row: &Row) -> Json {
    let mut fields = match row.kind {
        Kind::Section { scope, label } => section(row, scope, label),
        _ if row.repeats => one_or_list(map(scalar(row))),
        _ => scalar(row),
    };
    fields.push(("description", Json::Text(row.meaning())));
    match row.kind {
        _ if row.default.is_empty() => {}
        Kind::Integer { .. } => fields.push(("default", Json::Bare(row.default))),
        Kind::Flag => fields.push(("default", Json::Flag(row.default == "yes"))),
        _ => fields.push(("default", text(row.default))),
    }
    if row.status == Status::Deprecated {
        fields.push(("deprecated", Json::Flag(true)));
    }
    map(fields)
}

fn scalar(row: &Row) -> Vec<(&'static str, Json)> {
    match row.kind {
        Kind::Flag => {
            let words = [Json::Flag(true), Json::Flag(false), text("yes"), text("no")];
            vec![("enum", Json::List(words.to_vec()))]
        }
        Kind::Integer { min, max } => vec![
            ("type", list(["integer", "string"])),
            ("minimum", Json::Number(min)),
            ("maximum", Json::Number(max)),
            ("pattern", text(NUMBER)),
        ],
        Kind::Size => vec![("type", list(["integer", "string"])), ("pattern", text(SIZE))],
        Kind::Bare(words) => vec![("enum", list(words.iter().copied()))],
        Kind::Pairs => {
            let values = map([("type", list(SCALAR.iter().copied()))]);
            vec![("type", text("object")), ("additionalProperties", values)]
        }
        _ if !row.words.is_empty() => vec![("enum", list(row.words.iter().copied()))],
        _ => vec![("type", list(SCALAR.iter().copied()))],
    }
}

/// A section, a list of them, or a map of names to them.
fn section(row: &Row, scope: Scope, label: Label) -> Vec<(&'static str, Json)> {
    let one = map([("$ref", Json::Text(format!("#/$defs/{}", definition_name(scope))))]);
    if label == Label::None {
        return if row.repeats { one_or_list(one) } else { vec![("anyOf", Json::List(vec![one]))] };
    }
    let has_variants = matches!(scope, Scope::Rule | Scope::Group);
    let body = if has_variants { map(one_or_list(one)) } else { one };
    let names = map([("type", list(["object", "null"])), ("additionalProperties", body)]);
    let mut fields = one_or_list(names);
    if let Some(("anyOf", Json::List(forms))) = fields.first_mut()
        && row.name == "method"
    {
        forms.push(map([("type", text("string"))]));
    }
    fields
}

fn one_or_list(one: Json) -> Vec<(&'static str, Json)> {
    let many = map([("type", text("array")), ("items", one.clone())]);
    vec![("anyOf", Json::List(vec![one, many]))]
}

fn definition_name(scope: Scope) -> String {
    format!("{scope:?}").to_lowercase()
}
