//! What one server has prepared, the least recently used first to go. It says what to close, and
//! refuses to know how a server is told.

use super::Interned;
use crate::numbers::NumberMap;

/// Statements a server keeps prepared unless told otherwise. A plan takes some tens of KB of the
/// server's memory, and few applications have more texts.
pub const STATEMENTS_PER_SERVER_MAX: usize = 1000;

/// No link: the neighbour of the newest and of the oldest.
const NONE: usize = usize::MAX;

/// The statements prepared at one server, all from the same [`Statements`](super::Statements).
#[derive(Debug)]
pub struct Prepared {
    /// Where in `links` a statement is, by its number.
    places: NumberMap<u64, usize>,
    /// Dense, in no order: the neighbours say the order.
    links: Vec<Link>,
    newest: usize,
    oldest: usize,
    max: usize,
}

#[derive(Debug)]
struct Link {
    statement: Interned,
    newer: usize,
    older: usize,
}

impl Prepared {
    /// Nothing prepared, and no heap used; never more than `max` statements, of which one is the
    /// least.
    pub fn new(max: usize) -> Prepared {
        Prepared {
            places: NumberMap::default(),
            links: Vec::new(),
            newest: NONE,
            oldest: NONE,
            max: max.max(1), // what is executed must be prepared
        }
    }

    /// True if the server has it; then it is the most recently used.
    pub fn touch(&mut self, statement: &Interned) -> bool {
        let Some(&place) = self.places.get(&statement.number()) else { return false };
        if place != self.newest {
            self.detach(place);
            self.attach(place);
        }
        true
    }

    /// Adds it as the most recently used. Returns the statement that had to go for it, to be
    /// closed at the server.
    #[must_use = "the evicted statement is still prepared at the server"]
    pub fn insert(&mut self, statement: Interned) -> Option<Interned> {
        if self.touch(&statement) {
            return None;
        }
        let evicted = (self.links.len() == self.max).then(|| self.take(self.oldest));
        let place = self.links.len();
        self.places.insert(statement.number(), place);
        self.links.push(Link { statement, newer: NONE, older: NONE });
        self.attach(place);
        debug_assert!(self.links.len() == self.places.len() && self.links.len() <= self.max);
        evicted
    }

    /// Forgets it; true if it was here.
    pub fn remove(&mut self, statement: &Interned) -> bool {
        let place = self.places.get(&statement.number()).copied();
        place.map(|place| self.take(place)).is_some()
    }

    /// Forgets all, and gives the heap back.
    pub fn clear(&mut self) {
        *self = Prepared::new(self.max);
    }

    /// True if the server has it. Its turn to go stays what it was.
    pub fn has(&self, statement: &Interned) -> bool {
        self.places.contains_key(&statement.number())
    }

    /// Statements prepared.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// True when nothing is prepared.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// All of them, the most recently used first.
    pub fn iter(&self) -> impl Iterator<Item = &Interned> {
        let newest = self.links.get(self.newest);
        let all = std::iter::successors(newest, |link| self.links.get(link.older));
        all.map(|link| &link.statement)
    }

    fn take(&mut self, place: usize) -> Interned {
        self.detach(place);
        let statement = self.links.swap_remove(place).statement;
        self.places.remove(&statement.number());
        if let Some(moved) = self.links.get(place) {
            let (number, newer, older) = (moved.statement.number(), moved.newer, moved.older);
            self.places.insert(number, place);
            self.join(newer, place);
            self.join(place, older);
        }
        statement
    }

    /// Takes a link out of the order.
    fn detach(&mut self, place: usize) {
        let Link { newer, older, .. } = self.links[place];
        self.join(newer, older);
    }

    /// Puts a link that is not in the order in front of it.
    fn attach(&mut self, place: usize) {
        self.join(place, self.newest);
        self.join(NONE, place);
    }

    /// Makes two links neighbours; [`NONE`] stands for the end of the order.
    fn join(&mut self, newer: usize, older: usize) {
        match self.links.get_mut(newer) {
            Some(link) => link.older = older,
            None => self.newest = older,
        }
        match self.links.get_mut(older) {
            Some(link) => link.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Statements;
    use super::*;

    const BODIES: usize = 12;

    fn bodies(count: usize) -> Vec<Interned> {
        let statements = Statements::new();
        (0..count).map(|n| statements.intern(n.to_string().as_bytes())).collect()
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let all = bodies(4);
        let mut prepared = Prepared::new(3);
        for statement in &all[..3] {
            assert_eq!(prepared.insert(statement.clone()), None);
        }
        assert!(prepared.touch(&all[0]));
        assert!(prepared.has(&all[1]), "asking is no use of it");
        assert_eq!(prepared.insert(all[3].clone()), Some(all[1].clone()));
        assert!(!prepared.touch(&all[1]));
        assert!(prepared.iter().eq([&all[3], &all[0], &all[2]]));
    }

    #[test]
    fn what_is_inserted_again_evicts_nothing() {
        let all = bodies(2);
        let mut prepared = Prepared::new(2);
        for statement in [&all[0], &all[1], &all[0]] {
            assert_eq!(prepared.insert(statement.clone()), None);
        }
        assert!(prepared.iter().eq([&all[0], &all[1]]));
    }

    #[test]
    fn there_is_always_a_place_for_one() {
        let all = bodies(2);
        let mut prepared = Prepared::new(0);
        assert_eq!(prepared.insert(all[0].clone()), None);
        assert_eq!(prepared.insert(all[1].clone()), Some(all[0].clone()));
        assert!(prepared.has(&all[1]));
    }

    #[test]
    fn nothing_prepared_costs_no_heap() {
        let mut prepared = Prepared::new(STATEMENTS_PER_SERVER_MAX);
        assert_eq!((prepared.places.capacity(), prepared.links.capacity()), (0, 0));
        for statement in bodies(100) {
            assert_eq!(prepared.insert(statement), None);
        }
        prepared.clear();
        assert_eq!((prepared.places.capacity(), prepared.links.capacity()), (0, 0));
        assert!(prepared.is_empty() && prepared.iter().next().is_none());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Touch(usize),
        Insert(usize),
        Remove(usize),
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            8 => (0..BODIES).prop_map(Op::Touch),
            8 => (0..BODIES).prop_map(Op::Insert),
            4 => (0..BODIES).prop_map(Op::Remove),
            1 => Just(Op::Clear),
        ]
    }

    /// The most recently used first.
    struct Naive {
        order: Vec<usize>,
        max: usize,
    }

    impl Naive {
        fn remove(&mut self, n: usize) -> bool {
            let before = self.order.len();
            self.order.retain(|other| *other != n);
            self.order.len() < before
        }

        fn touch(&mut self, n: usize) -> bool {
            let had = self.remove(n);
            if had {
                self.order.insert(0, n);
            }
            had
        }

        fn insert(&mut self, n: usize) -> Option<usize> {
            self.remove(n);
            let evicted = if self.order.len() == self.max { self.order.pop() } else { None };
            self.order.insert(0, n);
            evicted
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

        #[test]
        fn it_forgets_as_the_naive_one(
            max in 1..8_usize,
            ops in prop::collection::vec(op(), 0..100),
        ) {
            let all = bodies(BODIES);
            let (mut prepared, mut naive) = (Prepared::new(max), Naive { order: vec![], max });
            for op in ops {
                match op {
                    Op::Touch(n) => assert_eq!(prepared.touch(&all[n]), naive.touch(n)),
                    Op::Remove(n) => assert_eq!(prepared.remove(&all[n]), naive.remove(n)),
                    Op::Insert(n) => {
                        let evicted = naive.insert(n).map(|n| all[n].clone());
                        assert_eq!(prepared.insert(all[n].clone()), evicted);
                    }
                    Op::Clear => {
                        prepared.clear();
                        naive.order.clear();
                    }
                }
                assert!(prepared.iter().eq(naive.order.iter().map(|n| &all[*n])));
                assert_eq!(prepared.len(), naive.order.len());
                for (n, statement) in all.iter().enumerate() {
                    assert_eq!(prepared.has(statement), naive.order.contains(&n));
                }
            }
        }
    }
}
