//! What a device may reach, and from which addresses.

use super::world::*;
use crate::counters::{DropReason, RefusalReason};
use crate::gateway::*;
use crate::packet::facts::{Tcp, Transport};
use crate::packets_for_tests::{at, echo, sound, tcp, tcp_facts, udp};

fn syn(device: usize, to: &str) -> Vec<u8> {
    tcp(&source(device, 4_000), to, Tcp::SYN, (10, 0), &[])
}

fn refused(world: &mut World) -> (u32, RefusalReason, std::net::SocketAddr) {
    let Event::Refused(refusal) = world.event() else { panic!("no refusal") };
    (refusal.peer, refusal.reason, refusal.destination)
}

#[test]
fn tcp_that_is_not_allowed_is_reset_at_once_and_told() {
    let mut world = World::new(Egress::Userspace);
    for (device, to, reason) in [
        (0, "100.100.0.20:81", RefusalReason::PortNotAllowed),
        (1, "100.100.0.20:80", RefusalReason::NoApplication),
        (1, "100.100.0.99:80", RefusalReason::NoApplication),
        (1, "10.50.0.1:80", RefusalReason::NoApplication),
        (0, "10.51.0.1:80", RefusalReason::NoApplication),
        (0, "10.50.9.1:80", RefusalReason::NoApplication),
        (0, "127.0.0.1:80", RefusalReason::NoApplication),
        (0, "10.77.0.53:80", RefusalReason::PortNotAllowed),
    ] {
        world.sends(device, &[syn(device, to)]);
        assert_eq!(refused(&mut world), (device as u32, reason, at(to)), "{to}");
        let tcp = tcp_facts(&sound(&world.answer(device)));
        assert!(tcp.has(Tcp::RST | Tcp::ACK) && tcp.acknowledgement == 11, "{to}");
    }
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn all_else_that_is_not_allowed_is_prohibited() {
    let mut world = World::new(Egress::Kernel);
    let mut gre = udp(&source(0, 1), "100.100.0.20:5000", &[1; 40]);
    gre[9] = 47;
    crate::packet::checksum::write_ipv4_header(&mut gre, 20);
    for packet in [udp(&source(0, 1), "100.100.0.20:53", &[1; 40]), echo("10.77.0.3", SHELL, 7, true), gre] {
        world.sends(0, &[packet]);
        let answer = world.answer(0);
        let facts = sound(&answer);
        assert_eq!(facts.transport, Transport::Error);
        assert_eq!(answer[facts.transport_at..facts.transport_at + 2], [3, 13]);
    }
    assert_eq!((world.events().len(), world.frames().len()), (3, 0));
}

#[test]
fn every_port_of_a_host_is_tried_and_exactly_the_allowed_ones_open() {
    let mut world = World::new(Egress::Userspace);
    let mut open = Vec::new();
    for port in 1..=u16::MAX {
        world.now += std::time::Duration::from_millis(1); // answers have a pace
        world.sends(
            0,
            &[syn(0, &format!("{WIKI}:{port}")), udp(&source(0, 9), &format!("{WIKI}:{port}"), b"x")],
        );
        for event in world.events() {
            match event {
                Event::Opening(_, facts) | Event::Began(_, facts) => {
                    assert_eq!(facts.application, Some(0));
                    open.push((facts.protocol, facts.destination.port()));
                }
                Event::Refused(_) => {}
                Event::Ended(..) => panic!("{event:?}"),
            }
        }
        world.contents();
        assert_eq!(world.got(0).len(), if port == 80 || (5_000..=6_000).contains(&port) { 1 } else { 2 });
    }
    let mut expected = vec![(crate::policy::Protocol::Tcp, 80)];
    expected.extend((5_000..=6_000).map(|port| (crate::policy::Protocol::Udp, port)));
    assert_eq!(open, expected);
}

#[test]
fn an_address_that_is_not_the_devices_own_is_dropped_without_a_word() {
    let mut world = World::new(Egress::Userspace);
    let foreign = [
        tcp("10.77.0.3:4000", "100.100.0.21:22", Tcp::SYN, (10, 0), &[]),
        tcp("8.8.8.8:4000", "100.100.0.21:22", Tcp::SYN, (10, 0), &[]),
        udp("10.77.0.3:4000", "10.77.0.53:53", b"question"),
        echo("10.77.0.3", NAMES, 7, true),
    ];
    world.sends(1, &foreign);
    assert_eq!(world.gateway.counters().get(DropReason::ForeignAddress), 4);
    assert_eq!((world.events().len(), world.contents().len(), world.got(1).len()), (0, 0, 0));
}

#[test]
fn a_device_cannot_speak_on_the_flow_of_another() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[syn(0, "100.100.0.20:80")]);
    let id = world.opening();
    world.gateway.admit(id);
    world.frames();
    world.sends(1, &[tcp(&source(0, 4_000), "100.100.0.20:80", Tcp::RST, (11, 0), &[])]);
    assert_eq!((world.frames().len(), world.events().len()), (0, 0));
    assert_eq!(world.gateway.counters().get(DropReason::ForeignAddress), 1);
}

#[test]
fn the_most_specific_range_says_whose_an_address_is() {
    let mut world = World::new(Egress::Userspace);
    let mut changed = policy(&[&[1], &[1]]);
    changed.peers[0].allowed_ips.push(prefix("10.77.0.0", 24));
    world.gateway.set_policy(changed, world.now);
    for (device, from, passes) in [
        (0, "10.77.0.200:1", true),
        (0, "10.77.0.4:1", false),
        (1, "10.77.0.4:1", true),
        (1, "10.77.0.200:2", false),
    ] {
        world.sends(device, &[tcp(from, "100.100.0.21:22", Tcp::SYN, (1, 0), &[])]);
        assert_eq!(world.events().len(), usize::from(passes), "{from} of {device}");
    }
}

#[test]
fn devices_do_not_reach_each_other_whatever_a_range_covers() {
    let mut world = World::new(Egress::Kernel);
    let mut changed = policy(&[&[2], &[2]]);
    changed.networks = vec![Network { prefix: prefix("0.0.0.0", 0), application: 2 }];
    world.gateway.set_policy(changed, world.now);
    world.sends(0, &[syn(0, "10.77.0.4:80")]);
    assert_eq!(refused(&mut world).1, RefusalReason::NoApplication);
    assert_eq!(world.frames().len(), 0);
    // and what comes from the inner side for a device belongs to a flow or goes nowhere
    world.inner_sends(&tcp("10.77.0.3:80", "10.77.0.4:80", Tcp::SYN, (1, 0), &[]));
    world.inner_sends(&echo(HOST, "10.77.0.4", 7, true));
    assert_eq!((world.got(1).len(), world.gateway.counters().get(DropReason::Unsolicited)), (0, 2));
}

#[test]
fn a_guarded_address_is_reached_by_who_has_that_very_range() {
    let mut world = World::new(Egress::Userspace);
    let mut changed = policy(&[&[2]]);
    changed.networks.push(Network { prefix: prefix("10.50.9.7", 32), application: 2 });
    world.gateway.set_policy(changed, world.now);
    world.sends(0, &[syn(0, "10.50.9.8:80")]);
    assert_eq!(refused(&mut world).1, RefusalReason::NoApplication);
    world.sends(0, &[syn(0, "10.50.9.7:80")]);
    world.opening();
}

#[test]
fn strays_are_reset_and_not_worth_a_word() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[tcp(&source(0, 4_000), "100.100.0.20:80", Tcp::ACK, (11, 91), b"late")]);
    let tcp_facts = tcp_facts(&sound(&world.answer(0)));
    assert!(tcp_facts.has(Tcp::RST) && tcp_facts.sequence == 91);
    world.sends(0, &[tcp(&source(0, 4_000), "100.100.0.20:80", Tcp::RST, (11, 0), &[])]);
    world.sends(0, &[echo("10.77.0.3", WIKI, 7, false)]);
    assert_eq!((world.got(0).len(), world.events().len(), world.frames().len()), (0, 0, 0));
}
