//! Names: programs ask, servers answer, and what programs learn is what stands for the truth.

use std::net::{IpAddr, SocketAddr};

use dns::{Client, Outcome, Transport as Way, Via};
use netstack::datapath::{Arrival, Handled, Mapping};

use super::{Query, ServerMode, World, device_address};
use crate::messages::{self, A, AAAA, TTL};
use crate::network::Cargo;
use crate::payload::frame;
use crate::reference::{Mapped, is_virtual};
use crate::spec::{GATEWAYS, NAMES, ip, local_address};
use crate::transition::Choice;
use crate::wire::Packet;

/// Addresses that names get, of every kind: reachable, in a network, narrowly out of reach, never to be mapped.
const ADDRESSES: [&str; 14] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.1.0.1",
    "10.9.0.5",
    "127.0.0.1",
    "192.0.2.77",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "fd01::1",
    "fe80::1",
    "2001:db8::7",
];

impl World {
    pub(super) fn ask(&mut self, choice: Choice) {
        let name = NAMES[usize::from(choice[0]) % NAMES.len()];
        let qtype = if choice[1].is_multiple_of(3) { AAAA } else { A };
        self.ask_for(name, qtype, choice[2].is_multiple_of(4));
    }

    /// A program asks; the id of its query.
    pub(super) fn ask_for(&mut self, name: &'static str, qtype: u16, is_ipv6: bool) -> u16 {
        self.next_id = self.next_id.wrapping_add(1);
        let (id, port) = (self.next_id, 30_000 + self.next_id % 20_000);
        let (source, resolver) = (device_address(is_ipv6), ip(super::RESOLVER[usize::from(is_ipv6)]));
        let payload = messages::query(id, name, qtype);
        let packet = Packet::udp((source, port), (resolver, 53), &payload);
        self.queries.insert(id, Query { name, qtype, since: self.now, port, is_ipv6 });
        let (mut frame, now) = (frame(&packet, id.is_multiple_of(2), None), self.instant());
        let Handled::Query { source, local, payload } = self.datapath.handle_tun_input(&mut frame, now)
        else {
            panic!("a query for `{name}` was not handed up");
        };
        let client = Client { source, local, transport: Way::Udp, connection: 0 };
        let mut answer = Vec::new();
        if self.resolver.handle_query(client, &frame[payload], now, &mut answer) == Outcome::Answer {
            self.datapath.send_to_device(local, source, &answer);
        }
        self.pump_names();
        id
    }

    pub(super) fn set_server_mode(&mut self, choice: Choice) {
        self.sites[usize::from(choice[0]) % GATEWAYS].mode = match choice[1] % 8 {
            0 => ServerMode::NoSuchName,
            1 => ServerMode::Fails,
            2 => ServerMode::Silent,
            3 => ServerMode::Nonsense,
            _ => ServerMode::Well,
        };
    }

    pub(super) fn change_name(&mut self, choice: Choice) {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for number in &choice[1..1 + usize::from(choice[6] % 6)] {
            let address = ip(ADDRESSES[usize::from(*number) % ADDRESSES.len()]);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        self.names.insert(NAMES[usize::from(choice[0]) % NAMES.len()], addresses);
    }

    /// Whether a name may be asked at a gateway: it is granted there, or was until a moment ago.
    pub(super) fn was_granted(&self, name: &str, gateway: u32) -> bool {
        let earlier = self.earlier_specs.iter().map(|(_, spec)| spec);
        earlier
            .chain([&self.reference.spec])
            .any(|spec| spec.granted(name).is_some_and(|(of, _)| of == gateway))
    }

    /// Moves everything between the resolver and the packets, as the engine does.
    pub(super) fn pump_names(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(arrival) = self.datapath.poll_arrival() {
                is_quiet = false;
                self.hand_up(arrival);
            }
            assert!(self.datapath.poll_tcp_event().is_none(), "nobody speaks TCP to the resolver");
            while let Some(mapping) = self.resolver.poll_mapping() {
                self.learn(&mapping);
            }
            while let Some(answer) = self.resolver.poll_answer() {
                is_quiet = false;
                self.datapath.send_to_device(answer.client.local, answer.client.source, &answer.payload);
            }
            while let Some(transmit) = self.resolver.poll_transmit() {
                is_quiet = false;
                self.transmit(transmit);
            }
            for frame in self.frames() {
                self.answer_frame(&frame);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn answer_frame(&mut self, frame: &[u8]) {
        let packet =
            Packet::parse(&frame[10..]).unwrap_or_else(|error| panic!("a malformed answer: {error}"));
        let crate::wire::Transport::Udp { source: 53, destination } = packet.transport() else {
            panic!("the resolver says something else than an answer: {packet:?}");
        };
        self.check_answer(&packet, destination);
    }

    fn hand_up(&mut self, arrival: Arrival) {
        let (now, wall) = (self.instant(), self.wall());
        match arrival {
            Arrival::Answer { query, server, payload } => {
                self.resolver.handle_response(query, server, &payload, now, wall);
            }
            Arrival::Unreachable { query, server } => {
                self.resolver.handle_upstream_failure(query, server, now)
            }
        }
    }

    /// A virtual address stands for one name at one address behind one gateway, for ever.
    fn learn(&mut self, mapping: &dns::Mapping) {
        let name = NAMES.into_iter().find(|name| **name == *mapping.name).expect("a name that was asked for");
        let spec = self.reference.spec;
        assert_eq!(spec.granted(name), Some((mapping.gateway, mapping.grant)), "`{name}` is mapped");
        assert!(is_virtual(mapping.virtual_address) && self.may_map(mapping.gateway, mapping.real));
        assert_eq!(mapping.virtual_address.is_ipv6(), mapping.real.is_ipv6());
        let mapped = Mapped { gateway: mapping.gateway, name, real: mapping.real };
        let others = self.reference.mappings.iter();
        for (address, other) in others.filter(|(_, other)| **other == mapped) {
            assert_eq!(*address, mapping.virtual_address, "a second address for {other:?}");
        }
        let before = self.reference.mappings.insert(mapping.virtual_address, mapped);
        assert!(
            before.is_none_or(|before| before == mapped),
            "{} stood for {before:?}",
            mapping.virtual_address
        );
        let known = Mapping { gateway: mapping.gateway, real: mapping.real, grant: mapping.grant };
        self.datapath.add_mapping(mapping.virtual_address, known);
    }

    fn may_map(&self, gateway: u32, real: IpAddr) -> bool {
        let is_local = match real {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
        };
        !is_local && !is_virtual(real) && self.reference.spec.reaches(gateway, real)
    }

    fn transmit(&mut self, transmit: dns::Transmit) {
        let asked = messages::parse(&transmit.payload).expect("a query");
        let name = NAMES.into_iter().find(|name| **name == *asked.name).expect("a name that was asked for");
        let now = self.instant();
        match (transmit.via, self.reference.spec.granted(name)) {
            (Via::System, None) => self.ask_outside(&transmit, name, asked.qtype),
            (Via::Gateway(gateway), Some((granted, _))) => {
                assert_eq!(gateway, granted, "`{name}` is asked at another gateway");
                let (query, server) = (transmit.query, transmit.server);
                if !self.datapath.send_query(query, gateway, server, &transmit.payload, now) {
                    self.resolver.handle_upstream_failure(query, server, now);
                }
            }
            (via, granted) => panic!("`{name}` is asked {via:?}, and is granted {granted:?}"),
        }
    }

    /// A server of the physical links answers what nobody grants.
    fn ask_outside(&mut self, transmit: &dns::Transmit, name: &'static str, qtype: u16) {
        let is_of = |address: &&IpAddr| address.is_ipv6() == (qtype == AAAA);
        let addresses: Vec<IpAddr> = self.names[name].iter().filter(is_of).copied().collect();
        let answer = messages::answer(&transmit.payload, 0, &addresses);
        self.said.entry((None, name, qtype)).or_default().push((self.now, 0, addresses));
        self.net.send(Cargo::Reply(transmit.query, transmit.server, answer), self.now);
    }

    /// The answer that a program gets: to its own question, and what a server has said.
    pub(super) fn check_answer(&mut self, packet: &Packet, port: u16) {
        let message = messages::parse(packet.payload()).unwrap_or_else(|| panic!("no message: {packet:?}"));
        let query = self.queries.remove(&message.id).unwrap_or_else(|| panic!("nobody asked: {message:?}"));
        let from = ip(super::RESOLVER[usize::from(query.is_ipv6)]);
        assert_eq!((packet.source, port), (from, query.port), "an answer to somebody else");
        assert_eq!(packet.destination, device_address(query.is_ipv6));
        assert_eq!((message.name.as_str(), message.qtype), (query.name, query.qtype));
        self.trace(|| format!("answer for {}: {} {:?}", message.name, message.code, message.addresses));
        self.last_answer = Some((message.id, message.addresses.clone()));
        if message.code == 2 {
            return; // whether names are answered at all is seen when the network is good
        }
        let granted = self.reference.spec.granted(query.name).map(|(gateway, _)| gateway);
        let oldest = self.now.saturating_sub(std::time::Duration::from_secs(u64::from(TTL) + 10));
        let said = self.said.get(&(granted, query.name, query.qtype));
        let candidates = said.into_iter().flatten().filter(|(at, ..)| *at >= oldest);
        let is_said = candidates.into_iter().any(|(_, code, addresses)| {
            *code == message.code
                && self.stand_for(granted, query.name, addresses) == Some(message.addresses.clone())
        });
        assert!(is_said, "no server has said {message:?}; they said {said:?}");
    }

    /// What programs must be told when a server says these addresses; `None`: an address is not mapped yet.
    fn stand_for(&self, granted: Option<u32>, name: &'static str, real: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let Some(gateway) = granted else { return Some(real.to_vec()) };
        let mappings = &self.reference.mappings;
        let virtual_of = |real: &IpAddr| {
            let wanted = Mapped { gateway, name, real: *real };
            mappings.iter().find(|(_, mapped)| **mapped == wanted).map(|(address, _)| *address)
        };
        let mappable = real
            .iter()
            .filter(|real| self.may_map(gateway, **real) && local_address(gateway, **real).is_some());
        mappable.map(virtual_of).collect()
    }

    /// A server of the physical links.
    pub(super) fn system_server() -> SocketAddr {
        super::SYSTEM_SERVER.parse().expect("an address and a port")
    }
}
