//! What may be granted in the simulated world, as plain predicates, and the same for `netstack` and `dns`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use dns::{Action, GatewayZone, Pattern, Rule, Zones};
use netstack::policy::{Application, Gateway, Grant, Network, Policy, Ports, Prefix, Protocol};

use crate::wire;

/// How many gateways there may be.
pub const GATEWAYS: usize = 3;
/// Names that are asked for.
pub const NAMES: [&str; 12] = [
    "wiki.corp.test",
    "a.eng.corp.test",
    "b.eng.corp.test",
    "public.eng.corp.test",
    "eng.corp.test",
    "lab.test",
    "x.lab.test",
    "y.x.lab.test",
    "www.example.org",
    "corp.test",
    "db.site.test",
    "host.site.test",
];
/// The name that may be taken out of what is granted.
const EXCLUDED: &str = "public.eng.corp.test";
/// The grant of networks; the grants of names are 0 to 3.
const NETWORK_GRANT: u32 = 4;

/// One policy, chosen by bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    bits: u64,
}

impl Spec {
    /// Everything is granted: names on gateways 0, 1, 2, 0, networks on gateway 1.
    #[allow(clippy::unusual_byte_groupings, reason = "a group a field")]
    pub const OPEN: Self = Self { bits: 0b01_11_11_11_11_11_1_0_0_00_10_01_00_1111 };

    /// Any bits are a policy.
    pub fn new(bits: u64) -> Self {
        Self { bits }
    }

    /// The same with nothing blocked.
    pub fn unblocked(self) -> Self {
        Self { bits: self.bits & !(1 << 12) }
    }

    fn field(self, at: u32, width: u32) -> u64 {
        (self.bits >> at) & ((1 << width) - 1)
    }

    fn has_grant(self, grant: u32) -> bool {
        match grant {
            NETWORK_GRANT => self.field(14, 1) == 1,
            _ => self.field(grant, 1) == 1,
        }
    }

    fn gateway_of(self, grant: u32) -> u32 {
        let field = if grant == NETWORK_GRANT { self.field(25, 2) } else { self.field(4 + 2 * grant, 2) };
        field as u32 % GATEWAYS as u32
    }

    /// Nothing passes.
    pub fn is_blocked(self) -> bool {
        self.field(12, 1) == 1 && self.field(27, 2) == 3
    }

    fn excludes(self) -> bool {
        self.field(13, 1) == 1
    }

    /// Gateways reach less.
    fn is_narrow(self) -> bool {
        self.field(29, 2) == 3
    }

    /// What grants a name, and through which gateway.
    pub fn granted(self, name: &str) -> Option<(u32, u32)> {
        let grant = match name {
            EXCLUDED if self.excludes() => return None,
            "wiki.corp.test" => 0,
            _ if name.ends_with(".eng.corp.test") => 1,
            _ if name == "lab.test" || name.ends_with(".lab.test") => 2,
            _ if name == "site.test" || name.ends_with(".site.test") => 3,
            _ => return None,
        };
        self.has_grant(grant).then(|| (self.gateway_of(grant), grant))
    }

    /// What grants a real address by itself.
    pub fn network(self, address: IpAddr) -> Option<(u32, u32)> {
        let is_inside = match address {
            IpAddr::V4(v4) => v4.octets()[..3] == [10, 9, 0],
            IpAddr::V6(v6) => v6.segments()[..4] == [0xfd09, 0, 0, 0],
        };
        (is_inside && self.has_grant(NETWORK_GRANT)).then(|| (self.gateway_of(NETWORK_GRANT), NETWORK_GRANT))
    }

    /// Whether a grant allows a port; that of an echo does not count.
    pub fn allows(self, grant: u32, protocol: u8, port: u16) -> bool {
        match (self.field(15 + 2 * grant, 2), protocol) {
            (0, wire::TCP) => (80..=443).contains(&port),
            (0, wire::UDP) => (5_000..=6_000).contains(&port),
            (1, wire::TCP) | (2, wire::UDP) | (3, wire::TCP | wire::UDP) => true,
            (0 | 2 | 3, wire::ICMP | wire::ICMPV6) => true,
            _ => false,
        }
    }

    /// Whether a gateway may carry packets of ours to an address.
    pub fn reaches(self, gateway: u32, address: IpAddr) -> bool {
        let is_inside = match address {
            IpAddr::V4(v4) if self.is_narrow() => v4.octets()[..3] == [10, 0, 0],
            IpAddr::V4(v4) => v4.octets()[0] == 10,
            IpAddr::V6(v6) if self.is_narrow() => v6.segments()[..4] == [0xfd00, 0, 0, 0],
            IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
        };
        is_inside && local_address(gateway, address).is_some()
    }

    /// The same for the datapath.
    pub fn policy(self) -> Policy {
        let prefixes: &[(&str, u8)] = if self.is_narrow() {
            &[("10.0.0.0", 24), ("fd00::", 64)]
        } else {
            &[("10.0.0.0", 8), ("fd00::", 8)]
        };
        let allowed: Vec<Prefix> = prefixes
            .iter()
            .map(|(address, length)| Prefix { address: ip(address), length: *length })
            .collect();
        let gateway = |id: u32| Gateway {
            ipv4: local_address(id, ip("10.0.0.1")).and_then(v4),
            ipv6: local_address(id, ip("fd00::1")).and_then(v6),
            allowed_ips: allowed.clone(),
            probe_targets: vec![dns_server().ip()],
        };
        let networks = [("10.9.0.0", 24), ("fd09::", 64)].map(|(address, length)| Network {
            prefix: Prefix { address: ip(address), length },
            gateway: self.gateway_of(NETWORK_GRANT),
            grant: NETWORK_GRANT,
        });
        Policy {
            gateways: (0..GATEWAYS as u32).map(gateway).collect(),
            grants: (0..=NETWORK_GRANT).map(|grant| self.grant(grant)).collect(),
            networks: if self.has_grant(NETWORK_GRANT) { networks.to_vec() } else { Vec::new() },
            withheld: Vec::new(),
            is_blocked: self.is_blocked(),
        }
    }

    fn grant(self, grant: u32) -> Grant {
        let ports = |protocol, first, last| Ports { protocol, first, last };
        let (tcp, udp, icmp) = (Protocol::Tcp, Protocol::Udp, Protocol::Icmp);
        let ports = match self.field(15 + 2 * grant, 2) {
            0 => vec![ports(tcp, 80, 443), ports(udp, 5_000, 6_000), ports(icmp, 0, 0)],
            1 => vec![ports(tcp, 0, u16::MAX)],
            2 => vec![ports(udp, 0, u16::MAX), ports(icmp, 0, 0)],
            _ => vec![ports(tcp, 0, u16::MAX), ports(udp, 0, u16::MAX), ports(icmp, 0, 0)],
        };
        Grant { applications: vec![Application { id: grant, ports }] }
    }

    /// The same for the resolver.
    pub fn zones(self) -> Zones {
        let name = |text: &str| text.parse().expect("a name");
        let patterns = [
            Pattern::Exact(name("wiki.corp.test")),
            Pattern::Wildcard(name("eng.corp.test")),
            Pattern::Suffix(name("lab.test")),
            Pattern::Suffix(name("site.test")),
        ];
        let granted = patterns.into_iter().zip(0..).filter(|(_, grant)| self.has_grant(*grant));
        let mut rules: Vec<Rule> = granted
            .map(|(pattern, grant)| Rule {
                pattern,
                action: Action::Grant { gateway: self.gateway_of(grant), grant },
            })
            .collect();
        if self.excludes() {
            rules.push(Rule { pattern: Pattern::Exact(name(EXCLUDED)), action: Action::Exclude });
        }
        let networks = self.policy().gateways.into_iter().map(|gateway| GatewayZone {
            servers: vec![dns_server()],
            allowed_ips: gateway.allowed_ips.iter().map(|prefix| (prefix.address, prefix.length)).collect(),
            has_ipv4: gateway.ipv4.is_some(),
            has_ipv6: gateway.ipv6.is_some(),
        });
        let gateways: BTreeMap<u32, GatewayZone> = (0..).zip(networks).collect();
        Zones::new(rules, [], gateways).expect("the zones fit together")
    }
}

/// Our address in a gateway's tunnel, of the family of `peer`. Gateways 0 and 1 have the same; 1 has no IPv6.
pub fn local_address(gateway: u32, peer: IpAddr) -> Option<IpAddr> {
    match (gateway, peer) {
        (0 | 1, IpAddr::V4(_)) => Some(ip("10.77.0.3")),
        (_, IpAddr::V4(_)) => Some(ip("10.78.0.3")),
        (0, IpAddr::V6(_)) => Some(ip("fd77::3")),
        (1, IpAddr::V6(_)) => None,
        (_, IpAddr::V6(_)) => Some(ip("fd78::3")),
    }
}

/// The server of every gateway's names, at the same address behind each.
pub fn dns_server() -> SocketAddr {
    SocketAddr::new(ip("10.0.0.53"), 53)
}

/// An address.
pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn v4(address: IpAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<std::net::Ipv6Addr> {
    match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}
