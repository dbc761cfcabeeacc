//! Which host comes first, and which comes at all.

use std::time::{Duration, Instant};

use super::{Hosts, Role, Wish};
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
    hosts.order(&Wish { storage, attrs }, |host| [3, 1, 2, 0][host], now)
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
