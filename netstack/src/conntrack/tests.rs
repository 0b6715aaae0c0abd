//! The table: ports, room, expiry and exact resets.

use rand_core::SeedableRng;

use super::*;
use crate::packet::facts::{Tcp, Transport};
use crate::packet::{TCP, UDP};

fn table(most: usize) -> Conntrack {
    Conntrack::new(most, 7, ChaCha8Rng::from_seed([1; 32]))
}

fn flow(protocol: u8, virtual_address: &str, source_port: u16, now: Instant) -> Flow {
    let (source, destination) = ("100.64.0.1".parse().unwrap(), virtual_address.parse().unwrap());
    let device = DeviceKey { protocol, source, source_port, destination, destination_port: 80 };
    let remote = "10.0.0.9".parse().unwrap();
    let tunnel = TunnelKey { gateway: 0, protocol, local_port: source_port, remote, remote_port: 80 };
    Flow::new(device, tunnel, "10.77.0.3".parse().unwrap(), 0, 0, now)
}

#[test]
fn two_names_of_one_host_get_two_ports() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    let first = table.insert(flow(TCP, "100.64.0.20", 5000, now), now).unwrap();
    let second = table.insert(flow(TCP, "100.64.0.21", 5000, now), now).unwrap();
    assert_eq!(table.get_mut(first).unwrap().tunnel.local_port, 5000);
    let key = table.get_mut(second).unwrap().tunnel;
    assert_ne!(key.local_port, 5000);
    assert_eq!(table.find_by_tunnel(&key), Some(Owner::Flow(second)));
}

#[test]
fn a_full_table_forgets_unanswered_flows_and_keeps_live_ones() {
    let (mut table, now) = (table(2), crate::packets_for_tests::start());
    let live = table.insert(flow(UDP, "100.64.0.20", 1, now), now).unwrap();
    table.get_mut(live).unwrap().is_answered = true;
    table.insert(flow(UDP, "100.64.0.20", 2, now), now).unwrap();
    let later = now + Duration::from_secs(2);
    let third = table.insert(flow(UDP, "100.64.0.20", 3, later), later).unwrap();
    table.get_mut(third).unwrap().is_answered = true;
    assert!(table.get_mut(live).is_some());
    let latest = later + Duration::from_secs(2);
    assert_eq!(table.insert(flow(UDP, "100.64.0.20", 4, latest), latest), None);
}

#[test]
fn silent_flows_end_and_an_empty_table_sleeps() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    assert_eq!(table.poll_timeout(), None);
    table.insert(flow(UDP, "100.64.0.20", 1, now), now).unwrap();
    assert!(table.poll_timeout().is_some());
    table.sweep(now + UDP_LIFE - Duration::from_secs(1));
    assert_eq!(table.iter().count(), 1);
    table.sweep(now + UDP_LIFE);
    assert_eq!(table.iter().count(), 0);
    assert_eq!(table.poll_timeout(), None);
}

const UDP_LIFE: Duration = Duration::from_secs(120);

#[test]
fn a_sweep_waits_for_the_earliest_end_and_is_made_once_a_minute_at_most() {
    let (mut table, start) = (table(1_000), crate::packets_for_tests::start());
    for second in 0..300u16 {
        let at = start + Duration::from_secs(second.into());
        table.insert(flow(UDP, "100.64.0.20", second, at), at).unwrap();
    }
    let mut sweeps = 0;
    while let Some(due) = table.poll_timeout() {
        assert!(sweeps > 0 || due == start + UDP_LIFE, "nothing ends earlier");
        assert!(
            table.iter().all(|(_, flow)| due <= flow.expires_at() + SWEEP_INTERVAL),
            "none stays for long"
        );
        table.sweep(due);
        sweeps += 1;
    }
    assert_eq!(sweeps, 6, "five minutes of ends, and the first");
}

#[test]
fn a_connection_that_closes_is_forgotten_far_earlier_than_an_open_one() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    let index = table.insert(flow(TCP, "100.64.0.20", 1, now), now).unwrap();
    let from = |table: &mut Conntrack, side, flags, at| {
        let tcp =
            Tcp { source: 0, destination: 0, sequence: 0, acknowledgement: 0, flags, header_length: 20 };
        table.note(index, side, &Transport::Tcp(tcp), 0, at).unwrap();
    };
    from(&mut table, Side::Remote, Tcp::SYN | Tcp::ACK, now);
    table.sweep(table.poll_timeout().unwrap());
    let hours = Duration::from_secs(2 * 3600);
    assert!(table.poll_timeout().unwrap() > now + hours, "an open one lets the table sleep");
    let later = now + hours / 2;
    from(&mut table, Side::Device, Tcp::RST, later);
    assert_eq!(table.poll_timeout(), Some(later + Duration::from_secs(60)));
    table.sweep(later + Duration::from_secs(60));
    assert_eq!(table.iter().count(), 0);
}

#[test]
fn queries_have_unpredictable_ports_and_are_forgotten() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    let key = flow(UDP, "100.64.0.20", 0, now).tunnel;
    let ports: std::collections::BTreeSet<u16> =
        (0..50).map(|n| table.reserve(key, Owner::Query(n), now).unwrap().local_port).collect();
    assert_eq!(ports.len(), 50);
    let after = now + QUERY_LIFETIME;
    let other = table.reserve(key, Owner::Query(99), after).unwrap();
    assert_eq!(table.by_tunnel.len(), 1);
    table.release(&other);
    assert_eq!(table.find_by_tunnel(&other), None);
}

#[test]
fn resets_carry_exactly_what_each_side_expects() {
    let now = crate::packets_for_tests::start();
    let mut flow = flow(TCP, "100.64.0.20", 5000, now);
    let segment = |flags, sequence, acknowledgement| {
        Transport::Tcp(Tcp { source: 0, destination: 0, sequence, acknowledgement, flags, header_length: 20 })
    };
    flow.note(Side::Device, &segment(Tcp::SYN, 100, 0), 0, now);
    flow.note(Side::Remote, &segment(Tcp::SYN | Tcp::ACK, 900, 101), 0, now);
    flow.note(Side::Device, &segment(Tcp::ACK, 101, 901), 50, now);
    assert_eq!(flow.tcp, TcpState::Established);
    flow.note(Side::Remote, &segment(Tcp::ACK, 901, 151), 10, now);
    flow.note(Side::Device, &segment(Tcp::ACK, 151, 911), 0, now);
    let (to_device, to_remote) = flow.resets().unwrap();
    assert_eq!((to_device.sequence, to_remote.sequence), (911, 151));
    flow.note(Side::Remote, &segment(Tcp::RST, 911, 0), 0, now);
    assert!(flow.resets().is_none());
}

fn segment(flags: u8, sequence: u32) -> Transport {
    Transport::Tcp(Tcp { source: 0, destination: 0, sequence, acknowledgement: 0, flags, header_length: 20 })
}

/// What was told: `b` for a beginning, the reason of an end, with the bytes each way.
fn told(table: &mut Conntrack) -> Vec<String> {
    let words = |event| match event {
        FlowEvent::Began(facts) => format!("began {}", facts.source.port()),
        FlowEvent::Ended(facts, why) => format!("{} {}/{}", why.code(), facts.sent, facts.received),
    };
    std::iter::from_fn(|| table.history.poll().map(words)).collect()
}

#[test]
fn each_flow_is_told_of_once_when_it_begins_and_once_when_it_ends() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    let first = table.insert(flow(TCP, "100.64.0.20", 5, now), now).unwrap();
    table.note(first, Side::Device, &segment(Tcp::SYN, 1), 0, now);
    table.note(first, Side::Remote, &segment(Tcp::SYN | Tcp::ACK, 1), 0, now);
    table.note(first, Side::Device, &segment(Tcp::ACK, 2), 100, now);
    table.note(first, Side::Remote, &segment(Tcp::ACK, 2), 3_000, now);
    table.note(first, Side::Device, &segment(Tcp::FIN | Tcp::ACK, 102), 0, now);
    assert_eq!(told(&mut table), ["began 5"]);
    table.note(first, Side::Remote, &segment(Tcp::FIN | Tcp::ACK, 3_002), 7, now);
    assert_eq!(told(&mut table), ["closed 100/3007"]);
    let reset = table.insert(flow(TCP, "100.64.0.20", 7, now), now).unwrap();
    table.note(reset, Side::Remote, &segment(Tcp::RST, 1), 0, now);
    assert_eq!(told(&mut table), ["began 7", "closed 0/0"]);
    table.remove(reset, FlowEnd::Idle);
    assert_eq!(told(&mut table), [] as [&str; 0], "its end was told when it closed");
    // the same ports again
    table.note(first, Side::Device, &segment(Tcp::SYN, 9_000), 0, now);
    table.remove(first, FlowEnd::Revoked);
    assert_eq!(told(&mut table), ["began 5", "revoked 0/0"]);
    table.insert(flow(UDP, "100.64.0.20", 6, now), now).unwrap();
    table.sweep(now + UDP_LIFE);
    assert_eq!(told(&mut table), ["began 6", "idle 0/0"]);
}

#[test]
fn what_nobody_fetches_is_counted_and_takes_bounded_room() {
    let (mut table, now) = (table(10), crate::packets_for_tests::start());
    for _ in 0..3_000 {
        let index = table.insert(flow(UDP, "100.64.0.20", 7, now), now).unwrap();
        table.remove(index, FlowEnd::Revoked);
    }
    let left_out = table.history.take_left_out();
    assert_eq!(told(&mut table).len() as u64 + left_out, 6_000);
    assert!(left_out > 0);
}
