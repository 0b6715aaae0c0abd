//! Names: queries from the device to the resolver, its queries to servers, and the answers back.

use std::net::SocketAddr;
use std::time::Instant;

use dns::{Client, Outcome, Transmit, Transport, Via};
use netstack::datapath::{Arrival, Mapping};

use super::dialing::NOWHERE;
use super::system_upstream::Reply;
use super::{Engine, Event, wall};

/// The number of a query that is nobody's: a probe for loops.
const PROBE: u64 = u64::MAX;
/// Bytes of the headers around a DNS message over UDP (RFC 791, RFC 8200, RFC 768).
const IPV4_UDP_HEADERS: usize = 20 + 8;
const IPV6_UDP_HEADERS: usize = 40 + 8;
/// Rounds of the pump before the loop goes on; whatever is left is taken up at the next wake-up.
const MOST_ROUNDS: usize = 64;

impl Engine {
    /// A query over UDP, as it came from the TUN.
    pub(super) fn handle_query(&mut self, source: SocketAddr, local: SocketAddr, query: &[u8], now: Instant) {
        if let Some(server) = self.loop_probe.recognise(query) {
            return self.tell(Event::ForwarderLoop(server));
        }
        let client = Client { source, local, transport: Transport::Udp, connection: 0 };
        match self.resolver.handle_query(client, query, now, &mut self.answer) {
            Outcome::Answer => self.datapath.send_to_device(local, source, &self.answer),
            Outcome::Pending | Outcome::Drop(_) => {}
        }
    }

    /// Programs may hold addresses that an earlier run, or other rules, gave out.
    pub(super) fn know_mappings(&mut self) {
        let known = |mapping: dns::Mapping| {
            let dns::Mapping { virtual_address, gateway, real, grant, .. } = mapping;
            (virtual_address, Mapping { gateway, real, grant })
        };
        self.datapath.replace_mappings(self.resolver.mappings().map(known));
    }

    /// Asks local forwarders for names that only we know.
    pub(super) fn send_probes(&mut self, now: Instant) {
        for (server, query) in self.loop_probe.take_due(now) {
            self.upstream.send(PROBE, server, Transport::Udp, query);
        }
    }

    /// What a server of the physical links answered.
    pub(super) fn handle_reply(&mut self, reply: Reply, now: Instant) {
        if reply.query == PROBE {
            return;
        }
        match reply.result {
            Ok(payload) => self.resolver.handle_response(reply.query, reply.server, &payload, now, wall()),
            Err(_) => self.resolver.handle_upstream_failure(reply.query, reply.server, now),
        }
    }

    /// Moves everything between the resolver and the packets until both are quiet.
    pub(super) fn pump_names(&mut self, now: Instant) {
        for _ in 0..MOST_ROUNDS {
            let has_arrived = self.pump_arrivals(now);
            let has_moved = self.pump_tcp(now);
            self.pump_mappings();
            let has_answered = self.pump_answers(now);
            let has_asked = self.pump_transmits(now);
            if !(has_arrived || has_moved || has_answered || has_asked) {
                return;
            }
        }
    }

    fn pump_arrivals(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(arrival) = self.datapath.poll_arrival() {
            any = true;
            match arrival {
                Arrival::Answer { query, server, payload } => {
                    self.resolver.handle_response(query, server, &payload, now, wall());
                }
                Arrival::Unreachable { query, server } => {
                    self.resolver.handle_upstream_failure(query, server, now)
                }
            }
        }
        any
    }

    /// Before any answer: a client must not know an address that the packets' path does not.
    fn pump_mappings(&mut self) {
        while let Some(mapping) = self.resolver.poll_mapping() {
            let known = Mapping { gateway: mapping.gateway, real: mapping.real, grant: mapping.grant };
            self.datapath.add_mapping(mapping.virtual_address, known);
        }
    }

    fn pump_answers(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(answer) = self.resolver.poll_answer() {
            any = true;
            if answer.client.local == NOWHERE {
                self.questions.answer(answer.client.connection, &answer.payload);
                continue;
            }
            match answer.client.transport {
                Transport::Udp => {
                    self.datapath.send_to_device(answer.client.local, answer.client.source, &answer.payload)
                }
                Transport::Tcp => {
                    self.tcp.answer(&mut self.datapath, answer.client.connection, &answer.payload, now)
                }
            }
        }
        any
    }

    fn pump_transmits(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(transmit) = self.resolver.poll_transmit() {
            any = true;
            let (query, server) = (transmit.query, transmit.server);
            if !self.transmit(transmit, now) {
                self.resolver.handle_upstream_failure(query, server, now);
            }
        }
        any
    }

    /// False when the query cannot be sent at all.
    fn transmit(&mut self, mut transmit: Transmit, now: Instant) -> bool {
        match (transmit.via, transmit.transport) {
            (Via::System, transport) => {
                self.upstream.send(transmit.query, transmit.server, transport, transmit.payload);
                true
            }
            (Via::Gateway(gateway), Transport::Udp) => {
                transmit.limit_answer(self.longest_answer(gateway, transmit.server));
                self.datapath.send_query(transmit.query, gateway, transmit.server, &transmit.payload, now)
            }
            (Via::Gateway(gateway), Transport::Tcp) => {
                self.tcp.ask(&mut self.datapath, gateway, &transmit, now)
            }
        }
    }

    /// The longest message over UDP that the path from a gateway carries in one packet, in bytes. Servers send answers
    /// without the flag that forbids fragments, so nobody would be told that one was too long.
    fn longest_answer(&self, gateway: u32, server: SocketAddr) -> usize {
        let headers = if server.is_ipv4() { IPV4_UDP_HEADERS } else { IPV6_UDP_HEADERS };
        self.datapath.path(gateway).map_or(usize::MAX, |path| path.inner.saturating_sub(headers))
    }

    fn pump_tcp(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.datapath.poll_tcp_event() {
            any = true;
            self.tcp.handle_event(&mut self.datapath, &mut self.resolver, event, now);
        }
        any
    }
}
