//! A resolver with its clock, and messages made and read by hickory-proto.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dns::{
    Action, Answer, Client, Forward, GatewayZone, Mapping, Outcome, Pattern, Resolver, Rule, Transmit,
    Transport, VirtualPool, Zones,
};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub(crate) const HQ: u32 = 1;
pub(crate) const LAB: u32 = 2;
pub(crate) const WIKI: u32 = 10;
pub(crate) const ENGINEERING: u32 = 11;
pub(crate) const WALL: u64 = 1_800_000_000;

/// A resolver, what came out of it, and the time.
pub(crate) struct World {
    pub(crate) resolver: Resolver,
    pub(crate) now: Instant,
    pub(crate) wall: u64,
    pub(crate) out: Vec<u8>,
    pub(crate) mappings: Vec<Mapping>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_zones(zones())
    }

    pub(crate) fn with_zones(zones: Zones) -> Self {
        let pool = VirtualPool::new(Ipv4Addr::new(100, 80, 0, 0), "fd12:3456:789a::".parse().unwrap());
        let mut resolver = Resolver::new(zones, pool, [7; 32]);
        resolver.set_system_servers(vec![server("192.0.2.1:53"), server("192.0.2.2:53")]);
        Self { resolver, now: start(), wall: WALL, out: Vec::new(), mappings: Vec::new() }
    }

    pub(crate) fn query(&mut self, client: Client, query: &[u8]) -> Outcome {
        let outcome = self.resolver.handle_query(client, query, self.now, &mut self.out);
        self.drain_mappings();
        outcome
    }

    /// Asks, and gives what is to be sent.
    pub(crate) fn ask(&mut self, client: Client, query: &[u8]) -> Transmit {
        assert_eq!(self.query(client, query), Outcome::Pending);
        self.transmit().expect("a query is sent")
    }

    pub(crate) fn transmit(&mut self) -> Option<Transmit> {
        self.resolver.poll_transmit()
    }

    pub(crate) fn respond(&mut self, transmit: &Transmit, response: &[u8]) {
        self.resolver.handle_response(transmit.query, transmit.server, response, self.now, self.wall);
        self.drain_mappings();
    }

    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.resolver.poll_answer()
    }

    /// A whole resolution: the query is sent, `fill` makes the response, and the answer is given.
    pub(crate) fn resolve(&mut self, query: &[u8], fill: impl FnOnce(&mut Message)) -> Message {
        let bytes = self.resolve_bytes(query, fill);
        parse(&bytes)
    }

    pub(crate) fn resolve_bytes(&mut self, query: &[u8], fill: impl FnOnce(&mut Message)) -> Vec<u8> {
        let transmit = self.ask(udp(1), query);
        self.respond(&transmit, &response(&transmit.payload, fill));
        self.answer().expect("the query is answered").payload
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.wall += duration.as_secs();
        self.resolver.handle_timeout(self.now);
    }

    /// Goes to the time at which the resolver wants to be called.
    pub(crate) fn pass_to_timeout(&mut self) {
        let at = self.resolver.poll_timeout().expect("something is in flight");
        self.pass(at.saturating_duration_since(self.now));
    }

    fn drain_mappings(&mut self) {
        self.mappings.extend(std::iter::from_fn(|| self.resolver.poll_mapping()));
    }
}

/// The start of the simulated time.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can only be had from the clock; it stands still here"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Gateway HQ grants wiki.corp.example and *.eng.corp.example, resolves corp.example; LAB grants *.lab.example and
/// has no IPv6.
pub(crate) fn zones() -> Zones {
    let grant = |gateway, grant| Action::Grant { gateway, grant };
    let name = |text: &str| text.parse().unwrap();
    let rules = [
        Rule { pattern: Pattern::Exact(name("wiki.corp.example")), action: grant(HQ, WIKI) },
        Rule { pattern: Pattern::Wildcard(name("eng.corp.example")), action: grant(HQ, ENGINEERING) },
        Rule { pattern: Pattern::Exact(name("public.eng.corp.example")), action: Action::Exclude },
        Rule { pattern: Pattern::Wildcard(name("lab.example")), action: grant(LAB, 12) },
    ];
    let forwards =
        [Forward { suffix: name("corp.example"), gateway: HQ, servers: vec![server("10.0.0.53:53")] }];
    Zones::new(rules, forwards, gateways()).unwrap()
}

pub(crate) fn gateways() -> BTreeMap<u32, GatewayZone> {
    let network = |text: &str, prefix| (text.parse().unwrap(), prefix);
    let hq = GatewayZone {
        servers: vec![server("10.0.0.54:53")],
        allowed_ips: vec![network("10.0.0.0", 16), network("fd00:10::", 32), network("127.0.0.0", 8)],
        has_ipv4: true,
        has_ipv6: true,
    };
    let lab = GatewayZone {
        servers: vec![server("10.9.0.1:53"), server("10.9.0.2:53")],
        allowed_ips: vec![network("10.0.0.0", 8), network("::", 0)],
        has_ipv4: true,
        has_ipv6: false,
    };
    BTreeMap::from([(HQ, hq), (LAB, lab)])
}

pub(crate) fn server(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn udp(port: u16) -> Client {
    let source = SocketAddr::from(([100, 80, 0, 1], port));
    Client { source, local: server("100.80.0.2:53"), transport: Transport::Udp, connection: 0 }
}

pub(crate) fn tcp(connection: u32) -> Client {
    Client { transport: Transport::Tcp, connection, ..udp(9) }
}

/// A query as a stub resolver makes it.
pub(crate) fn query(id: u16, name: &str, rtype: &str) -> Vec<u8> {
    query_message(id, name, rtype).to_vec().unwrap()
}

/// The same with EDNS.
pub(crate) fn edns_query(id: u16, name: &str, rtype: &str, size: u16, dnssec_ok: bool) -> Vec<u8> {
    let mut message = query_message(id, name, rtype);
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_dnssec_ok(dnssec_ok);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

fn query_message(id: u16, name: &str, rtype: &str) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(fqdn(name), rtype.parse().unwrap()));
    message
}

/// A server's response to a query.
pub(crate) fn response(query: &[u8], fill: impl FnOnce(&mut Message)) -> Vec<u8> {
    let query = parse(query);
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.add_queries(query.queries.clone());
    message.edns = query.edns.clone();
    fill(&mut message);
    message.to_vec().unwrap()
}

pub(crate) fn record(name: &str, ttl: u32, rtype: &str, data: &str) -> Record {
    let rtype: RecordType = rtype.parse().unwrap();
    Record::from_rdata(fqdn(name), ttl, RData::try_from_str(rtype, data).unwrap())
}

pub(crate) fn soa(ttl: u32, minimum: u32) -> Record {
    record(
        "corp.example",
        ttl,
        "SOA",
        &format!("ns.corp.example. root.corp.example. 1 3600 600 86400 {minimum}"),
    )
}

pub(crate) fn parse(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).expect("the message is well formed")
}

/// The records of a section as "name ttl type data".
pub(crate) fn lines(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
        .collect()
}

pub(crate) fn code(bytes: &[u8]) -> ResponseCode {
    parse(bytes).metadata.response_code
}

fn fqdn(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}
