//! Two stacks against each other over a simulated link, and one stack against hostile packets.
mod hostile;
mod loss;
mod many;
mod path;
pub(super) mod world;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use world::{CLIENT, Faults, LINK, Program, SERVER, World, limits};

const V4: (&str, &str) = ("100.64.0.9:40001", "100.64.0.53:53");
const V6: (&str, &str) = ("[fd00::9]:40001", "[fd00::53]:53");

fn addresses((local, remote): (&str, &str)) -> (SocketAddr, SocketAddr) {
    (local.parse().unwrap(), remote.parse().unwrap())
}

fn opened(family: (&str, &str)) -> (World, FlowId, FlowId) {
    let mut world = World::new(limits(64));
    let (local, remote) = addresses(family);
    let (client, server) = world.open(local, remote);
    (world, client, server)
}

fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] ^ salt).collect()
}

/// 1 MiB each way at the same time, to an orderly end on both sides.
fn exchange(mut world: World, family: (&str, &str)) -> World {
    let (local, remote) = addresses(family);
    let (client, server) = world.open(local, remote);
    let (there, back) = (pattern(1 << 20, 0), pattern(1 << 20, 0x55));
    let mut client = Program::new(&mut world, CLIENT, client, &there);
    let mut server = Program::new(&mut world, SERVER, server, &back);

    world.until(|world| {
        client.run(world);
        server.run(world);
        client.ended.is_some() && server.ended.is_some()
    });

    assert!(server.received == there, "{} bytes arrived at the server", server.received.len());
    assert!(client.received == back, "{} bytes arrived at the client", client.received.len());
    assert!(client.finished && server.finished);
    assert_eq!(client.ended, Some(Event::Closed(client.flow)));
    assert_eq!(server.ended, Some(Event::Closed(server.flow)));
    world
}

/// Everything is forgotten in the end, by itself.
fn assert_forgotten(mut world: World) {
    while world.step() {}
    assert_eq!(world.stacks.each_ref().map(TcpStack::flow_count), [0, 0]);
    assert_eq!(world.stacks.each_ref().map(TcpStack::poll_timeout), [None, None]);
}

#[test]
fn a_mebibyte_arrives_both_ways_over_ipv4_without_a_stall() {
    let before = world::start();
    let world = exchange(World::new(limits(64)), V4);
    // 16 windows of 64 KiB at 10 ms each, slow start before, and the clock that the world started with.
    assert!(world.now - before < Duration::from_secs(1), "{:?}", world.now - before);
    assert_forgotten(world);
}

#[test]
fn a_mebibyte_arrives_both_ways_over_ipv6() {
    assert_forgotten(exchange(World::new(limits(64)), V6));
}

#[test]
fn a_mebibyte_arrives_both_ways_through_a_bad_link() {
    let faults = Faults { loss: 20, reorder: 50, duplicate: 20, corrupt: 5 };
    for family in [V4, V6] {
        let world = exchange(World::with_faults(faults), family);
        assert!(world.stacks.iter().any(|stack| stack.counters().bad_checksum > 0));
    }
}

#[test]
fn sending_goes_on_after_the_peer_closed_its_half() {
    let (mut world, client, server) = opened(V4);
    world.stacks[CLIENT].send(client, b"question");
    world.stacks[CLIENT].close(client);
    assert_eq!(world.event(SERVER), Event::Readable(server));
    assert_eq!(world.event(SERVER), Event::Finished(server));

    let mut buffer = [0; 64];
    let taken = world.stacks[SERVER].recv(server, &mut buffer);
    assert_eq!(&buffer[..taken], b"question");
    let answer = pattern(100_000, 1);
    let mut program = Program::new(&mut world, SERVER, server, &answer);
    let mut received = vec![0; answer.len() + 1];
    let mut len = 0;
    world.until(|world| {
        program.run(world);
        len += world.stacks[CLIENT].recv(client, &mut received[len..]);
        len >= answer.len() && program.ended.is_some()
    });
    received.truncate(len);

    assert_eq!(received, answer);
    assert_eq!(world.stacks[CLIENT].send(client, b"late"), 0);
    assert!(world.events[CLIENT].contains(&Event::Closed(client)));
    assert_forgotten(world);
}

#[test]
fn a_reader_who_is_late_still_gets_everything_before_the_end() {
    let (mut world, client, server) = opened(V4);
    world.stacks[CLIENT].close(client);
    world.stacks[SERVER].send(server, b"the rest");
    world.stacks[SERVER].close(server);
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.events[CLIENT], [Event::Readable(client), Event::Finished(client)]);

    let mut buffer = [0; 4];
    assert_eq!(world.stacks[CLIENT].recv(client, &mut buffer), 4);
    world.collect();
    assert!(!world.events[CLIENT].contains(&Event::Closed(client)));
    assert_eq!(world.stacks[CLIENT].recv(client, &mut buffer), 4);
    assert_eq!(&buffer, b"rest");
    world.collect();

    assert!(world.events[CLIENT].contains(&Event::Closed(client)));
    assert_forgotten(world);
}

#[test]
fn a_reader_who_never_reads_is_timed_out() {
    let (mut world, client, server) = opened(V4);
    world.stacks[SERVER].send(server, &[1; 100]);
    assert_eq!(world.event(CLIENT), Event::Readable(client));
    assert_eq!(world.event(CLIENT), Event::TimedOut(client));
    assert_forgotten(world);
}

#[test]
fn the_window_stops_a_sender_until_the_reader_reads() {
    let (mut world, client, server) = opened(V4);
    let data = pattern(200_000, 2);
    let mut program = Program::new(&mut world, SERVER, server, &data);
    world.until(|world| {
        program.run(world);
        world.events[CLIENT].contains(&Event::Readable(client))
    });
    world.run_for(Duration::from_secs(30));
    program.run(&mut world);
    assert!(program.ended.is_none());

    let mut received = vec![0; data.len()];
    let mut len = 0;
    world.until(|world| {
        program.run(world);
        len += world.stacks[CLIENT].recv(client, &mut received[len..]);
        len == data.len()
    });
    assert_eq!(received, data);
}

#[test]
fn abort_resets_the_peer_and_frees_both_sides() {
    let (mut world, client, server) = opened(V4);
    world.stacks[CLIENT].send(client, b"never sent");
    world.stacks[CLIENT].abort(client);

    assert_eq!(world.stacks[CLIENT].send(client, b"dead"), 0);
    assert_eq!(world.event(SERVER), Event::Reset(server));
    assert!(world.events[CLIENT].is_empty());
    assert_forgotten(world);
}

#[test]
fn bytes_before_a_reset_can_still_be_read() {
    let (mut world, client, server) = opened(V4);
    world.stacks[SERVER].send(server, b"answer");
    world.until(|world| !world.events[CLIENT].is_empty());
    world.stacks[SERVER].abort(server);
    let mut buffer = [0; 16];
    assert_eq!(world.event(CLIENT), Event::Readable(client));
    assert_eq!(world.stacks[CLIENT].recv(client, &mut buffer), 6);
    assert_eq!(world.event(CLIENT), Event::Reset(client));
}

#[test]
fn a_connection_that_the_peer_refuses_ends_at_once() {
    let (local, remote) = addresses(V4);
    let mut world = World::new(Limits { max_flows: 1, ..limits(1) });
    world.open(local, remote);
    world.stacks[CLIENT] = world::stack(9, limits(64), world.now);
    let other = "100.64.0.9:40002".parse().unwrap();

    let flow = world.stacks[CLIENT].connect(LINK, other, remote, world.now).unwrap();
    let before = world.now;

    assert_eq!(world.event(CLIENT), Event::Reset(flow));
    assert!(world.now - before < Duration::from_secs(1));
    assert_eq!(world.stacks[SERVER].counters().refused, 1);
    assert_eq!(world.stacks[CLIENT].flow_count(), 0);
}

#[test]
fn a_connection_that_nobody_answers_times_out() {
    let (local, remote) = addresses(V4);
    let mut world = World::new(limits(64));
    let before = world.now;
    let flow = world.stacks[CLIENT].connect(LINK, local, remote, world.now).unwrap();

    assert_eq!(world.event(CLIENT), Event::TimedOut(flow));
    assert_eq!(world.now - before, Duration::from_secs(30));
    assert_eq!(world.sent, 5);
    assert_forgotten(world);
}

#[test]
fn a_connection_given_up_before_it_opened_leaves_nothing() {
    let (local, remote) = addresses(V4);
    let mut world = World::new(limits(64));
    let flow = world.stacks[CLIENT].connect(LINK, local, remote, world.now).unwrap();
    world.collect();
    world.stacks[CLIENT].close(flow);
    assert!(world.events[CLIENT].is_empty());
    assert_eq!(world.stacks[CLIENT].flow_count(), 0);
}

#[test]
fn a_peer_that_vanishes_times_out_with_data_under_way_and_when_idle() {
    for (data, expected) in [(&b"x"[..], Duration::from_secs(100)), (&b""[..], Duration::from_secs(600))] {
        let (mut world, client, _) = opened(V4);
        world.faults.loss = 1000;
        let before = world.now;
        world.stacks[CLIENT].send(client, data);

        assert_eq!(world.event(CLIENT), Event::TimedOut(client));
        // Counted from the last sign of life, some milliseconds before.
        let silence = world.now - before;
        assert!(silence <= expected && silence > expected - Duration::from_millis(50), "{silence:?}");
        assert_forgotten(world);
    }
}

#[test]
fn a_flow_that_was_idle_for_long_sends_without_a_false_timeout() {
    let (mut world, client, server) = opened(V4);
    world.run_for(Duration::from_secs(500));
    world.stacks[CLIENT].send(client, b"awake");
    assert_eq!(world.event(SERVER), Event::Readable(server));
    world.run_for(Duration::from_secs(300));
    world.stacks[CLIENT].close(client);
    assert_eq!(world.event(SERVER), Event::Finished(server));
    assert!(world.events[CLIENT].is_empty());
}

#[test]
fn a_port_in_time_wait_can_be_opened_again_by_the_peer() {
    let (mut world, client, server) = opened(V4);
    world.stacks[SERVER].close(server);
    assert_eq!(world.event(CLIENT), Event::Finished(client));
    world.stacks[CLIENT].close(client);
    assert_eq!(world.event(CLIENT), Event::Closed(client));
    assert_eq!(world.event(SERVER), Event::Finished(server));
    assert_eq!(world.event(SERVER), Event::Closed(server));
    assert_eq!(world.stacks.each_ref().map(TcpStack::flow_count), [0, 1]);

    let (local, remote) = addresses(V4);
    let (_, again) = world.open(local, remote);
    assert_ne!(again, server);
}

#[test]
fn the_same_addresses_on_another_link_are_another_flow() {
    let (local, remote) = addresses(V4);
    let now = world::start();
    let mut stack = world::stack(1, limits(64), now);
    stack.connect(1, local, remote, now).unwrap();
    stack.connect(2, local, remote, now).unwrap();
    assert_eq!(stack.connect(2, local, remote, now), Err(ConnectError::InUse { local, remote }));
    let links: Vec<u32> = std::iter::from_fn(|| stack.poll_packet(now)).map(|(link, _)| link).collect();
    assert_eq!(links, [1, 2]);
}

#[test]
fn addresses_that_no_flow_can_have_are_refused() {
    let now = world::start();
    let mut stack = world::stack(1, limits(64), now);
    let good: SocketAddr = "10.0.0.1:53".parse().unwrap();
    for bad in
        ["0.0.0.0:53", "224.0.0.1:53", "255.255.255.255:53", "10.0.0.2:0", "[fd00::1]:53", "[ff02::1]:53"]
    {
        let bad = bad.parse().unwrap();
        let unaddressable = ConnectError::Unaddressable { local: good, remote: bad };
        assert_eq!(stack.connect(LINK, good, bad, now), Err(unaddressable), "{bad}");
    }
    assert_eq!(stack.flow_count(), 0);
}
