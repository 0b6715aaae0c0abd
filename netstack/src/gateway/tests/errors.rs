//! ICMP errors both ways.

use super::world::*;
use crate::counters::DropReason;
use crate::gateway::*;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::refusal;
use crate::packets_for_tests::{at, ip, sound, tcp, udp};

/// The error that `from` sends about a packet.
fn unreachable(from: &str, packet: &[u8]) -> Vec<u8> {
    let facts = Facts { destination: ip(from), ..sound(packet) };
    let mut out = vec![0; refusal::LARGEST];
    let length = refusal::write_port_unreachable(&mut out, packet, &facts).unwrap();
    out.truncate(length);
    out
}

fn quoted(error: &[u8]) -> Facts {
    let facts = sound(error);
    assert_eq!(facts.transport, Transport::Error);
    Facts::parse_quoted(&error[facts.transport_at + 8..]).unwrap()
}

#[test]
fn a_router_behind_the_gateway_is_shown_as_the_destination_itself() {
    let mut world = World::new(Egress::Kernel);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    let arrived = world.frame();
    world.inner_sends(&unreachable("10.99.9.9", &arrived));
    let error = world.answer(0);
    assert_eq!((sound(&error).source, sound(&error).destination), (ip(WIKI), ip("10.77.0.3")));
    assert_eq!((quoted(&error).destination, quoted(&error).ports()), (ip(WIKI), Some((4_000, 5_000))));
}

#[test]
fn a_devices_error_reaches_the_host_as_the_host_knows_the_flow() {
    let mut world = World::new(Egress::Kernel);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    world.frames();
    world.inner_sends(&udp("10.1.0.1:5000", "10.77.0.3:4000", b"answer"));
    let got = world.answer(0);
    world.sends(0, &[unreachable("10.77.0.3", &got)]);
    let error = world.frame();
    assert_eq!((sound(&error).source, sound(&error).destination), (ip("10.77.0.3"), ip(HOST)));
    assert_eq!((quoted(&error).source, quoted(&error).ports()), (ip(HOST), Some((5_000, 4_000))));
}

#[test]
fn a_datagram_flow_that_its_device_refuses_ends() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    let Event::Began(id, _) = world.event() else { panic!() };
    world.gateway.send_udp(id, b"answer", world.now);
    world.pump();
    let got = world.answer(0);
    let mut too_big = unreachable("10.77.0.3", &got);
    too_big[21] = 4; // "fragmentation needed" says nothing about the port
    let sum = !crate::packet::checksum::fold(
        crate::packet::checksum::sum(&too_big[20..22]) + crate::packet::checksum::sum(&too_big[24..]),
    );
    too_big[22..24].copy_from_slice(&sum.to_ne_bytes());
    world.sends(0, &[too_big]);
    assert_eq!(world.events(), []);
    world.sends(0, &[unreachable("10.77.0.3", &got)]);
    assert!(matches!(world.event(), Event::Ended(ended, _, EndReason::ResetByPeer) if ended == id));
    assert_eq!(world.frames().len(), 0);
}

#[test]
fn errors_about_flows_of_others_and_of_nobody_are_dropped() {
    let mut world = World::new(Egress::Kernel);
    world.sends(0, &[tcp("10.77.0.3:4000", "100.100.0.20:80", Tcp::SYN, (10, 0), &[])]);
    let arrived = world.frame();
    let back = tcp("100.100.0.20:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]);
    let mut broken = unreachable("10.77.0.3", &back);
    *broken.last_mut().unwrap() ^= 1;
    world.sends(1, &[unreachable("10.77.0.4", &back), unreachable("10.77.0.3", &back)]);
    world.sends(0, &[broken, unreachable("10.77.0.3", &udp("100.100.0.20:9", "10.77.0.3:9", b"x"))]);
    assert_eq!(world.frames().len(), 0);
    let mut foreign = unreachable("10.99.9.9", &arrived);
    crate::nat::quoted::readdress(
        &mut foreign,
        &sound(&unreachable("10.99.9.9", &arrived)),
        &crate::nat::Translation {
            source: ip("10.99.9.9"),
            destination: ip("10.77.0.4"),
            source_port: None,
            destination_port: None,
        },
    );
    world.inner_sends(&foreign);
    world.inner_sends(&unreachable("10.99.9.9", &tcp("10.77.0.3:1", "10.1.0.1:80", Tcp::SYN, (1, 0), &[])));
    assert_eq!((world.got(0).len(), world.got(1).len()), (0, 0));
    let counted = |reason| world.gateway.counters().get(reason);
    assert_eq!((counted(DropReason::Unsolicited), counted(DropReason::ForeignAddress)), (3, 2));
    assert_eq!(counted(DropReason::Malformed), 1);
    assert_eq!(at("10.77.0.3:4000").ip(), sound(&arrived).source);
}
