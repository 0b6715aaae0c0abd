//! Who gets a session, and how long it is kept.

use std::time::Duration;

use super::world::*;
use crate::counters::DropReason;
use crate::gateway::*;
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{at, echo, tcp};

#[test]
fn only_devices_that_are_known_get_an_answer() {
    let mut world = World::with(config(Egress::Userspace), &[&[0]]);
    let mut stranger = Device::new(99, world.now);
    stranger.peer.connect(&mut stranger.batch, world.now);
    for datagram in stranger.sent() {
        world.gateway.handle_network_input(stranger.outside, &datagram, datagram.len(), world.now);
    }
    assert_eq!(world.transmitted(), []);
    assert_eq!(world.gateway.counters().get(DropReason::BadDatagram), 1);
    world.connect(0);
    let stats = world.gateway.peer(0).unwrap();
    assert_eq!((stats.endpoint, stats.proven_at), (Some(world.devices[0].outside), Some(world.now)));
}

#[test]
fn a_wrong_preshared_key_makes_no_session() {
    let mut world = World::with(config(Egress::Userspace), &[&[0]]);
    let mut changed = policy(&[&[0]]);
    changed.peers[0].preshared_key = Some([7; 32]);
    world.gateway.set_policy(changed, world.now);
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.connect(batch, world.now);
    world.pump();
    assert!(!world.devices[0].peer.is_established(world.now));
    assert_eq!(world.gateway.peer(0).unwrap().proven_at, None, "nothing is believed before it is proven");
}

#[test]
fn a_handshake_that_is_replayed_is_not_answered() {
    let mut world = World::with(config(Egress::Userspace), &[&[0]]);
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.connect(batch, world.now);
    let initiation = world.devices[0].sent().remove(0);
    for (from, answers) in [("198.51.100.0:40000", 1), ("203.0.113.7:9", 0)] {
        world.gateway.handle_network_input(at(from), &initiation, initiation.len(), world.now);
        assert_eq!(world.transmitted().len(), answers);
    }
}

#[test]
fn a_session_that_is_not_used_at_once_is_forgotten_and_was_never_believed() {
    let mut world = World::with(config(Egress::Userspace), &[&[0]]);
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.connect(batch, world.now);
    let initiation = world.devices[0].sent().remove(0);
    let from = at("203.0.113.7:9");
    world.gateway.handle_network_input(from, &initiation, initiation.len(), world.now);
    assert_eq!((world.transmitted().len(), world.gateway.peers.sessions()), (1, 1));
    assert_eq!(world.gateway.peer(0).unwrap(), PeerStats::default());
    world.pass(Duration::from_secs(11));
    assert_eq!((world.gateway.peers.sessions(), world.gateway.poll_timeout()), (0, None));
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.reconnect(batch, world.now);
    world.pump();
    assert_eq!(world.gateway.peer(0).unwrap().established_at, Some(world.now));
}

#[test]
fn an_idle_device_wakes_nobody_and_its_session_is_forgotten_after_minutes() {
    let mut world = World::with(config(Egress::Userspace), &[&[0]]);
    world.connect(0);
    let connected = world.now;
    world.pass(Duration::from_secs(11));
    assert!(world.gateway.poll_timeout().unwrap() > connected + Duration::from_secs(300));
    world.pass(Duration::from_secs(360));
    assert_eq!((world.gateway.peers.sessions(), world.gateway.poll_timeout()), (0, None));
    let stats = world.gateway.peer(0).unwrap();
    assert_eq!((stats.proven_at, stats.established_at), (Some(connected), None));
    assert!(stats.sent > 0 && stats.received > 0, "what is known of it stays");
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.reconnect(batch, world.now);
    world.pump();
    assert_eq!(world.gateway.peer(0).unwrap().established_at, Some(world.now));
}

#[test]
fn a_session_with_flows_is_kept() {
    let mut world = World::new(Egress::Userspace);
    world.sends(0, &[tcp(&source(0, 4_000), &format!("{WIKI}:80"), Tcp::SYN, (10, 0), &[])]);
    let id = world.opening();
    world.gateway.admit(id);
    world.inner_sends(&tcp(&format!("{WIKI}:80"), &source(0, 4_000), Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    world.sends(0, &[tcp(&source(0, 4_000), &format!("{WIKI}:80"), Tcp::ACK, (11, 91), &[])]);
    world.got(0);
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.gateway.peers.sessions(), 1, "that of the first device");
    world.inner_sends(&tcp(&format!("{WIKI}:80"), &source(0, 4_000), Tcp::ACK, (91, 11), b"late"));
    assert_eq!(world.got(0).len(), 1);
}

#[test]
fn replies_follow_a_device_that_roams_and_nobody_else() {
    let mut world = World::new(Egress::Userspace);
    let request = echo("10.77.0.3", NAMES, 7, true);
    world.devices[0].outside = at("203.0.113.7:9");
    world.sends(0, std::slice::from_ref(&request));
    assert_eq!(world.got(0).len(), 1, "at its new address");
    let Device { peer, batch, .. } = &mut world.devices[0];
    assert!(peer.seal(&request, batch, world.now));
    let mut forged = world.devices[0].sent().remove(0);
    forged[40] ^= 1;
    world.gateway.handle_network_input(at("203.0.113.66:6"), &forged, forged.len(), world.now);
    assert_eq!(world.gateway.peer(0).unwrap().endpoint, Some(at("203.0.113.7:9")));
}

#[test]
fn many_devices_are_told_apart() {
    let rights: Vec<&[u32]> = vec![&[0]; 200];
    let mut limited = config(Egress::Userspace);
    limited.limits.handshakes_per_second = 1_000;
    let mut world = World::with(limited, &rights);
    for device in 0..rights.len() {
        world.connect(device);
    }
    for device in 0..rights.len() {
        let from = format!("10.77.0.{}", device + 3);
        world.sends(device, &[echo(&from, NAMES, device as u16, true)]);
    }
    assert!((0..rights.len()).all(|device| world.got(device).len() == 1));
    assert_eq!(world.gateway.peers().count(), rights.len());
}

#[test]
fn under_load_a_cookie_is_asked_for_and_with_it_a_session_is_made() {
    let mut limited = config(Egress::Userspace);
    limited.limits.handshakes_per_second = 0;
    let mut world = World::with(limited, &[&[0]]);
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.connect(batch, world.now);
    world.pump();
    assert_eq!(world.gateway.peers.sessions(), 0, "nothing is kept for whoever has not proven its address");
    let Device { peer, batch, .. } = &mut world.devices[0];
    peer.reconnect(batch, world.now);
    world.pump();
    assert!(world.devices[0].peer.is_established(world.now));
}
