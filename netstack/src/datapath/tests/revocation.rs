//! Rights that are taken away end what they had let begin.

use super::world::*;
use crate::counters::RefusalReason;
use crate::datapath::Mapping;
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{at, echo, ip, sound, tcp, tcp_facts, udp};
use crate::policy::{Grant, Policy, Protocol};

/// Nothing is granted any more.
fn nothing() -> Policy {
    Policy { grants: vec![Grant::default(), Grant::default()], ..policy() }
}

impl World {
    /// A connection that has carried 50 bytes to the host and 10 back, all acknowledged.
    pub(super) fn open_connection(&mut self) {
        self.open_connection_to("10.77.9.1");
    }

    fn open_connection_to(&mut self, host: &str) {
        let (device, name) = ("100.64.0.1:4000", "100.64.0.20:80");
        let (host, local) = (&*format!("{host}:80"), "10.77.0.3:4000");
        self.carried(&tcp(device, name, Tcp::SYN, (100, 0), &[]));
        self.delivered(&tcp(host, local, Tcp::SYN | Tcp::ACK, (900, 101), &[]));
        self.carried(&tcp(device, name, Tcp::ACK, (101, 901), &[1; 50]));
        self.delivered(&tcp(host, local, Tcp::ACK, (901, 151), &[2; 10]));
        self.carried(&tcp(device, name, Tcp::ACK, (151, 911), &[]));
    }
}

#[test]
fn revoked_application_resets_open_flows() {
    let mut world = World::new();
    world.open_connection();
    assert_eq!(world.datapath.set_policy(nothing(), world.now), 1);
    let to_device = sound(&world.frame());
    assert_eq!(ends(&to_device), (at("100.64.0.20:80"), at("100.64.0.1:4000")));
    let reset = tcp_facts(&to_device);
    assert_eq!((reset.flags & Tcp::RST, reset.sequence), (Tcp::RST, 911));
    let at_gateway = world.pump();
    assert_eq!(at_gateway.len(), 1);
    let to_host = sound(&at_gateway[0]);
    assert_eq!(ends(&to_host), (at("10.77.0.3:4000"), at("10.77.9.1:80")));
    let reset = tcp_facts(&to_host);
    assert_eq!((reset.flags & Tcp::RST, reset.sequence), (Tcp::RST, 151));
    assert_eq!(world.datapath.refusals().next().unwrap().reason, RefusalReason::Revoked);
    assert!(world.delivered(&tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::ACK, (911, 151), b"x")).is_empty());
}

#[test]
fn resets_are_exact_while_data_is_under_way() {
    let mut world = World::new();
    world.open_connection();
    world.delivered(&tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::ACK, (911, 151), &[3; 100]));
    world.carried(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::ACK, (151, 911), &[4; 30]));
    world.datapath.set_policy(nothing(), world.now);
    assert_eq!(tcp_facts(&sound(&world.frame())).sequence, 1_011, "the device has all of it");
    let sequences: Vec<u32> = world.pump().iter().map(|packet| tcp_facts(&sound(packet)).sequence).collect();
    assert_eq!(sequences, [151, 181], "the host has none or all of it");
}

#[test]
fn a_connection_that_is_not_answered_yet_is_reset_so_that_connect_fails() {
    let mut world = World::new();
    world.carried(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (100, 0), &[]));
    world.datapath.set_policy(nothing(), world.now);
    let reset = tcp_facts(&sound(&world.frame()));
    assert!(reset.has(Tcp::RST | Tcp::ACK));
    assert_eq!(reset.acknowledgement, 101);
    assert_eq!(tcp_facts(&sound(&world.pump()[0])).sequence, 101);
}

#[test]
fn a_policy_that_still_allows_keeps_flows_and_says_under_which_application() {
    let mut world = World::new();
    world.open_connection();
    world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
    let mut renamed = policy();
    renamed.grants[0].applications[0].id = 1;
    assert_eq!(world.datapath.set_policy(renamed, world.now), 0);
    assert!(world.frames().is_empty() && world.pump().is_empty());
    assert_eq!(world.datapath.flows_by_application(2), [0, 2]);
    assert_eq!(world.delivered(&udp("10.77.9.1:5000", "10.77.0.3:4000", b"x")).len(), 1);
}

#[test]
fn flows_follow_their_name_to_another_grant_and_end_where_the_name_leads_elsewhere() {
    let mut world = World::new();
    world.open_connection();
    let mapping = |real, grant| (ip("100.64.0.20"), Mapping { gateway: 0, real: ip(real), grant });
    let mut moved = policy();
    moved.grants.swap(0, 1);
    world.datapath.replace_mappings([mapping("10.77.9.1", 1)]);
    assert_eq!(world.datapath.set_policy(moved.clone(), world.now), 0, "the same right under another number");
    world.datapath.replace_mappings([mapping("10.77.9.2", 1)]);
    assert_eq!(
        world.datapath.set_policy(moved.clone(), world.now),
        1,
        "another host stands behind the address"
    );
    assert_eq!((world.frames().len(), world.pump().len()), (1, 1), "a reset each way");
    world.open_connection_to("10.77.9.2");
    world.datapath.replace_mappings([]);
    assert_eq!(world.datapath.set_policy(moved, world.now), 1, "no application stands behind it any more");
}

#[test]
fn revoked_datagrams_stop_in_both_directions() {
    let mut world = World::new();
    world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
    assert_eq!(world.datapath.set_policy(nothing(), world.now), 1);
    assert!(world.delivered(&udp("10.77.9.1:5000", "10.77.0.3:4000", b"x")).is_empty());
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
    assert!(world.pump().is_empty());
    assert_eq!(world.frames().len(), 1, "prohibited");
}

#[test]
fn more_flows_than_a_batch_has_room_for_are_all_reset() {
    let mut world = World::new();
    let flows = 6_000;
    for n in 0..flows {
        let device = format!("100.64.0.1:{}", 10_000 + n);
        world.device_sends(&tcp(&device, "100.64.0.20:80", Tcp::SYN, (100, 0), &[]));
        if n % 100 == 0 {
            world.pump();
        }
    }
    world.pump();
    assert_eq!(world.datapath.set_policy(nothing(), world.now), flows);
    assert_eq!(world.frames().len(), flows);
    assert_eq!(world.pump().len(), flows);
}

#[test]
fn what_waits_for_a_session_is_not_sent_once_its_right_is_gone() {
    let mut world = World::without_session();
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"stays"));
    world.device_sends(&udp("100.64.0.1:4001", "100.64.0.21:22", b"never was allowed"));
    world.device_sends(&echo(DEVICE, WIKI, 7, true));
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5001", b"goes"));
    let mut narrower = policy();
    narrower.grants[0].applications[0].ports.retain(|ports| ports.protocol == Protocol::Udp);
    narrower.grants[0].applications[0].ports[0].last = 5_000;
    world.datapath.set_policy(narrower, world.now);
    let sent = world.pump();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sound(&sent[0]).ports(), Some((4000, 5000)));
    // the queue and its mirror go on in step
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"later"));
    assert_eq!(world.pump().len(), 1);
}
