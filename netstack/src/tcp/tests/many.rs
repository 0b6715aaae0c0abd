//! Many flows: bounded tables, and a cost that follows the active ones only.
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::tcp::{ConnectError, Event, FlowId, Limits, TcpStack};

use super::world::{self, CLIENT, LINK, SERVER, World, limits};

fn client_address(number: u32) -> SocketAddr {
    SocketAddr::from(([10, 1, (number >> 14) as u8, 1], 1024 + (number & 0x3fff) as u16))
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 53], 53))
}

/// The client's SYNs for `count` flows.
fn syns(count: u32) -> Vec<Vec<u8>> {
    let now = world::start();
    let mut client = world::stack(1, Limits { buffer_bytes: 1024, ..limits(count as usize) }, now);
    for number in 0..count {
        client.connect(LINK, client_address(number), server_address(), now).unwrap();
    }
    std::iter::from_fn(|| client.poll_packet(now)).map(|(_, packet)| packet).collect()
}

#[test]
fn a_flood_of_half_open_connections_stays_bounded_and_yields_to_a_real_one() {
    let mut world = World::new(limits(300));
    world.stacks[SERVER].listen(LINK, server_address());
    for syn in syns(2000) {
        assert!(world.stacks[SERVER].handle_packet(LINK, &syn, world.now));
        assert!(world.stacks[SERVER].flow_count() <= 256);
    }
    assert_eq!(world.stacks[SERVER].counters().half_open_evicted, 2000 - 256);
    while world.stacks[SERVER].poll_packet(world.now).is_some() {}
    assert!(world.stacks[SERVER].poll_event().is_none());

    world.open("10.9.9.9:40000".parse().unwrap(), server_address());

    world.run_for(Duration::from_secs(16));
    assert_eq!(world.stacks[SERVER].flow_count(), 1);
}

#[test]
fn a_flood_without_fetching_packets_holds_no_more_than_the_limits() {
    let now = world::start();
    let mut server = world::stack(2, limits(10), now);
    server.listen(LINK, server_address());
    for syn in syns(2000) {
        server.handle_packet(LINK, &syn, now);
    }
    assert_eq!(server.flow_count(), 10);
    assert_eq!(server.ready.len(), 10);
    let packets = std::iter::from_fn(|| server.poll_packet(now)).count();
    assert_eq!(packets, 10);
}

#[test]
fn a_full_table_refuses_and_serves_again_when_a_flow_ends() {
    let mut world = World::new(limits(2));
    let (first, _) = world.open(client_address(0), server_address());
    world.open(client_address(1), server_address());
    let refused = world.stacks[CLIENT].connect(LINK, client_address(2), server_address(), world.now);
    assert_eq!(refused, Err(ConnectError::Full { remote: server_address(), max_flows: 2 }));

    world.stacks[CLIENT].abort(first);
    assert!(matches!(world.event(SERVER), Event::Reset(_)));
    world.open(client_address(2), server_address());
}

#[test]
fn flows_in_time_wait_yield_to_new_ones() {
    let mut world = World::new(limits(2));
    for number in 0..6 {
        let (client, server) = world.open(client_address(number), server_address());
        world.stacks[CLIENT].close(client);
        assert_eq!(world.event(SERVER), Event::Finished(server));
        world.stacks[SERVER].close(server);
        assert_eq!(world.event(SERVER), Event::Closed(server));
        world.until(|world| world.events[CLIENT].contains(&Event::Closed(client)));
        world.events[CLIENT].clear();
    }
    assert_eq!(world.stacks[CLIENT].flow_count(), 2);
}

#[test]
fn ids_of_ended_flows_name_nothing() {
    let now = world::start();
    let mut stack = world::stack(1, limits(4), now);
    let mut seen: HashSet<FlowId> = HashSet::new();
    for _ in 0..100 {
        let flow = stack.connect(LINK, client_address(0), server_address(), now).unwrap();
        assert!(seen.insert(flow), "an id was given twice");
        stack.abort(flow);
        assert_eq!(stack.flow_count(), 0);
    }
}

#[test]
fn ten_thousand_idle_flows_cost_an_active_one_nothing() {
    let alone = polls_of_an_exchange(0);
    let in_a_crowd = polls_of_an_exchange(10_000);
    assert!(alone.iter().all(|polls| *polls > 0));
    assert_eq!(alone, in_a_crowd);
}

/// Enters smoltcp how often, for 64 KiB on one flow beside `idle` others?
fn polls_of_an_exchange(idle: u32) -> [u64; 2] {
    let mut world = World::new(Limits { buffer_bytes: 4096, ..limits(10_001) });
    for number in 0..idle {
        world.open(client_address(number), server_address());
    }
    // Nothing of the opening is left to be done.
    world.run_for(Duration::from_secs(5));
    let (client, server) = world.open("10.9.9.9:40000".parse().unwrap(), server_address());
    let before = world.stacks.each_ref().map(|stack| stack.counters().polls);

    let (mut sent, mut received) = (0, 0);
    let mut buffer = [0; 4096];
    world.until(|world| {
        sent += world.stacks[CLIENT].send(client, &buffer[..(65_536 - sent).min(4096)]);
        received += world.stacks[SERVER].recv(server, &mut buffer);
        received == 65_536
    });

    let after = world.stacks.each_ref().map(|stack| stack.counters().polls);
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn an_idle_flow_wakes_nobody_before_its_idle_timeout() {
    let mut world = World::new(limits(4));
    world.open(client_address(0), server_address());
    world.run_for(Duration::from_secs(2));
    for stack in &world.stacks {
        assert!(stack.poll_timeout().unwrap() >= world.now + Duration::from_secs(590));
    }
    let polls: u64 = world.stacks.iter().map(|stack: &TcpStack| stack.counters().polls).sum();
    world.run_for(Duration::from_secs(500));
    assert_eq!(polls, world.stacks.iter().map(|stack| stack.counters().polls).sum());
}

#[test]
fn one_flow_sends_no_more_than_its_pace_allows_and_lets_others_in_between() {
    let limits = Limits { buffer_bytes: 1 << 20, ..limits(4) };
    let mut world = World::new(limits);
    let (bulk, sink) = world.open(client_address(0), server_address());
    let (other, _) = world.open(client_address(1), server_address());
    // Opens the congestion window wide, until all is acknowledged.
    let chunk = vec![7; 1 << 19];
    let mut scratch = vec![0; 1 << 20];
    for _ in 0..4 {
        assert_eq!(world.stacks[CLIENT].send(bulk, &chunk), chunk.len());
        let mut received = 0;
        world.until(|world| {
            received += world.stacks[SERVER].recv(sink, &mut scratch);
            received == chunk.len()
        });
    }
    world.run_for(Duration::from_secs(1));

    world.stacks[CLIENT].send(bulk, &chunk);
    world.stacks[CLIENT].send(other, b"x");
    let sizes: Vec<usize> = std::iter::from_fn(|| world.stacks[CLIENT].poll_packet(world.now))
        .map(|(_, packet)| packet.len())
        .collect();

    assert_eq!(sizes.len(), 65);
    assert_eq!(sizes.iter().position(|len| *len < 100), Some(16));
    assert_eq!(world.stacks[CLIENT].poll_timeout(), Some(world.now + Duration::from_millis(1)));
}
