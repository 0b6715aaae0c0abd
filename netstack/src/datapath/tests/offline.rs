//! Without a network nothing is tried, and with it at once.

use std::time::Duration;

use super::world::*;
use crate::packets_for_tests::udp;

#[test]
fn gateways_are_left_alone_while_offline_and_tried_at_once_afterwards() {
    let mut world = World::new();
    world.datapath.go_offline(world.now);
    world.lose();
    for _ in 0..600 {
        world.now += Duration::from_secs(1);
        world.datapath.handle_timeout(world.now);
        assert_eq!(world.lose(), 0, "nobody hears it");
    }
    assert_eq!(world.datapath.poll_timeout(), None, "nothing to wake up for");
    assert!(world.datapath.peer(0).unwrap().is_lost(world.now), "and that is known");
    world.datapath.reconnect(world.now);
    world.pump();
    world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
}
