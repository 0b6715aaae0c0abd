//! Packets that no honest peer sends.
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, TcpPacket, TcpSeqNumber};

use crate::tcp::{Event, FlowId, TcpStack};

use super::world::{self, CLIENT, LINK, SERVER, World, limits};

pub(super) fn client() -> SocketAddr {
    "10.0.0.9:40000".parse().unwrap()
}

pub(super) fn server() -> SocketAddr {
    "100.64.0.53:53".parse().unwrap()
}

/// A segment from the client to the server in an IPv4 packet, with right checksums.
pub(super) fn segment(flags: u8, seq: u32, ack: u32, window: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let options_len = options.len().min(40) / 4 * 4;
    let header_len = 20 + options_len;
    let mut packet = vec![0; 20 + header_len + payload.len()];
    let total = u16::try_from(packet.len()).unwrap();
    let mut tcp = TcpPacket::new_unchecked(&mut packet[20..]);
    tcp.set_src_port(client().port());
    tcp.set_dst_port(server().port());
    tcp.set_seq_number(TcpSeqNumber(seq as i32));
    tcp.set_ack_number(TcpSeqNumber(ack as i32));
    tcp.set_window_len(window);
    tcp.set_header_len(header_len as u8);
    tcp.into_inner()[13] = flags;
    packet[40..40 + options_len].copy_from_slice(&options[..options_len]);
    packet[20 + header_len..].copy_from_slice(payload);
    let (from, to) = (IpAddress::from(client().ip()), IpAddress::from(server().ip()));
    TcpPacket::new_unchecked(&mut packet[20..]).fill_checksum(&from, &to);
    let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
    ip.set_version(4);
    ip.set_header_len(20);
    ip.set_total_len(total);
    ip.set_hop_limit(64);
    ip.set_next_header(IpProtocol::Tcp);
    ip.set_src_addr("10.0.0.9".parse().unwrap());
    ip.set_dst_addr("100.64.0.53".parse().unwrap());
    ip.fill_checksum();
    packet
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// A server with one flow, opened by hand; and the next sequence numbers of the client and of the server.
fn opened() -> (World, FlowId, u32, u32) {
    let mut world = World::new(limits(16));
    let stack = &mut world.stacks[SERVER];
    stack.listen(LINK, server());
    assert!(stack.handle_packet(LINK, &segment(SYN, 1000, 0, 8192, &[], &[]), world.now));
    let (_, reply) = stack.poll_packet(world.now).unwrap();
    let isn = TcpPacket::new_checked(&reply[20..]).unwrap().seq_number().0 as u32;
    let next = isn.wrapping_add(1);
    assert!(stack.handle_packet(LINK, &segment(ACK, 1001, next, 8192, &[], &[]), world.now));
    let Some(Event::Accepted { flow, .. }) = stack.poll_event() else {
        panic!("expected a connection");
    };
    (world, flow, 1001, next)
}

/// The same with a flow that we opened; the peer has not answered yet.
fn opening() -> (World, FlowId, u32, u32) {
    let mut world = World::new(limits(16));
    let stack = &mut world.stacks[SERVER];
    let flow = stack.connect(LINK, server(), client(), world.now).unwrap();
    let (_, syn) = stack.poll_packet(world.now).unwrap();
    let isn = TcpPacket::new_checked(&syn[20..]).unwrap().seq_number().0 as u32;
    (world, flow, 1000, isn.wrapping_add(1))
}

fn settle(stack: &mut TcpStack, world_now: std::time::Instant) -> usize {
    let mut packets = 0;
    while stack.poll_packet(world_now).is_some() {
        packets += 1;
        assert!(packets < 1000, "endless packets");
    }
    while stack.poll_event().is_some() {}
    packets
}

#[test]
fn what_is_not_ours_is_left_to_the_caller() {
    let (mut world, _, seq, ack) = opened();
    let now = world.now;
    let stack = &mut world.stacks[SERVER];
    let good = segment(ACK, seq, ack, 8192, &[], b"data");
    let mut other_port = good.clone();
    other_port[23] = 54;
    let mut udp = good.clone();
    udp[9] = 17;
    let mut fragment = good.clone();
    fragment[6] = 0x20;
    for packet in [&other_port[..], &udp, &fragment, &good[..30], &[], &[0x45]] {
        assert!(!stack.handle_packet(LINK, packet, now));
    }
    assert!(!stack.handle_packet(LINK + 1, &good, now));
    assert!(stack.handle_packet(LINK, &good, now));
}

#[test]
fn wrong_checksums_are_counted_and_change_nothing() {
    let (mut world, flow, seq, ack) = opened();
    let now = world.now;
    let stack = &mut world.stacks[SERVER];
    settle(stack, now);
    for at in [10, 36, 40] {
        let mut packet = segment(ACK, seq, ack, 8192, &[], b"data");
        packet[at] ^= 1;
        assert!(stack.handle_packet(LINK, &packet, now));
    }
    assert_eq!(stack.counters().bad_checksum, 3);
    assert!(stack.poll_event().is_none());
    assert_eq!(stack.recv(flow, &mut [0; 8]), 0);
}

#[test]
fn a_segment_without_a_flow_is_answered_with_a_reset_and_a_reset_is_not() {
    let now = world::start();
    let mut stack = world::stack(2, limits(4), now);
    stack.listen(LINK, server());
    assert!(stack.handle_packet(LINK, &segment(ACK, 5, 77, 100, &[], b"?"), now));
    let (_, reply) = stack.poll_packet(now).unwrap();
    let reply = TcpPacket::new_checked(&reply[20..]).unwrap();
    assert!(reply.rst() && reply.seq_number() == TcpSeqNumber(77));

    assert!(stack.handle_packet(LINK, &segment(ACK | 4, 5, 77, 100, &[], &[]), now));
    assert!(stack.poll_packet(now).is_none());
    assert_eq!(stack.flow_count(), 0);
}

#[test]
fn a_syn_withdrawn_by_a_reset_is_forgotten() {
    let now = world::start();
    let mut stack = world::stack(2, limits(4), now);
    stack.listen(LINK, server());
    stack.handle_packet(LINK, &segment(SYN, 1000, 0, 8192, &[], &[]), now);
    settle(&mut stack, now);
    stack.handle_packet(LINK, &segment(4, 1001, 0, 0, &[], &[]), now);
    assert_eq!((stack.flow_count(), stack.poll_event(), stack.poll_timeout()), (0, None, None));
}

#[test]
fn initial_sequence_numbers_differ_and_follow_the_seed() {
    let first = |seed: u8| {
        let now = world::start();
        let mut stack = world::stack(seed, limits(4), now);
        let sequence = |port: u16, stack: &mut TcpStack| {
            let local = SocketAddr::new(client().ip(), port);
            stack.connect(LINK, local, server(), now).unwrap();
            let (_, syn) = stack.poll_packet(now).unwrap();
            TcpPacket::new_checked(&syn[20..]).unwrap().seq_number()
        };
        [sequence(1, &mut stack), sequence(2, &mut stack)]
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1)[0], first(2)[0]);
    assert_ne!(first(1)[0], first(1)[1]);
}

#[test]
fn data_beyond_the_first_window_is_dropped_and_data_up_to_its_end_is_kept() {
    let scaled = &[3, 3, 14, 0];
    let now = world::start();
    let mut stack = world::stack(2, limits(4), now);
    stack.listen(LINK, server());
    stack.handle_packet(LINK, &segment(SYN, 1000, 0, 8192, scaled, &[]), now);
    let (_, reply) = stack.poll_packet(now).unwrap();
    let ack = TcpPacket::new_checked(&reply[20..]).unwrap().seq_number() + 1;
    let mut send = |from: u32, len: usize| {
        stack.handle_packet(LINK, &segment(ACK, 1001 + from, ack.0 as u32, 8192, &[], &vec![9; len]), now);
        stack.counters().outside_window
    };

    assert_eq!(send(65_535 - 1000, 1001), 1);
    assert_eq!(send(65_535 - 1000, 1000), 1);
    for from in (0..64_000).step_by(1000) {
        assert_eq!(send(from, 1000), 1);
    }
    assert_eq!(send(64_000, 1000), 1);

    let Some(Event::Accepted { flow, .. }) = stack.poll_event() else {
        panic!("expected a connection");
    };
    assert_eq!(stack.recv(flow, &mut vec![0; 70_000]), 65_535);
}

#[test]
fn a_window_closed_for_good_draws_no_flood() {
    let (mut world, flow, seq, ack) = opened();
    let mut now = world.now;
    let stack = &mut world.stacks[SERVER];
    stack.send(flow, b"xy");
    stack.close(flow);
    assert_eq!(settle(stack, now), 1);
    stack.handle_packet(LINK, &segment(ACK, seq, ack, 0, &[], &[]), now);
    stack.handle_packet(LINK, &segment(ACK, seq, ack.wrapping_add(3), 0, &[], &[]), now);

    let mut packets = settle(stack, now);
    let end = now + Duration::from_secs(590);
    while stack.poll_timeout().is_some_and(|next| next < end) {
        now = stack.poll_timeout().unwrap().max(now);
        stack.handle_timeout(now);
        packets += settle(stack, now);
    }
    assert!(packets < 20, "{packets} packets");
}

#[test]
fn a_tiny_mtu_is_raised_to_what_ip_demands() {
    let now = world::start();
    let mut stack = TcpStack::new([1; 32], 0, limits(4), now);
    let flow = stack.connect(LINK, "[fd00::1]:1".parse().unwrap(), "[fd00::2]:2".parse().unwrap(), now);
    assert!(flow.is_ok() && stack.poll_packet(now).is_some());
}

#[derive(Debug, Clone)]
enum Step {
    Segment { flags: u8, seq: i32, ack: i32, window: u16, options: Vec<u8>, payload: usize },
    Raw(Vec<u8>),
    Flip { at: usize, value: u8 },
    Read(usize),
    Write(usize),
    Close,
    Abort,
    Wait(u64),
}

fn near() -> impl Strategy<Value = i32> {
    prop_oneof![5 => -3..3i32, 3 => -70_000..70_000i32, 1 => any::<i32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let options = prop_oneof![
        Just(vec![]),
        Just(vec![2, 4, 0, 1]),
        Just(vec![4, 2, 3, 3, 14, 1, 1, 0]),
        proptest::collection::vec(any::<u8>(), 0..40)
    ];
    let flags = prop_oneof![4 => Just(ACK), 2 => Just(ACK | 1), 1 => Just(SYN), 1 => Just(SYN | ACK), 2 => any::<u8>()];
    let window = prop_oneof![Just(0), Just(1), any::<u16>()];
    let segment = (flags, near(), near(), window, options, 0..1500usize).prop_map(
        |(flags, seq, ack, window, options, payload)| Step::Segment {
            flags,
            seq,
            ack,
            window,
            options,
            payload,
        },
    );
    prop_oneof![
        12 => segment,
        1 => proptest::collection::vec(any::<u8>(), 0..120).prop_map(Step::Raw),
        1 => (0..60usize, any::<u8>()).prop_map(|(at, value)| Step::Flip { at, value }),
        2 => (0..5000usize).prop_map(Step::Read),
        2 => (0..70_000usize).prop_map(Step::Write),
        1 => Just(Step::Close),
        1 => Just(Step::Abort),
        3 => (0..20_000u64).prop_map(Step::Wait),
    ]
}

/// A hostile peer: it sees what the stack sends and answers as it likes.
fn attack(start: (World, FlowId, u32, u32), steps: Vec<Step>) {
    let (mut world, mut flow, mut seq, mut ack) = start;
    let mut now = world.now;
    let stack = &mut world.stacks[SERVER];
    for step in steps {
        match step {
            Step::Segment { flags, seq: ahead, ack: acked, window, options, payload } => {
                let at = seq.wrapping_add_signed(ahead);
                let acked = ack.wrapping_add_signed(acked);
                let packet = segment(flags, at, acked, window, &options, &vec![9; payload]);
                stack.handle_packet(LINK, &packet, now);
                if ahead == 0 {
                    seq = seq.wrapping_add(payload as u32 + u32::from(flags & 1) + u32::from(flags >> 1 & 1));
                }
            }
            Step::Raw(packet) => {
                stack.handle_packet(LINK, &packet, now);
            }
            Step::Flip { at, value } => {
                let mut packet = segment(ACK, seq, ack, 8192, &[], &[9; 20]);
                packet[at] = value;
                stack.handle_packet(LINK, &packet, now);
            }
            Step::Read(len) => {
                stack.recv(flow, &mut vec![0; len]);
            }
            Step::Write(len) => {
                stack.send(flow, &vec![5; len]);
            }
            Step::Close => stack.close(flow),
            Step::Abort => stack.abort(flow),
            Step::Wait(millis) => {
                now += Duration::from_millis(millis);
                stack.handle_timeout(now);
            }
        }
        let mut packets = 0;
        while let Some((_, packet)) = stack.poll_packet(now) {
            let tcp = TcpPacket::new_checked(&packet[20..]).unwrap();
            ack = (tcp.seq_number() + tcp.payload().len()).0 as u32;
            ack = ack.wrapping_add(u32::from(tcp.syn()) + u32::from(tcp.fin()));
            packets += 1;
            assert!(packets < 1000, "endless packets");
        }
        while let Some(event) = stack.poll_event() {
            if let Event::Accepted { flow: accepted, .. } = event {
                flow = accepted;
            }
        }
        assert!(stack.flow_count() <= 16);
    }
    // Whatever happened, it ends by itself.
    for _ in 0..2000 {
        let Some(next) = stack.poll_timeout() else {
            break;
        };
        now = now.max(next);
        stack.handle_timeout(now);
        settle(stack, now);
    }
    assert_eq!((stack.flow_count(), stack.poll_timeout()), (0, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_order_of_hostile_segments_panics_or_stays(steps in proptest::collection::vec(step(), 1..60)) {
        attack(opened(), steps);
    }

    #[test]
    fn no_order_of_hostile_answers_panics_or_stays(steps in proptest::collection::vec(step(), 1..60)) {
        attack(opening(), steps);
    }

    #[test]
    fn no_bytes_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
        let now = world::start();
        let mut stack = world::stack(1, limits(4), now);
        stack.listen(LINK, server());
        stack.handle_packet(LINK, &packet, now);
        settle(&mut stack, now);
    }
}

#[test]
fn the_harness_reaches_an_orderly_exchange() {
    let (mut world, flow, seq, ack) = opened();
    let now = world.now;
    let stack = &mut world.stacks[SERVER];
    stack.handle_packet(LINK, &segment(ACK, seq, ack, 8192, &[], b"hello"), now);
    assert_eq!(stack.poll_event(), Some(Event::Readable(flow)));
    let mut buffer = [0; 8];
    assert_eq!(stack.recv(flow, &mut buffer), 5);
    assert!(world.events[CLIENT].is_empty());
}
