//! Chains: doubly linked lists over numbered places, several lists in one table of links. A place
//! is in one list at most. It stores no values and refuses to search: every call is O(1).

/// No neighbour.
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Links {
    before: u32,
    after: u32,
}

#[derive(Clone, Copy)]
struct Ends {
    front: u32,
    back: u32,
}

/// Lists over places `0..`, which grow as they are named.
#[derive(Default)]
pub(crate) struct Chain {
    links: Vec<Links>,
    ends: Vec<Ends>,
}

impl Chain {
    /// Puts `place`, which is in no list, at the front of `list`.
    pub(crate) fn push_front(&mut self, list: usize, place: u32) {
        self.grow(list, place);
        let front = self.ends[list].front;
        self.links[place as usize] = Links { before: NIL, after: front };
        self.ends[list].front = place;
        match front {
            NIL => self.ends[list].back = place,
            next => self.links[next as usize].before = place,
        }
    }

    /// Puts `place`, which is in no list, at the back of `list`.
    pub(crate) fn push_back(&mut self, list: usize, place: u32) {
        self.grow(list, place);
        let back = self.ends[list].back;
        self.links[place as usize] = Links { before: back, after: NIL };
        self.ends[list].back = place;
        match back {
            NIL => self.ends[list].front = place,
            last => self.links[last as usize].after = place,
        }
    }

    /// Puts `place`, which is in no list, before `next`, which is in `list`.
    pub(crate) fn insert_before(&mut self, list: usize, place: u32, next: u32) {
        self.grow(list, place);
        let before = self.links[next as usize].before;
        self.links[place as usize] = Links { before, after: next };
        self.links[next as usize].before = place;
        match before {
            NIL => self.ends[list].front = place,
            previous => self.links[previous as usize].after = place,
        }
    }

    /// Takes `place` out of `list`, in which it is.
    pub(crate) fn remove(&mut self, list: usize, place: u32) {
        let Links { before, after } = self.links[place as usize];
        match before {
            NIL => self.ends[list].front = after,
            previous => self.links[previous as usize].after = after,
        }
        match after {
            NIL => self.ends[list].back = before,
            next => self.links[next as usize].before = before,
        }
    }

    /// The first place of `list`.
    pub(crate) fn front(&self, list: usize) -> Option<u32> {
        self.ends.get(list).map(|ends| ends.front).filter(|place| *place != NIL)
    }

    /// The last place of `list`.
    pub(crate) fn back(&self, list: usize) -> Option<u32> {
        self.ends.get(list).map(|ends| ends.back).filter(|place| *place != NIL)
    }

    /// The places of `list`, front to back.
    pub(crate) fn iter(&self, list: usize) -> impl Iterator<Item = u32> {
        std::iter::successors(self.front(list), |place| {
            Some(self.links[*place as usize].after).filter(|next| *next != NIL)
        })
    }

    fn grow(&mut self, list: usize, place: u32) {
        if self.ends.len() <= list {
            self.ends.resize(list + 1, Ends { front: NIL, back: NIL });
        }
        if self.links.len() <= place as usize {
            self.links.resize(place as usize + 1, Links { before: NIL, after: NIL });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chain: &Chain, list: usize, expected: &[u32]) {
        assert_eq!(chain.iter(list).collect::<Vec<_>>(), expected);
        assert_eq!(chain.front(list), expected.first().copied());
    }

    #[test]
    fn places_leave_from_anywhere() {
        let mut chain = Chain::default();
        check(&chain, 3, &[]);
        for place in [5, 0, 2] {
            chain.push_back(1, place);
        }
        chain.push_front(1, 7);
        chain.push_front(0, 1);
        check(&chain, 1, &[7, 5, 0, 2]);
        chain.remove(1, 0);
        check(&chain, 1, &[7, 5, 2]);
        chain.remove(1, 2);
        chain.push_back(1, 0);
        check(&chain, 1, &[7, 5, 0]);
        assert_eq!(chain.back(1), Some(0));
        chain.insert_before(1, 3, 0);
        chain.insert_before(1, 4, 7);
        check(&chain, 1, &[4, 7, 5, 3, 0]);
        for place in [7, 5, 0, 3, 4] {
            chain.remove(1, place);
        }
        check(&chain, 1, &[]);
        check(&chain, 0, &[1]);
    }
}
