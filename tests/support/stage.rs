//! The company in which a play is performed: strangers who use the servers between its steps, with
//! settings and statements of their own, so that what is not carried along is missed.

use super::play::Stage;
use super::{Client, Login, Pooler, Wire};
use std::collections::BTreeMap;

/// Server 0 and server 1, each held by a stranger, and which one each client of the play met last.
struct Pair {
    holders: [Client; 2],
    last: BTreeMap<char, usize>,
    /// Clients of the play that are in a transaction, and where.
    inside: BTreeMap<char, usize>,
}

pub struct Company(Kind);

enum Kind {
    Absent,
    One { stranger: Box<Client>, inside: Vec<char> },
    Two(Box<Pair>),
}

const HOLD: &str = "begin; select pg_backend_pid()";

impl Company {
    pub fn absent() -> Company {
        Company(Kind::Absent)
    }

    pub fn new(stage: Stage, pooler: &Pooler, like: &Login) -> Company {
        Company(match stage {
            Stage::Roomy => Kind::Absent,
            Stage::One => {
                Kind::One { stranger: Box::new(stranger(pooler, like)), inside: Vec::new() }
            }
            Stage::Two => {
                let mut holders = [stranger(pooler, like), stranger(pooler, like)];
                let pids: Vec<_> = holders.iter_mut().map(hold).collect();
                assert_ne!(pids[0], pids[1], "two servers");
                let (last, inside) = (BTreeMap::new(), BTreeMap::new());
                Kind::Two(Box::new(Pair { holders, last, inside }))
            }
        })
    }

    /// Before `who` sends something.
    pub fn before(&mut self, who: char) {
        match &mut self.0 {
            Kind::Absent => {}
            Kind::One { stranger, inside } if inside.is_empty() => make_noise(stranger),
            Kind::One { .. } => {}
            Kind::Two(pair) => pair.make_room(who),
        }
    }

    /// `who` has its answer, with this transaction status.
    pub fn after(&mut self, who: char, status: char) {
        match &mut self.0 {
            Kind::Absent => {}
            Kind::One { inside, .. } => {
                inside.retain(|other| *other != who);
                if status != 'I' {
                    inside.push(who);
                }
            }
            Kind::Two(pair) => pair.close_again(who, status),
        }
    }
}

impl Pair {
    /// Lets go of the server that `who` did not have last, unless it is in a transaction.
    fn make_room(&mut self, who: char) {
        if self.inside.contains_key(&who) {
            return;
        }
        let other = 1 - self.last.get(&who).copied().unwrap_or(1);
        let taken = self.inside.values().any(|held| *held == other);
        let next = if taken { 1 - other } else { other };
        assert_eq!(self.holders[next].query("rollback").status(), 'I');
        self.inside.insert(who, next);
    }

    fn close_again(&mut self, who: char, status: char) {
        if status != 'I' {
            return;
        }
        let server = self.inside.remove(&who).expect("room was made");
        self.last.insert(who, server);
        hold(&mut self.holders[server]);
    }
}

fn hold(holder: &mut Client) -> String {
    let answer = holder.query(HOLD);
    assert_eq!(answer.status(), 'T', "a stranger holds its server: {:?}", answer.error());
    answer.column().remove(0)
}

/// A client whose every setting differs from everybody else's.
fn stranger(pooler: &Pooler, like: &Login) -> Client {
    let login = Login::new(&like.user, &like.database)
        .option("application_name", "stranger")
        .option("TimeZone", "Pacific/Chatham")
        .option("DateStyle", "German")
        .option("geqo", "off")
        .option("search_path", "nowhere");
    let mut client = pooler.login(&login);
    let set = "set work_mem = '777kB'; set statement_timeout = '777s'; set extra_float_digits = -7;
               set my.tenant = 'stranger'; set intervalstyle = iso_8601";
    assert_eq!(client.query(set).error(), None);
    client
}

/// Leaves settings behind, and an unnamed statement.
fn make_noise(stranger: &mut Client) {
    assert_eq!(stranger.query("select 'noise'").column(), ["noise"]);
    let other = Wire::new().extended("select 'of a stranger'", &[]).sync();
    stranger.send(&other);
    assert_eq!(stranger.until_ready().column(), ["of a stranger"]);
}
