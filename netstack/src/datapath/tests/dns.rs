//! The resolver's packets: queries of the device, queries into tunnels, and DNS over TCP both ways.

use std::net::SocketAddr;
use std::time::Duration;

use super::world::*;
use crate::counters::DropReason;
use crate::datapath::{Arrival, Handled, TcpEvent};
use crate::packet::facts::Transport;
use crate::packet::virtio::HEADER_LEN;
use crate::packets_for_tests::{at, sound, tcp_facts, udp};
use crate::policy::Policy;
use crate::tcp::{Event, FlowId, Limits, TcpStack};

const LINK: u32 = 1;

fn stack(world: &World) -> TcpStack {
    let limits = Limits {
        max_flows: 8,
        buffer_bytes: 70_000,
        idle_timeout: Duration::from_secs(60),
        pace_packets: 64,
    };
    TcpStack::new([1; 32], 1_420, limits, world.now)
}

fn packets(stack: &mut TcpStack, world: &World) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| stack.poll_packet(world.now)).map(|(_, packet)| packet).collect()
}

impl World {
    /// Lets a program of the device and the datapath speak until both are silent, or time must pass.
    fn speak_with_program(&mut self, program: &mut TcpStack) {
        loop {
            let sent = packets(program, self);
            sent.iter().for_each(|packet| assert_eq!(self.device_sends(packet), Handled::Done));
            let answers = self.frames();
            answers.iter().for_each(|packet| assert!(program.handle_packet(LINK, packet, self.now)));
            if sent.is_empty() && answers.is_empty() && !self.pass_time(program) {
                return;
            }
        }
    }

    /// The same with a server behind the gateway.
    fn speak_with_server(&mut self, server: &mut TcpStack) {
        loop {
            let sent = self.pump();
            sent.iter().for_each(|packet| assert!(server.handle_packet(LINK, packet, self.now)));
            let answers = packets(server, self);
            self.gateway_sends(&answers);
            if sent.is_empty() && answers.is_empty() && !self.pass_time(server) {
                return;
            }
        }
    }

    /// Pacing and delayed acknowledgements; false when nothing is due within a second.
    fn pass_time(&mut self, stack: &mut TcpStack) -> bool {
        let soon = self.now + Duration::from_secs(1);
        let due = stack.poll_timeout().into_iter().chain(self.datapath.tcp.poll_timeout()).min();
        let Some(due) = due.filter(|due| *due < soon) else { return false };
        self.now = self.now.max(due);
        stack.handle_timeout(self.now);
        self.datapath.handle_timeout(self.now);
        true
    }

    fn tcp_events(&mut self) -> Vec<TcpEvent> {
        std::iter::from_fn(|| self.datapath.poll_tcp_event()).collect()
    }

    /// A connection of the resolver to a server behind the gateway: its end here, and the server's.
    fn connection(&mut self, server: &mut TcpStack, address: SocketAddr) -> (FlowId, FlowId) {
        server.listen(LINK, address);
        let flow = self.datapath.connect_tcp(0, address, self.now).unwrap();
        self.speak_with_server(server);
        assert_eq!(self.tcp_events(), [TcpEvent::Connected(flow)]);
        let Some(Event::Accepted { flow: accepted, .. }) = server.poll_event() else {
            panic!("no connection")
        };
        (flow, accepted)
    }
}

#[test]
fn a_query_is_handed_up_and_the_answer_goes_back() {
    for (device, resolver) in [("100.64.0.1:4000", "100.64.0.53:53"), ("[fd99::1]:4000", "[fd99::53]:53")] {
        let mut world = World::new();
        let packet = udp(device, resolver, b"question");
        let Handled::Query { source, local, payload } = world.device_sends(&packet) else { panic!() };
        assert_eq!((source, local), (at(device), at(resolver)));
        assert_eq!(packet[payload.start - HEADER_LEN..payload.end - HEADER_LEN], *b"question");
        world.datapath.send_to_device(local, source, b"answer");
        let answer = world.frame();
        assert_eq!(ends(&sound(&answer)), (at(resolver), at(device)));
        assert!(answer.ends_with(b"answer"));
    }
}

#[test]
fn other_ports_of_the_resolver_are_refused_at_once() {
    let mut world = World::new();
    world.device_sends(&udp("100.64.0.1:4000", "100.64.0.53:853", b"x"));
    assert_eq!(sound(&world.frame()).transport, Transport::Error);
    let syn = crate::packets_for_tests::tcp("100.64.0.1:4000", "100.64.0.53:853", 2, (1, 0), &[]);
    world.device_sends(&syn);
    assert!(tcp_facts(&sound(&world.frame())).has(crate::packet::facts::Tcp::RST));
}

#[test]
fn a_query_into_the_tunnel_is_answered_by_its_server_only() {
    let mut world = World::new();
    let server = at("10.77.0.53:53");
    assert!(world.datapath.send_query(42, 0, server, b"question", world.now));
    let query = world.pump().remove(0);
    let (from, to) = ends(&sound(&query));
    assert_eq!((from.ip(), to), (crate::packets_for_tests::ip(LOCAL), server));
    assert!(query.ends_with(b"question"));

    world.delivered(&udp("10.77.0.54:53", &from.to_string(), b"spoofed"));
    world.delivered(&udp("10.77.0.53:54", &from.to_string(), b"spoofed"));
    let answer = udp("10.77.0.53:53", &from.to_string(), b"answer");
    let mut broken = answer.clone();
    *broken.last_mut().unwrap() ^= 1;
    world.delivered(&broken);
    assert_eq!(world.datapath.poll_arrival(), None);
    assert_eq!(world.datapath.counters().get(DropReason::Malformed), 1);
    assert!(world.delivered(&answer).is_empty());
    let payload = b"answer".to_vec();
    assert_eq!(world.datapath.poll_arrival(), Some(Arrival::Answer { query: 42, server, payload }));
}

#[test]
fn queries_that_cannot_be_sent_are_said_so_and_hold_no_port() {
    let mut world = World::new();
    let now = world.now;
    assert!(!world.datapath.send_query(1, 0, at("192.0.2.53:53"), b"x", now), "outside of allowed IPs");
    assert!(!world.datapath.send_query(1, 7, at("10.77.0.53:53"), b"x", now), "no such gateway");
    world.datapath.remove_peers();
    for query in 0..20_000 {
        assert!(!world.datapath.send_query(query, 0, at("10.77.0.53:53"), b"x", now));
    }
}

#[test]
fn a_program_asks_over_tcp() {
    let mut world = World::new();
    let mut program = stack(&world);
    let client = program.connect(LINK, at("100.64.0.1:4000"), at("100.64.0.53:53"), world.now).unwrap();
    world.speak_with_program(&mut program);
    assert_eq!(program.poll_event(), Some(Event::Connected(client)));
    let [TcpEvent::Accepted { flow, local, remote }] = world.tcp_events()[..] else { panic!() };
    assert_eq!((local, remote), (at("100.64.0.53:53"), at("100.64.0.1:4000")));
    program.send(client, b"question");
    world.speak_with_program(&mut program);
    assert_eq!(world.tcp_events(), [TcpEvent::Readable(flow)]);
    let mut buffer = vec![0; 70_000];
    assert_eq!(world.datapath.recv_tcp(flow, &mut buffer), 8);
    let answer: Vec<u8> = (0..60_000u32).map(|n| (n / 3) as u8).collect();
    let mut sent = 0;
    let mut received = Vec::new();
    while received.len() < answer.len() {
        sent += world.datapath.send_tcp(flow, &answer[sent..], world.now);
        world.speak_with_program(&mut program);
        let length = program.recv(client, &mut buffer);
        assert!(length > 0, "stalled at {} of {sent}", received.len());
        received.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(received, answer);
    program.close(client);
    world.speak_with_program(&mut program);
    assert!(world.tcp_events().contains(&TcpEvent::Finished(flow)));
    world.datapath.close_tcp(flow, world.now);
    world.speak_with_program(&mut program);
    assert_eq!(world.tcp_events(), [TcpEvent::Ended(flow)]);
}

#[test]
fn the_resolver_asks_a_server_behind_the_gateway_over_tcp() {
    let mut world = World::new();
    let mut server = stack(&world);
    let (flow, accepted) = world.connection(&mut server, at("10.77.0.53:53"));
    assert_eq!(world.datapath.send_tcp(flow, b"question", world.now), 8);
    world.speak_with_server(&mut server);
    let mut buffer = [0; 100];
    assert_eq!(server.recv(accepted, &mut buffer), 8);
    server.send(accepted, b"answer");
    server.close(accepted);
    world.speak_with_server(&mut server);
    assert_eq!(world.datapath.recv_tcp(flow, &mut buffer), 6);
    world.datapath.close_tcp(flow, world.now);
    world.speak_with_server(&mut server);
    assert!(world.tcp_events().contains(&TcpEvent::Ended(flow)));
    assert_eq!(world.datapath.own_tcp.ports.len(), 0, "its port is free again");
}

#[test]
fn a_connection_closed_before_it_is_open_gives_its_port_back() {
    let mut world = World::new();
    let flow = world.datapath.connect_tcp(0, at("10.77.0.53:53"), world.now).unwrap();
    world.datapath.close_tcp(flow, world.now);
    assert_eq!(world.datapath.own_tcp.ports.len(), 0);
    assert_eq!(world.tcp_events(), []);
}

#[test]
fn a_blocked_policy_ends_the_resolvers_connections_into_tunnels() {
    let mut world = World::new();
    let mut server = stack(&world);
    let (flow, accepted) = world.connection(&mut server, at("10.77.0.53:53"));
    world.datapath.set_policy(policy(), world.now);
    assert_eq!(world.tcp_events(), [], "it is still allowed");
    world.datapath.set_policy(Policy { is_blocked: true, ..policy() }, world.now);
    assert_eq!(world.tcp_events(), [TcpEvent::Ended(flow)]);
    world.speak_with_server(&mut server);
    assert_eq!(server.poll_event(), Some(Event::Reset(accepted)));
}
