//! What a query costs: a cached answer, and the decision about a name among 10 and 100,000 rules.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dns::{Action, Client, GatewayZone, Outcome, Pattern, Resolver, Rule, Transport, VirtualPool, Zones};

const ROUNDS: u32 = 1_000_000;

#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench asks the clock and prints")]
fn main() {
    for rules in [10, 1_000, 100_000] {
        let mut resolver = resolver(rules);
        let started = Instant::now();
        let hit = measure(&mut resolver, &query("host7.department7.corp.example.com"), started);
        let off_zone = measure_off_zone(&mut resolver, started);
        println!("{rules:>7} rules: cached answer {hit:?}, off-zone query sent and answered {off_zone:?}");
    }
}

/// The time of one cached answer.
#[expect(clippy::disallowed_methods, reason = "a bench asks the clock")]
fn measure(resolver: &mut Resolver, query: &[u8], now: Instant) -> Duration {
    let mut out = Vec::new();
    assert_eq!(resolver.handle_query(client(), query, now, &mut out), Outcome::Pending);
    let transmit = resolver.poll_transmit().expect("a query is sent");
    let mut response = transmit.payload.clone();
    response[2] |= 0x80;
    response[7] = 1;
    response.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 1, 0, 0, 0, 4, 10, 0, 1, 2]);
    resolver.handle_response(transmit.query, transmit.server, &response, now, 0);
    assert!(resolver.poll_answer().is_some());
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let outcome = resolver.handle_query(client(), black_box(query), now, &mut out);
        assert_eq!(black_box(outcome), Outcome::Answer);
    }
    started.elapsed() / ROUNDS
}

/// The time of an off-zone query with its reply: the decision, the sending on and the passing back.
#[expect(clippy::disallowed_methods, reason = "a bench asks the clock")]
fn measure_off_zone(resolver: &mut Resolver, now: Instant) -> Duration {
    let query = query("www.some.other.example.org");
    let mut reply = query.clone();
    reply[2] |= 0x80;
    let mut out = Vec::new();
    let started = Instant::now();
    for _ in 0..ROUNDS / 10 {
        resolver.handle_query(client(), black_box(&query), now, &mut out);
        let transmit = resolver.poll_transmit().expect("a query is sent");
        resolver.handle_response(transmit.query, transmit.server, &reply, now, 0);
        assert!(resolver.poll_answer().is_some());
    }
    started.elapsed() / (ROUNDS / 10)
}

fn resolver(rules: u32) -> Resolver {
    let rules = (0..rules).map(|index| Rule {
        pattern: Pattern::Exact(
            format!("host{index}.department{}.corp.example.com", index % 100).parse().expect("a name"),
        ),
        action: Action::Grant { gateway: 1, grant: index },
    });
    let gateway = GatewayZone {
        servers: vec![SocketAddr::from(([10, 0, 0, 53], 53))],
        allowed_ips: vec![(Ipv4Addr::new(10, 0, 0, 0).into(), 8)],
        has_ipv4: true,
        has_ipv6: false,
    };
    let zones = Zones::new(rules, [], BTreeMap::from([(1, gateway)])).expect("the zones fit together");
    let pool =
        VirtualPool::new(Ipv4Addr::new(100, 80, 0, 0), "fd12:3456:789a::".parse().expect("an address"));
    let mut resolver = Resolver::new(zones, pool, [7; 32]);
    resolver.set_system_servers(vec![SocketAddr::from(([192, 0, 2, 1], 53))]);
    resolver
}

fn client() -> Client {
    let source = SocketAddr::from(([100, 80, 0, 1], 4000));
    Client {
        source,
        local: SocketAddr::from(([100, 80, 0, 2], 53)),
        transport: Transport::Udp,
        connection: 0,
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    query.extend_from_slice(name.parse::<dns::Name>().expect("a name").as_wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    query
}
