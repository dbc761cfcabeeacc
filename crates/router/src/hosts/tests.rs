//! Which host comes first, and which comes at all.

use std::time::{Duration, Instant};

use super::{Hosts, Role, Seen, Wants, Wish};
use crate::testing::rule;
use config::{BalancingMethod, SessionAttrs, Storage};

const AGE: Duration = Duration::from_secs(1);

/// So many hosts, of which those that are marked are in our availability zone.
fn storage(near: &[bool], method: BalancingMethod) -> Storage {
    let mut storage = (*rule("* *").storage).clone();
    (storage.balancing.near, storage.balancing.method) = (near.to_vec(), method);
    storage.status_max_age = AGE;
    storage
}

fn order(hosts: &Hosts, storage: &Storage, attrs: SessionAttrs, now: Instant) -> Vec<usize> {
    let wants = Wants { attrs, ..Wants::ANYTHING };
    hosts.order(&Wish { storage, wants }, |host| [3, 1, 2, 0][host], now)
}

#[test]
fn each_host_has_its_turn_and_those_of_our_zone_come_first() {
    let (hosts, now) = (Hosts::new(4), Instant::now());
    let storage = storage(&[true, false, true, false], BalancingMethod::RoundRobin);
    let orders: Vec<_> = (0..3).map(|_| order(&hosts, &storage, SessionAttrs::Any, now)).collect();
    assert_eq!(orders, [[0, 2, 1, 3], [2, 0, 3, 1], [0, 2, 1, 3]]);
}

#[test]
fn the_host_with_the_fewest_servers_comes_first() {
    let (hosts, now) = (Hosts::new(4), Instant::now());
    let storage = storage(&[true, true, true, false], BalancingMethod::LeastConn);
    assert_eq!(order(&hosts, &storage, SessionAttrs::Any, now), [1, 2, 0, 3]);
}

/// The obvious way would let everybody try a host again once its death is old: all of them would
/// hang where it hangs.
#[test]
fn one_client_an_interval_looks_after_the_dead() {
    let (hosts, now) = (Hosts::new(2), Instant::now());
    let storage = storage(&[true, true], BalancingMethod::LeastConn);
    let try_at = |now| order(&hosts, &storage, SessionAttrs::Any, now);
    hosts.died(1, now);
    assert_eq!(try_at(now + AGE / 2), [0]);
    assert_eq!(try_at(now + AGE), [1, 0], "one is sent there");
    assert_eq!(try_at(now + AGE), [0], "the others wait for what it finds");
    hosts.lives(1);
    assert_eq!(try_at(now + AGE), [1, 0]);
    hosts.died(0, now + AGE);
    hosts.died(1, now + AGE);
    assert_eq!(try_at(now + AGE), [0; 0]);
}

#[test]
fn a_role_counts_as_long_as_it_is_fresh() {
    let (hosts, now) = (Hosts::new(3), Instant::now());
    let storage = storage(&[true; 3], BalancingMethod::LeastConn);
    hosts.saw(0, Role::Primary, now);
    hosts.saw(1, Role::Standby, now);
    for (attrs, expected) in [
        (SessionAttrs::ReadWrite, &[2, 0][..]),
        (SessionAttrs::ReadOnly, &[1, 2]),
        (SessionAttrs::PreferStandby, &[1, 2, 0]),
        (SessionAttrs::Any, &[1, 2, 0]),
    ] {
        assert_eq!(order(&hosts, &storage, attrs, now), expected, "{attrs:?}");
        assert_eq!(order(&hosts, &storage, attrs, now + AGE), [1, 2, 0], "{attrs:?}, later");
    }
    hosts.died(1, now);
    assert_eq!(hosts.role(1, AGE, now), None, "it may come back as another");
}

/// Odyssey compares by "less" when it asks whether a client may go on, and by "not more" when it
/// looks for a host: one that lags by just the limit is given to a client and taken back.
#[test]
fn hosts_that_lag_too_far_are_passed_over_as_long_as_that_is_believed() {
    let (hosts, now) = (Hosts::new(2), Instant::now());
    let storage = storage(&[true; 2], BalancingMethod::LeastConn);
    let order = |limit: Option<u64>, now| {
        let lag_max = limit.map(Duration::from_secs);
        let wants = Wants { lag_max, ..Wants::ANYTHING };
        hosts.order(&Wish { storage: &storage, wants }, |_| 0, now)
    };
    hosts.lags(0, Some(Duration::from_secs(10)), now + AGE);
    assert_eq!(order(None, now), [0, 1]);
    assert_eq!(order(Some(11), now), [0, 1]);
    assert_eq!(order(Some(10), now), [1], "and of the other one nothing is known");
    assert_eq!(order(Some(10), now + AGE), [0, 1], "nobody has looked since");
    let limit = Some(Duration::from_secs(5));
    hosts.lags(1, Some(Duration::from_secs(7)), now + AGE);
    assert_eq!(order(Some(5), now), [0; 0]);
    assert_eq!(hosts.excess(0, limit, now), Some(Duration::from_secs(10)));
    hosts.died(0, now);
    assert_eq!(hosts.seen(0, AGE, now), Seen { is_dead: true, ..Seen::default() });
}
