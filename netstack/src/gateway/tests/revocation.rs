//! Rights that are taken away while flows are open, and reloads that change nothing.

use super::world::*;
use crate::gateway::*;
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{echo, ip, sound, tcp, tcp_facts, udp};

fn open(world: &mut World, device: usize, to: &str) {
    world.sends(device, &[tcp(&source(device, 4_000), to, Tcp::SYN, (10, 0), &[])]);
    let id = world.opening();
    world.gateway.admit(id);
    world.inner_sends(&tcp(to, &source(device, 4_000), Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    world.sends(device, &[tcp(&source(device, 4_000), to, Tcp::ACK, (11, 91), &[1; 100])]);
    world.frames();
    world.got(device);
}

fn set(world: &mut World, policy: Policy) -> Vec<u32> {
    let numbers = world.gateway.set_policy(policy, world.now);
    world.pump();
    numbers
}

#[test]
fn the_same_policy_again_disturbs_nobody() {
    let mut world = World::new(Egress::Userspace);
    open(&mut world, 0, "100.100.0.20:80");
    assert_eq!(set(&mut world, policy(&[&[0, 1, 2], &[1]])), [0, 1]);
    assert_eq!((world.events().len(), world.got(0).len(), world.frames().len()), (0, 0, 0));
    world.inner_sends(&tcp("100.100.0.20:80", &source(0, 4_000), Tcp::ACK, (91, 111), b"goes on"));
    assert_eq!(world.got(0).len(), 1);
}

#[test]
fn a_right_that_is_taken_away_resets_its_flows_exactly_and_no_others() {
    let mut world = World::new(Egress::Userspace);
    open(&mut world, 0, "100.100.0.20:80");
    open(&mut world, 1, "100.100.0.21:22");
    set(&mut world, policy(&[&[1, 2], &[1]]));
    let Event::Ended(_, facts, EndReason::Revoked) = world.event() else { panic!() };
    assert_eq!((facts.peer, facts.up), (0, 100));
    let to_device = tcp_facts(&sound(&world.answer(0)));
    assert_eq!((to_device.flags & Tcp::RST, to_device.sequence), (Tcp::RST, 91));
    let to_host: Vec<_> = world.frames().iter().map(|frame| tcp_facts(&sound(frame))).collect();
    assert!(to_host.iter().all(|tcp| tcp.has(Tcp::RST)));
    assert_eq!(to_host.iter().map(|tcp| tcp.sequence).collect::<Vec<_>>(), [11, 111]);
    assert_eq!((world.got(1).len(), world.gateway.peer(1).unwrap().flows), (0, 1));
    world.sends(0, &[tcp(&source(0, 4_000), "100.100.0.20:80", Tcp::ACK, (111, 91), b"more")]);
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn a_device_that_is_removed_loses_flows_and_session() {
    let mut world = World::new(Egress::Userspace);
    open(&mut world, 0, "100.100.0.20:80");
    let mut without = policy(&[&[0], &[1]]);
    without.peers.remove(0);
    assert_eq!(set(&mut world, without), [1]);
    assert!(matches!(world.event(), Event::Ended(_, _, EndReason::Revoked)));
    assert!(tcp_facts(&sound(&world.answer(0))).has(Tcp::RST), "told before its session ends");
    assert!(world.gateway.peer(0).is_none());
    world.sends(0, &[echo("10.77.0.3", NAMES, 7, true)]);
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.reconnect(batch, world.now);
    world.pump();
    assert_eq!(world.got(0).len(), 0);
    world.sends(1, &[echo("10.77.0.4", NAMES, 7, true)]);
    assert_eq!(world.got(1).len(), 1, "the other goes on");
}

#[test]
fn a_number_is_not_given_to_another_device_at_once() {
    let mut world = World::with(config(Egress::Userspace), &[&[0], &[1]]);
    let mut other = policy(&[&[0], &[1]]);
    other.peers[0] = peer_config(7, &[0]);
    assert_eq!(world.gateway.set_policy(other.clone(), world.now), [2, 1]);
    other.peers[1] = peer_config(8, &[0]);
    assert_eq!(world.gateway.set_policy(other.clone(), world.now), [2, 0]);
    other.peers.push(other.peers[0].clone());
    assert_eq!(world.gateway.set_policy(other, world.now), [2, 0, 2], "listed twice");
}

#[test]
fn an_address_that_becomes_anothers_ends_its_flows() {
    let mut world = World::new(Egress::Userspace);
    open(&mut world, 0, "100.100.0.20:80");
    let mut changed = policy(&[&[0], &[1]]);
    let first = std::mem::take(&mut changed.peers[0].allowed_ips);
    changed.peers[1].allowed_ips = first;
    set(&mut world, changed);
    assert!(matches!(world.event(), Event::Ended(_, _, EndReason::Revoked)));
}

#[test]
fn a_name_that_stands_for_another_host_or_nothing_ends_its_flows() {
    for destinations in [
        vec![],
        vec![(ip(WIKI), Destination { applications: vec![0], real: Some(ip("10.1.0.9")) })],
        vec![(ip(WIKI), Destination { applications: vec![1], real: Some(ip(HOST)) })],
    ] {
        let mut world = World::new(Egress::Kernel);
        world.sends(0, &[udp(&source(0, 4_000), "100.100.0.20:5000", b"question")]);
        world.events();
        world.gateway.replace_destinations(destinations);
        set(&mut world, policy(&[&[0, 1, 2], &[1]]));
        assert!(matches!(world.event(), Event::Ended(_, _, EndReason::Revoked)));
        world.inner_sends(&udp("10.1.0.1:5000", &source(0, 4_000), b"late"));
        assert_eq!(world.got(0).len(), 0);
    }
}

#[test]
fn a_flow_that_another_application_allows_now_goes_on_under_that_name() {
    let mut world = World::new(Egress::Userspace);
    let both = Destination { applications: vec![1, 0], real: None };
    world.gateway.add_destination(ip(WIKI), both);
    open(&mut world, 0, "100.100.0.20:80");
    let mut changed = policy(&[&[0, 1, 2], &[1]]);
    let wiki = changed.applications[0].ports[0];
    changed.applications[1].ports.push(wiki);
    set(&mut world, changed);
    assert_eq!(world.events(), []);
    set(&mut world, policy(&[&[], &[1]]));
    let Event::Ended(_, facts, EndReason::Revoked) = world.event() else { panic!() };
    assert_eq!(facts.application, Some(1));
}

#[test]
fn thousands_of_flows_are_reset_over_as_many_batches_as_they_need() {
    let mut world = World::new(Egress::Kernel);
    for port in 1..=4_000 {
        world.sends(0, &[tcp(&source(0, port), "100.100.0.20:80", Tcp::SYN, (10, 0), &[])]);
        world.inner_sends(&tcp("10.1.0.1:80", &source(0, port), Tcp::SYN | Tcp::ACK, (90, 11), &[]));
        world.frames();
    }
    world.events();
    world.got(0);
    set(&mut world, policy(&[&[], &[1]]));
    assert_eq!(world.events().len(), 4_000);
    let is_reset = |packet: &Vec<u8>| tcp_facts(&sound(packet)).has(Tcp::RST);
    let (to_device, to_host) = (world.got(0), world.frames());
    assert!(to_device.len() == 4_000 && to_device.iter().all(is_reset));
    assert!(to_host.len() >= 4_000 && to_host.iter().all(is_reset));
    assert_eq!(world.gateway.flows.len(), 0);
}
