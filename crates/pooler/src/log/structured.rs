//! The formats that programs read: `json` in Odyssey's shape, `logfmt` and `tskv`. Each line holds
//! what is known and leaves out the rest; whatever clients send, a line can be read.

use std::fmt::Display;

use super::clock::UtcMillis;
use super::event::{Event, Fact, NAME_BYTES_MAX};
use super::pen::{Pen, Script};
use crate::id::Id;

/// One JSON object. Numbers of Odyssey's own members are strings, as they are there.
pub(super) fn json(line: &mut String, event: &Event<'_>) {
    let mut object = Object { line, empty: true };
    object.open();
    object.text("timestamp", &UtcMillis(event.since_1970));
    object.text("pid", &event.pid);
    object.text("tid", &event.thread());
    object.text("level", &event.level.word());
    object.text("context", &event.context);
    object.name("message");
    object.line.push('"');
    event.put_message(object.line, Script::Quoted);
    object.line.push('"');
    json_client(&mut object, event);
    if let Some(server) = event.who.server {
        object.name("server");
        object.open();
        object.id(server);
        object.close();
    }
    for (name, fact) in event.who.facts {
        match fact {
            Fact::Text(value) => object.text(name, value),
            Fact::Number(value) => object.bare(name, value),
        }
    }
    object.close();
}

fn json_client(object: &mut Object<'_>, event: &Event<'_>) {
    let who = event.who;
    if who.client.is_none() && who.address.is_none() && who.user.is_none() {
        return;
    }
    object.name("client");
    object.open();
    if let Some(client) = who.client {
        object.id(client);
    }
    each_of_client(event, |name, value| object.text(name, value));
    object.close();
}

/// A JSON object that is being written.
struct Object<'a> {
    line: &'a mut String,
    /// Nothing stands behind the last brace yet.
    empty: bool,
}

impl Object<'_> {
    fn open(&mut self) {
        self.line.push('{');
        self.empty = true;
    }

    fn close(&mut self) {
        self.line.push('}');
        self.empty = false;
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.empty) {
            self.line.push(',');
        }
        self.line.push('"');
        self.line.push_str(name);
        self.line.push_str("\":");
    }

    fn text(&mut self, name: &str, value: &dyn Display) {
        self.name(name);
        quoted(self.line, value);
    }

    fn bare(&mut self, name: &str, value: &dyn Display) {
        self.name(name);
        Pen::new(self.line, Script::Quoted, NAME_BYTES_MAX).put(value);
    }

    fn id(&mut self, id: Id) {
        self.text("id", &id);
        if let Some(uuid) = id.uuid() {
            self.text("uuid", &uuid);
        }
    }
}

/// `key=value` pairs between spaces; a value that needs them has quotes.
pub(super) fn logfmt(line: &mut String, event: &Event<'_>) {
    let mut pair = |name: &str, value: &dyn Display| {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push('=');
        let start = line.len();
        Pen::new(line, Script::Quoted, NAME_BYTES_MAX).put(value);
        if needs_quotes(&line[start..]) {
            line.insert(start, '"');
            line.push('"');
        }
    };
    each_of_process(event, &mut pair);
    each_id(event, &mut pair);
    each_of_client(event, &mut pair);
    each_fact(event, &mut pair);
    line.push_str(" msg=\"");
    event.put_message(line, Script::Quoted);
    line.push('"');
}

/// Yandex's tab-separated keys and values.
pub(super) fn tskv(line: &mut String, event: &Event<'_>) {
    line.push_str("tskv\ttskv_format=odyssey");
    let mut pair = |name: &str, value: &dyn Display| {
        line.push('\t');
        line.push_str(name);
        line.push('=');
        Pen::new(line, Script::Tskv, NAME_BYTES_MAX).put(value);
    };
    each_of_process(event, &mut pair);
    each_id(event, &mut pair);
    each_of_client(event, &mut pair);
    each_fact(event, &mut pair);
    line.push_str("\tmsg=");
    event.put_message(line, Script::Tskv);
}

fn each_of_process(event: &Event<'_>, pair: &mut dyn FnMut(&str, &dyn Display)) {
    pair("timestamp", &UtcMillis(event.since_1970));
    pair("pid", &event.pid);
    pair("tid", &event.thread());
    pair("level", &event.level.word());
    pair("context", &event.context);
}

fn each_id(event: &Event<'_>, pair: &mut dyn FnMut(&str, &dyn Display)) {
    let ids =
        [(event.who.client, "client", "client_uuid"), (event.who.server, "server", "server_uuid")];
    for (id, name, name_of_uuid) in ids {
        let Some(id) = id else { continue };
        pair(name, &id);
        if let Some(uuid) = id.uuid() {
            pair(name_of_uuid, &uuid);
        }
    }
}

/// The members of a client under Odyssey's names, but for its id.
fn each_of_client(event: &Event<'_>, mut pair: impl FnMut(&str, &dyn Display)) {
    let who = event.who;
    if let Some(host) = event.host() {
        pair("ip", &host);
    }
    if let Some(port) = event.port() {
        pair("port", &port);
    }
    let texts = [("user", who.user), ("database", who.database), ("external_id", who.external)];
    for (name, value) in texts {
        if let Some(value) = value {
            pair(name, &value);
        }
    }
    if let Some(hosts) = event.storage() {
        pair("server_host", &hosts);
    }
}

fn each_fact(event: &Event<'_>, pair: &mut dyn FnMut(&str, &dyn Display)) {
    for (name, fact) in event.who.facts {
        match fact {
            Fact::Text(value) => pair(name, value),
            Fact::Number(value) => pair(name, value),
        }
    }
}

fn quoted(line: &mut String, value: &dyn Display) {
    line.push('"');
    Pen::new(line, Script::Quoted, NAME_BYTES_MAX).put(value);
    line.push('"');
}

/// Escapes have a backslash, so what was escaped is among them.
fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.contains(|c: char| c.is_whitespace() || matches!(c, '=' | '\\' | '"'))
}
