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
    Stream, StreamOptions, wait_any,
};
use router::{Asker, Checkout, Claim, ClientId, Grant, Limits, SlotKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use wire::backend::ready_for_query;
use wire::frame::{self, Side};
use wire::startup::{Startup, startup_message};
use wire::tag::{backend::READY_FOR_QUERY, frontend::TERMINATE};
use wire::{Conversation, Malformed, Owner, Sent};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
const READY: &[u8] = b"Z\0\0\0\x05I"; // ReadyForQuery, in no transaction

/// One end of a talk: a socket, what came from it, and what goes to it.
struct Peer {
    stream: Stream,
    inbox: Buffer,
    outbox: Buffer,
}

/// A connection to PostgreSQL, and what it said to be ready.
struct Server(Peer, Vec<u8>);

/// All servers, and how to open one more.
struct House {
    postgres: Address,
    user: String,
    pool: RefCell<router::Pool<Server, Notifier, ()>>,
}

impl Peer {
    fn new(stream: Stream) -> Peer {
        Peer { stream, inbox: Buffer::lease(), outbox: Buffer::lease() }
    }

    /// Reads until this is there.
    fn hear<T>(&mut self, what: fn(&[u8]) -> Result<Option<T>, Malformed>) -> Outcome<T> {
        loop {
            match what(self.inbox.data())? {
                Some(heard) => return Ok(heard),
                None => self.stream.read_more(&mut self.inbox, Deadline::NEVER)?,
            }
        }
    }

    /// Whole messages go on, each with the leave of the conversation.
    fn pass(&mut self, side: Side, to: &mut Peer, talk: &mut Conversation) -> Outcome {
        while let Some(message) = frame::whole(side, self.inbox.data())? {
            let passes = match (side, message.tag) {
                (Side::Frontend, tag) => match talk.sent(tag, Owner::Client)? {
                    Sent::Full => break, // until there are answers
                    sent => sent != Sent::Swallow,
                },
                (_, READY_FOR_QUERY) => talk.ready(ready_for_query(message.body)?).map(|_| true)?,
                (_, tag) => talk.received(tag).map(|_| true)?,
            };
            if passes {
                to.outbox.extend(message.bytes);
            }
            self.inbox.consume(message.bytes.len());
        }
        if let Some(header) = frame::header(side, self.inbox.data())? {
            self.inbox.reserve(header.frame_bytes());
        }
        Ok(to.stream.try_write_from(&mut to.outbox)?)
    }

    /// What is not written yet is not added to.
    fn wants(&self, other: &Peer) -> (&Stream, Interest) {
        let reads = Interest::READ.when(other.outbox.is_empty() && !self.inbox.is_full());
        (&self.stream, reads | Interest::WRITE.when(!self.outbox.is_empty()))
    }
}

/// Both directions at once, until all is said and the server is in no transaction.
fn transaction(client: &mut Peer, server: &mut Peer) -> Outcome {
    let mut talk = Conversation::new();
    loop {
        client.pass(Side::Frontend, server, &mut talk)?;
        server.pass(Side::Backend, client, &mut talk)?;
        let rests = [&client.inbox, &client.outbox, &server.outbox];
        if rests.iter().all(|rest| rest.is_empty()) && talk.quiescent().is_some() {
            return Ok(());
        }
        wait_any(&[client.wants(server), server.wants(client)], None, Deadline::NEVER)?;
        if server.outbox.is_empty() && !client.inbox.is_full() {
            client.stream.try_read_more(&mut client.inbox)?;
        }
        if client.outbox.is_empty() && !server.inbox.is_full() {
            server.stream.try_read_more(&mut server.inbox)?;
        }
    }
}

impl House {
    fn serve(&self, id: ClientId, client: &mut Peer) -> Outcome {
        loop {
            let (packet, bytes) = client.hear(wire::startup::parse)?;
            client.inbox.consume(bytes);
            match packet {
                Startup::Ssl | Startup::GssEnc => client.stream.write_all(b"N", Deadline::NEVER)?,
                Startup::Start(_) => break,
                Startup::Cancel(_) => return Err("nobody is cancelled here".into()),
            }
        }
        self.with_server(id, |server| Ok(client.stream.write_all(&server.1, Deadline::NEVER)?))?;
        while client.hear(|bytes| frame::header(Side::Frontend, bytes))?.tag != TERMINATE {
            self.with_server(id, |Server(server, _)| transaction(client, server))?;
        }
        Ok(())
    }

    /// Does something with a server: an idle one, a new one, or the next that is given back.
    fn with_server(&self, client: ClientId, deed: impl FnOnce(&mut Server) -> Outcome) -> Outcome {
        let (slot, server) = match self.granted(client)? {
            Grant::Take(slot, server) => (slot, Ok(server)),
            Grant::Open(slot) => (slot, self.open(slot)),
        };
        let done = server.and_then(|mut server| deed(&mut server).map(|()| server));
        let mut pool = self.pool.borrow_mut();
        let (waiter, outcome) = match done {
            Ok(server) => (pool.checkin(slot, server, 0, machine::now()).waiter(), Ok(())),
            Err(failure) => (pool.lost(slot, machine::now()), Err(failure)),
        };
        waiter.iter().for_each(Notifier::notify); // it has the server, or the right to open one
        outcome
    }

    /// The right to have a server. Who has to wait for it is told when to look again.
    fn granted(&self, client: ClientId) -> Outcome<Grant<Server>> {
        let (asker, notified) = (Asker { client, machine: 0, last: None }, Notified::new());
        let asked = self.pool.borrow_mut().checkout(asker, || notified.notifier(), machine::now());
        match asked {
            Checkout::Granted(grant) => Ok(grant),
            Checkout::Refuse(refusal) => Err(format!("refused: {refusal:?}").into()),
            Checkout::Wait(ticket) => {
                notified.wait(Deadline::NEVER)?;
                match self.pool.borrow_mut().claim(ticket) {
                    Claim::Granted(grant) => Ok(grant),
                    Claim::Pending | Claim::Stale => Err("told too early".into()),
                }
            }
        }
    }

    fn open(&self, slot: SlotKey) -> Outcome<Server> {
        let stream = Stream::connect(&self.postgres, &StreamOptions::NODELAY, Deadline::NEVER)?;
        let (mut server, mut hello) = (Peer::new(stream), Vec::new());
        startup_message(&mut hello, &[("user", &self.user), ("database", &self.user)], 0);
        server.stream.write_all(&hello, Deadline::NEVER)?;
        let greeting = server.hear(|said| Ok(said.ends_with(READY).then(|| said.to_vec())))?;
        server.inbox.clear();
        self.pool.borrow_mut().opened(slot, (), machine::now());
        Ok(Server(server, greeting))
    }
}

fn main() -> Outcome {
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
            let id = ClientId(ids.replace(ids.get() + 1));
            let served = house.serve(id, &mut Peer::new(stream));
            served.unwrap_or_else(|failure| eprintln!("{peer}: {failure}"));
        })
    })??;
    Ok(())
}
