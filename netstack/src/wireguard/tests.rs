//! The wrapper against boringtun itself, and against the traps that its sources hold.

mod failover;

use super::deadlines::{LEAST_WAIT, REKEY_TIMEOUT};
use super::handshake::LEAST_NUDGE;
use super::message::{COOKIE, DATA};
use super::*;

const PACKET: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

fn pair(now: Instant) -> (Peer, Peer) {
    let (a, b) = ([3; 32], [5; 32]);
    let peer = |own: [u8; 32], other: [u8; 32], port: u16, index| {
        let endpoint = SocketAddr::from(([192, 0, 2, 1], port));
        let config = PeerConfig {
            private_key: own,
            public_key: public_key(other),
            preshared_key: None,
            endpoints: vec![endpoint],
            can_move: false,
            keepalive: 0,
        };
        Peer::new(config, index, now)
    };
    (peer(a, b, 2, 1), peer(b, a, 1, 2))
}

fn drain(batch: &mut SendBatch) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Some(transmit) = batch.pop() {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        datagrams.extend(transmit.contents.chunks(size).map(<[u8]>::to_vec));
    }
    datagrams
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Hands datagrams to and fro until nothing is said any more; what came out at `b`.
fn exchange(a: &mut Peer, b: &mut Peer, first: Vec<Vec<u8>>, now: Instant) -> usize {
    let (mut to_b, mut packets, mut buffer) = (first, 0, [0; 2048]);
    for _ in 0..6 {
        let mut batch = SendBatch::new(64);
        for datagram in &to_b {
            packets += usize::from(matches!(
                b.open(address(1), datagram, &mut buffer, &mut batch, now),
                Opened::Packet(_)
            ));
        }
        let to_a = drain(&mut batch);
        for datagram in &to_a {
            a.open(address(2), datagram, &mut buffer, &mut batch, now);
        }
        to_b = drain(&mut batch);
    }
    packets
}

#[test]
fn packets_wait_for_the_handshake_and_then_arrive() {
    let now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let mut batch = SendBatch::new(64);
    for _ in 0..3 {
        assert!(a.seal(&PACKET, &mut batch, now));
    }
    let first = drain(&mut batch);
    assert_eq!(first.len(), 1, "one initiation, the packets wait");
    assert_eq!(exchange(&mut a, &mut b, first, now), 3);
    assert!(a.is_established(now) && a.stats().round_trip.is_some());
    assert!(!a.is_established(now + REJECT_AFTER_TIME));
}

#[test]
fn a_datagram_longer_than_the_buffer_is_bad_and_no_panic() {
    let now = crate::packets_for_tests::start();
    let (mut a, _) = pair(now);
    let mut long = vec![0; 4000];
    long[0] = DATA;
    assert_eq!(a.open(address(2), &long, &mut [0; 2000], &mut SendBatch::new(64), now), Opened::Bad);
}

#[test]
fn the_endpoint_follows_authentic_messages_only() {
    let now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let mut batch = SendBatch::new(64);
    a.seal(&PACKET, &mut batch, now);
    let first = drain(&mut batch);
    exchange(&mut a, &mut b, first, now);
    b.seal(&PACKET, &mut batch, now);
    let mut datagram = drain(&mut batch).remove(0);
    datagram[20] ^= 1;
    assert_eq!(a.open(address(77), &datagram, &mut [0; 2048], &mut batch, now), Opened::Bad);
    assert_eq!(a.endpoint(), Some(address(2)));
    datagram[20] ^= 1;
    assert_eq!(a.open(address(77), &datagram, &mut [0; 2048], &mut batch, now), Opened::Packet(20));
    assert_eq!(a.endpoint(), Some(address(77)));
    assert_eq!(a.open(address(78), &datagram, &mut [0; 2048], &mut batch, now), Opened::Bad, "a replay");
}

#[test]
fn an_unanswered_initiation_is_due_again_after_five_seconds() {
    let now = crate::packets_for_tests::start();
    let (mut a, _) = pair(now);
    a.connect(&mut SendBatch::new(64), now);
    let due = a.poll_timeout().unwrap();
    assert!(due >= now + REKEY_TIMEOUT && due <= now + REKEY_TIMEOUT + Duration::from_millis(334));
}

#[test]
fn an_idle_session_without_keepalive_wants_no_wake_up() {
    let now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let mut batch = SendBatch::new(64);
    a.connect(&mut batch, now);
    let first = drain(&mut batch);
    exchange(&mut a, &mut b, first, now);
    assert_eq!(a.poll_timeout(), None);
}

#[test]
fn an_initiation_without_room_is_sent_when_there_is_room_again() {
    let now = crate::packets_for_tests::start();
    let (mut a, _) = pair(now);
    let mut batch = SendBatch::new(64);
    while batch.spare().is_some() {
        batch.push(address(9), 60_000);
    }
    a.connect(&mut batch, now);
    let due = a.poll_timeout().unwrap();
    assert_eq!(due, now + LEAST_WAIT);
    drain(&mut batch);
    a.advance(&mut batch, due);
    assert_eq!(drain(&mut batch).len(), 1);
    assert!(a.poll_timeout().unwrap() >= due + REKEY_TIMEOUT, "the usual wait for an answer");
}

#[test]
fn packets_that_waited_leave_over_as_many_batches_as_they_need() {
    let mut now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let (mut batch, mut packet) = (SendBatch::new(64), vec![0; 1_400]);
    packet[..20].copy_from_slice(&PACKET);
    packet[2..4].copy_from_slice(&1_400u16.to_be_bytes());
    for _ in 0..256 {
        assert!(a.seal(&packet, &mut batch, now));
    }
    let mut buffer = [0; 2048];
    for datagram in drain(&mut batch) {
        b.open(address(1), &datagram, &mut buffer, &mut batch, now);
    }
    for datagram in drain(&mut batch) {
        a.open(address(2), &datagram, &mut buffer, &mut batch, now);
    }
    let mut arrived = 0;
    loop {
        let sent = drain(&mut batch);
        assert!(!sent.is_empty(), "only {arrived} arrived");
        for datagram in sent {
            let opened = b.open(address(1), &datagram, &mut buffer, &mut SendBatch::new(64), now);
            arrived += usize::from(opened == Opened::Packet(1_400));
        }
        if arrived == 256 {
            return;
        }
        now = a.poll_timeout().unwrap();
        a.advance(&mut batch, now);
    }
}

#[test]
fn a_cookie_reply_proves_nothing() {
    let mut now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let (mut batch, mut answers, mut buffer) = (SendBatch::new(64), SendBatch::new(64), [0; 2048]);
    let mut cookie = None;
    for _ in 0..40 {
        now += LEAST_NUDGE;
        a.nudge(&mut batch, now);
        for datagram in drain(&mut batch) {
            b.open(address(1), &datagram, &mut buffer, &mut answers, now);
        }
        cookie = drain(&mut answers).into_iter().find(|datagram| datagram[0] == COOKIE).or(cookie);
    }
    let cookie = cookie.expect("a peer under load asks for a cookie");
    assert_eq!(a.open(address(66), &cookie, &mut buffer, &mut batch, now), Opened::Nothing);
    assert_eq!((a.stats().proven_at, a.endpoint()), (None, Some(address(2))));
    assert!(a.is_lost(now));
}

#[test]
fn a_peer_is_lost_when_nothing_came_for_long_and_not_before() {
    let now = crate::packets_for_tests::start();
    let (mut a, mut b) = pair(now);
    let mut batch = SendBatch::new(64);
    a.connect(&mut batch, now);
    let first = drain(&mut batch);
    let later = now + LOST_AFTER;
    assert!(!a.is_lost(later - Duration::from_millis(1)));
    assert!(a.is_lost(later));
    exchange(&mut a, &mut b, first, later);
    assert!(!a.is_lost(later + Duration::from_secs(3600)), "an idle session is not lost");
    a.nudge(&mut batch, later + Duration::from_secs(5));
    b.seal(&PACKET, &mut batch, later + Duration::from_secs(14));
    for datagram in drain(&mut batch).iter().filter(|datagram| datagram[0] == DATA) {
        a.open(address(2), datagram, &mut [0; 2048], &mut batch, later + Duration::from_secs(14));
    }
    assert!(!a.is_lost(later + Duration::from_secs(20)), "packets still come");
    assert!(a.is_lost(later + Duration::from_secs(25)));
}

#[test]
fn a_device_that_does_not_answer_is_given_up_until_somebody_wants_it_again() {
    let now = crate::packets_for_tests::start();
    let front = Front::new([5; 32], 10, 1, now);
    let (mut peer, mut batch) = (front.peer(public_key([3; 32]), None, 7, now), SendBatch::new(64));
    assert_eq!(peer.poll_timeout(), None, "it waits to be spoken to");
    assert!(peer.seal(&PACKET, &mut batch, now));
    assert!(peer.poll_timeout().is_some() && peer.stats().trying_since.is_some());
    peer.give_up(now);
    assert_eq!((peer.poll_timeout(), peer.stats().trying_since), (None, None));
}
