//! Kernel egress: packets come out translated, and their answers go back as the device knows them.

use super::world::*;
use crate::counters::DropReason;
use crate::gateway::*;
use crate::packet::facts::{Tcp, Transport};
use crate::packets_for_tests::{at, echo, fragments, ip, reassembled, sound, tcp, udp};

#[test]
fn a_flow_of_each_kind_reaches_the_real_host_and_comes_back() {
    let mut world = World::new(Egress::Kernel);
    for (sent, arrives, answer, got) in [
        (
            tcp("10.77.0.3:4000", "100.100.0.20:80", Tcp::SYN, (10, 0), &[]),
            tcp("10.77.0.3:4000", "10.1.0.1:80", Tcp::SYN, (10, 0), &[]),
            tcp("10.1.0.1:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]),
            tcp("100.100.0.20:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]),
        ),
        (
            udp("[fd77::3]:4000", "[fd64::20]:5000", b"question"),
            udp("[fd77::3]:4000", "[fd01::1]:5000", b"question"),
            udp("[fd01::1]:5000", "[fd77::3]:4000", b"answer"),
            udp("[fd64::20]:5000", "[fd77::3]:4000", b"answer"),
        ),
        (
            echo("10.77.0.3", WIKI, 7, true),
            echo("10.77.0.3", HOST, 7, true),
            echo(HOST, "10.77.0.3", 7, false),
            echo(WIKI, "10.77.0.3", 7, false),
        ),
    ] {
        world.sends(0, &[sent]);
        assert!(matches!(world.event(), Event::Began(..)));
        assert_eq!(world.frame(), arrives);
        world.inner_sends(&answer);
        assert_eq!(world.answer(0), got);
    }
    assert_eq!(world.gateway.peer(0).unwrap().flows, 3);
}

#[test]
fn two_names_of_one_host_stay_two_flows() {
    let mut world = World::new(Egress::Kernel);
    let mut same = destinations();
    same.push((ip("100.100.0.22"), Destination { applications: vec![0], real: Some(ip(HOST)) }));
    world.gateway.replace_destinations(same);
    let to = ["100.100.0.20:80", "100.100.0.22:80"];
    for to in to {
        world.sends(0, &[tcp("10.77.0.3:4000", to, Tcp::SYN, (10, 0), &[])]);
    }
    let frames = world.frames();
    let ports: Vec<u16> = frames.iter().map(|frame| sound(frame).ports().unwrap().0).collect();
    assert!(ports[0] == 4_000 && ports[1] != 4_000);
    for (port, to) in ports.into_iter().zip(to) {
        let answer = tcp("10.1.0.1:80", &format!("10.77.0.3:{port}"), Tcp::SYN | Tcp::ACK, (1, 11), &[]);
        world.inner_sends(&answer);
        let facts = sound(&world.answer(0));
        assert_eq!((facts.source, facts.ports()), (at(to).ip(), Some((80, 4_000))));
    }
}

#[test]
fn datagrams_in_parts_pass_both_ways() {
    let mut world = World::new(Egress::Kernel);
    for (device, name, host) in [
        ("10.77.0.3:4000", "100.100.0.20:5000", "10.1.0.1:5000"),
        ("[fd77::3]:4000", "[fd64::20]:5000", "[fd01::1]:5000"),
    ] {
        world.sends(0, &fragments(&udp(device, name, &[7; 3_000]), 1_400, 9));
        let frames = world.frames();
        assert!(frames.len() == 3 && frames.iter().all(|frame| frame.len() <= 1_420));
        let whole = reassembled(&frames);
        assert_eq!((sound(&whole).source, sound(&whole).destination), (at(device).ip(), at(host).ip()));
        for part in fragments(&udp(host, device, &[8; 3_000]), 1_400, 9) {
            world.inner_sends(&part);
        }
        let whole = reassembled(&world.got(0));
        assert_eq!(sound(&whole).source, at(name).ip());
    }
}

#[test]
fn what_is_too_long_for_the_tunnel_is_told_to_who_sent_it() {
    let mut world = World::new(Egress::Kernel);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    world.frames();
    world.inner_sends(&udp("10.1.0.1:5000", "10.77.0.3:4000", &[1; 1_450]));
    let told = world.frame();
    assert_eq!((sound(&told).destination, &told[20..22]), (ip(HOST), &[3, 4][..]));
    assert_eq!(told[26..28], 1_420u16.to_be_bytes());
    assert_eq!(world.got(0).len(), 0);
}

#[test]
fn what_belongs_to_no_flow_goes_to_nobody() {
    let mut world = World::new(Egress::Kernel);
    for packet in [
        tcp("10.1.0.1:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (1, 11), &[]),
        udp("10.1.0.1:5000", "10.77.0.3:4000", b"unasked"),
        echo(HOST, "10.77.0.3", 7, false),
    ] {
        world.inner_sends(&packet);
    }
    assert_eq!(world.gateway.counters().get(DropReason::Unsolicited), 3);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    world.inner_sends(&udp("10.1.0.1:5001", "10.77.0.3:4000", b"another port"));
    world.inner_sends(&udp("10.1.0.2:5000", "10.77.0.3:4000", b"another host"));
    assert_eq!(world.got(0).len(), 0);
}

#[test]
fn unfinished_checksums_of_the_kernel_are_finished() {
    let mut world = World::new(Egress::Kernel);
    world.sends(0, &[udp("10.77.0.3:4000", "100.100.0.20:5000", b"question")]);
    let mut packet = udp("10.1.0.1:5000", "10.77.0.3:4000", b"answer");
    let facts = sound(&packet);
    let pseudo = crate::packet::checksum::pseudo_header(facts.source, facts.destination, 17, 14);
    packet[26..28].copy_from_slice(&crate::packet::checksum::fold(pseudo).to_ne_bytes());
    let offload = crate::packet::virtio::Offload {
        checksum_start: Some(20),
        checksum_offset: 6,
        segmentation: crate::packet::virtio::Segmentation::None,
    };
    world.inner_sends_with(&packet, &offload);
    let answer = world.answer(0);
    assert!(matches!(sound(&answer).transport, Transport::Udp { .. }));
}
