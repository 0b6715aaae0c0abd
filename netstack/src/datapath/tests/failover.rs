//! Packets that stay unanswered make a gateway doubtful, and nothing else does.

use std::time::Duration;

use super::world::*;
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{at, tcp, udp};

const OTHER: &str = "192.0.2.2:51820";
const DEVICE_END: &str = "100.64.0.1:4000";

/// A gateway with another address, after the device has sent `packets` 250 ms from each other and heard nothing; whether
/// the other address is asked within the second after the last.
fn is_other_asked(packets: &[Vec<u8>]) -> bool {
    let mut world = World::new();
    world.datapath.set_endpoints(0, vec![at("192.0.2.1:51820"), at(OTHER)], world.now);
    for packet in packets {
        world.now += Duration::from_millis(250);
        world.device_sends(packet);
        world.lose();
    }
    let end = world.now + Duration::from_secs(1);
    while let Some(due) = world.datapath.poll_timeout().filter(|due| *due <= end) {
        world.now = due;
        world.datapath.handle_timeout(due);
        while let Some(transmit) = world.datapath.poll_transmit() {
            if transmit.destination == at(OTHER) {
                return true;
            }
        }
    }
    false
}

#[test]
fn what_wants_an_answer_and_gets_none_makes_the_other_address_be_asked() {
    let wiki = "100.64.0.20:80";
    assert!(is_other_asked(&[tcp(DEVICE_END, wiki, Tcp::SYN, (10, 0), &[])]));
    let question = udp(DEVICE_END, "100.64.0.20:5000", b"again");
    assert!(is_other_asked(&[question.clone(), question.clone()]), "it insists");
    assert!(!is_other_asked(&[question]), "it may be all that there was to say");
}

#[test]
fn the_last_acknowledgement_of_a_connection_wants_no_answer() {
    let mut world = World::new();
    let (wiki, local, host) = ("100.64.0.20:80", "10.77.0.3:4000", "10.77.9.1:80");
    world.datapath.set_endpoints(0, vec![at("192.0.2.1:51820"), at(OTHER)], world.now);
    world.carried(&tcp(DEVICE_END, wiki, Tcp::SYN, (10, 0), &[]));
    world.delivered(&tcp(host, local, Tcp::SYN | Tcp::ACK, (90, 11), &[]));
    world.carried(&tcp(DEVICE_END, wiki, Tcp::ACK, (11, 91), &[]));
    let end = world.now + Duration::from_secs(2);
    while let Some(due) = world.datapath.poll_timeout().filter(|due| *due <= end) {
        world.now = due;
        world.datapath.handle_timeout(due);
        while let Some(transmit) = world.datapath.poll_transmit() {
            assert_ne!(transmit.contents.len(), 148, "an initiation");
        }
    }
}
