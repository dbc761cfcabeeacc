//! What a client is told, to the letter: tools and people look for these texts and codes. Each line
//! is Odyssey's own, but where docs/compatibility.md says otherwise. One file a subject; every text
//! of Odyssey's that a client can be told stands in one of them, or here.
//!
//! Never told: `client routing failed` and `Connection was dropped by unexpected reason` (there is
//! always a reason, and it is told); `too many client tcp connections (global client_max)` (the
//! limit of the process has one text, which names its size); `readahead buffer full` (a slow side
//! slows the other); `incorrect user` (who has no secret at the server is told that the password is
//! wrong, as Odyssey does in practice); `bad console command` (a broken message breaks the protocol
//! there, too); the reason an LDAP server gave (a stranger would learn from it who exists); those
//! about modules (there are none: 0A000).

mod at_console;
mod limits;
mod login;
mod outside;
mod servers;
mod session;
mod unprefixed;

use crate::support::message::{Message, cstr};
use crate::support::{Client, Login, Pooler, Wire};

fn wire() -> Wire {
    Wire::new()
}

/// The error in one text: severity, code, message, DETAIL, HINT; ids of servers as `s…`. Our name
/// and the client's id stand in front of every message and are left out here.
fn in_words(message: &Message) -> String {
    let error = message.error();
    assert_fields(message);
    let mut text = format!("{} {} {}", error.severity, error.code, without_ids(error.ours()));
    for (name, field) in [("DETAIL", error.detail), ("HINT", error.hint)] {
        if let Some(field) = field {
            text += &format!(" {name}: {field}");
        }
    }
    text
}

/// An error or a notice of ours that has no prefix.
fn bare(message: &Message) -> String {
    assert_fields(message);
    let error = message.error();
    format!("{} {} {}", error.severity, error.code, error.message)
}

/// In PostgreSQL's order.
fn assert_fields(message: &Message) {
    let order: String = message.strings().iter().filter_map(|field| field.chars().next()).collect();
    assert!("SVCMDH".starts_with(&order) || order == "SVCMH", "{order}: {:?}", message.error());
}

/// `s` and 12 hexadecimal digits become `s…`.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        let digits = word.strip_prefix('s').unwrap_or_default();
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let words = text.split(' ').map(|word| match word.strip_suffix(':') {
        Some(bare) if is_id(bare) => "s…:",
        _ if is_id(word) => "s…",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The last words to a client whose connection ends; `silence` if there are none.
fn last_words(client: &mut Client) -> String {
    let said = client.until_closed();
    said.0.iter().find(|m| m.tag == b'E').map_or("silence".to_owned(), in_words)
}

/// A client that sends these packets, each when the pooler has said something to the one before
/// (nothing needs to be said to the first), and what it is told at the end.
fn after(pooler: &Pooler, packets: &[Wire]) -> String {
    let mut client = pooler.connect();
    for (n, packet) in packets.iter().enumerate() {
        if n > 0 {
            client.read().expect("it goes on");
        }
        client.send(packet);
    }
    last_words(&mut client)
}

fn start(user: &str) -> Wire {
    Login::new(user, "postgres").packet()
}

fn password(body: &[u8]) -> Wire {
    wire().message(b'p', body)
}

/// SASLInitialResponse.
fn sasl(mechanism: &str, data: &str) -> Wire {
    let length = (data.len() as u32).to_be_bytes();
    password(&[&cstr(mechanism), &length[..], data.as_bytes()].concat())
}

fn scram(client_first: &str) -> Wire {
    sasl("SCRAM-SHA-256", client_first)
}
