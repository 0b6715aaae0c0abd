//! Names for an instruction counter: an off-zone query among rules, sent on and answered, a number of times.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a bench fails by a panic")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use dns::{Action, Client, GatewayZone, Pattern, Resolver, Rule, Transport, VirtualPool, Zones};

/// `instructions RULES TIMES`, as benches/instructions calls it; without arguments ten rules and once.
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number =
        |at: usize, default| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    ask(number(0, 10), number(1, 1));
}

fn ask(rules: usize, times: usize) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let mut resolver = resolver(rules);
    let query = query("www.some.other.example.org");
    let mut reply = query.clone();
    reply[2] |= 0x80;
    let mut out = Vec::new();
    for _ in 0..times {
        resolver.handle_query(client(), black_box(&query), now, &mut out);
        let transmit = resolver.poll_transmit().expect("a query is sent");
        resolver.handle_response(transmit.query, transmit.server, &reply, now, 0);
        assert!(resolver.poll_answer().is_some());
    }
}

fn resolver(rules: usize) -> Resolver {
    let rules = (0..rules).map(|index| Rule {
        pattern: Pattern::Exact(
            format!("host{index}.department{}.corp.example.com", index % 100).parse().expect("a name"),
        ),
        action: Action::Grant { gateway: 1, grant: index as u32 },
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
    let local = SocketAddr::from(([100, 80, 0, 2], 53));
    Client { source, local, transport: Transport::Udp, connection: 0 }
}

fn query(name: &str) -> Vec<u8> {
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    query.extend_from_slice(name.parse::<dns::Name>().expect("a name").as_wire());
    query.extend_from_slice(&[0, 1, 0, 1]);
    query
}
