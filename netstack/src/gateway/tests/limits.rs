//! What one device can use up: its own share.

use std::time::Duration;

use super::world::*;
use crate::counters::{DropReason, RefusalReason};
use crate::gateway::*;
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{tcp, udp};

fn limited(limits: Limits) -> World {
    let config = Config { limits, ..config(Egress::Userspace) };
    let mut world = World::with(config, &[&[0, 1, 2], &[1]]);
    world.connect(0);
    world.connect(1);
    world
}

fn syn(device: usize, port: u16) -> Vec<u8> {
    tcp(&source(device, port), "100.100.0.21:22", Tcp::SYN, (10, 0), &[])
}

fn is_full(event: &Event) -> bool {
    matches!(event, Event::Refused(refusal) if refusal.reason == RefusalReason::TableFull)
}

#[test]
fn connections_that_are_not_open_yet_are_few_a_device() {
    let mut world = limited(Limits { half_open_per_peer: 3, ..Limits::default() });
    world.sends(0, &(1..=5).map(|port| syn(0, port)).collect::<Vec<_>>());
    let events = world.events();
    assert_eq!(events.iter().filter(|event| is_full(event)).count(), 2);
    world.sends(1, &[syn(1, 1)]);
    world.opening();
    // one that opens makes room for another
    let Event::Opening(id, _) = events[0] else { panic!() };
    world.gateway.admit(id);
    world.frames();
    world.inner_sends(&tcp("100.100.0.21:22", &source(0, 1), Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    world.sends(0, &[syn(0, 6)]);
    world.opening();
}

#[test]
fn flows_are_so_many_a_device_and_ended_ones_do_not_count() {
    let mut world = limited(Limits { flows_per_peer: 3, ..Limits::default() });
    let datagrams: Vec<_> = (1..=5).map(|port| udp(&source(0, port), "100.100.0.20:5000", b"x")).collect();
    world.sends(0, &datagrams);
    let events = world.events();
    assert_eq!(events.iter().filter(|event| is_full(event)).count(), 2);
    assert_eq!(world.gateway.peer(0).unwrap().flows, 3);
    let Event::Began(id, _) = events[0] else { panic!() };
    world.gateway.close_flow(id, Close::Done, world.now);
    world.sends(0, &[udp(&source(0, 9), "100.100.0.20:5000", b"x")]);
    assert!(world.events().iter().all(|event| !is_full(event)));
}

#[test]
fn a_full_table_forgets_what_ended_and_nothing_else() {
    let mut world = limited(Limits { flows: 4, ..Limits::default() });
    world.sends(0, &(1..=4).map(|port| syn(0, port)).collect::<Vec<_>>());
    let events = world.events();
    world.sends(0, &[syn(0, 5)]);
    assert!(is_full(&world.event()));
    let Event::Opening(id, _) = events[1] else { panic!() };
    world.gateway.admit(id);
    world.inner_sends(&tcp("100.100.0.21:22", &source(0, 2), Tcp::RST | Tcp::ACK, (0, 11), &[]));
    assert!(matches!(world.event(), Event::Ended(..)));
    assert_eq!(world.gateway.flows.len(), 4, "known for what is repeated of it");
    world.sends(0, &[syn(0, 6)]);
    world.opening();
    assert_eq!(world.gateway.flows.len(), 4);
}

#[test]
fn queries_have_a_pace_a_device() {
    let mut world = limited(Limits { queries_per_second: 5, ..Limits::default() });
    let query = |device| vec![udp(&source(device, 4_000), "10.77.0.53:53", b"question"); 20];
    world.sends(0, &query(0));
    assert_eq!(world.contents().len(), 5);
    world.sends(1, &query(1));
    assert_eq!(world.contents().len(), 5);
    assert_eq!(world.gateway.counters().get(DropReason::RateLimited), 30);
    world.now += Duration::from_secs(1);
    world.sends(0, &query(0));
    assert_eq!(world.contents().len(), 5);
}

#[test]
fn refusals_are_told_a_few_times_a_second_and_the_rest_is_counted() {
    let mut world = limited(Limits::default());
    let wrong = |port| udp(&source(0, 4_000), &format!("100.100.0.20:{port}"), b"x");
    world.sends(0, &(1..=100).map(wrong).collect::<Vec<_>>());
    assert_eq!((world.events().len(), world.got(0).len()), (10, 100));
    world.now += Duration::from_secs(1);
    world.sends(0, &[wrong(1)]);
    let Event::Refused(refusal) = world.event() else { panic!() };
    assert_eq!(refusal.left_out, 90);
}

#[test]
fn events_that_nobody_fetches_are_bounded() {
    let mut world = limited(Limits { flows_per_peer: 100_000, ..Limits::default() });
    for round in 0..40u32 {
        let packets: Vec<_> = (1..=1_000)
            .map(|port| udp(&source(0, port), &format!("100.100.0.20:{}", 5_000 + round), b"x"))
            .collect();
        world.sends(0, &packets);
        world.pass(Duration::from_secs(61));
        world.got(0);
    }
    assert!(world.gateway.events.len() < 36_000, "{}", world.gateway.events.len());
}
