//! A tiny transaction pooler for PostgreSQL: many clients, few servers.
//!
//! Teaches: new after `11_relay` is that somebody decides. `router::Pool` says who gets which
//! server and never waits; `wire`'s `Conversation` says when a server owes nobody anything and
//! never reads; what is left is straight-line code that reads, asks these two, and writes. The real
//! pooler is this with authentication, settings, prepared statements, cancels and much care for
//! whoever vanishes.
//!
//! Run: `cargo run -p pooler --example 12_tiny_pooler -- 127.0.0.1:6432 127.0.0.1:5432 postgres 2`,
//! where a PostgreSQL that trusts us listens on the second address and everybody shall be
//! `postgres`; then `pgbench -h 127.0.0.1 -p 6432 -S -c 20 -T 5`. Without arguments it says this:
//!
//! ```text
//! usage: 12_tiny_pooler LISTEN POSTGRES USER SERVERS
//! ```
//!
//! Try: `select pg_backend_pid()` in three psqls at once, then `begin` in each of them.

use machine::{
    Address, Buffer, Deadline, EngineConfig, Interest, ListenOptions, Listener, Notified, Notifier,
    Progress, Stream, StreamOptions, wait_any,
};
use router::{Asker, Checkin, Checkout, Claim, ClientId, Grant, Limits, SlotKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wire::Malformed;
use wire::backend::ready_for_query;
use wire::conversation::{Conversation, Owner, Sent};
use wire::frame::{self, Side};
use wire::startup::{Startup, startup_message};
use wire::tag::{backend::READY_FOR_QUERY, frontend::TERMINATE};

type Failure = Box<dyn std::error::Error>;

/// ReadyForQuery, in no transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// A connection to PostgreSQL, and what it said to be ready.
struct Server(Stream, Vec<u8>);

/// All servers, and how to open one more.
struct House {
    postgres: Address,
    user: String,
    pool: RefCell<router::Pool<Server, Notifier, ()>>,
}

struct Client {
    stream: Stream,
    inbox: Buffer,
    notified: Notified,
    id: ClientId,
}

impl Client {
    fn serve(&mut self, house: &House) -> Result<(), Failure> {
        loop {
            let (packet, bytes) = self.hear(wire::startup::parse)?;
            self.inbox.consume(bytes);
            match packet {
                Startup::Ssl | Startup::GssEnc => self.stream.write_all(b"N", Deadline::NEVER)?,
                Startup::Start(_) => break,
                Startup::Cancel(_) => return Err("nobody is cancelled here".into()),
            }
        }
        self.with_server(house, |client, Server(_, greeting)| {
            Ok(client.stream.write_all(greeting, Deadline::NEVER)?)
        })?;
        while self.hear(|bytes| frame::header(Side::Frontend, bytes))?.tag != TERMINATE {
            self.with_server(house, Client::transaction)?;
        }
        Ok(())
    }

    /// Reads until this is there.
    fn hear<T>(&mut self, what: fn(&[u8]) -> Result<Option<T>, Malformed>) -> Result<T, Failure> {
        loop {
            match what(self.inbox.data())? {
                Some(heard) => return Ok(heard),
                None => more(&self.stream, &mut self.inbox)?,
            }
        }
    }

    /// Does something with a server: an idle one, a new one, or the next that is given back.
    fn with_server(
        &mut self,
        house: &House,
        deed: impl FnOnce(&mut Client, &Server) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (pool, now) = (&house.pool, machine::now);
        let asker = Asker { client: self.id, machine: 0, last: None };
        let asked = pool.borrow_mut().checkout(asker, || self.notified.notifier(), now());
        let granted = match asked {
            Checkout::Take(slot, server) => Grant::Take(slot, server),
            Checkout::Open(slot) => Grant::Open(slot),
            Checkout::Refuse(refusal) => return Err(format!("refused: {refusal:?}").into()),
            Checkout::Wait(ticket) => loop {
                wait_any(&[], Some(&self.notified), Deadline::NEVER)?;
                let _ = self.notified.take();
                if let Claim::Granted(grant) = pool.borrow_mut().claim(ticket) {
                    break grant;
                }
            },
        };
        let (slot, server) = match granted {
            Grant::Take(slot, server) => (slot, Ok(server)),
            Grant::Open(slot) => (slot, house.open(slot)),
        };
        let done = server.and_then(|server| deed(self, &server).map(|()| server));
        let back = done.map(|server| pool.borrow_mut().checkin(slot, server, 0, now()));
        let (waiter, outcome) = match back {
            Ok(Checkin::Wake(waiter)) => (Some(waiter), Ok(())),
            Ok(_) => (None, Ok(())),
            Err(failure) => (pool.borrow_mut().lost(slot, now()), Err(failure)),
        };
        waiter.iter().for_each(Notifier::notify); // it has the server, or the right to open one
        outcome
    }

    /// Both directions at once, until the server owes nothing and is in no transaction.
    fn transaction(&mut self, Server(server, _): &Server) -> Result<(), Failure> {
        let (mut talk, mut inbox) = (Conversation::new(), Buffer::lease());
        let (mut up, mut down) = (Buffer::lease(), Buffer::lease());
        let mut has_begun = false;
        loop {
            pass(Side::Frontend, &mut self.inbox, &mut up, &mut talk)?;
            pass(Side::Backend, &mut inbox, &mut down, &mut talk)?;
            has_begun |= !up.is_empty();
            server.try_write_from(&mut up)?;
            self.stream.try_write_from(&mut down)?;
            if has_begun && up.is_empty() && down.is_empty() && talk.quiescent().is_some() {
                return Ok(());
            }
            // What is not written yet is not added to.
            let ways = [
                (&self.stream, &mut self.inbox, server, &up),
                (server, &mut inbox, &self.stream, &down),
            ];
            let wants = ways.each_ref().map(|(from, _, to, held)| match held.is_empty() {
                true => (*from, Interest::READ),
                false => (*to, Interest::WRITE),
            });
            wait_any(&wants, None, Deadline::NEVER)?;
            for (from, into, _, held) in ways {
                if held.is_empty() && from.try_read_into(into)? == Progress::End {
                    return Err("hung up in a transaction".into());
                }
            }
        }
    }
}

impl House {
    fn open(&self, slot: SlotKey) -> Result<Server, Failure> {
        let options = StreamOptions { nodelay: true, ..StreamOptions::default() };
        let stream = Stream::connect(&self.postgres, &options, Deadline::NEVER)?;
        let (mut hello, mut inbox) = (Vec::new(), Buffer::lease());
        startup_message(&mut hello, &[("user", &self.user), ("database", &self.user)], 0);
        stream.write_all(&hello, Deadline::NEVER)?;
        while !inbox.data().ends_with(READY) {
            more(&stream, &mut inbox)?; // who is refused is hung up on
        }
        self.pool.borrow_mut().opened(slot, (), machine::now());
        Ok(Server(stream, inbox.data().to_vec()))
    }
}

/// Whole messages go on, each with the leave of the conversation.
fn pass(
    side: Side,
    from: &mut Buffer,
    to: &mut Buffer,
    talk: &mut Conversation,
) -> Result<(), Failure> {
    while let Some(message) = frame::whole(side, from.data())? {
        let bytes = message.bytes.len();
        let passes = match (side, message.tag) {
            (Side::Frontend, tag) => match talk.sent(tag, Owner::Client)? {
                Sent::Full => break, // until there are answers
                sent => sent != Sent::Swallow,
            },
            (_, READY_FOR_QUERY) => talk.ready(ready_for_query(message.body)?).map(|_| true)?,
            (_, tag) => talk.received(tag).map(|_| true)?,
        };
        if passes {
            to.extend(message.bytes);
        }
        from.consume(bytes);
    }
    if let Some(header) = frame::header(side, from.data())? {
        from.reserve(header.frame_bytes());
    }
    Ok(())
}

fn more(from: &Stream, inbox: &mut Buffer) -> Result<(), Failure> {
    match from.read_into(inbox, Deadline::NEVER)? {
        0 => Err("hung up".into()),
        _ => Ok(()),
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, postgres, user, servers] = arguments.as_slice() else {
        println!("usage: 12_tiny_pooler LISTEN POSTGRES USER SERVERS");
        return Ok(());
    };
    let listener = Listener::bind(&Address::Tcp(listen.parse()?), &ListenOptions::default())?;
    println!("pooling on {}", listener.local());
    let (postgres, user) = (Address::Tcp(postgres.parse()?), user.clone());
    let size = Some(servers.parse()?);
    let limits = Limits { size, min: 0, waiters_max: 10_000, ttl: None, lifetime: None };
    machine::run(EngineConfig::default(), move |_engine| {
        let (pool, ids) = (RefCell::new(router::Pool::new(limits)), Cell::new(0));
        let house = Rc::new(House { postgres, user, pool });
        listener.serve("client", move |stream, peer| {
            let (inbox, notified) = (Buffer::lease(), Notified::new());
            let id = ClientId(ids.replace(ids.get() + 1));
            if let Err(failure) = (Client { stream, inbox, notified, id }).serve(&house) {
                eprintln!("{peer}: {failure}");
            }
        })
    })??;
    Ok(())
}
