//! What is not allowed is answered at once, and told.

use std::time::Duration;

use super::world::*;
use crate::conntrack::{FlowEnd, FlowEvent};
use crate::counters::{DropReason, RefusalReason};
use crate::datapath::Judgement;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packets_for_tests::{at, echo, ip, sound, tcp, tcp_facts, udp};
use crate::policy::Policy;

impl World {
    /// The device sends a packet that must be refused for `reason`; what it is told.
    fn refused(&mut self, packet: &[u8], reason: RefusalReason) -> Vec<u8> {
        let count = self.count(reason);
        self.device_sends(packet);
        assert!(self.pump().is_empty(), "nothing reaches the gateway");
        assert_eq!(self.count(reason), count + 1, "{reason:?} is told");
        self.frame()
    }

    fn count(&self, reason: RefusalReason) -> u64 {
        self.datapath.refusals().filter(|refusal| refusal.reason == reason).map(|refusal| refusal.count).sum()
    }
}

fn is_reset(packet: &[u8]) -> bool {
    tcp_facts(&sound(packet)).has(Tcp::RST)
}

/// Type and code of an ICMP error, and the facts of what it quotes.
fn error(packet: &[u8]) -> ([u8; 2], Facts) {
    let facts = sound(packet);
    assert_eq!(facts.transport, Transport::Error);
    let at = facts.transport_at;
    ([packet[at], packet[at + 1]], Facts::parse_quoted(&packet[at + 8..]).unwrap())
}

#[test]
fn a_port_that_is_not_allowed_is_reset_at_once() {
    let mut world = World::new();
    let answer = world.refused(
        &tcp("100.64.0.1:4000", "100.64.0.20:22", Tcp::SYN, (10, 0), &[]),
        RefusalReason::PortNotAllowed,
    );
    let facts = sound(&answer);
    assert_eq!(ends(&facts), (at("100.64.0.20:22"), at("100.64.0.1:4000")));
    assert!(tcp_facts(&facts).has(Tcp::RST | Tcp::ACK));
    assert_eq!(tcp_facts(&facts).acknowledgement, 11);
    let told = *world.datapath.refusals().next().unwrap();
    assert_eq!((told.grant, told.destination, told.port, told.count), (0, ip(WIKI), 22, 1));
}

#[test]
fn datagrams_that_are_not_allowed_are_answered_with_prohibited() {
    let mut world = World::new();
    for (packet, code) in [
        (udp("100.64.0.1:4000", "100.64.0.20:53", b"x"), [3, 13]),
        (udp("[fd99::1]:4000", "[fd99::20]:53", b"x"), [1, 1]),
    ] {
        let (told, quoted) = error(&world.refused(&packet, RefusalReason::PortNotAllowed));
        assert_eq!((told, quoted.ports()), (code, Some((4000, 53))));
    }
}

#[test]
fn an_unknown_virtual_address_is_refused_and_a_foreign_one_is_dropped() {
    let mut world = World::new();
    let answer = world.refused(
        &tcp("100.64.0.1:4000", "100.64.9.9:80", Tcp::SYN, (10, 0), &[]),
        RefusalReason::NoApplication,
    );
    assert!(is_reset(&answer));
    world.device_sends(&tcp("100.64.0.1:4000", "203.0.113.9:80", Tcp::SYN, (10, 0), &[]));
    assert!(world.frames().is_empty() && world.pump().is_empty());
    assert_eq!(world.datapath.counters().get(DropReason::NotOurs), 1);
}

#[test]
fn a_blocked_policy_refuses_everything() {
    let mut world = World::new();
    world.datapath.set_policy(Policy { is_blocked: true, ..policy() }, world.now);
    let syn = tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]);
    assert!(is_reset(&world.refused(&syn, RefusalReason::Blocked)));
    let ping = echo(DEVICE, WIKI, 7, true);
    assert_eq!(error(&world.refused(&ping, RefusalReason::Blocked)).0, [3, 13]);
    let server = at("10.77.0.53:53");
    assert!(!world.datapath.send_query(1, 0, server, b"question", world.now));
    assert!(world.datapath.connect_tcp(0, server, world.now).is_none());
}

#[test]
fn a_segment_of_no_connection_is_reset_with_the_number_it_expects() {
    let mut world = World::new();
    let stray = tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::ACK, (10, 77), b"late");
    let answer = tcp_facts(&sound(&world.refused(&stray, RefusalReason::UnknownConnection)));
    assert_eq!((answer.flags, answer.sequence), (Tcp::RST, 77));
    let answer = tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN | Tcp::ACK, (10, 77), &[]);
    assert!(is_reset(&world.refused(&answer, RefusalReason::UnknownConnection)));
    world.device_sends(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::RST, (10, 0), &[]));
    assert!(world.frames().is_empty(), "a reset is never answered");
    assert_eq!(world.count(RefusalReason::UnknownConnection), 2, "nor told");
}

#[test]
fn a_lost_gateway_is_said_to_be_unreachable_at_once_and_tried_again() {
    let mut world = World::without_session();
    assert_eq!(world.lose(), 1, "the first initiation");
    world.device_sends(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]));
    assert!(world.frames().is_empty(), "it may still answer");
    world.now += Duration::from_secs(11);
    world.datapath.handle_timeout(world.now);
    world.lose();
    for (packet, code) in [
        (tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]), [3, 1]),
        (tcp("100.64.0.1:4001", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]), [3, 1]),
        (udp("[fd99::1]:4000", "[fd99::20]:5000", b"x"), [1, 3]),
        (echo(DEVICE, WIKI, 7, true), [3, 1]),
    ] {
        world.now += Duration::from_secs(2);
        world.device_sends(&packet);
        let (told, quoted) = error(&world.frame());
        assert_eq!((told, quoted.destination), (code, Facts::parse(&packet).unwrap().destination));
        assert_eq!(world.lose(), 1, "an initiation at once");
        world.device_sends(&packet);
        assert_eq!((world.frames().len(), world.lose()), (1, 0), "but not more than one a second");
    }
    assert_eq!(world.count(RefusalReason::GatewayUnreachable), 8);
    assert!(!world.datapath.send_query(1, 0, at("10.77.0.53:53"), b"question", world.now));

    world.now += Duration::from_secs(2);
    world.device_sends(&echo(DEVICE, WIKI, 7, true));
    world.pump();
    world.frames();
    world.carried(&echo(DEVICE, WIKI, 7, true));
}

#[test]
fn an_open_connection_outlives_an_outage() {
    let mut world = World::new();
    world.carried(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]));
    world.delivered(&tcp("10.77.9.1:80", "10.77.0.3:4000", Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    world.make_lost();
    world.device_sends(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::ACK, (11, 91), b"data"));
    assert!(world.frames().is_empty());
    world.device_sends(&tcp("100.64.0.1:4001", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]));
    assert_eq!(error(&world.frame()).0, [3, 1]);
    assert!(world.pump().iter().any(|packet| packet.ends_with(b"data")), "carried once it answers");
}

#[test]
fn a_flow_is_judged_as_its_first_packet_would_be_and_none_begins() {
    let mut world = World::new();
    let now = world.now;
    let refused =
        |reason, applications: &[u32]| Judgement::Refused { reason, applications: applications.to_vec() };
    for (address, judgement) in [
        ("100.64.0.20:80", Judgement::Allowed),
        ("10.77.128.1:80", Judgement::Allowed),
        ("100.64.0.20:22", refused(RefusalReason::PortNotAllowed, &[0])),
        ("100.64.0.250:80", refused(RefusalReason::NoApplication, &[])),
        ("192.0.2.1:80", refused(RefusalReason::NoApplication, &[])),
    ] {
        assert_eq!(world.datapath.judge(at(address), crate::packet::TCP, now), judgement, "{address}");
    }
    assert_eq!(world.count(RefusalReason::PortNotAllowed), 1, "a person is told why");
    assert!(world.pump().is_empty() && world.datapath.destinations().is_empty());
}

#[test]
fn a_flow_to_a_gateway_that_is_lost_is_judged_unreachable() {
    let mut world = World::without_session();
    world.now += Duration::from_secs(60);
    world.datapath.handle_timeout(world.now);
    let judgement = world.datapath.judge(at("100.64.0.20:80"), crate::packet::TCP, world.now);
    assert_eq!(
        judgement,
        Judgement::Refused { reason: RefusalReason::GatewayUnreachable, applications: vec![0] }
    );
}

#[test]
fn each_refusal_is_told_once_and_those_that_repeat_it_are_counted() {
    let mut world = World::new();
    let mut refused = |port: u16, after: Duration| {
        world.now += after;
        let to = format!("100.64.0.20:{port}");
        world.refused(&tcp("100.64.0.1:4000", &to, Tcp::SYN, (10, 0), &[]), RefusalReason::PortNotAllowed);
        world.datapath.poll_refusal().map(|(refusal, left_out)| (refusal.port, left_out))
    };
    assert_eq!(refused(22, Duration::ZERO), Some((22, 0)));
    assert_eq!(refused(22, Duration::from_millis(10)), None);
    assert_eq!(refused(22, Duration::from_millis(10)), None);
    assert_eq!(refused(23, Duration::from_millis(10)), Some((23, 2)), "another one, and the two before it");
    assert_eq!(refused(23, Duration::from_secs(1)), Some((23, 0)), "a second later it is news again");
}

#[test]
fn a_policy_that_takes_rights_away_tells_of_ends_not_of_refusals() {
    let mut world = World::new();
    world.device_sends(&tcp("100.64.0.1:4000", "100.64.0.20:80", Tcp::SYN, (10, 0), &[]));
    assert!(matches!(world.datapath.poll_flow_event(), Some(FlowEvent::Began(_))));
    world.datapath.set_policy(Policy { is_blocked: true, ..policy() }, world.now);
    let Some(FlowEvent::Ended(facts, FlowEnd::Revoked)) = world.datapath.poll_flow_event() else { panic!() };
    assert_eq!((facts.source, facts.destination), (at("100.64.0.1:4000"), at("100.64.0.20:80")));
    assert_eq!(world.datapath.poll_refusal(), None);
    assert_eq!(world.datapath.flows(9), (Vec::new(), 0));
}
