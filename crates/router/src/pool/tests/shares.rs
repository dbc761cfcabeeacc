//! Several pools that share servers and logins: random clients, failures, refusals, cancels, resets
//! and retirements, with a clock the test turns. Nothing is compared with a second implementation:
//! after each step the invariants hold, and in the end everybody was served.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::budget::{Budget, Errand, Member, Share};
use world::{CLIENTS, POOLS, World};

mod world;

/// What happens next. Numbers name clients, pools or the nth of what is under way.
#[derive(Clone, Debug)]
enum Op {
    /// The client checks out or goes on with what it holds.
    Step(usize),
    /// What it holds is lost, its opening fails, or it leaves the queue.
    Fail(usize),
    /// Its opening is refused because the server has too many connections.
    Full(usize),
    Reopen(usize),
    /// Its server goes into a reset.
    Reset(usize),
    ResetDone(usize, bool),
    AskCancel(usize),
    SendCancel(usize),
    CancelDone(usize),
    Tick(u64),
    Expire(usize),
    RetireAll(usize),
    Prewarm(usize),
    PrewarmDone(usize, bool),
}

fn op() -> impl Strategy<Value = Op> {
    let (client, pool, nth) = (0..CLIENTS, 0..POOLS, 0..8_usize);
    prop_oneof![
        20 => client.clone().prop_map(Op::Step),
        2 => client.clone().prop_map(Op::Fail),
        2 => client.clone().prop_map(Op::Full),
        2 => nth.clone().prop_map(Op::Reopen),
        1 => client.clone().prop_map(Op::Reset),
        2 => (nth.clone(), any::<bool>()).prop_map(|(nth, well)| Op::ResetDone(nth, well)),
        1 => client.prop_map(Op::AskCancel),
        1 => nth.clone().prop_map(Op::SendCancel),
        2 => nth.clone().prop_map(Op::CancelDone),
        3 => (0..60_u64).prop_map(Op::Tick),
        1 => pool.clone().prop_map(Op::Expire),
        1 => pool.clone().prop_map(Op::RetireAll),
        1 => pool.prop_map(Op::Prewarm),
        1 => (nth, any::<bool>()).prop_map(|(nth, well)| Op::PrewarmDone(nth, well)),
    ]
}

/// Sizes of the pools (the last one shares logins only), of the servers and of the logins.
fn sizes() -> impl Strategy<Value = ([Option<usize>; POOLS], usize, usize)> {
    let size = || prop::option::of(1..5_usize);
    ([size(), size(), size()], 1..5_usize, 1..4_usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn pools_that_share_forget_nobody(
        (sizes, servers, logins) in sizes(),
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut world = World::new(sizes, servers, logins);
        for op in &ops {
            world.apply(op);
        }
        world.settle();
    }
}

/// Two pools with one budget of that many servers.
fn two(servers: usize) -> (World, Instant) {
    let world = World::new([None, None, None], servers, 9);
    let now = world.now;
    (world, now)
}

#[test]
fn an_idle_server_elsewhere_is_given_up_at_once() {
    let (mut world, _) = two(1);
    world.apply(&Op::Step(0)); // opens in pool 0
    world.apply(&Op::Step(0));
    world.apply(&Op::Step(0)); // and leaves it idle
    assert_eq!(world.pools[0].counts().idle, 1);
    world.apply(&Op::Step(1)); // pool 1 has none
    assert_eq!((world.pools[0].counts().servers(), world.pools[1].counts().opening), (0, 1));
    assert_eq!(world.pools[0].counters().ceded, 1);
}

/// Seen to fail: a busy pool that gives up nothing serves its own clients for ever; one that gives
/// up a server whenever another's client is older does nothing but log in.
#[test]
fn a_busy_pool_gives_up_a_server_for_a_client_that_waited_much_longer() {
    let (mut world, start) = two(1);
    for client in [0, 0, 3, 1] {
        world.apply(&Op::Step(client)); // 0 has the server, 3 waits behind it, 1 in pool 1
    }
    let mut gave = 0;
    for round in 0..300 {
        world.apply(&Op::Tick(1));
        for client in [0, 3] {
            world.apply(&Op::Step(client));
        }
        if world.pools[1].counts().opening > 0 {
            gave = round;
            break;
        }
    }
    assert!((95..150).contains(&gave), "after {gave} ms ({:?})", world.now - start);
}
