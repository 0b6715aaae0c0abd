//! ICMP errors about a flow come back to the program that owns it.

use super::world::*;
use crate::counters::DropReason;
use crate::datapath::Arrival;
use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::{ICMP, ICMPV6};
use crate::packets_for_tests::{at, echo, ip, sound, tcp, udp};

/// An ICMP error from `source` about the first `quoted` bytes of `packet`; `rest` stands in the header's second word.
pub(super) fn error(source: &str, about: &[u8], quoted: usize, kind: [u8; 2], rest: u32) -> Vec<u8> {
    let (source, target) = (ip(source), Facts::parse(about).unwrap().source);
    let mut icmp = vec![kind[0], kind[1], 0, 0];
    icmp.extend(rest.to_be_bytes());
    icmp.extend(&about[..quoted.min(about.len())]);
    let (protocol, pseudo) = match source.is_ipv6() {
        true => (ICMPV6, checksum::pseudo_header(source, target, ICMPV6, icmp.len())),
        false => (ICMP, 0),
    };
    let sum = !checksum::fold(checksum::sum(&icmp) + pseudo);
    icmp[2..4].copy_from_slice(&sum.to_ne_bytes());
    let mut packet = Vec::new();
    match (source, target) {
        (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) => {
            etherparse::PacketBuilder::ipv4(a.octets(), b.octets(), 60)
                .write(&mut packet, protocol.into(), &icmp)
                .unwrap();
        }
        (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) => {
            etherparse::PacketBuilder::ipv6(a.octets(), b.octets(), 60)
                .write(&mut packet, protocol.into(), &icmp)
                .unwrap();
        }
        _ => panic!("two families"),
    }
    packet
}

/// What the device is told of `packet`, which it sent, when the network answers with an error.
fn told(world: &mut World, router: &str, packet: &[u8], quoted: usize, kind: [u8; 2]) -> (Vec<u8>, Facts) {
    let carried = world.carried(packet);
    let answers = world.delivered(&error(router, &carried, quoted, kind, 1_300));
    assert_eq!(answers.len(), 1, "one error for the device");
    let facts = sound(&answers[0]);
    let inner = Facts::parse_quoted(&answers[0][facts.transport_at + 8..]).unwrap();
    assert_eq!(answers[0][facts.transport_at..facts.transport_at + 2], kind);
    assert_eq!(answers[0][facts.transport_at + 4..facts.transport_at + 8], 1_300u32.to_be_bytes());
    assert_eq!(facts.destination, Facts::parse(packet).unwrap().source);
    (answers[0].clone(), inner)
}

#[test]
fn an_error_quotes_what_the_device_sent() {
    let sent = [
        (tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]), "10.77.0.1", [3, 4]),
        (udp("100.64.0.1:4000", "100.64.0.20:5000", &[7; 100]), HOST, [3, 3]),
        (echo(DEVICE, WIKI, 77, true), "10.77.0.1", [11, 0]),
        (tcp("[fd99::1]:4000", "[fd99::20]:80", Tcp::SYN, (10, 0), &[]), "fd77::1", [2, 0]),
        (udp("[fd99::1]:4000", "[fd99::20]:5000", &[7; 100]), HOST6, [1, 4]),
    ];
    for (packet, router, kind) in sent {
        let mut world = World::new();
        let (answer, inner) = told(&mut world, router, &packet, 1_000, kind);
        let original = Facts::parse(&packet).unwrap();
        assert_eq!((addresses(&inner), inner.ports()), (addresses(&original), original.ports()));
        let at = Facts::parse(&answer).unwrap().transport_at + 8;
        sound(&answer[at..]);
    }
}

#[test]
fn eight_quoted_bytes_are_enough() {
    let long_syn = |options: usize| {
        let mut packet = Vec::new();
        let header = etherparse::Ipv4Header {
            options: vec![1; options].as_slice().try_into().unwrap(),
            ..etherparse::Ipv4Header::new(0, 9, etherparse::IpNumber::TCP, [100, 64, 0, 1], [100, 64, 0, 20])
                .unwrap()
        };
        etherparse::PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
            .tcp(4000, 80, 10, 9)
            .syn()
            .write(&mut packet, &[])
            .unwrap();
        packet
    };
    for options in [0, 4, 28, 40] {
        let mut world = World::new();
        let (_, inner) = told(&mut world, HOST, &long_syn(options), 28 + options, [3, 4]);
        assert_eq!((inner.source, inner.destination), (ip(DEVICE), ip(WIKI)), "{options} bytes of options");
        assert_eq!(inner.ports(), Some((4000, 80)));
    }
    let mut world = World::new();
    let syn = tcp("[fd99::1]:4000", "[fd99::20]:80", Tcp::SYN, (10, 0), &[]);
    assert_eq!(told(&mut world, HOST6, &syn, 48, [2, 0]).1.ports(), Some((4000, 80)));
}

#[test]
fn errors_about_nothing_of_ours_and_broken_ones_are_dropped() {
    let mut world = World::new();
    let carried = world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
    let mut broken = error(HOST, &carried, 100, [3, 3], 0);
    broken[25] ^= 1;
    let stranger = udp("10.77.0.3:999", "10.77.9.1:5000", b"x");
    let short = error(HOST, &carried, 25, [3, 3], 0);
    for (packet, reason) in [
        (broken, DropReason::Malformed),
        (short, DropReason::Malformed),
        (error(HOST, &stranger, 100, [3, 3], 0), DropReason::Unsolicited),
    ] {
        let before = world.datapath.counters().get(reason);
        assert!(world.delivered(&packet).is_empty());
        assert_eq!(world.datapath.counters().get(reason), before + 1);
    }
}

#[test]
fn an_error_about_a_query_is_told_to_the_resolver() {
    let mut world = World::new();
    let server = at("10.77.0.53:53");
    assert!(world.datapath.send_query(42, 0, server, b"question", world.now));
    let query = world.pump().remove(0);
    assert!(matches!(sound(&query).transport, Transport::Udp { .. }));
    assert!(world.delivered(&error("10.77.0.53", &query, 28, [3, 3], 0)).is_empty());
    assert_eq!(world.datapath.poll_arrival(), Some(Arrival::Unreachable { query: 42, server }));
}

#[test]
fn errors_of_the_device_reach_the_host_that_they_are_about() {
    for (device, name, local, host, kind) in [
        ("100.64.0.1:4000", "100.64.0.20:5000", "10.77.0.3:4000", "10.77.9.1:5000", [3, 3]),
        ("100.64.0.1:4000", "100.64.0.20:5000", "10.77.0.3:4000", "10.77.9.1:5000", [3, 4]),
        ("[fd99::1]:4000", "[fd99::20]:5000", "[fd77::3]:4000", "[fd77::9:1]:5000", [1, 4]),
        ("[fd99::1]:4000", "[fd99::20]:5000", "[fd77::3]:4000", "[fd77::9:1]:5000", [2, 0]),
    ] {
        let mut world = World::new();
        let other = device.replace("4000", "4001");
        world.carried(&udp(&other, name, b"takes the port"));
        world.carried(&udp(device, name, b"question"));
        let got = world.delivered(&udp(host, local, b"answer")).remove(0);
        let told = world.carried(&error(&at(device).ip().to_string(), &got, 1_000, kind, 1_300));
        let facts = sound(&told);
        assert_eq!(told[facts.transport_at..facts.transport_at + 2], kind);
        assert_eq!(addresses(&facts), (at(local).ip(), at(host).ip()));
        let inner = &told[facts.transport_at + 8..];
        assert_eq!(ends(&sound(inner)), (at(host), at(local)));
        assert!(inner.ends_with(b"answer"));
    }
}

#[test]
fn errors_of_the_device_about_nothing_that_is_open_go_nowhere() {
    let mut world = World::new();
    let stranger = udp("100.64.0.20:5000", "100.64.0.1:4000", b"x");
    world.device_sends(&error(DEVICE, &stranger, 100, [3, 3], 0));
    assert_eq!(world.datapath.counters().get(DropReason::NotOurs), 1);
    world.carried(&udp("100.64.0.1:4000", "100.64.0.20:5000", b"x"));
    let mut broken = error(DEVICE, &stranger, 100, [3, 3], 0);
    broken[25] ^= 1;
    world.device_sends(&broken);
    assert_eq!(world.datapath.counters().get(DropReason::Malformed), 1);
    // redirects would lead around what is granted (RFC 1812, section 5.2.7.2)
    world.device_sends(&error(DEVICE, &stranger, 100, [5, 1], 0));
    assert_eq!(world.datapath.counters().get(DropReason::UnsupportedProtocol), 1);
    assert!(world.pump().is_empty());
}
