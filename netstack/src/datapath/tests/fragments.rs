//! Datagrams larger than the MTU pass both ways.

use super::world::*;
use crate::counters::{DropReason, RefusalReason};
use crate::packets_for_tests::{at, fragments, reassembled, sound, udp};
use crate::policy::{Grant, Policy};

const BODY: [u8; 8_192] = [0xa7; 8_192];

fn parts(from: &str, to: &str, id: u32) -> Vec<Vec<u8>> {
    fragments(&udp(from, to, &BODY), 1_420, id)
}

/// Whether the parts make a sound datagram, and its ends.
fn whole(parts: &[Vec<u8>]) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let packet = reassembled(parts);
    assert!(packet.ends_with(&BODY));
    ends(&sound(&packet))
}

#[test]
fn a_large_datagram_passes_both_ways_in_both_families() {
    for (device, name, local, host) in [
        ("100.64.0.1:4000", "100.64.0.20:5000", "10.77.0.3:4000", "10.77.9.1:5000"),
        ("[fd99::1]:4000", "[fd99::20]:5000", "[fd77::3]:4000", "[fd77::9:1]:5000"),
    ] {
        let mut world = World::new();
        for part in parts(device, name, 7) {
            world.device_sends(&part);
        }
        assert_eq!(whole(&world.pump()), (at(local), at(host)));
        world.gateway_sends(&parts(host, local, 9));
        assert_eq!(whole(&world.frames()), (at(name), at(device)));
    }
}

#[test]
fn later_parts_wait_for_their_first() {
    let mut world = World::new();
    let mut out = parts("100.64.0.1:4000", "100.64.0.20:5000", 7);
    out.rotate_left(1);
    for part in &out {
        world.device_sends(part);
    }
    assert_eq!(whole(&world.pump()), (at("10.77.0.3:4000"), at("10.77.9.1:5000")));
    let mut back = parts("10.77.9.1:5000", "10.77.0.3:4000", 9);
    back.rotate_left(1);
    world.gateway_sends(&back);
    assert_eq!(whole(&world.frames()), (at("100.64.0.20:5000"), at("100.64.0.1:4000")));
}

#[test]
fn a_refused_datagram_is_answered_once_and_its_other_parts_go_nowhere() {
    let mut world = World::new();
    let out = parts("100.64.0.1:4000", "100.64.0.20:53", 7);
    for part in &out {
        world.device_sends(part);
    }
    assert!(world.pump().is_empty());
    assert_eq!(world.frames().len(), 1);
    assert_eq!(world.datapath.counters().get(DropReason::Fragment), out.len() as u64 - 1);
    assert_eq!(world.datapath.refusals().next().unwrap().reason, RefusalReason::PortNotAllowed);
}

#[test]
fn parts_that_nobody_asked_for_are_dropped() {
    let mut world = World::new();
    world.gateway_sends(&parts("10.77.9.1:5000", "10.77.0.3:4000", 9));
    assert!(world.frames().is_empty());
    assert_eq!(world.datapath.counters().get(DropReason::Unsolicited), 1);
    assert!(world.datapath.counters().get(DropReason::Fragment) > 0);
}

#[test]
fn parts_do_not_outlive_the_right_to_send_them() {
    let mut world = World::new();
    let out = parts("100.64.0.1:4000", "100.64.0.20:5000", 7);
    world.device_sends(&out[0]);
    assert_eq!(world.pump().len(), 1);
    world.datapath.set_policy(Policy { grants: vec![Grant::default(); 2], ..policy() }, world.now);
    world.device_sends(&out[1]);
    assert!(world.pump().is_empty());
}

#[test]
fn floods_of_parts_take_bounded_room() {
    let mut world = World::new();
    let part = |id| parts("100.64.0.1:4000", "100.64.0.20:5000", id).remove(1);
    for id in 0..3_000 {
        world.device_sends(&part(id));
    }
    assert!(world.pump().is_empty());
    assert!(world.datapath.counters().get(DropReason::Fragment) > 0, "held ones are bounded in bytes");
}
