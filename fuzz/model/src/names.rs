//! A resolver for fuzzing: a few names under every kind of rule.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use dns::{Action, Client, Forward, GatewayZone, Pattern, Resolver, Rule, Transport, VirtualPool, Zones};

/// The start of a simulated time.
pub fn start() -> Instant {
    Instant::now()
}

/// A client on the device.
pub fn client() -> Client {
    Client {
        source: at("100.80.0.1:4000"),
        local: at("100.80.0.2:53"),
        transport: Transport::Udp,
        connection: 0,
    }
}

/// A resolver with a policy: `wiki.corp.test`, `*.eng.corp.test` but not `public.eng.corp.test`, and all of
/// `lab.test`, on two gateways.
pub fn resolver() -> Resolver {
    let name = |text: &str| text.parse().expect("a name");
    let rule = |pattern, gateway, grant| Rule { pattern, action: Action::Grant { gateway, grant } };
    let rules = [
        rule(Pattern::Exact(name("wiki.corp.test")), 0, 0),
        rule(Pattern::Wildcard(name("eng.corp.test")), 0, 1),
        Rule { pattern: Pattern::Exact(name("public.eng.corp.test")), action: Action::Exclude },
        rule(Pattern::Suffix(name("lab.test")), 1, 2),
    ];
    let forwards = [Forward { suffix: name("corp.test"), gateway: 0, servers: vec![at("10.0.0.53:53")] }];
    let gateway = |server: &str, has_ipv6| GatewayZone {
        servers: vec![at(server), at("10.0.0.54:53")],
        allowed_ips: vec![
            ("10.0.0.0".parse().expect("an address"), 8),
            ("fd00::".parse().expect("an address"), 16),
        ],
        has_ipv4: true,
        has_ipv6,
    };
    let gateways = BTreeMap::from([(0, gateway("10.0.0.55:53", true)), (1, gateway("10.9.0.53:53", false))]);
    let zones = Zones::new(rules, forwards, gateways).expect("the zones fit together");
    let pool =
        VirtualPool::new(Ipv4Addr::new(100, 80, 0, 0), "fd12:3456:789a::".parse().expect("an address"));
    let mut resolver = Resolver::new(zones, pool, [7; 32]);
    resolver.set_system_servers(vec![at("192.0.2.1:53"), at("192.0.2.2:53")]);
    resolver
}

/// Whether the policy of [`resolver`] grants a name.
pub fn is_granted(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_below = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    name == "wiki.corp.test"
        || (is_below("eng.corp.test") && name != "public.eng.corp.test")
        || name == "lab.test"
        || is_below("lab.test")
}

/// Where the question of a message ends, type and class included.
pub fn question_end(message: &[u8]) -> usize {
    let mut at = 12;
    while message.get(at).is_some_and(|length| *length > 0) {
        at += 1 + usize::from(message[at]);
    }
    (at + 5).min(message.len())
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}
