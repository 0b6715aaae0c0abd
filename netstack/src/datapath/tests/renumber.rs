//! Virtual addresses move to another prefix while connections are open.

use super::world::*;
use crate::datapath::{Handled, Mapping};
use crate::packet::facts::Tcp;
use crate::packets_for_tests::{ip, sound, tcp, tcp_facts, udp};
use crate::policy::Prefix;

impl World {
    /// IPv4 moves to 198.18.0.0/16, IPv6 stays.
    fn renumber(&mut self) -> usize {
        let pool = vec![
            Prefix { address: ip("198.18.0.0"), length: 16 },
            Prefix { address: ip("fd99::"), length: 48 },
        ];
        let resolver = ("198.18.0.2".parse().unwrap(), Some("fd99::53".parse().unwrap()));
        self.datapath.renumber(resolver, pool, self.now)
    }
}

#[test]
fn connections_to_addresses_that_are_gone_are_reset_on_both_sides() {
    let mut world = World::new();
    world.open_connection();
    assert_eq!(world.renumber(), 1);
    assert_eq!(tcp_facts(&sound(&world.frame())).flags & Tcp::RST, Tcp::RST);
    let at_gateway = world.pump();
    assert_eq!(at_gateway.len(), 1);
    assert_eq!(tcp_facts(&sound(&at_gateway[0])).flags & Tcp::RST, Tcp::RST);
    world.device_sends(&tcp("100.64.0.1:4001", "100.64.0.20:80", Tcp::SYN, (1, 0), &[]));
    assert!(world.pump().is_empty(), "nothing goes to what was there");
}

#[test]
fn a_family_that_stays_keeps_its_connections() {
    let mut world = World::new();
    world.carried(&udp("[fd99::1]:4000", "[fd99::20]:5000", b"x"));
    assert_eq!(world.renumber(), 0);
    world.carried(&udp("[fd99::1]:4000", "[fd99::20]:5000", b"y"));
}

#[test]
fn connections_from_the_devices_former_address_end_too() {
    let mut world = World::new();
    world.carried(&udp("100.64.0.1:4000", "10.77.128.9:5000", b"x"));
    assert_eq!(world.renumber(), 1);
    world.carried(&udp("198.18.0.1:4000", "10.77.128.9:5000", b"x"));
}

#[test]
fn names_and_the_resolver_are_at_their_new_addresses() {
    let mut world = World::new();
    world.renumber();
    let known = Mapping { gateway: 0, real: ip(HOST), grant: 0 };
    world.datapath.add_mapping(ip("198.18.0.20"), known);
    world.carried(&udp("198.18.0.1:4000", "198.18.0.20:5000", b"x"));
    let is_query = |handled: Handled| matches!(handled, Handled::Query { .. });
    assert!(is_query(world.device_sends(&udp("198.18.0.1:4000", "198.18.0.2:53", b"a query"))));
    assert!(!is_query(world.device_sends(&udp("198.18.0.1:4000", "100.64.0.53:53", b"a query"))));
}
